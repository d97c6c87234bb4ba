//! TCP: messages with a two-octet length in front (RFC 1035 section 4.2.2, RFC 7766). Queries may be pipelined; they
//! are answered in the order they came.

use super::handler::Handler;
use crate::core::answer::Transport;
use crate::core::query::HEADER;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Most connections at one address; more wait in the kernel's queue. Each has three buffers that grow to at most 64 KiB
/// with what is sent through them: 192 MiB if all clients do their worst.
const MAX_CONNECTIONS: usize = 1024;
/// How long a connection may take for its next whole message, and to take in a reply.
const PATIENCE: Duration = Duration::from_secs(10);
/// Wait after a failed accept, so that a lack of descriptors does not take a whole core.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves connections until the sender of `stop` is dropped, then finishes the replies under way.
pub(super) async fn serve(listener: TcpListener, handler: Arc<Handler>, mut stop: watch::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => accepted,
            Some(_) = connections.join_next() => continue,
            _ = stop.changed() => break,
        };
        match accepted {
            Ok((stream, client)) => {
                handler.counters().count(|dns| &dns.connections);
                let connection = Connection { client, handler: handler.clone(), stop: stop.clone() };
                connections.spawn(connection.serve(stream));
            }
            Err(error) => {
                handler.counters().count(|dns| &dns.socket_errors);
                tracing::warn!(%error, "cannot accept dns connections, trying on");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// One connection.
struct Connection {
    client: SocketAddr,
    handler: Arc<Handler>,
    stop: watch::Receiver<()>,
}

impl Connection {
    /// Answers messages until the client closes, stalls, breaks the framing or we stop.
    async fn serve(mut self, mut stream: TcpStream) {
        let (reader, mut writer) = stream.split();
        let mut reader = BufReader::new(reader);
        let (mut message, mut reply, mut framed) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let next = tokio::select! {
                next = timeout(PATIENCE, read_message(&mut reader, &mut message)) => next,
                _ = self.stop.changed() => return,
            };
            if !matches!(next, Ok(Ok(true))) {
                return;
            }
            if !self.handler.respond(&message, self.client, Transport::Tcp, &mut reply) {
                return;
            }
            // Length and message in one write, so that they leave in one segment (RFC 7766 section 8).
            framed.clear();
            framed.extend_from_slice(&u16::try_from(reply.len()).unwrap_or(u16::MAX).to_be_bytes());
            framed.extend_from_slice(&reply);
            if !matches!(timeout(PATIENCE, writer.write_all(&framed)).await, Ok(Ok(()))) {
                self.handler.counters().count(|dns| &dns.socket_errors);
                return;
            }
        }
    }
}

/// Reads one message; `false`: the connection ends here, or the length cannot be that of a message.
async fn read_message(reader: &mut (impl AsyncReadExt + Unpin), message: &mut Vec<u8>) -> io::Result<bool> {
    let len = usize::from(reader.read_u16().await?);
    if len < HEADER {
        return Ok(false);
    }
    message.resize(len, 0);
    reader.read_exact(message).await?;
    Ok(true)
}
