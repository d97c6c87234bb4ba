//! Listener: what runs for one endpoint, from its start to its end.

use super::bind::{BindError, Endpoint, Kind, SocketKind, Sockets};
use super::connections::Connections;
use super::handler::Handler;
use super::renewal::InUse;
use super::tcp::Context;
use super::udp::Workers;
use super::{DnsError, https, quic, tcp, tls};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

/// How long a stopping listener waits for replies under way.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// What listeners share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) handler: Arc<Handler>,
    pub(super) connections: Arc<Connections>,
}

/// One endpoint that is served. Dropping it stops it at once.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) configured: Endpoint,
    pub(super) local: SocketAddr,
    /// Workers of UDP, where it is served.
    udp: Option<Workers>,
    /// Never sent to: dropping it tells the tasks to stop.
    stop: watch::Sender<()>,
    tasks: JoinSet<()>,
}

impl Listener {
    /// Starts serving. Encrypted services show the pair in use; there is one where they are configured.
    pub(super) fn start(
        sockets: Sockets,
        shared: &Shared,
        in_use: Option<&Arc<InUse>>,
    ) -> Result<Self, DnsError> {
        let Sockets { configured, local, kind } = sockets;
        let (stop, stopped) = watch::channel(());
        let Shared { handler, connections } = shared.clone();
        let mut listener = Self { configured, local, udp: None, stop, tasks: JoinSet::new() };
        let context = Context { handler, connections, stop: stopped };
        listener.serve(kind, context, in_use)?;
        tracing::info!(address = %local, "answering dns over {}", configured.service);
        Ok(listener)
    }

    /// What is served, with the port taken.
    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint { address: self.local, ..self.configured }
    }

    fn serve(&mut self, kind: Kind, context: Context, in_use: Option<&Arc<InUse>>) -> Result<(), DnsError> {
        let Endpoint { address, .. } = self.configured;
        let fail = |transport| move |source: io::Error| BindError { address, transport, source };
        let tcp = |socket| TcpListener::from_std(socket).map_err(fail(SocketKind::Tcp));
        let in_use = || in_use.ok_or(DnsError::NoCertificate);
        match kind {
            Kind::Plain(udp, socket) => {
                let socket = tcp(socket)?;
                let started = Workers::start(udp, &context.handler);
                let (workers, ended) = started.map_err(fail(SocketKind::Udp))?;
                self.udp = Some(workers);
                ended.into_iter().for_each(|ended| self.wait_for(ended));
                self.tasks.spawn(tcp::serve(socket, context));
            }
            Kind::Tls(socket) => {
                self.tasks.spawn(tls::serve(tcp(socket)?, context, tls::config(in_use()?)?));
            }
            Kind::Https(socket) => {
                self.tasks.spawn(https::serve(tcp(socket)?, context, https::config(in_use()?)?));
            }
            Kind::Quic(socket) => {
                let endpoint = quic::endpoint(socket, quic::config(in_use()?)?);
                self.tasks.spawn(quic::serve(endpoint.map_err(fail(SocketKind::Udp))?, context));
            }
        }
        Ok(())
    }

    fn wait_for(&mut self, ended: oneshot::Receiver<()>) {
        self.tasks.spawn(async move {
            // A worker that is gone without a word has ended as well.
            let _ = ended.await;
        });
    }
}

/// Starts a listener for each; when one cannot be, none is.
pub(super) fn start_all(
    sockets: Vec<Sockets>,
    shared: &Shared,
    in_use: Option<&Arc<InUse>>,
) -> Result<Vec<Listener>, DnsError> {
    sockets.into_iter().map(|sockets| Listener::start(sockets, shared, in_use)).collect()
}

/// Stops listeners side by side; what is not done after [`GRACE`] is cut off.
pub(super) async fn close_all(listeners: Vec<Listener>) {
    let mut closing = JoinSet::new();
    for Listener { configured, local, udp, stop, mut tasks } in listeners {
        drop((udp, stop));
        let service = configured.service;
        closing.spawn(async move {
            let finished = tokio::time::timeout(GRACE, async { while tasks.join_next().await.is_some() {} });
            match finished.await {
                Ok(()) => tracing::info!(address = %local, %service, "stopped answering dns"),
                Err(_) => {
                    tracing::warn!(address = %local, %service, "stopped answering dns, cutting off slow clients");
                }
            }
        });
    }
    closing.join_all().await;
}
