//! Statistics: plain counters, raised without locks where things happen and read by whoever reports.
//!
//! Every counter starts at 0 with the process and only rises; it wraps after 2^64.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

/// A counter. Its clone is a copy of the current value that no longer moves: for reports.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Counter(AtomicU64);

impl Clone for Counter {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.get()))
    }
}

impl Counter {
    /// Adds one.
    pub fn add_one(&self) {
        // Relaxed: counters order nothing, they only must not lose a count.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds several.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Current value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of the whole daemon.
#[derive(Debug, Default)]
pub struct Stats {
    /// DNS.
    pub dns: DnsStats,
    /// Verifier.
    pub verifier: VerifierStats,
}

/// Counters of the verifier, which compares what is served with what should be.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct VerifierStats {
    /// Rounds of checks.
    pub rounds: Counter,
    /// Questions put to our own DNS port; they are in the counters of the DNS side too.
    pub questions: Counter,
    /// Wrong words found.
    pub mismatches: Counter,
    /// Publications repeated because of that.
    pub repairs: Counter,
}

/// Counters of the DNS side. `udp`, `tcp`, `tls`, `https` and `quic` count messages taken in; each is answered or counted
/// in `dropped`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DnsStats {
    /// Messages received in datagrams.
    pub udp: Counter,
    /// Messages received on connections.
    pub tcp: Counter,
    /// Messages received on connections under TLS.
    #[serde(default)]
    pub tls: Counter,
    /// Messages received in requests of HTTP.
    #[serde(default)]
    pub https: Counter,
    /// Messages received on streams of QUIC.
    #[serde(default)]
    pub quic: Counter,
    /// Connections accepted, encrypted ones included.
    pub connections: Counter,
    /// Connections closed to make room for others.
    #[serde(default)]
    pub crowded_out: Counter,
    /// Encrypted connections that ended before they stood.
    #[serde(default)]
    pub failed_handshakes: Counter,
    /// Messages that get no reply: too short, or replies themselves.
    pub dropped: Counter,
    /// Replies that could not be sent, and failed receives.
    pub socket_errors: Counter,
    /// Replies cut down to TC=1.
    pub truncated: Counter,
    /// Questions about an address that the zone lists.
    pub listed: Counter,
    /// Questions about an address that the zone does not list.
    pub not_listed: Counter,
    /// Replies by response code.
    pub rcodes: RcodeStats,
}

/// Replies by response code.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RcodeStats {
    /// NOERROR.
    pub noerror: Counter,
    /// FORMERR.
    pub formerr: Counter,
    /// SERVFAIL.
    pub servfail: Counter,
    /// NXDOMAIN.
    pub nxdomain: Counter,
    /// NOTIMP.
    pub notimp: Counter,
    /// REFUSED.
    pub refused: Counter,
    /// NOTAUTH.
    #[serde(default)]
    pub notauth: Counter,
    /// BADVERS.
    pub badvers: Counter,
}
