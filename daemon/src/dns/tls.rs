//! TLS: DNS over TLS (RFC 7858), and the handshake for HTTPS. Inside it everything is as on TCP.

use super::renewal::InUse;
use super::stream::converse;
use super::tcp::{Context, Peer, accept};
use crate::core::answer::Transport;
use rustls::ServerConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The name of DNS in a handshake (RFC 7858 section 3.1). Clients may leave it out.
const ALPN: &[&[u8]] = &[b"dot"];
/// Longest a handshake may take.
pub(super) const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// Settings of handshakes for DNS.
pub(super) fn config(in_use: &Arc<InUse>) -> Result<ServerConfig, rustls::Error> {
    in_use.server_config(ALPN, rustls::DEFAULT_VERSIONS)
}

/// Serves connections until the listener stops, then finishes the replies under way.
pub(super) async fn serve(listener: TcpListener, context: Context, config: ServerConfig) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    accept(listener, context, |stream, peer| connection(stream, peer, acceptor.clone())).await;
}

async fn connection(stream: TcpStream, mut peer: Peer, acceptor: TlsAcceptor) {
    // Boxed, because what a handshake holds is large and short-lived.
    if let Some(stream) = Box::pin(handshake(stream, &mut peer, &acceptor)).await {
        converse(stream, peer, Transport::Tls).await;
    }
}

/// The encrypted side of a connection; `None` if the client does not get there in time, or has to go before.
pub(super) async fn handshake(
    stream: TcpStream,
    peer: &mut Peer,
    acceptor: &TlsAcceptor,
) -> Option<TlsStream<TcpStream>> {
    let outcome = tokio::select! {
        outcome = timeout(HANDSHAKE_TIME, acceptor.accept(stream)) => outcome,
        () = peer.seat.crowded_out() => return None,
        _ = peer.stop.changed() => return None,
    };
    if let Ok(Ok(stream)) = outcome {
        // Only now could there have been a question.
        peer.seat.heard();
        return Some(stream);
    }
    peer.handler.counters().count(|dns| &dns.failed_handshakes);
    None
}
