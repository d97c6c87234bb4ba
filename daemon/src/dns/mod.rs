//! DNS: the live generation as a DNSBL over UDP, TCP, TLS, HTTPS and QUIC.
//!
//! Flow: `bind` makes the sockets before privileges are dropped; a `listener` runs what each endpoint needs: `udp` (with
//! `batch`), and on connections, for which `connections` has the bounds, `tcp` and `tls` (both with `stream`), `https`
//! and `quic`. All give each message to `handler`, which turns it into at most one reply, by the settings in [`serving`],
//! asking [`crate::core::answer`] what to say; `wire` writes it down. `renewal` keeps the certificate up to date, which
//! `certificate` reads.
//!
//! The way round, [`client`] asks a server, for checks of our own port.
//!
//! Replies to the same octets are the same over every transport, except for their size: datagrams have bounds, and what
//! is encrypted may be padded.

mod batch;
mod bind;
mod certificate;
pub mod client;
mod connections;
mod counting;
mod handler;
mod https;
mod listener;
mod message;
mod pace;
pub mod query_log;
mod quic;
mod renewal;
pub mod serving;
mod stream;
mod tcp;
mod tls;
mod udp;
mod wire;

pub use bind::{BindError, Endpoint, Service, SocketKind};
pub use certificate::{CertificateError, check as check_certificate};
pub use handler::{Handler, Now, Turn};
pub use renewal::CertificateStatus;

use crate::config::Dns;
use crate::live::Live;
use crate::stats::Stats;
use bind::Sockets;
use connections::Connections;
use listener::{GRACE, Listener, Shared, close_all, start_all};
use renewal::{Fresh, Keeper};
use serving::Serving;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::watch;

/// Why DNS is not served as configured.
#[derive(Debug, Error)]
pub enum DnsError {
    /// An address cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The certificate cannot be used.
    #[error("certificate of DNS over TLS, HTTPS and QUIC: {0}")]
    Certificate(#[from] CertificateError),
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// There is none, which the configuration has made sure does not happen.
    #[error("there is no certificate for DNS over TLS, HTTPS and QUIC")]
    NoCertificate,
}

/// Sockets that are bound and not served yet.
#[derive(Debug)]
pub struct Bound {
    sockets: Vec<Sockets>,
    workers: NonZeroUsize,
    connections: Connections,
    certificate: Option<Fresh>,
}

/// A running server. Dropping it stops it at once; see [`Self::shutdown`] for the polite way.
#[derive(Debug)]
pub struct DnsServer {
    shared: Shared,
    workers: NonZeroUsize,
    listeners: Vec<Listener>,
    keeper: Option<Keeper>,
    certificate: Arc<watch::Sender<Option<CertificateStatus>>>,
}

impl DnsServer {
    /// Binds the sockets of every endpoint and reads the certificate, if there is one. Port 0 takes a free port, the
    /// same for UDP and TCP.
    ///
    /// `0.0.0.0` and `[::]` can stand side by side: IPv6 sockets take IPv6 only.
    ///
    /// # Errors
    /// [`DnsError`] for the first address that cannot be had, or the certificate; nothing stays bound.
    pub fn bind(dns: &Dns) -> Result<Bound, DnsError> {
        let workers = workers(dns);
        let certificate = dns.certificate.as_ref().map(Fresh::load).transpose()?;
        let sockets = bind_all(&Endpoint::all(dns), workers)?;
        Ok(Bound { sockets, workers, connections: Connections::new(dns.connections), certificate })
    }

    /// Answers with other settings from the next messages on.
    pub fn configure(&self, serving: Serving) {
        self.shared.handler.configure(serving);
    }

    /// The settings in force.
    pub fn serving(&self) -> Arc<Serving> {
        self.shared.handler.serving()
    }

    /// The addresses of plain DNS, with the ports taken, in the order of the configuration.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        let plain = self.endpoints().into_iter().filter(|endpoint| endpoint.service == Service::Plain);
        plain.map(|endpoint| endpoint.address).collect()
    }

