//! The control socket: HTTP over a unix socket, for `status`, `feeds` and `lookup` beside a running daemon.
//!
//! In flow order: `socket` makes the socket file, `server` takes connections within bounds, `api` answers requests,
//! `report` is what it answers with; [`client`] asks, from another process. Requests with GET only show
//! what the engine publishes, and for lookups the stored entries as written; those with POST are commands to the engine. Access is a matter of the socket's mode: owner and
//! group of the daemon.

mod api;
pub mod client;
mod live;
pub mod report;
mod server;
mod socket;
#[cfg(test)]
mod tests;

pub use live::MAX_NETWORKS;
pub use server::Server;
pub use socket::{Bound, ControlError, bind};

use crate::config::Config;
use crate::engine::Command;
use crate::engine::live_entries::Requests;
use crate::engine::status::EngineStatus;
use crate::live::Live;
use crate::stats::Stats;
use report::Process;
use std::sync::Arc;
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
    /// To the owner of the live entries.
    pub live_entries: Requests,
    /// Counters.
    pub stats: Arc<Stats>,
}
