//! The server: takes connections within bounds and stops politely.
//!
//! Bounds: [`MAX_CONNECTIONS`] at a time, others wait in the backlog; one request per connection, its head at most
//! [`MAX_HEAD`] bytes (longer ones get 431 without a body) and sent within [`HEAD_TIME`]; [`CONNECTION_TIME`] for
//! everything. Only changes of live entries have a body, bounded there.

use super::socket::{Bound, SocketFile};
use super::{Control, ControlError, api};
use crate::config::Config;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Connections served at a time.
const MAX_CONNECTIONS: usize = 16;
/// Longest request line and headers, in bytes.
const MAX_HEAD: usize = 16 << 10;
/// Longest a request may take to arrive.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// Longest a connection may last.
const CONNECTION_TIME: Duration = Duration::from_secs(60);
/// How long a stopping server waits for answers under way.
const GRACE: Duration = Duration::from_secs(5);
/// Pause after a failed accept: out of file descriptors is not over at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The running control server. Dropping it stops it at once; see [`Self::stop`] for the polite way.
#[derive(Debug)]
pub struct Server {
    config: watch::Sender<Arc<Config>>,
    /// Never sent to: dropping it tells the task to stop.
    stop: watch::Sender<()>,
    task: JoinSet<()>,
    file: SocketFile,
}

impl Bound {
    /// Starts serving. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// When the runtime cannot take over the socket.
    pub fn serve(self, control: Control) -> Result<Server, ControlError> {
        let Self { listener, file } = self;
        let listener = UnixListener::from_std(listener).map_err(|error| ControlError::Failed {
            path: file.path().to_owned(),
            doing: "serve it",
            error,
        })?;
        let config = control.config.clone();
        let (stop, stopped) = watch::channel(());
        let mut task = JoinSet::new();
        task.spawn(accept(listener, api::router(control), stopped));
        Ok(Server { config, stop, task, file })
    }
}

impl Server {
    /// Shows this configuration from now on.
    pub fn configure(&self, config: Arc<Config>) {
        self.config.send_replace(config);
    }

    /// Takes no more requests, finishes the answers under way (for at most five seconds) and removes the socket.
    pub async fn stop(self) {
        let Self { stop, mut task, file, .. } = self;
        drop(stop);
        if timeout(GRACE, task.join_next()).await.is_err() {
            tracing::warn!("stopped the control socket, cutting off slow clients");
        }
        drop(file);
    }
}

async fn accept(listener: UnixListener, router: Router, mut stopped: watch::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    let connection = connection(stream, router.clone(), stopped.clone());
                    connections.spawn(connection);
                }
                Err(error) => {
                    tracing::warn!("control socket: cannot accept a connection: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Who is at the other end of a connection, as the kernel says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// User id; `None` where the kernel does not say.
    pub(super) user: Option<u32>,
}

async fn connection(stream: UnixStream, router: Router, mut stopped: watch::Receiver<()>) {
    let peer = Peer { user: stream.peer_cred().ok().map(|peer| peer.uid()) };
    let router = router.layer(Extension(peer));
    let serving = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut serving = std::pin::pin!(serving);
    let limited = timeout(CONNECTION_TIME, async {
        tokio::select! {
            outcome = &mut serving => outcome,
            _ = stopped.changed() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        }
    });
    match limited.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("control connection: {error}"),
        Err(_) => tracing::debug!("control connection cut off after {CONNECTION_TIME:?}"),
    }
}
