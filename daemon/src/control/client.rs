//! The client of the control socket, for commands beside a running daemon.

use super::api::MAX_TARGETS;
use super::report::{Failure, Feeds, LiveChanged, LiveReport, Lookup, Rejects, RemoveLive, SetLive, Status};
use crate::core::explain::Target;
use crate::engine::hold::Held;
use crate::engine::preview::Preview;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Longest wait for one answer: the server gives up on the engine before that.
const TIMEOUT: Duration = Duration::from_secs(65);
/// Largest answer, in bytes: a thousand rejects, or a hundred explanations with their lines, take a few MiB.
const MAX_ANSWER: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// There is no socket, or nobody behind it.
    #[error("no daemon answers at {}: {error}; start it with `blackthorn run`, or name its socket with --socket", socket.display())]
    NoDaemon {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The socket may not be used.
    #[error("no right to use {}: ask as root, as the user of the daemon, or as a member of its group", .0.display())]
    Permission(PathBuf),
    /// It takes too long.
    #[error("the daemon at {} does not answer within {} s; see its log", socket.display(), limit.as_secs())]
    Timeout {
        /// The socket.
        socket: PathBuf,
        /// How long it was given.
        limit: Duration,
    },
    /// Something else than blackthorn, or a very different version.
    #[error("no usable answer from {}: {problem}; is it a blackthorn, of this version?", socket.display())]
    Protocol {
        /// The socket.
        socket: PathBuf,
        /// What was not understood.
        problem: String,
    },
    /// The daemon said no.
    #[error("{error}")]
    Refused {
        /// HTTP status.
        status: StatusCode,
        /// What it said.
        error: String,
    },
}

/// A client of one daemon. Every question takes its own connection.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    timeout: Duration,
}

impl Client {
    /// For the daemon behind this socket. Nothing is connected yet.
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), timeout: TIMEOUT }
    }

    /// Process, engine and counters.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    /// Every feed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn feeds(&self) -> Result<Feeds, ClientError> {
        self.get("/v1/feeds").await
    }

    /// Refused lines of one feed.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Refused`] for an unknown feed.
    pub async fn rejects(&self, feed: &str) -> Result<Rejects, ClientError> {
        self.get(&format!("/v1/feeds/{}/rejects", escape(feed))).await
    }

    /// Explains addresses and domains, at least one; with `why_not` also what keeps each address off the lists. Asks again
    /// for hundred of them.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn lookup(&self, targets: &[Target], why_not: bool) -> Result<Lookup, ClientError> {
        let (first, rest) = targets.split_at(targets.len().min(MAX_TARGETS));
        let mut report: Lookup = self.get(&lookup_path(first, why_not)).await?;
        for some in rest.chunks(MAX_TARGETS) {
            let more: Lookup = self.get(&lookup_path(some, why_not)).await?;
            report.addresses.extend(more.addresses);
            report.domains.extend(more.domains);
            report.why_not.extend(more.why_not);
            let new = more.notes.into_iter().filter(|note| !report.notes.contains(note));
            report.notes.extend(new.collect::<Vec<_>>());
        }
        Ok(report)
    }

    /// What the next cycle would change.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Refused`] when there is nothing to compare.
    pub async fn preview(&self) -> Result<Preview, ClientError> {
        self.get("/v1/preview").await
    }

    /// Holds the live generation.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Refused`] when there is none.
    pub async fn pin(&self) -> Result<Held, ClientError> {
        self.post("/v1/pin").await
    }

    /// Publishes an earlier generation again and holds it.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Refused`] when it cannot be had or must not be served.
    pub async fn rollback(&self, serial: u32) -> Result<Held, ClientError> {
        self.post(&format!("/v1/rollback/{serial}")).await
    }

    /// Ends a hold.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn resume(&self) -> Result<Held, ClientError> {
        self.post("/v1/resume").await
    }

    /// The live entries.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn live(&self) -> Result<LiveReport, ClientError> {
        self.get("/v1/live").await
    }

    /// Blocks or allows networks, all or none.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Refused`] for what looks like a mistake.
    pub async fn set_live(&self, change: &SetLive) -> Result<LiveChanged, ClientError> {
        self.send(Method::POST, "/v1/live", change).await
    }

    /// Takes live entries back.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove_live(&self, change: &RemoveLive) -> Result<LiveChanged, ClientError> {
        self.send(Method::DELETE, "/v1/live", change).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.request(Method::GET, path, Bytes::new()).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.request(Method::POST, path, Bytes::new()).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.protocol(&error))?;
        self.request(method, path, body.into()).await
    }

    async fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let limited = timeout(self.timeout, self.ask(method, path, body)).await;
        let (status, body) = limited
            .map_err(|_| ClientError::Timeout { socket: self.socket.clone(), limit: self.timeout })??;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| self.protocol(&error));
        }
        let failure: Failure = serde_json::from_slice(&body)
            .map_err(|error| self.protocol(&format!("status {status}, {error}")))?;
        Err(ClientError::Refused { status, error: failure.error })
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), ClientError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.not_connected(error))?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.protocol(&error))?;
        let request = Request::builder().method(method).uri(path).header(header::HOST, "blackthorn");
        let request = request.header(header::CONTENT_TYPE, "application/json").body(Full::new(body));
        let request = request.map_err(|error| self.protocol(&error))?;
        let answer = async move {
            let response = sender.send_request(request).await.map_err(|error| self.protocol(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            Ok((status, body.map_err(|error| self.protocol(&error))?.to_bytes()))
        };
        // The connection has to be driven while the answer is awaited; what ends it shows in the answer.
        let (answer, _) = tokio::join!(answer, connection);
        answer
    }

    fn not_connected(&self, error: io::Error) -> ClientError {
        let socket = self.socket.clone();
        match error.kind() {
            io::ErrorKind::PermissionDenied => ClientError::Permission(socket),
            _ => ClientError::NoDaemon { socket, error },
        }
    }

    fn protocol(&self, problem: &impl ToString) -> ClientError {
        ClientError::Protocol { socket: self.socket.clone(), problem: problem.to_string() }
    }
}

fn lookup_path(targets: &[Target], why_not: bool) -> String {
    let parameter = |target: &Target| match target {
        Target::Address(address) => format!("address={address}"),
        Target::Domain(_) => format!("domain={}", escape(&target.to_string())),
    };
    let mut query: Vec<String> = targets.iter().map(parameter).collect();
    if why_not {
        query.push("why_not=true".to_owned());
    }
    format!("/v1/lookup?{}", query.join("&"))
}

/// A path segment in which nothing but letters, digits, `.`, `_` and `-` stands for itself (RFC 3986 section 2.1).
fn escape(segment: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    segment.bytes().map(escape).collect()
}
