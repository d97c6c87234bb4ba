//! A generation: table, listings, zones and feeds under one serial. Immutable.

use super::entry::FeedId;
use super::flatten::Flat;
use super::listing::{FeedIndex, Listings};
use super::merge::HeldBack;
use super::protection::Reservations;
use super::table::Table;
use super::zone::Zone;
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
}

/// One feed's part in a generation.
#[derive(Clone, Debug)]
pub struct Part {
    /// Feed id.
    pub id: FeedId,
    /// Its segments; `None` where nothing was ever loaded.
    pub flat: Option<Arc<Flat>>,
    /// What exclusions and protections kept from it.
    pub held_back: HeldBack,
    /// Does the packet filter act on it?
    pub filtered: bool,
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
            listings: Listings::default(),
            parts: Vec::new(),
            zones: Vec::new(),
            exclusions: Reservations::default(),
            protections: Reservations::default(),
        }
    }

    /// The feed with this number; `None` for the test entries and numbers of another generation.
    pub fn part(&self, index: FeedIndex) -> Option<&Part> {
        self.parts.get(usize::from(index.0))
    }
}
