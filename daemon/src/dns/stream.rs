//! Stream: messages with a two-octet length in front (RFC 1035 section 4.2.2, RFC 7766), on TCP or under TLS.
//!
//! Queries may be pipelined; they are answered in the order they came, and what is ready at once leaves in one write. A
//! connection keeps [`USUAL`] octets in each of three buffers; what a large message needs goes with it. At its worst it
//! holds a query of 64 KiB, in a buffer that grows by doubling, a reply as large, and 16 KiB of other replies: below
//! 320 KiB.

use super::message::{Framed, framed};
use super::tcp::Peer;
use crate::core::answer::Transport;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

/// Octets of a buffer that is kept.
const USUAL: usize = 2048;
/// Octets of replies gathered before they are written, though more queries are there.
const ENOUGH: usize = 16 << 10;
/// How long a message may take from its first octet to its last.
pub(super) const MESSAGE_TIME: Duration = Duration::from_secs(10);
/// How long a client may take to take in what is written.
pub(super) const WRITE_TIME: Duration = Duration::from_secs(10);

/// Answers messages until the client closes, stalls, breaks the framing, is crowded out, or the listener stops.
pub(super) async fn converse<S>(mut stream: S, mut peer: Peer, transport: Transport)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut talk = Talk::new(peer.client, transport);
    loop {
        let next = talk.answer(&peer);
        if !talk.replies.is_empty() {
            let written = tokio::select! {
                written = timeout(WRITE_TIME, write(&mut stream, &talk.replies)) => written,
                () = peer.seat.crowded_out() => return,
            };
            if !matches!(written, Ok(Ok(()))) {
                peer.handler.counters().count(|dns| &dns.socket_errors);
                return;
            }
            talk.replies.clear();
            keep_usual(&mut talk.replies);
        }
        match next {
            Next::Answer => continue,
            Next::Close => break,
            Next::Read => {}
        }
        let deadline = talk.deadline(peer.seat.silent_at());
        talk.make_room();
        let read = tokio::select! {
            read = timeout_at(deadline, stream.read_buf(&mut talk.input)) => read,
            () = peer.seat.crowded_out() => return,
            _ = peer.stop.changed() => break,
        };
        // The client closes, or its side at least: all that came whole is answered.
        if !matches!(read, Ok(Ok(1..))) {
            break;
        }
    }
    // Says goodbye where the transport has a word for it. A client that is gone does not hear it.
    let _ = timeout(WRITE_TIME, stream.shutdown()).await;
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), octets: &[u8]) -> io::Result<()> {
    stream.write_all(octets).await?;
    stream.flush().await
}

/// What to do after a round of answers.
enum Next {
    /// More whole messages wait.
    Answer,
    /// The next message is not whole.
    Read,
    /// What comes next cannot be a message.
    Close,
}

/// The state of a conversation.
struct Talk {
    client: SocketAddr,
    transport: Transport,
    /// Octets not answered yet.
    input: Vec<u8>,
    /// When the first octet of the message at the front of the input was seen.
    began: Option<Instant>,
    /// One reply.
    reply: Vec<u8>,
    /// Replies to be written, with their lengths.
    replies: Vec<u8>,
}

impl Talk {
    fn new(client: SocketAddr, transport: Transport) -> Self {
        let (input, reply, replies) = (Vec::new(), Vec::new(), Vec::new());
        Self { client, transport, input, began: None, reply, replies }
    }

    /// Turns the whole messages of the input into replies, until there are enough of them.
    fn answer(&mut self, peer: &Peer) -> Next {
        let turn = peer.handler.turn(peer.handler.counters(), peer.handler.now());
        let mut taken = 0;
        let next = loop {
            if self.replies.len() >= ENOUGH {
                break Next::Answer;
            }
            let rest = self.input.get(taken..).unwrap_or_default();
            let message = match framed(rest) {
                Framed::Whole(message) => message,
                Framed::Part => break Next::Read,
                Framed::Never => break Next::Close,
            };
            taken += 2 + message.len();
            peer.seat.heard();
            if !turn.respond(message, self.client, self.transport, &mut self.reply) {
                break Next::Close;
            }
            // No reply is longer than a message can be.
            self.replies.extend_from_slice(&(self.reply.len() as u16).to_be_bytes());
            self.replies.extend_from_slice(&self.reply);
        };
        if taken > 0 {
            self.input.drain(..taken);
            self.began = None;
        }
        self.reply.clear();
        keep_usual(&mut self.reply);
        next
    }

    /// Until when more must come: the rest of a message that has begun, or any before the connection is too silent.
    fn deadline(&mut self, silent_at: Instant) -> Instant {
        if self.input.is_empty() {
            return silent_at;
        }
        let began = self.began.get_or_insert_with(Instant::now);
        silent_at.min(*began + MESSAGE_TIME)
    }

    /// Room for the next read: what is usual, or as much again as a large message has taken so far. Its length is not
    /// believed before it comes.
    fn make_room(&mut self) {
        keep_usual(&mut self.input);
        if self.input.len() < USUAL {
            self.input.reserve_exact(USUAL - self.input.len());
        } else if self.input.len() == self.input.capacity() {
            self.input.reserve(USUAL);
        }
    }
}

/// Gives back what a buffer holds beyond the usual, if what is in it does not need that.
fn keep_usual(buffer: &mut Vec<u8>) {
    if buffer.capacity() > USUAL && buffer.len() < USUAL {
        buffer.shrink_to(USUAL);
    }
}
