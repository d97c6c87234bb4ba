//! TCP: takes connections for TCP, TLS and HTTPS, gives each a seat, and lets all finish when it is told to stop.

use super::connections::{Connections, Seat};
use super::handler::Handler;
use super::stream::converse;
use crate::core::answer::Transport;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Wait after a failed accept, so that a lack of descriptors does not take a whole core.
const PAUSE: Duration = Duration::from_millis(100);

/// Wait for a connection that was told to close.
const MOMENT: Duration = Duration::from_millis(1);

/// What every connection of a listener needs.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) handler: Arc<Handler>,
    pub(super) connections: Arc<Connections>,
    /// Changes when the listener stops.
    pub(super) stop: watch::Receiver<()>,
}

impl Context {
    /// Takes in a client.
    pub(super) fn admit(&self, client: SocketAddr) -> Peer {
        let counters = self.handler.counters();
        counters.count(|dns| &dns.connections);
        let (seat, closed) = self.connections.admit(client.ip());
        counters.add(|dns| &dns.crowded_out, closed);
        let (handler, stop) = (Arc::clone(&self.handler), self.stop.clone());
        Peer { client, seat, handler, connections: Arc::clone(&self.connections), stop }
    }
}

/// The other side of a connection, and what it needs of ours.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) client: SocketAddr,
    pub(super) seat: Seat,
    pub(super) handler: Arc<Handler>,
    pub(super) connections: Arc<Connections>,
    pub(super) stop: watch::Receiver<()>,
}

/// Serves plain connections until the listener stops, then finishes the replies under way.
pub(super) async fn serve(listener: TcpListener, context: Context) {
    accept(listener, context, |stream, peer| converse(stream, peer, Transport::Tcp)).await;
}

/// Gives each connection to `serve`, until the listener stops; then waits for all of them.
pub(super) async fn accept<F>(
    listener: TcpListener,
    mut context: Context,
    serve: impl Fn(TcpStream, Peer) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut running = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = running.join_next() => continue,
            _ = context.stop.changed() => break,
        };
        match accepted {
            Ok((stream, client)) => {
                // Replies are written whole; waiting for more would only delay them. Nothing is lost if it fails.
                let _ = stream.set_nodelay(true);
                running.spawn(serve(stream, context.admit(client)));
            }
            Err(error) => {
                let counters = context.handler.counters();
                if lacks_descriptors(&error) && context.connections.close_quietest() {
                    counters.count(|dns| &dns.crowded_out);
                    // Until it is closed.
                    tokio::time::sleep(MOMENT).await;
                    continue;
                }
                counters.count(|dns| &dns.socket_errors);
                tracing::warn!(%error, "cannot accept dns connections, trying on");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    while running.join_next().await.is_some() {}
}

fn lacks_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}
