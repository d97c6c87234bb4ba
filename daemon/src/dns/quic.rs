//! QUIC: one query on each stream of a connection (RFC 9250).
//!
//! Whoever breaks the rules loses the connection, with the error of RFC 9250 section 4.3. When more than half of all
//! seats, or of those of one client, are taken, a client must prove its address before it gets one (RFC 9000 section
//! 8.1), so that forged addresses cannot crowd out anybody.
//!
//! Bounds: [`MAX_STREAMS`] queries at a time on a connection, each of 4 KiB but for the few that `Gathered` lets grow to
//! 64 KiB, and [`SEND_WINDOW`] octets of replies; below 600 KiB for a client that does its worst.

use super::message::{Framed, Gathered, MAX_MESSAGE, framed};
use super::renewal::InUse;
use super::stream::{MESSAGE_TIME, WRITE_TIME};
use super::tcp::{Context, Peer};
use super::tls::HANDSHAKE_TIME;
use crate::core::answer::Transport;
use crate::core::query::{Edns, Query};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, ConnectionError, Endpoint, Incoming, RecvStream, SendStream, VarInt};
use quinn::{EndpointConfig, IdleTimeout, ServerConfig, TokioRuntime, TransportConfig};
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The name of DNS in a handshake (RFC 9250 section 4.1.1), which is required.
const ALPN: &[&[u8]] = &[b"doq"];
/// Queries at a time on a connection.
const MAX_STREAMS: u32 = 100;
/// Octets of a stream or connection that wait to be read.
const WINDOW: u32 = 64 << 10;
/// Octets of replies that wait for an acknowledgement, on a connection.
const SEND_WINDOW: u64 = 128 << 10;
/// Connections that wait to be looked at.
const MAX_INCOMING: usize = 256;
/// Octets a connection may send before it is looked at, and all of them together.
const INCOMING_BUFFER: u64 = 16 << 10;
const INCOMING_BUFFERS: u64 = 1 << 20;
/// How long a path may be dead before the connection on it is.
const DEAD: u32 = 30_000;
/// How long a connection that has to end may take to finish what is under way.
const GRACE: Duration = Duration::from_secs(2);

/// Error codes of DNS over QUIC (RFC 9250 section 8.4).
mod error {
    use quinn::VarInt;

    /// No error: the connection is no longer needed.
    pub(super) const NO_ERROR: VarInt = VarInt::from_u32(0);
    /// The client broke a rule.
    pub(super) const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
    /// The query did not come in time.
    pub(super) const REQUEST_CANCELLED: VarInt = VarInt::from_u32(3);
    /// There are too many connections.
    pub(super) const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(4);
    /// The query gets no reply.
    pub(super) const UNSPECIFIED_ERROR: VarInt = VarInt::from_u32(5);
}

/// Settings of connections.
pub(super) fn config(in_use: &Arc<InUse>) -> Result<ServerConfig, rustls::Error> {
    let tls = in_use.server_config(ALPN, &[&rustls::version::TLS13])?;
    let tls = QuicServerConfig::try_from(tls).map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(MAX_STREAMS.into())
        // DNS has no use for them (RFC 9250 section 4.2): a client that opens one loses the connection.
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(WINDOW.into())
        .receive_window(WINDOW.into())
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(DEAD))));
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config
        .transport_config(Arc::new(transport))
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BUFFER)
        .incoming_buffer_size_total(INCOMING_BUFFERS)
        // A client that moves is answered at once, before it has proved its new address, which lists of clients go by.
        .migration(false);
    Ok(config)
}

/// The endpoint on a bound socket. Call it inside a tokio runtime.
///
/// # Errors
/// When the runtime cannot take over the socket.
pub(super) fn endpoint(socket: UdpSocket, config: ServerConfig) -> io::Result<Endpoint> {
    Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))
}

/// Serves connections until the listener stops, then finishes the replies under way.
pub(super) async fn serve(endpoint: Endpoint, mut context: Context) {
    let mut running = JoinSet::new();
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.accept() => incoming,
            Some(_) = running.join_next() => continue,
            _ = context.stop.changed() => break,
        };
        let Some(incoming) = incoming else { break };
        if context.connections.is_crowded(incoming.remote_address().ip()) && incoming.may_retry() {
            // Costs us nothing to remember. It fails only for those who have proved their address.
            let _ = incoming.retry();
            continue;
        }
        let peer = context.admit(incoming.remote_address());
        running.spawn(serve_connection(incoming, peer));
    }
    endpoint.set_server_config(None);
    while running.join_next().await.is_some() {}
    endpoint.wait_idle().await;
}

async fn serve_connection(incoming: Incoming, mut peer: Peer) {
    let handshake = async { incoming.accept()?.await };
    let outcome = tokio::select! {
        outcome = timeout(HANDSHAKE_TIME, handshake) => outcome,
        () = peer.seat.crowded_out() => return,
        _ = peer.stop.changed() => return,
    };
    let Ok(Ok(connection)) = outcome else {
        peer.handler.counters().count(|dns| &dns.failed_handshakes);
        return;
    };
    peer.seat.heard();
    let error = converse(&connection, Arc::new(peer)).await;
    connection.close(error, b"");
}

