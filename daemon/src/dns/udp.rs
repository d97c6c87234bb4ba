//! UDP: a datagram in, a datagram out, on one socket.

use super::handler::Handler;
use crate::core::answer::Transport;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::watch;

/// Octets read of a datagram. No sensible query comes near; of a longer one the front is read.
const MAX_QUERY: usize = 4096;
/// Wait after a failed receive, so that a broken socket does not take a whole core.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers datagrams until the sender of `stop` is dropped.
pub(super) async fn serve(socket: UdpSocket, handler: Arc<Handler>, mut stop: watch::Receiver<()>) {
    let stats = &handler.stats().dns;
    let mut query = vec![0; MAX_QUERY];
    let mut reply = Vec::new();
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut query) => received,
            _ = stop.changed() => return,
        };
        let (len, client) = match received {
            Ok(received) => received,
            Err(error) => {
                stats.socket_errors.add_one();
                tracing::warn!(%error, "cannot receive dns queries, trying on");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let message = query.get(..len).unwrap_or_default();
        if handler.respond(message, client, Transport::Udp, &mut reply)
            && let Err(error) = socket.send_to(&reply, client).await
        {
            stats.socket_errors.add_one();
            tracing::debug!(%error, %client, "cannot send dns reply");
        }
    }
}
