//! A machine in small: a network namespace where only loopback is, an `/etc` of its own, and the daemon.
//!
//! What runs on it sees neither the accounts nor the resolvers of the machine the tests run on, and changes nothing
//! there. Everything that was started ends with the test.

use crate::harness::{Daemon, PATIENCE, Site};
use crate::programs::{Program, libraries};
use blackthorn_testkit::needs;
use blackthorn_testkit::netns::Namespace;
use socket2::{Domain, Socket, Type};
use std::fs::{self, File, Permissions};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where the daemon listens, in TOML: where programs without a resolver of their own ask, and at its
/// usual port.
pub(crate) const LISTEN: &str = r#"["127.0.0.1:53", "127.0.0.1:5300", "[::1]:5300"]"#;

/// The users that mail servers run as, with their groups: name, number of both.
pub(crate) const POSTFIX: (&str, u32) = ("postfix", 64_100);
pub(crate) const EXIM: (&str, u32) = ("Debian-exim", 64_101);
/// A group that Postfix wants to own its door for local mail.
pub(crate) const POSTDROP: (&str, u32) = ("postdrop", 64_102);

/// Puts our `/etc` in place in a mount namespace, says where the libraries are, and runs the program. The shell stays as
/// the first process of its namespace: it dies with `unshare`, which a program that changes its user would not, and all
/// others die with it.
const RUN: &str =
    r#"mount --bind "$1" /etc && export LD_LIBRARY_PATH="$2" && shift 2 && "$@"; status=$?; exit $status"#;

pub(crate) struct Machine {
    // Dropped in this order: programs end before what they use.
    servers: Vec<Server>,
    _daemon: Daemon,
    site: Site,
    namespace: Namespace,
    /// `etc`, and a folder for each program.
    files: TempDir,
}

impl Machine {
    /// A machine whose daemon serves this site; `None` after [`needs::skip`].
    pub(crate) fn serving(site: Site) -> Option<Self> {
        if !needs::root() {
            needs::skip("network and mount namespaces need root");
            return None;
        }
        let namespace = Namespace::new();
        namespace.ip("link set lo up");
        let files = tempfile::tempdir().unwrap();
        open_to_all(files.path());
        let daemon = namespace.enter(|| site.start());
        let machine = Self { servers: Vec::new(), _daemon: daemon, site, namespace, files };
        machine.write_etc();
        Some(machine)
    }

    fn write_etc(&self) {
        let etc = self.folder("etc");
        let (mut users, mut groups) = (String::new(), String::new());
        for (name, id) in [("root", 0), ("nobody", 65_534), POSTFIX, EXIM, POSTDROP] {
            users += &format!("{name}:x:{id}:{id}::/nonexistent:/bin/false\n");
            groups += &format!("{name}:x:{id}:\n");
        }
        for (name, content) in [
            ("passwd", &*users),
            ("group", &groups),
            ("hosts", "127.0.0.1 localhost\n"),
            ("nsswitch.conf", "passwd: files\ngroup: files\nservices: files\nhosts: files dns\n"),
            ("resolv.conf", "nameserver 127.0.0.1\noptions timeout:30 attempts:2\n"),
            ("services", "domain 53/tcp\ndomain 53/udp\nsmtp 25/tcp\n"),
        ] {
            fs::write(etc.join(name), content).unwrap();
        }
    }

    /// Its site.
    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// A folder for one program, which everybody may enter.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.files.path().join(name);
        fs::create_dir_all(&path).unwrap();
        open_to_all(&path);
        path
    }

    /// Adds an address to loopback, for a program that looks what addresses there are.
    pub(crate) fn add_address(&self, address: &str) {
        self.namespace.ip(&format!("addr add {address}/32 dev lo"));
    }

    /// Does some work on the network of this machine.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.namespace.enter(work)
    }

    /// A connection from a loopback address; `None` when nobody listens.
    pub(crate) fn connect(&self, from: &str, server: &str) -> Option<TcpStream> {
        let from = SocketAddr::new(from.parse().unwrap(), 0);
        let server: SocketAddr = server.parse().unwrap();
        let stream: TcpStream = self.enter(|| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&from.into()).unwrap();
            socket.connect(&server.into()).ok()?;
            Some(socket.into())
        })?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Some(stream)
    }

    /// Runs a program to its end.
    pub(crate) fn run(&self, program: &Program, set: impl FnOnce(&mut Command) + Send) -> Output {
        let mut command = self.command(program);
        command.stdin(Stdio::null());
        self.enter(|| {
            set(&mut command);
            command.output().unwrap()
        })
    }

    /// Starts a server; what it says goes into a file.
    pub(crate) fn server(&mut self, program: &Program, arguments: &[&str]) {
        let log = self.files.path().join(format!("log-{}", self.servers.len()));
        let said = File::create(&log).unwrap();
        let mut command = self.command(program);
        command.args(arguments).stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
        let child = self.enter(|| command.spawn().unwrap());
        self.servers.push(Server { child, log });
    }

    /// All that the servers have said so far.
    pub(crate) fn said(&self) -> String {
        self.servers.iter().map(Server::said).collect()
    }

    /// Asks again and again until there is an answer; gives up when a server has ended.
    pub(crate) fn wait<T>(&mut self, what: &str, mut ask: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = ask(self) {
                return answer;
            }
            assert!(
                !self.servers.iter_mut().any(Server::has_ended),
                "a server ended while waiting for {what}"
            );
            assert!(Instant::now() < deadline, "{what} does not come");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The command line of a program with our `/etc`, in a process namespace of its own, so that all it starts ends
    /// with it.
    fn command(&self, program: &Program) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--", "sh", "-c", RUN, "sh"]);
        command.arg(self.files.path().join("etc")).arg(libraries()).arg(program.path());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
        command
    }
}

fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
}

/// Makes a folder with this owner, group and mode.
pub(crate) fn make_folder(path: &Path, owner: u32, group: u32, mode: u32) {
    fs::create_dir_all(path).unwrap();
    chown(path, Some(owner), Some(group)).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A server process. Killed when dropped; when the test fails, what it said is shown.
struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only when it has ended already. What it started goes with its process namespace.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- said by server {}\n{}---", self.child.id(), self.said());
        }
    }
}
