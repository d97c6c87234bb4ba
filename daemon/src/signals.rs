//! Signals as a channel: the main loop reads [`Signal`]s like any other message, and nothing else runs in a handler.
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
    sync::{Arc, atomic::AtomicBool},
    thread,
};
use tokio::sync::mpsc;

/// Exit code when a second TERM or INT cuts a stop short: the "could not do it" of all commands.
pub const FORCED_EXIT: i32 = 2;

/// Signals that wait for the main loop. Behind a full queue those of one kind become one, as in the kernel.
const QUEUE: usize = 4;

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

impl Signal {
    fn from_number(number: i32) -> Option<Self> {
        match number {
            SIGHUP => Some(Self::Reload),
            SIGTERM | SIGINT => Some(Self::Stop),
            SIGUSR1 => Some(Self::LogStats),
            _ => None,
        }
    }
}

/// The receiving end. Dropping it ends delivery, not the handlers: a TERM after the first still forces the exit.
#[derive(Debug)]
pub struct Signals {
    receiver: mpsc::Receiver<Signal>,
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
        let (sender, receiver) = mpsc::channel(QUEUE);
        let pass_on = move || {
            for signal in pending.forever().filter_map(Signal::from_number) {
                if sender.blocking_send(signal).is_err() {
                    break; // nobody listens any more
                }
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(pass_on)?;
        Ok(Self { receiver, delivery })
    }

    /// The next signal, for an async main loop. Cancel safe. Order is kept between signals that did not arrive
    /// together. `None` when no more will come.
    pub async fn recv(&mut self) -> Option<Signal> {
        self.receiver.recv().await
    }

    /// The next signal, for a thread outside the async runtime; as [`Self::recv`] else.
    pub fn blocking_recv(&mut self) -> Option<Signal> {
        self.receiver.blocking_recv()
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

    #[test]
    fn signals_arrive_as_messages() {
        if let Some(output) = child("signals_arrive_as_messages") {
            return assert_passed(&output);
        }
        let mut signals = Signals::install().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        raise(SIGHUP).unwrap();
        assert_eq!(signals.blocking_recv(), Some(Signal::Reload));
        raise(SIGUSR1).unwrap();
        assert_eq!(runtime.block_on(signals.recv()), Some(Signal::LogStats));
        raise(SIGINT).unwrap();
        assert_eq!(signals.blocking_recv(), Some(Signal::Stop));
        raise(SIGHUP).unwrap();
        assert_eq!(signals.blocking_recv(), Some(Signal::Reload), "still delivered while stopping");
    }

    #[test]
    fn a_flood_of_reloads_does_not_hide_the_stop() {
        if let Some(output) = child("a_flood_of_reloads_does_not_hide_the_stop") {
            return assert_passed(&output);
        }
        let mut signals = Signals::install().unwrap();
        for _ in 0..10_000 {
            raise(SIGHUP).unwrap();
        }
        raise(SIGTERM).unwrap();
        let mut reloads = 0;
        while signals.blocking_recv().unwrap() == Signal::Reload {
            reloads += 1;
        }
        assert!(
            (1..=QUEUE + 2).contains(&reloads),
            "{reloads} for a queue of {QUEUE}, one in hand, one pending"
        );
    }

    #[test]
    fn a_second_stop_exits_at_once() {
        if let Some(output) = child("a_second_stop_exits_at_once") {
            return assert_eq!(output.status.code(), Some(FORCED_EXIT), "{output:?}");
        }
        let mut signals = Signals::install().unwrap();
        raise(SIGTERM).unwrap();
        assert_eq!(signals.blocking_recv(), Some(Signal::Stop));
        drop(signals);
        raise(SIGINT).unwrap();
        panic!("the second signal did not end the process");
    }
}
