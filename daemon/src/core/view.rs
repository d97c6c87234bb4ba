//! A view: what one reader sees for one question, a generation and the live entries asked before it.

use super::generation::Generation;
use super::live_table::LiveTable;
use super::name::DomainName;
use super::zone::Zone;
use std::sync::Arc;

/// A generation and the live entries over it. Published as one, so that no answer mixes two.
#[derive(Clone, Debug)]
pub struct View {
    /// What the feeds say.
    pub generation: Arc<Generation>,
    /// What operators say, which comes first.
    pub overlay: Arc<LiveTable>,
    /// When zones expire that do.
    pub expiries: Arc<[Expiry]>,
}

/// From when on the data of a zone is too old to answer from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The zone.
    pub zone: DomainName,
    /// In seconds since 1970.
    pub at: u64,
}

impl View {
    /// A generation without live entries, which never expires.
    pub fn bare(generation: Arc<Generation>) -> Self {
        Self { generation, overlay: Arc::default(), expiries: Arc::default() }
    }

    /// May the zone be answered from at `now`, in seconds since 1970?
    pub fn is_ready(&self, zone: &Zone, now: u64) -> bool {
        let expired = |expiry: &Expiry| expiry.zone == *zone.name() && expiry.at <= now;
        zone.loaded && !self.expiries.iter().any(expired)
    }
}
