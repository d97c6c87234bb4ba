//! Signals for the main loop, which awaits [`Signal`]s like any other message; nothing else runs in a handler.
//!
//! A second TERM or INT ends the process at once, from the handler itself, so that a stop that hangs can be ended
//! without KILL.

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1},
    flag,
    iterator::{self, Handle},
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use tokio::sync::Notify;

/// Exit code when a second TERM or INT cuts a stop short: the "could not do it" of all commands.
pub const FORCED_EXIT: i32 = 2;

/// What an operator asks the running daemon for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// HUP: read the configuration and the feeds again.
    Reload,
    /// TERM or INT: finish what is in flight and exit.
    Stop,
    /// USR1: log the statistics.
    LogStats,
}

/// Signals that wait for the main loop. Those of one kind are one, as in the kernel: fifty HUPs during a reload ask for
/// one more.
#[derive(Debug, Default)]
struct Waiting {
    stop: AtomicBool,
    log_stats: AtomicBool,
    reload: AtomicBool,
    arrived: Notify,
}

impl Waiting {
    fn add(&self, number: i32) {
        let kind = match number {
            SIGHUP => &self.reload,
            SIGTERM | SIGINT => &self.stop,
            SIGUSR1 => &self.log_stats,
            _ => return,
        };
        kind.store(true, Ordering::Release);
        self.arrived.notify_one();
    }

    /// The most urgent one: a stop does not wait for reloads that are pointless by then.
    fn take(&self) -> Option<Signal> {
        let kinds =
            [(&self.stop, Signal::Stop), (&self.log_stats, Signal::LogStats), (&self.reload, Signal::Reload)];
        kinds.into_iter().find_map(|(kind, signal)| kind.swap(false, Ordering::Acquire).then_some(signal))
    }
}

/// The receiving end. Dropping it ends delivery, not the handlers: a TERM after the first still forces the exit.
#[derive(Debug)]
pub struct Signals {
    waiting: Arc<Waiting>,
    delivery: Handle,
}

impl Signals {
    /// Installs the handlers and the thread that passes signals on. Once per process and early: before it, HUP kills.
    ///
    /// # Errors
    ///
    /// When a handler cannot be installed or the thread not be started.
    pub fn install() -> io::Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        for number in [SIGTERM, SIGINT] {
            // In this order: the first signal finds the flag down and raises it.
            flag::register_conditional_shutdown(number, FORCED_EXIT, Arc::clone(&stopping))?;
            flag::register(number, Arc::clone(&stopping))?;
        }
        let mut pending = iterator::Signals::new([SIGHUP, SIGTERM, SIGINT, SIGUSR1])?;
        let delivery = pending.handle();
        let waiting = Arc::new(Waiting::default());
        let passed_on = Arc::clone(&waiting);
        let pass_on = move || pending.forever().for_each(|number| passed_on.add(number));
        thread::Builder::new().name("signals".to_owned()).spawn(pass_on)?;
        Ok(Self { waiting, delivery })
    }

    /// The next signal: a stop before anything else that waits. Cancel safe.
    pub async fn recv(&mut self) -> Signal {
        loop {
            if let Some(signal) = self.waiting.take() {
                return signal;
            }
            self.waiting.arrived.notified().await;
        }
    }

    /// Waits for a stop and leaves everything else waiting. Cancel safe.
    pub async fn stop(&mut self) {
        while !self.waiting.stop.swap(false, Ordering::Acquire) {
            self.waiting.arrived.notified().await;
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.delivery.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signal_hook::low_level::raise;
    use std::process::{Command, Output};
    use tokio::runtime::Runtime;

    /// Set in a child process to the test it was started for.
    const CHILD: &str = "BLACKTHORN_SIGNALS_CHILD";

    /// Runs `test` once more in a process of its own, for a TERM raised here would end the tests of others. `None`: this
    /// is that process.
    fn child(test: &str) -> Option<Output> {
        if std::env::var_os(CHILD).is_some_and(|name| name == test) {
            return None;
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        let name = format!("signals::tests::{test}");
        Some(command.args(["--exact", &name]).env(CHILD, test).output().unwrap())
    }

    fn assert_passed(output: &Output) {
        let passed = String::from_utf8_lossy(&output.stdout).contains("1 passed");
        assert!(output.status.success() && passed, "{output:?}");
    }

    fn runtime() -> Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn signals_of_one_kind_are_one_and_a_stop_goes_first() {
        let waiting = Waiting::default();
        for number in [SIGHUP, SIGHUP, SIGUSR1, SIGHUP, SIGTERM, SIGINT, SIGHUP] {
            waiting.add(number);
        }
        let order = [Signal::Stop, Signal::LogStats, Signal::Reload];
        assert_eq!(order.map(Some), [(); 3].map(|()| waiting.take()));
        assert_eq!(waiting.take(), None);
    }

    #[test]
    fn signals_arrive_as_messages() {
        if let Some(output) = child("signals_arrive_as_messages") {
            return assert_passed(&output);
        }
        let (runtime, mut signals) = (runtime(), Signals::install().unwrap());
        raise(SIGHUP).unwrap();
        assert_eq!(runtime.block_on(signals.recv()), Signal::Reload);
        raise(SIGUSR1).unwrap();
        assert_eq!(runtime.block_on(signals.recv()), Signal::LogStats);
        raise(SIGINT).unwrap();
        assert_eq!(runtime.block_on(signals.recv()), Signal::Stop);
        raise(SIGHUP).unwrap();
        assert_eq!(runtime.block_on(signals.recv()), Signal::Reload, "still delivered while stopping");
    }

    #[test]
    fn a_flood_of_reloads_does_not_hide_the_stop() {
        if let Some(output) = child("a_flood_of_reloads_does_not_hide_the_stop") {
            return assert_passed(&output);
        }
        let (runtime, mut signals) = (runtime(), Signals::install().unwrap());
        for _ in 0..10_000 {
            raise(SIGHUP).unwrap();
        }
        raise(SIGTERM).unwrap();
        runtime.block_on(signals.stop());
    }

    #[test]
    fn a_second_stop_exits_at_once() {
        if let Some(output) = child("a_second_stop_exits_at_once") {
            return assert_eq!(output.status.code(), Some(FORCED_EXIT), "{output:?}");
        }
        let mut signals = Signals::install().unwrap();
        raise(SIGTERM).unwrap();
        assert_eq!(runtime().block_on(signals.recv()), Signal::Stop);
        drop(signals);
        raise(SIGINT).unwrap();
        panic!("the second signal did not end the process");
    }
}
