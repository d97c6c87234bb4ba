//! UDP: a thread for each worker, with a socket of its own at the same address, among which the kernel spreads the
//! clients (SO_REUSEPORT). Two system calls move a batch of datagrams; nothing else is asked of the system but the time,
//! which takes no call.

use super::batch::Batch;
use super::handler::Handler;
use super::pace::{self, Pace};
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

impl Worker {
    fn serve(self) {
        let shard = self.handler.shard(true);
        let mut batch = Batch::new();
        let (mut clock, mut pace) = (self.handler.clock(), Pace::new(Instant::now()));
        pace::sleep_exactly();
        while !self.stop.load(Ordering::Acquire) {
            match batch.receive(&self.socket) {
                Ok(count) => {
                    let arrived = Instant::now();
                    let turn = self.handler.turn(&shard, clock.now(arrived));
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
