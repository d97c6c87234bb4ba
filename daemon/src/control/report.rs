//! Reports: what the control socket answers with, and what `--json` prints. Plain data, no behaviour.
//!
//! Times are seconds since 1970.

use crate::core::explain::{DomainExplanation, Explanation, LiveVerdict};
use crate::core::feed::Reject;
use crate::core::live_set::Action;
use crate::dns::{CertificateStatus, Endpoint};
use crate::engine::status::{EngineStatus, FeedStatus};
use crate::engine::why_not::WhyNot;
use crate::stats::{DnsStats, ZoneStats};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The process, as `blackthorn status` shows it.
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
    /// Addresses that answer DNS over UDP and TCP, with the ports taken.
    pub listen: Vec<SocketAddr>,
    /// What answers encrypted, with the ports taken.
    #[serde(default)]
    pub encrypted: Vec<Endpoint>,
    /// The certificate of what is encrypted.
    #[serde(default)]
    pub certificate: Option<CertificateStatus>,
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

/// How many live entries are in force, whatever the engine is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveCounts {
    /// Entries that block.
    pub blocks: u64,
    /// Entries that allow.
    pub allows: u64,
}

/// `GET /v1/status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The process.
    pub process: Process,
    /// Generation, feeds, zones, filter and warnings.
    pub engine: EngineStatus,
    /// What is blocked and allowed by hand.
    pub live: LiveCounts,
    /// Counters of the DNS side.
    pub dns: DnsStats,
    /// Counters of zones that were asked, by name.
    #[serde(default)]
    pub zones: BTreeMap<String, ZoneStats>,
    /// How many answers were listed by each feed, by its id.
    #[serde(default)]
    pub hits: BTreeMap<String, u64>,
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The running daemon: what it serves now.
    Daemon,
    /// The state directory: what a daemon would serve if it were started now, before it fetches anything.
    Disk,
}

/// `GET /v1/feeds`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feeds {
    /// Where this comes from.
    pub origin: Origin,
    /// What could not be found out.
    pub notes: Vec<String>,
    /// Feeds in configuration order.
    pub feeds: Vec<FeedStatus>,
}

/// `GET /v1/feeds/{id}/rejects`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejects {
    /// Where this comes from.
    pub origin: Origin,
    /// Feed id.
    pub feed: String,
    /// Refused lines of the last body, at most the first [`crate::core::feed::MAX_REJECTS`].
    pub rejects: Vec<Reject>,
}

/// `GET /v1/lookup?address=…&domain=…`, with `&why_not=true` for the reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// Where this comes from.
    pub origin: Origin,
    /// What could not be found out.
    pub notes: Vec<String>,
    /// What the packet filter does with what it lists: `drop`, `monitor` or `off`.
    pub filter: String,
    /// One answer for each address, in the order asked.
    pub addresses: Vec<Explanation>,
    /// One for each domain, in the order asked.
    #[serde(default)]
    pub domains: Vec<DomainExplanation>,
    /// If asked for, what keeps each address off the lists, in the same order.
    #[serde(default)]
    pub why_not: Vec<WhyNot>,
}

/// `POST /v1/live`: block or allow networks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetLive {
    /// Block or allow.
    pub action: Action,
    /// Addresses, prefixes and ranges, at most [`super::MAX_NETWORKS`].
    pub networks: Vec<String>,
    /// How long, in seconds; absent: until it is taken back.
    #[serde(default)]
    pub lasts: Option<u64>,
    /// Why; the first [`crate::core::live_set::MAX_REASON`] characters are kept.
    #[serde(default)]
    pub reason: String,
    /// Even if it looks like a mistake.
    #[serde(default)]
    pub force: bool,
}

/// `DELETE /v1/live`: take entries back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveLive {
    /// Networks as they were given, at most [`super::MAX_NETWORKS`].
    pub networks: Vec<String>,
}

/// The answer to both: it is in force in DNS and in the packet filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveChanged {
    /// Entries set or taken back.
    pub changed: u64,
    /// Networks that had no entry to take back.
    pub missing: Vec<String>,
    /// When what was set is over; `None`: never.
    pub expires_at: Option<u64>,
    /// What is not as it should be: it will not survive a restart.
    pub notes: Vec<String>,
}

/// `GET /v1/live`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveReport {
    /// Most entries there can be.
    pub limit: u64,
    /// Entries in force, in the order they came.
    pub entries: Vec<LiveVerdict>,
}

/// The body of every answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong.
    pub error: String,
}