    /// Everything served, with the ports taken, in the order of the configuration.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.listeners.iter().map(Listener::endpoint).collect()
    }

    /// What there is to say of the certificate, now and whenever it changes; `None` without one.
    pub fn certificate(&self) -> watch::Receiver<Option<CertificateStatus>> {
        self.certificate.subscribe()
    }

    /// Serves where and how `dns` says from now on, but for the number of workers. Listeners that stay are not touched;
    /// new ones are bound before old ones close, so a wildcard cannot be swapped for one of its addresses on the same
    /// port. A certificate is read again; if it comes from the same files as before and cannot be used, the one before
    /// stays in use, which is logged and in its status.
    ///
    /// `serving` holds from before the first question at a new address on, and for those that stay from then on.
    ///
    /// # Errors
    /// [`DnsError`] if a new address cannot be had, or a certificate of other files; then nothing has changed.
    pub async fn set_listen(&mut self, dns: &Dns, serving: Serving) -> Result<(), DnsError> {
        let wanted = Endpoint::all(dns);
        let is_new = |endpoint: &&Endpoint| !self.listeners.iter().any(|l| l.configured == **endpoint);
        let new: Vec<_> = wanted.iter().filter(is_new).copied().collect();
        let fresh = self.reread(dns)?;
        let sockets = bind_all(&new, self.workers)?;
        let (first, other) = match (&self.keeper, fresh) {
            (None, Some(fresh)) => (Some(Keeper::start(fresh, Arc::clone(&self.certificate))), None),
            (_, fresh) => (None, fresh),
        };
        let keeper = first.as_ref().or(self.keeper.as_ref());
        let before = self.serving();
        self.configure(serving);
        let started = start_all(sockets, &self.shared, keeper.map(Keeper::in_use));
        let started = started.inspect_err(|_| self.shared.handler.configure_again(before))?;
        match (&mut self.keeper, other) {
            (Some(keeper), Some(other)) => keeper.replace(other),
            (keeper @ None, _) => *keeper = first,
            (Some(_), None) => {}
        }
        if dns.certificate.is_none() {
            self.keeper = None;
            self.certificate.send_replace(None);
        }
        self.shared.connections.set_limits(dns.connections);
        self.listeners.extend(started);
        let position = |listener: &Listener| wanted.iter().position(|w| *w == listener.configured);
        let (mut keep, close): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.listeners).into_iter().partition(|l| position(l).is_some());
        keep.sort_by_key(position);
        self.listeners = keep;
        close_all(close).await;
        Ok(())
    }

    /// The pair to be used from now on, if it is another one than before.
    fn reread(&self, dns: &Dns) -> Result<Option<Fresh>, CertificateError> {
        let Some(files) = &dns.certificate else { return Ok(None) };
        match (Fresh::load(files), &self.keeper) {
            (Ok(fresh), _) => Ok(Some(fresh)),
            (Err(error), Some(keeper)) if keeper.is_of(files) => {
                keeper.refuse(&error);
                Ok(None)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Stops taking questions, finishes the replies under way (for at most five seconds), closes the sockets and writes
    /// what waits for the query log (for as long again).
    pub async fn shutdown(self) {
        let serving = self.serving();
        close_all(self.listeners).await;
        if let Some(log) = serving.query_log.clone() {
            let finished = tokio::task::spawn_blocking(move || log.finish());
            if tokio::time::timeout(GRACE, finished).await.is_err() {
                tracing::warn!("the query log is not written to its end");
            }
        }
    }
}

impl Bound {
    /// The addresses of plain DNS, with the ports taken, in the order of the configuration.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        let plain = self.sockets.iter().filter(|sockets| sockets.configured.service == Service::Plain);
        plain.map(|sockets| sockets.local).collect()
    }

    /// Starts serving. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// [`DnsError`] if the runtime cannot take over a socket.
    pub fn serve(self, live: Live, stats: Arc<Stats>, serving: Serving) -> Result<DnsServer, DnsError> {
        let Self { sockets, workers, connections, certificate: fresh } = self;
        let handler = Arc::new(Handler::new(live, stats));
        handler.configure(serving);
        let shared = Shared { handler, connections: Arc::new(connections) };
        let certificate = Arc::new(watch::Sender::new(None));
        let keeper = fresh.map(|fresh| Keeper::start(fresh, Arc::clone(&certificate)));
        let listeners = start_all(sockets, &shared, keeper.as_ref().map(Keeper::in_use))?;
        Ok(DnsServer { shared, workers, listeners, keeper, certificate })
    }
}

/// Threads that answer UDP at each address: what is configured, or one for each core.
fn workers(dns: &Dns) -> NonZeroUsize {
    dns.workers.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
}

fn bind_all(endpoints: &[Endpoint], workers: NonZeroUsize) -> Result<Vec<Sockets>, BindError> {
    endpoints.iter().map(|&endpoint| Sockets::bind(endpoint, workers)).collect()
}

#[cfg(test)]
mod tests;