/// Answers streams until the client closes, is silent for too long, has to make room, or the listener stops; says with
/// what the connection is to be closed.
async fn converse(connection: &Connection, peer: Arc<Peer>) -> VarInt {
    let mut stop = peer.stop.clone();
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            stream = connection.accept_bi() => match stream {
                Ok((send, receive)) => {
                    streams.spawn(serve_stream(connection.clone(), send, receive, Arc::clone(&peer)));
                }
                Err(ConnectionError::LocallyClosed) => return error::PROTOCOL_ERROR,
                Err(_) => return error::NO_ERROR,
            },
            Some(_) = streams.join_next() => {}
            () = peer.seat.silent() => return error::NO_ERROR,
            () = peer.seat.crowded_out() => return error::EXCESSIVE_LOAD,
            _ = stop.changed() => {
                let finished = async { while streams.join_next().await.is_some() {} };
                let _ = timeout(GRACE, finished).await;
                return error::NO_ERROR;
            }
        }
    }
}

async fn serve_stream(
    connection: Connection,
    mut send: SendStream,
    mut receive: RecvStream,
    peer: Arc<Peer>,
) {
    let address = connection.remote_address();
    let read = match timeout(MESSAGE_TIME, read(&mut receive, &peer)).await {
        Ok(read) => read,
        Err(_) => Err(Unread::Cancelled),
    };
    let octets = match read {
        Ok(octets) => octets,
        Err(Unread::Broken) => return connection.close(error::PROTOCOL_ERROR, b""),
        Err(Unread::Cancelled) => {
            // A stream that the client has closed needs neither.
            let _ = receive.stop(error::REQUEST_CANCELLED);
            let _ = send.reset(error::REQUEST_CANCELLED);
            return;
        }
    };
    let Some(message) = whole(&octets) else { return connection.close(error::PROTOCOL_ERROR, b"") };
    peer.seat.heard();
    let mut reply = Vec::new();
    if !peer.handler.respond(message, address, Transport::Quic, &mut reply) {
        let _ = send.reset(error::UNSPECIFIED_ERROR);
        return;
    }
    // No reply is longer than a message can be.
    reply.splice(..0, (reply.len() as u16).to_be_bytes());
    let written = async {
        send.write_all(&reply).await.ok()?;
        send.finish().ok()?;
        // Until all has arrived: a connection that ends takes with it what is under way.
        send.stopped().await.ok()
    };
    if timeout(WRITE_TIME, written).await.is_err() {
        peer.handler.counters().count(|dns| &dns.socket_errors);
    }
}

/// Why there is no query on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unread {
    /// The client took it back, or did not send it in time.
    Cancelled,
    /// No query can be like that.
    Broken,
}

/// Reads a stream to its end, which the client must send with its query (RFC 9250 section 4.2).
async fn read(receive: &mut RecvStream, peer: &Peer) -> Result<Vec<u8>, Unread> {
    let mut octets = Gathered::new(2 + MAX_MESSAGE, peer.connections.large());
    loop {
        match receive.read_chunk(usize::MAX, true).await {
            Ok(Some(chunk)) => octets.add(&chunk.bytes).await.map_err(|_| Unread::Broken)?,
            Ok(None) => return Ok(octets.into_octets()),
            Err(_) => return Err(Unread::Cancelled),
        }
    }
}

/// The one message of a stream, if it follows the rules: its length and nothing behind it, ID 0, and no option that is
/// for TCP alone (RFC 9250 sections 4.2, 4.2.1 and 5.5.2).
fn whole(octets: &[u8]) -> Option<&[u8]> {
    let Framed::Whole(message) = framed(octets) else { return None };
    let alone = octets.len() == 2 + message.len();
    let edns = Query::read(message, Transport::Quic).ok().and_then(|query| query.edns);
    let keepalive = matches!(edns, Some(Edns { keepalive: true, .. }));
    (alone && message.starts_with(&[0, 0]) && !keepalive).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_octets_are_one_message_with_id_0_or_none(octets in proptest::collection::vec(any::<u8>(), 0..80)) {
            // Both as they are and behind what could be their length.
            let behind = [&(octets.len() as u16).to_be_bytes()[..], &octets].concat();
            for octets in [octets, behind] {
                if let Some(message) = whole(&octets) {
                    prop_assert_eq!(message.len() + 2, octets.len());
                    prop_assert!(message.len() >= 12 && message[..2] == [0, 0]);
                }
            }
        }
    }

    #[test]
    fn a_stream_has_one_message_with_id_0() {
        let query = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x02bl\x07example\0\0\x01\0\x01";
        let frame = |message: &[u8]| [&(message.len() as u16).to_be_bytes(), message].concat();
        assert_eq!(whole(&frame(query)), Some(&query[..]));
        let opt = |options: &[u8]| {
            let head = [&query[..11], &[1], &query[12..], b"\0\0\x29\x04\xd0\0\0\0\0\0"].concat();
            [&head[..], &[options.len() as u8], options].concat()
        };
        assert!(whole(&frame(&opt(b"\0\x0c\0\0"))).is_some());
        assert!(whole(&frame(&opt(b"\0\x0b\0\0"))).is_none(), "keepalive");
        assert!(whole(&[frame(query), frame(query)].concat()).is_none(), "two");
        assert!(whole(&frame(query)[..20]).is_none(), "cut off");
        assert!(whole(&frame(&[&[0, 1], &query[2..]].concat())).is_none(), "an ID");
        for short in [&b""[..], b"\0", b"\0\0", &frame(&query[..11])] {
            assert!(whole(short).is_none(), "{short:02x?}");
        }
    }
}
