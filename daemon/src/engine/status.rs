//! What the engine says of itself: plain data, published after every step, rendered by `status`, `feeds` and the log.
//!
//! Times are seconds since 1970.

use crate::core::feed::Counts;
use serde::{Deserialize, Serialize};

/// Where a feed stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeedState {
    /// Nothing was ever loaded, and no attempt has ended yet.
    Waiting,
    /// The last attempt succeeded.
    Ok,
    /// The last fetch failed; the last good copy, if there is one, is in use.
    Failing,
    /// The last fetch brought data that did not pass the gate; the last good copy, if there is one, is in use.
    Quarantined,
}

/// What one feed contributes, counted when it was parsed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeedCounts {
    /// Accepted IPv4 entries.
    pub entries_v4: u64,
    /// Accepted IPv6 entries.
    pub entries_v6: u64,
    /// IPv4 addresses covered, overlaps counted once.
    pub addresses_v4: u64,
    /// IPv6 addresses covered, overlaps counted once; a float because it outgrows every integer JSON can carry.
    pub addresses_v6: f64,
    /// Accepted domains, those it takes out of wider ones not counted.
    #[serde(default)]
    pub domains: u64,
    /// Entries repeated in the same feed.
    pub duplicates: u64,
    /// Entries inside a wider one of the same feed.
    pub nested: u64,
    /// Addresses the exclusions hold back in the live generation.
    pub excluded: f64,
    /// Addresses listed by this feed, but protected from the filter in the live generation.
    pub protected: f64,
    /// Names at which the exclusions overrule it in the live generation.
    #[serde(default)]
    pub excluded_domains: u64,
    /// What became of the lines of the body.
    pub lines: Counts,
}

impl FeedCounts {
    /// Accepted entries of every kind.
    pub fn entries(&self) -> u64 {
        self.entries_v4 + self.entries_v6 + self.domains
    }
}

/// One feed, as `blackthorn feeds` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeedStatus {
    /// Feed id.
    pub id: String,
    /// Path or URL, secrets masked.
    pub source: String,
    /// Format name.
    pub format: String,
    /// Where it stands.
    pub state: FeedState,
    /// Is any data of it in use?
    pub loaded: bool,
    /// When the data in use was fetched.
    pub fetched_at: Option<u64>,
    /// When the last attempt ended, well or not.
    pub checked_at: Option<u64>,
    /// Why the last attempt did not succeed.
    pub last_error: Option<String>,
    /// SHA-256 of the body in use.
    pub sha256: Option<String>,
    /// Counts of the data in use.
    pub counts: FeedCounts,
}

/// The packet filter, as `blackthorn status` shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FilterStatus {
    /// `off`, `drop` or `monitor`.
    pub action: String,
    /// One line: what is off and why, or nothing.
    pub note: Option<String>,
    /// Interfaces named in the configuration.
    pub interfaces: Vec<InterfaceState>,
    /// Packets and bytes by reason.
    pub counters: Vec<FilterCounter>,
}

/// One interface of the packet filter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InterfaceState {
    /// Interface name.
    pub name: String,
    /// `native` or `generic`, when attached.
    pub mode: Option<String>,
    /// Why it is not attached, or that generic mode is only a fallback.
    pub note: Option<String>,
}

/// One counter of the packet filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterCounter {
    /// Name of the reason.
    pub reason: String,
    /// Packets since the filter was loaded.
    pub packets: u64,
    /// Bytes since the filter was loaded.
    pub bytes: u64,
}

/// The live generation in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationStatus {
    /// Serial; 0 before the first generation.
    pub serial: u32,
    /// When it was built.
    pub built_at: u64,
    /// Milliseconds it took to merge, compile and publish.
    pub took_ms: u64,
    /// Disjoint IPv4 segments.
    pub segments_v4: u64,
    /// Disjoint IPv6 segments.
    pub segments_v6: u64,
    /// IPv4 addresses listed.
    pub addresses_v4: u64,
    /// Names listed, or with names listed below them that have no entry of their own; the test entry not counted.
    #[serde(default)]
    pub domains: u64,
    /// Octets of the table of domains.
    #[serde(default)]
    pub domain_bytes: u64,
    /// Distinct listings.
    pub listings: u64,
    /// Bytes of the table image.
    pub table_bytes: u64,
    /// Networks in the exclusions.
    pub exclusions: u64,
    /// Networks the filter can never drop.
    pub protections: u64,
}

/// A hold: the live generation stays until an operator ends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldStatus {
    /// The generation that stays.
    pub serial: u32,
    /// Since when.
    pub since: u64,
    /// The earlier generation that it repeats, after a rollback.
    pub rolled_back_to: Option<u32>,
    /// Is there something that would be published otherwise?
    pub waiting: bool,
}

/// The verifier, which compares what is served with what should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifierStatus {
    /// The last round; none before the first has ended.
    pub last: Option<LastRound>,
    /// Rounds since the start.
    pub rounds: u64,
    /// Wrong words found since the start.
    pub mismatches: u64,
    /// Publications repeated because of them.
    pub repairs: u64,
}

/// One round of verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRound {
    /// When it ended.
    pub at: u64,
    /// The generation that was looked at.
    pub serial: u32,
    /// Addresses drawn from its table.
    pub addresses: u64,
    /// Questions put to our own DNS port.
    pub questions: u64,
    /// Was the kernel asked?
    pub kernel: bool,
    /// Wrong words.
    pub mismatches: u64,
    /// One of them.
    pub example: Option<String>,
    /// What could not be asked.
    pub problems: Vec<String>,
}

/// Everything the engine publishes about itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EngineStatus {
    /// The live generation.
    pub generation: GenerationStatus,
    /// Why it stays, if it is held.
    pub hold: Option<HoldStatus>,
    /// Every configured feed, in configuration order.
    pub feeds: Vec<FeedStatus>,
    /// Zone names, and whether each has data.
    pub zones: Vec<ZoneStatus>,
    /// The packet filter.
    pub filter: FilterStatus,
    /// The verifier.
    pub verifier: VerifierStatus,
    /// What needs somebody's attention, one line each.
    pub warnings: Vec<String>,
}

/// One zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneStatus {
    /// Query root.
    pub name: String,
    /// Has at least one of its feeds ever loaded? If not, it answers SERVFAIL.
    pub loaded: bool,
    /// Feeds that answer in it.
    pub feeds: Vec<String>,
    /// From when on it answers SERVFAIL if no feed is confirmed before, in seconds since 1970; `None`: never.
    #[serde(default)]
    pub expires_at: Option<u64>,
    /// Is it a list that is closed?
    #[serde(default)]
    pub retired: bool,
}
