//! System calls of one thread of a daemon, seen by strace; at a chosen one the daemon is killed, before the kernel does
//! it.
//!
//! A thread of its own makes the count exact: strace counts for each thread and each kind of call.

use crate::harness::PATIENCE;
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;

/// Calls that leave something behind on disk or in the kernel, and those that begin them. Mapped memory is not among
/// them: nobody sees it before the next of these.
const CALLS: &str = "mkdir,openat,write,pwrite64,ftruncate,fsync,fdatasync,rename,unlink,getdents64,bpf";

/// One call: what strace wrote about it, and the how many of its kind it is, from 1.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) text: String,
    pub(crate) nth: usize,
}

impl Call {
    /// The name of the call.
    pub(crate) fn name(&self) -> &str {
        self.text.split('(').next().unwrap()
    }
}

/// A running strace. Killed when dropped; what it traces goes on then.
pub(crate) struct Trace {
    strace: Child,
    output: PathBuf,
}

impl Trace {
    /// Watches thread `id` from now on, and kills its process when it is about to make the `nth` call of that name.
    ///
    /// # Errors
    /// In words, when this may not be done here.
    pub(crate) fn attach(id: u32, kill_at: Option<(&str, usize)>, output: &Path) -> Result<Self, String> {
        let mut command = Command::new("strace");
        // With what is behind a descriptor, without data and signals.
        command.args(["-y", "-s0", "-esignal=none", &format!("-etrace={CALLS}"), &format!("-p{id}"), "-o"]);
        command.arg(output);
        if let Some((name, nth)) = kill_at {
            command.arg(format!("-einject={name}:signal=KILL:when={nth}"));
        }
        let spawned = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
        let strace = spawned.map_err(|error| format!("strace cannot be run: {error}"))?;
        let mut trace = Self { strace, output: output.to_owned() };
        let (sender, lines) = channel();
        let stderr = BufReader::new(trace.strace.stderr.take().unwrap());
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let said = lines.recv_timeout(PATIENCE).unwrap_or_default();
        if said.ends_with(" attached") { Ok(trace) } else { Err(format!("strace does not attach: {said}")) }
    }

    /// Ends the watch if it has not ended by itself, and returns the calls seen, in order.
    pub(crate) fn calls(mut self) -> Vec<Call> {
        let pid = self.strace.id().try_into().unwrap();
        // SAFETY: touches no memory; the process is our child and not waited for yet, so the id is still its own.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        self.strace.wait().unwrap();
        let mut seen = HashMap::<String, usize>::new();
        let written = fs::read_to_string(&self.output).unwrap();
        // Beside calls there are lines on the end of the process.
        let calls = written.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()));
        calls
            .map(|text| {
                let mut call = Call { text: text.to_owned(), nth: 0 };
                let nth = seen.entry(call.name().to_owned()).or_default();
                *nth += 1;
                call.nth = *nth;
                call
            })
            .collect()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}
