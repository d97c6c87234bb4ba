//! DNS: the live generation as a DNSBL over UDP and TCP.
//!
//! Flow: `bind` makes the sockets before privileges are dropped; `udp` and `tcp` move messages; `handler` turns one
//! message into at most one reply, asking [`crate::core::answer`] what to say; `wire` writes it down.
//!
//! The way round, [`client`] asks a server, for checks of our own port.
//!
//! hickory reads the messages. Its server loop is not used: that always spells out the owner of the first record,
//! so replies would be longer than the limits assumed for texts, and it answers some packets that are replies.

mod bind;
pub mod client;
mod handler;
mod tcp;
mod udp;
mod wire;

pub use bind::{BindError, SocketKind};

use crate::core::answer::Transport;
use crate::live::Live;
use crate::stats::Stats;
use bind::Sockets;
use handler::Handler;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long a stopping listener waits for replies under way.
const GRACE: Duration = Duration::from_secs(5);

/// The reply that a server publishing `live` gives to one message, as its sockets would carry it; `None`: there is none.
/// For checks without sockets: nothing is counted.
pub fn reply_to(live: &Live, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let handler = Handler::new(live.clone(), Arc::default());
    let mut out = Vec::new();
    handler.respond(message, (Ipv4Addr::LOCALHOST, 53).into(), transport, &mut out).then_some(out)
}

/// Sockets that are bound and not served yet.
#[derive(Debug)]
pub struct Bound {
    sockets: Vec<Sockets>,
}

/// A running server. Dropping it stops it at once; see [`Self::shutdown`] for the polite way.
#[derive(Debug)]
pub struct DnsServer {
    handler: Arc<Handler>,
    listeners: Vec<Listener>,
}

impl DnsServer {
    /// Binds UDP and TCP at each address; repeated addresses count once. Port 0 takes a free port, the same for both.
    ///
    /// `0.0.0.0` and `[::]` can stand side by side: IPv6 sockets take IPv6 only.
    ///
    /// # Errors
    /// [`BindError`] for the first address that cannot be had; nothing stays bound.
    pub fn bind(addresses: &[SocketAddr]) -> Result<Bound, BindError> {
        let sockets = distinct(addresses).into_iter().map(Sockets::bind);
        Ok(Bound { sockets: sockets.collect::<Result<_, _>>()? })
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
        let started = Listener::start_all(Self::bind(&new)?, &self.handler)?;
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
    pub fn serve(self, live: Live, stats: Arc<Stats>) -> Result<DnsServer, BindError> {
        let handler = Arc::new(Handler::new(live, stats));
        Ok(DnsServer { listeners: Listener::start_all(self, &handler)?, handler })
    }
}

/// UDP and TCP at one address.
#[derive(Debug)]
struct Listener {
    configured: SocketAddr,
    local: SocketAddr,
    /// Never sent to: dropping it tells the tasks to stop.
    stop: watch::Sender<()>,
    tasks: JoinSet<()>,
}

impl Listener {
    fn start_all(bound: Bound, handler: &Arc<Handler>) -> Result<Vec<Self>, BindError> {
        bound.sockets.into_iter().map(|sockets| Self::start(sockets, handler)).collect()
    }

    fn start(sockets: Sockets, handler: &Arc<Handler>) -> Result<Self, BindError> {
        let (configured, local) = (sockets.configured, sockets.local);
        let (udp, tcp) = sockets.into_tokio()?;
        let (stop, stopped) = watch::channel(());
        let mut tasks = JoinSet::new();
        tasks.spawn(udp::serve(udp, handler.clone(), stopped.clone()));
        tasks.spawn(tcp::serve(tcp, handler.clone(), stopped));
        tracing::info!(address = %local, "answering dns over udp and tcp");
        Ok(Self { configured, local, stop, tasks })
    }
}

/// Stops listeners side by side; what is not done after [`GRACE`] is cut off.
async fn close_all(listeners: Vec<Listener>) {
    let mut closing = JoinSet::new();
    for Listener { local, stop, mut tasks, .. } in listeners {
        drop(stop);
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
