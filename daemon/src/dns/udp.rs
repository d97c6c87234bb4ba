//! UDP: a thread for each worker, with a socket of its own at the same address, among which the kernel spreads the
//! clients (SO_REUSEPORT). Two system calls move a batch of datagrams; nothing else is asked of the system but the time,
//! which takes no call.

use super::batch::{BATCH, Batch};
use super::handler::Handler;
use crate::core::answer::Transport;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Wait after a failed receive, so that a broken socket does not take a whole core.
const PAUSE: Duration = Duration::from_millis(100);

/// The workers of one address. Dropping it stops them, after the batch in hand.
#[derive(Debug)]
pub(super) struct Workers {
    sockets: Vec<Arc<UdpSocket>>,
    stop: Arc<AtomicBool>,
}

impl Workers {
    /// Starts a worker for each socket; the receivers tell when they have ended.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(super) fn start(
        sockets: Vec<UdpSocket>,
        handler: &Arc<Handler>,
    ) -> io::Result<(Self, Vec<oneshot::Receiver<()>>)> {
        let sockets = sockets.into_iter().map(Arc::new).collect();
        let workers = Self { sockets, stop: Arc::default() };
        let ended = workers.sockets.iter().map(|socket| {
            let (ending, ended) = oneshot::channel();
            let worker = Worker {
                socket: Arc::clone(socket),
                handler: Arc::clone(handler),
                stop: Arc::clone(&workers.stop),
            };
            thread::Builder::new().name("dns-udp".into()).spawn(move || {
                worker.serve();
                // Nobody listens any more if the server was dropped.
                let _ = ending.send(());
            })?;
            Ok(ended)
        });
        let ended = ended.collect::<io::Result<_>>()?;
        Ok((workers, ended))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for socket in &self.sockets {
            // Wakes a waiting receive. It says "not connected", which is true and does not matter.
            let _ = socket2::SockRef::from(&**socket).shutdown(std::net::Shutdown::Both);
        }
    }
}

struct Worker {
    socket: Arc<UdpSocket>,
    handler: Arc<Handler>,
    stop: Arc<AtomicBool>,
}

/// How fast datagrams come, to tell whether to wait for more of them.
///
/// Most of what an answer costs is to wake up for it. While several come within the time of a wait, a worker that has
/// answered what there was sleeps for that time, and answers those together that came meanwhile. While few come, each is
/// answered at once.
struct Pace {
    last: Instant,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self { last: now }
    }

    /// Will at least two more datagrams come within `wait`, going by the `count` that came since the last batch until
    /// `now`? With half a batch or more, others are waiting already.
    fn is_worth(&mut self, wait: Duration, count: usize, now: Instant) -> bool {
        let gap = now.duration_since(self.last);
        self.last = now;
        let gaps = u32::try_from(count).unwrap_or(u32::MAX);
        !wait.is_zero() && count < BATCH / 2 && gap * 2 <= wait * gaps
    }
}

/// Lets short sleeps of this thread end when they should, and not up to 50 us later.
fn sleep_exactly() {
    let nanoseconds: libc::c_ulong = 1000;
    // SAFETY: sets a number of the calling thread, and touches no memory.
    let outcome = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanoseconds) };
    if outcome != 0 {
        tracing::debug!(error = %io::Error::last_os_error(), "sleeps may be longer than they should");
    }
}

impl Worker {
    fn serve(self) {
        let shard = self.handler.shard(true);
        let mut batch = Batch::new();
        let mut pace = Pace::new(Instant::now());
        sleep_exactly();
        while !self.stop.load(Ordering::Acquire) {
            match batch.receive(&self.socket) {
                Ok(count) => {
                    let arrived = Instant::now();
                    let turn = self.handler.turn(&shard, self.handler.now());
                    let respond = |message: &[u8], client: SocketAddr, reply: &mut Vec<u8>| {
                        turn.respond(message, client, Transport::Udp, reply)
                    };
                    let sent = batch.reply(&self.socket, count, respond);
                    if sent.failed > 0 {
                        shard.add(|dns| &dns.socket_errors, sent.failed);
                    }
                    shard.add(|dns| dns.latency.bucket(arrived.elapsed()), count as u64);
                    let wait = turn.coalesce();
                    // Not while it keeps a generation.
                    drop(turn);
                    if pace.is_worth(wait, count, arrived) {
                        thread::sleep(wait);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    shard.count(|dns| &dns.socket_errors);
                    tracing::warn!(%error, "cannot receive dns queries, trying on");
                    thread::sleep(PAUSE);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_asked_often_waits_for_more() {
        let start = Instant::now();
        let at = |micros| start + Duration::from_micros(micros);
        let wait = Duration::from_micros(50);
        let mut pace = Pace::new(start);
        assert!(!pace.is_worth(wait, 1, at(1_000)), "a thousand a second");
        assert!(!pace.is_worth(wait, 1, at(1_030)));
        assert!(pace.is_worth(wait, 1, at(1_055)), "forty thousand");
        assert!(pace.is_worth(wait, 3, at(1_115)), "they came in 60 us");
        assert!(!pace.is_worth(wait, 2, at(1_175)), "two did");
        assert!(!pace.is_worth(wait, BATCH / 2, at(1_176)), "others are waiting");
        assert!(!pace.is_worth(Duration::ZERO, 5, at(1_177)), "off");
    }
}
