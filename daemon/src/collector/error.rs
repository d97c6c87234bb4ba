//! Why a fetch failed and what to do about it.

use super::redirect::Refusal;
use std::fmt;
use std::io;
use std::time::Duration;
use thiserror::Error;

/// A failed fetch: where and why. Safe to log and store: it holds no user name, password or query.
#[derive(Debug, Error)]
#[error("{place}: {cause}")]
pub struct FetchError {
    /// The source, without its secrets.
    pub place: String,
    /// What happened.
    #[source]
    pub cause: Cause,
}

impl FetchError {
    /// How long the server asked us to stay away, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        self.cause.retry_after()
    }
}

impl Cause {
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Elsewhere { cause, .. } => cause.retry_after(),
            _ => None,
        }
    }
}

/// What went wrong.
#[derive(Debug, Error)]
pub enum Cause {
    /// The file could not be opened or read.
    #[error("cannot be read: {0}; check that it exists and that blackthorn may read it")]
    File(io::Error),
    /// The path leads to something that is not a regular file.
    #[error("is a {0}; name a regular file")]
    NotAFile(&'static str),
    /// The file was written to during reading.
    #[error("changed while it was read; write a new file and rename it over the old one")]
    Changing,
    /// The body passed the cap, as sent or decoded.
    #[error("larger than {0} bytes; raise the size limit of the feed if the list really is that large")]
    TooLarge(u64),
    /// Not done in time.
    #[error("{phase} within {} s; check the network, or allow the feed more time", .limit.as_secs_f32())]
    Timeout {
        /// What did not happen.
        phase: Phase,
        /// The time allowed.
        limit: Duration,
    },
    /// An answer other than 200 and 304.
    #[error("the server answered {status}; {}", advice(*.status))]
    Status {
        /// The HTTP status code.
        status: u16,
        /// How long the server asked us to stay away (RFC 9110 section 10.2.3).
        retry_after: Option<Duration>,
    },
    /// 304 to a request that named no copy.
    #[error(
        "the server answered 304 (not modified) to an unconditional request; report this to the publisher"
    )]
    UnaskedNotModified,
    /// 200 with a web page: a challenge, a login form, an error page (G01).
    #[error("the server sent a web page ({0}) instead of a list; open the address in a browser to see why")]
    Html(String),
    /// The transfer is compressed in a way we did not offer.
    #[error(
        "the server sent content encoding {0:?}, but gzip and deflate were offered; report this to the publisher"
    )]
    UnknownEncoding(String),
    /// The compressed transfer cannot be undone (G06).
    #[error("the compressed body is damaged or cut short: {0}; it will be tried again")]
    Damaged(io::Error),
    /// The connection ended before the body did, or the body was not as long as announced (G06).
    #[error("the body was cut short: {0}; it will be tried again")]
    Cut(String),
    /// The server sent us somewhere we do not go (G14).
    #[error("redirect refused: {0}")]
    Redirect(#[from] Refusal),
    /// It went wrong at an address that the source's own server sent us to.
    #[error("redirected to {place}: {cause}")]
    Elsewhere {
        /// The address, without its secrets.
        place: String,
        /// What happened there.
        #[source]
        cause: Box<Cause>,
    },
    /// The name has no address.
    #[error("the name could not be resolved: {0}; check its spelling and the resolver of this host")]
    Dns(String),
    /// No connection.
    #[error("cannot connect: {0}; check the network and firewall of this host")]
    Connect(String),
    /// The server's certificate or the handshake is not acceptable.
    #[error("no trusted connection: {0}; check the clock of this host, its CA certificates and the address")]
    Tls(String),
    /// This machine trusts nobody, so nothing can be fetched over `https`.
    #[error(
        "{0}; install the CA certificates of the system (package ca-certificates), then restart blackthorn"
    )]
    NoTrustRoots(String),
    /// The answer is not understandable HTTP.
    #[error("the exchange with the server failed: {0}; it will be tried again")]
    Protocol(String),
    /// No HTTP client could be made, or a worker thread was lost.
    #[error("internal failure: {0}; restart blackthorn")]
    Internal(String),
}

/// The part of a fetch that took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Name lookup, TCP and TLS.
    Connect,
    /// From the request to the head of the answer.
    Answer,
    /// From the head of the answer to the last byte.
    Body,
    /// Reading a file.
    File,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection",
            Self::Answer => "no answer",
            Self::Body => "the body did not arrive",
            Self::File => "the file could not be read",
        })
    }
}

fn advice(status: u16) -> &'static str {
    match status {
        300..=399 => "it names no usable new address: look up where the list is published now",
        401 | 403 | 407 => {
            "it does not let us in: check the key, the subscription, or whether it has blocked this host"
        }
        404 | 410 => "the list is not there: look up where it is published now",
        429 => "it was asked too often: raise the refresh interval of the feed",
        500..=599 => "the fault is on its side: it will be tried again",
        _ => "check the address",
    }
}
