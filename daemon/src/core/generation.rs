//! A generation: table, listings, zones and feeds under one serial. Immutable.

use super::delta::Side;
use super::domain::{DomainEntry, Domains, Scope};
use super::domain_flat::FlatDomains;
use super::domain_table::DomainTable;
use super::entry::FeedId;
use super::flatten::Flat;
use super::listing::ListingId;
use super::listing::{FeedIndex, Listings};
use super::merge::HeldBack;
use super::protection::Reservations;
use super::segment::{Segment, push_joined};
use super::slab::as_bytes;
use super::span::Bits;
use super::table::{Family, Runs, Table};
use super::zone::Zone;
use blackthorn_common::payload::Payload;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Everything readers need, swapped as a whole.
#[derive(Clone, Debug)]
pub struct Generation {
    /// Rises with every published change; also the SOA serial.
    pub serial: u32,
    /// When it was built, seconds since 1970.
    pub built_at: u64,
    /// Address → payload.
    pub table: Table,
    /// Domain → payload.
    pub domains: DomainTable,
    /// Listing number → feeds.
    pub listings: Listings,
    /// Every configured feed, by [`FeedIndex`].
    pub parts: Vec<Part>,
    /// The zones, compiled against the listings.
    pub zones: Vec<Zone>,
    /// Never listed, and why.
    pub exclusions: Reservations,
    /// Never dropped, and why.
    pub protections: Reservations,
    /// What it came from.
    pub lineage: Lineage,
    /// How much is listed.
    pub size: Size,
}

/// What a generation came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// Serials of the generations it follows: the one live before, and the one it repeats after a rollback.
    pub parents: Vec<u32>,
    /// Digest of the settings it was built for; empty when they are not known.
    pub settings: String,
    /// [`Generation::digest`], as of when it was published.
    pub digest: String,
}

/// How much a generation lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Disjoint IPv4 runs.
    pub runs_v4: u64,
    /// Disjoint IPv6 runs.
    pub runs_v6: u64,
    /// IPv4 addresses, at most 2^32.
    pub addresses_v4: u64,
    /// Names listed, or with names listed below them that have no entry of their own; the test entry not counted.
    #[serde(default)]
    pub domains: u64,
}

impl Size {
    /// Counts merged segments; there are no names among them.
    pub fn of(v4: &[Segment<u32, Payload>], v6: &[Segment<u128, Payload>]) -> Self {
        let addresses: u128 = v4.iter().map(|segment| segment.span.size()).sum();
        Self {
            runs_v4: v4.len() as u64,
            runs_v6: v6.len() as u64,
            addresses_v4: u64::try_from(addresses).unwrap_or(u64::MAX),
            domains: 0,
        }
    }
}

/// One feed's part in a generation.
#[derive(Clone, Debug)]
pub struct Part {
    /// Feed id.
    pub id: FeedId,
    /// Its segments; `None` where nothing was ever loaded, and in a generation from a file.
    pub flat: Option<Arc<Flat>>,
    /// The copy its data came from; `None` where nothing was ever loaded.
    pub copy: Option<FeedCopy>,
    /// What exclusions and protections kept from it.
    pub held_back: HeldBack,
    /// Does the packet filter act on it?
    pub filtered: bool,
}

/// The copy of a feed that a generation was built from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedCopy {
    /// SHA-256 of the body, in hex.
    pub sha256: String,
    /// When it was fetched, seconds since 1970.
    pub fetched_at: u64,
    /// Accepted IPv4 entries.
    pub entries_v4: u64,
    /// Accepted IPv6 entries.
    pub entries_v6: u64,
    /// Accepted domains.
    #[serde(default)]
    pub domains: u64,
}

impl Generation {
    /// SHA-256, in hex, over everything that decides an answer or a verdict. Serial and build time are not part of it:
    /// two generations with one digest say the same.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        // Every part is preceded by its length, so that no two generations write the same bytes.
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        for chunk in self.table.words().chunks(1 << 14) {
            let bytes: Vec<u8> = chunk.iter().flat_map(|word| word.to_ne_bytes()).collect();
            part(&bytes);
        }
        part(as_bytes(self.domains.words()));
        for (_, members) in self.listings.iter() {
            let bytes: Vec<u8> = members
                .iter()
                .map(|m| u64::from(m.feed.0) << 32 | u64::from(m.value))
                .flat_map(u64::to_le_bytes)
                .collect();
            part(&bytes);
        }
        for zone in &self.zones {
            // The debug form shows every field and quotes every text.
            part(format!("{:?} {}", zone.spec(), zone.loaded).as_bytes());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// An empty generation, to be filled in by tests.
    #[cfg(test)]
    pub(crate) fn empty(serial: u32) -> Self {
        Self {
            serial,
            built_at: 0,
            table: Table::default(),
            domains: DomainTable::default(),
            listings: Listings::default(),
            parts: Vec::new(),
            zones: Vec::new(),
            exclusions: Reservations::default(),
            protections: Reservations::default(),
            lineage: Lineage::default(),
            size: Size::default(),
        }
    }

    /// The feed with this number; `None` for the test entries and numbers of another generation.
    pub fn part(&self, index: FeedIndex) -> Option<&Part> {
        self.parts.get(usize::from(index.0))
    }

    /// Ids of the feeds, by their number.
    pub fn feed_ids(&self) -> Vec<FeedId> {
        self.parts.iter().map(|part| part.id.clone()).collect()
    }

    /// One side of a comparison; `feeds` are [`Self::feed_ids`].
    pub fn side<'a>(&'a self, feeds: &'a [FeedId]) -> Side<'a> {
        Side { table: &self.table, domains: &self.domains, listings: &self.listings, feeds }
    }

    /// A feed's names, read back from the image: as they were merged, less what was excluded. Linear in the table.
    pub fn feed_domains(&self, feed: FeedIndex) -> FlatDomains {
        let lists = |payload: Payload| {
            self.listings.members(ListingId(payload.listing())).iter().any(|member| member.feed == feed)
        };
        let mut domains = Domains::default();
        self.domains.each_name(|said| {
            for (payload, scope) in [(said.name, Scope::Exact), (said.below, Scope::Below)] {
                if let Some(payload) = payload {
                    domains.push(DomainEntry { name: said.wire, scope, excluded: !lists(payload), line: 0 });
                }
            }
        });
        FlatDomains::new(&domains)
    }

    /// A feed's IPv4 segments, read back from the image: as they were merged, less what was excluded.
    pub fn feed_v4(&self, feed: FeedIndex) -> Vec<Segment<u32, u32>> {
        feed_runs(self.table.runs_v4(), &self.listings, feed)
    }

    /// A feed's IPv6 segments, read back from the image: as they were merged, less what was excluded.
    pub fn feed_v6(&self, feed: FeedIndex) -> Vec<Segment<u128, u32>> {
        feed_runs(self.table.runs_v6(), &self.listings, feed)
    }
}

fn feed_runs<A: Bits + Family>(
    runs: Runs<'_, A>,
    listings: &Listings,
    feed: FeedIndex,
) -> Vec<Segment<A, u32>> {
    let mut out = Vec::new();
    for run in runs {
        let members = listings.members(ListingId(run.label.listing()));
        if let Some(member) = members.iter().find(|member| member.feed == feed) {
            push_joined(&mut out, run.span, member.value);
        }
    }
    out
}
