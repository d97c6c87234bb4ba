//! Network namespaces joined by a veth pair, for tests that send real packets. Needs root and iproute2.
//!
//! Names are unique per process and object; everything is removed on drop.
#![expect(clippy::panic, reason = "test support: a step that fails ends the test, naming the step")]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// A named network namespace, deleted with all its devices on drop.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// A new, empty namespace.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bt-{}-{number}", std::process::id());
        run(&format!("ip netns add {name}"));
        Self { name }
    }

    /// Runs `ip ARGUMENTS` inside.
    pub fn ip(&self, arguments: &str) {
        run(&format!("ip -n {} {arguments}", self.name));
    }

    /// Runs `work` on a thread inside; sockets it opens stay there. A panic goes on to the caller.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.join();
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves this thread inside, for the rest of its life.
    pub fn join(&self) {
        let path = format!("/run/netns/{}", self.name);
        let file = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        // SAFETY: takes an open descriptor and changes the namespace of this thread only.
        let result = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
        assert_eq!(result, 0, "entering {path}: {}", std::io::Error::last_os_error());
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The test has passed or failed already; a leftover is worth a word, not another panic.
        let status = Command::new("ip").args(["netns", "del", &self.name]).status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("network namespace {} could not be deleted", self.name);
        }
    }
}

/// Addresses of the host.
const HOST: &[&str] = &["198.51.100.1", "2001:db8:1::1"];
/// Addresses of the peer.
const PEER: &[&str] = &[
    "198.51.100.2",
    "198.51.100.66",
    "198.51.100.67",
    "198.51.100.68",
    "2001:db8:1::2",
    "2001:db8:1::66",
    "2001:db8:1::67",
    "2001:db8:1::68",
];

/// Two namespaces and the cable between them: the host under test and a peer that sends.
///
/// The host has 198.51.100.1 and 2001:db8:1::1 on `bt0`; the peer has 198.51.100.2 and .66 to .68 and 2001:db8:1::2 and
/// ::66 to ::68 on `bt1`. Neighbours are fixed, so that no discovery runs in between.
#[derive(Debug)]
pub struct Cable {
    /// The side that filters.
    pub host: Namespace,
    /// The side that sends.
    pub peer: Namespace,
}

impl Cable {
    /// Both ends up and ready.
    pub fn new() -> Self {
        let (host, peer) = (Namespace::new(), Namespace::new());
        Self::plug(&host, &peer);
        Self { host, peer }
    }

    /// Makes the pair of devices anew, after a test has deleted them.
    pub fn replug(&self) {
        Self::plug(&self.host, &self.peer);
    }

    fn plug(host: &Namespace, peer: &Namespace) {
        host.ip(&format!(
            "link add bt0 address 02:00:00:00:00:01 type veth peer name bt1 address 02:00:00:00:00:02 netns {}",
            peer.name
        ));
        for (side, device, other, addresses, neighbours) in
            [(host, "bt0", "02:00:00:00:00:02", HOST, PEER), (peer, "bt1", "02:00:00:00:00:01", PEER, HOST)]
        {
            side.ip("link set lo up");
            for address in addresses {
                let form = if address.contains(':') { "64 nodad" } else { "24" };
                side.ip(&format!("addr add {address}/{form} dev {device}"));
            }
            side.ip(&format!("link set {device} up"));
            for neighbour in neighbours {
                side.ip(&format!("neigh replace {neighbour} lladdr {other} dev {device}"));
            }
        }
    }
}

impl Default for Cable {
    fn default() -> Self {
        Self::new()
    }
}

fn run(command: &str) {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap_or_default();
    let output =
        Command::new(program).args(words).output().unwrap_or_else(|error| panic!("{command}: {error}"));
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}
