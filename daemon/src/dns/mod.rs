//! DNS: the live generation as a DNSBL over UDP and TCP.
//!
//! Flow: `bind` makes the sockets before privileges are dropped; `udp` (with `batch`) and `tcp` move messages; `handler`
//! turns one message into at most one reply, by the settings in [`serving`], asking [`crate::core::answer`] what to say;
//! `wire` writes it down.
//!
//! The way round, [`client`] asks a server, for checks of our own port.
//!
//! Replies to the same octets are the same over every transport, except for their size.

mod batch;
mod bind;
pub mod client;
mod handler;
pub mod serving;
mod tcp;
mod udp;
mod wire;

pub use bind::{BindError, SocketKind};
pub use handler::{Handler, Now, Turn};

use crate::live::Live;
use crate::stats::Stats;
use bind::Sockets;
use serving::Serving;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use udp::Workers;

/// How long a stopping listener waits for replies under way.
const GRACE: Duration = Duration::from_secs(5);

/// Sockets that are bound and not served yet.
#[derive(Debug)]
pub struct Bound {
    sockets: Vec<Sockets>,
    workers: NonZeroUsize,
}

/// A running server. Dropping it stops it at once; see [`Self::shutdown`] for the polite way.
#[derive(Debug)]
pub struct DnsServer {
    handler: Arc<Handler>,
    workers: NonZeroUsize,
    listeners: Vec<Listener>,
}

impl DnsServer {
    /// Binds UDP and TCP at each address; repeated addresses count once. Port 0 takes a free port, the same for both.
    /// `workers` is the number of threads, with a socket each, that answer UDP at each address.
    ///
    /// `0.0.0.0` and `[::]` can stand side by side: IPv6 sockets take IPv6 only.
    ///
    /// # Errors
    /// [`BindError`] for the first address that cannot be had; nothing stays bound.
    pub fn bind(addresses: &[SocketAddr], workers: NonZeroUsize) -> Result<Bound, BindError> {
        let sockets = distinct(addresses).into_iter().map(|address| Sockets::bind(address, workers));
        Ok(Bound { sockets: sockets.collect::<Result<_, _>>()?, workers })
    }

    /// Answers with other settings from the next messages on.
    pub fn configure(&self, serving: Serving) {
        self.handler.configure(serving);
    }

    /// The settings in force.
    pub fn serving(&self) -> Arc<Serving> {
        self.handler.serving()
    }

    /// The addresses served, with the ports taken, in the order of the configuration.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|listener| listener.local).collect()
    }

    /// Serves exactly `addresses` from now on, as [`Self::bind`] would. Listeners that stay are not touched; new ones
    /// are bound before old ones close, so a wildcard cannot be swapped for one of its addresses on the same port.
    ///
    /// # Errors
    /// [`BindError`] if a new address cannot be had; then nothing has changed.
    pub async fn set_listen(&mut self, addresses: &[SocketAddr]) -> Result<(), BindError> {
        let wanted = distinct(addresses);
        let is_new = |address: &&SocketAddr| !self.listeners.iter().any(|l| l.configured == **address);
        let new: Vec<_> = wanted.iter().filter(is_new).copied().collect();
        let started = Listener::start_all(Self::bind(&new, self.workers)?, &self.handler)?;
        self.listeners.extend(started);
        let position = |listener: &Listener| wanted.iter().position(|w| *w == listener.configured);
        let (mut keep, close): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.listeners).into_iter().partition(|l| position(l).is_some());
        keep.sort_by_key(position);
        self.listeners = keep;
        close_all(close).await;
        Ok(())
    }

    /// Stops taking questions, finishes the replies under way (for at most five seconds) and closes the sockets.
    pub async fn shutdown(self) {
        close_all(self.listeners).await;
    }
}

impl Bound {
    /// The addresses bound, with the ports taken, in the order of the configuration.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(|sockets| sockets.local).collect()
    }

    /// Starts serving. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`] if the runtime cannot take over a socket.
    pub fn serve(self, live: Live, stats: Arc<Stats>, serving: Serving) -> Result<DnsServer, BindError> {
        let handler = Arc::new(Handler::new(live, stats));
        handler.configure(serving);
        let workers = self.workers;
        Ok(DnsServer { listeners: Listener::start_all(self, &handler)?, handler, workers })
    }
}

/// UDP and TCP at one address.
#[derive(Debug)]
struct Listener {
    configured: SocketAddr,
    local: SocketAddr,
    udp: Workers,
    /// Never sent to: dropping it tells the TCP task to stop.
    stop: watch::Sender<()>,
    tasks: JoinSet<()>,
}

impl Listener {
    fn start_all(bound: Bound, handler: &Arc<Handler>) -> Result<Vec<Self>, BindError> {
        bound.sockets.into_iter().map(|sockets| Self::start(sockets, handler)).collect()
    }

    fn start(sockets: Sockets, handler: &Arc<Handler>) -> Result<Self, BindError> {
        let (configured, local) = (sockets.configured, sockets.local);
        let (udp, tcp) = sockets.into_parts()?;
        let (stop, stopped) = watch::channel(());
        let mut tasks = JoinSet::new();
        let fail = |source| BindError { address: configured, transport: SocketKind::Udp, source };
        let (udp, ended) = Workers::start(udp, handler).map_err(fail)?;
        for ended in ended {
            tasks.spawn(async move {
                // A worker that is gone without a word has ended as well.
                let _ = ended.await;
            });
        }
        tasks.spawn(tcp::serve(tcp, handler.clone(), stopped));
        tracing::info!(address = %local, "answering dns over udp and tcp");
        Ok(Self { configured, local, udp, stop, tasks })
    }
}

/// Stops listeners side by side; what is not done after [`GRACE`] is cut off.
async fn close_all(listeners: Vec<Listener>) {
    let mut closing = JoinSet::new();
    for Listener { local, udp, stop, mut tasks, .. } in listeners {
        drop((udp, stop));
        closing.spawn(async move {
            let finished = tokio::time::timeout(GRACE, async { while tasks.join_next().await.is_some() {} });
            match finished.await {
                Ok(()) => tracing::info!(address = %local, "stopped answering dns"),
                Err(_) => tracing::warn!(address = %local, "stopped answering dns, cutting off slow clients"),
            }
        });
    }
    closing.join_all().await;
}

fn distinct(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut out: Vec<SocketAddr> = Vec::with_capacity(addresses.len());
    for address in addresses {
        if !out.contains(address) {
            out.push(*address);
        }
    }
    out
}

#[cfg(test)]
mod tests;
