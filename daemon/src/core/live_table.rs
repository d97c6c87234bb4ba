//! The overlay: live entries compiled into a small table of their own that is asked before the generation's, by DNS, by
//! `lookup` and by the kernel program. What it says of an address is final for the filter; for DNS a block adds to what
//! the feeds say.
//!
//! Narrower entries win over wider ones, of equally narrow ones the later. Exclusions are carved out, so that a block
//! never lists what must never be listed; protected addresses are listed, but not dropped.
//!
//! Live entries are not compiled into generations: one that is over would leave an allowed network carved out, or a
//! blocked one in, until the next generation is built, which takes seconds when it is large.

use super::coverage::Coverage;
use super::entry::Entries;
use super::flatten::{Flat, flatten};
use super::listing::FeedIndex;
use super::live_set::{Action, LiveEntry};
use super::merge::{MergeError, Merged, Sources, merge};
use super::network::Network;
use super::presence::Presence;
use super::protection::Reservations;
use super::segment::{Segment, push_joined};
use super::span::{Bits, Span};
use super::table::{Table, TableError};
use blackthorn_common::abi::{CHUNK_BYTES, OVERLAY_CHUNKS};
use blackthorn_common::payload::{Class, Payload};
use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;
use thiserror::Error;

/// Largest image, in bytes: what the kernel's map for it holds. [`super::live_set::MAX_ENTRIES`] hosts or prefixes fit;
/// ranges far from prefix borders may take up to 1.8 KB each.
pub const MAX_BYTES: usize = CHUNK_BYTES * OVERLAY_CHUNKS as usize;

/// Where the test entries of every zone are (RFC 5782 section 5): live entries say nothing of it.
pub const TEST_SPACE: Network = Network::V4(Span { first: 0x7f00_0000, last: 0x7fff_ffff });

/// What the feeds of the small merge, and the listings of its table, stand for.
const BLOCKED: u32 = 1;
const ALLOWED: u32 = 2;

/// Live entries as readers use them. Immutable.
#[derive(Debug, Default)]
pub struct LiveTable {
    entries: Vec<Arc<LiveEntry>>,
    /// `None` without entries.
    compiled: Option<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    table: Table,
    blocked: Presence,
}

/// Live entries that cannot be put into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LiveTableError {
    /// The image outgrows the kernel's map.
    #[error(
        "{entries} live entries take {bytes} bytes, and {MAX_BYTES} fit; write prefixes instead of ranges, or put them \
         into a feed"
    )]
    TooLarge {
        /// Entries to compile.
        entries: usize,
        /// Size of their image.
        bytes: usize,
    },
    /// Cannot happen with two listings.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// Cannot happen with so few entries.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl LiveTable {
    /// Compiles entries in the order they came. `exclusions` and `protections` are those of the generation that the
    /// table will be asked before.
    ///
    /// # Errors
    /// [`LiveTableError::TooLarge`] with many ranges.
    pub fn compile(
        entries: Vec<Arc<LiveEntry>>,
        exclusions: &Reservations,
        protections: &Reservations,
    ) -> Result<Self, LiveTableError> {
        if entries.is_empty() {
            return Ok(Self::default());
        }
        let mut ranked = Entries::default();
        for (rank, entry) in (0u32..).zip(&entries) {
            // Flattening prefers the narrower entry, then the higher value: the later one.
            ranked.push(entry.network, 0, rank << 1 | u32::from(entry.action == Action::Allow));
        }
        let flat = flatten(ranked);
        let excluded = exclusions.coverage();
        let v4 = excluded.v4().iter().copied().map(Network::V4).chain([TEST_SPACE]);
        let left_out = Coverage::new(v4.chain(excluded.v6().iter().copied().map(Network::V6)));
        let feeds = [Action::Block, Action::Allow].map(|action| of_action(&flat, action));
        let Merged { v4, v6, listings, .. } = merge(&Sources {
            feeds: &[(FeedIndex(0), &feeds[0]), (FeedIndex(1), &feeds[1])],
            exclusions: &left_out,
            protected: protections.coverage(),
            filter_feeds: &[FeedIndex(0)],
        })?;
        let numbers: Vec<u32> = listings
            .iter()
            .map(|(_, members)| members.first().map_or(0, |m| if m.feed.0 == 0 { BLOCKED } else { ALLOWED }))
            .collect();
        let table = Table::compile(&renumbered(v4, &numbers), &renumbered(v6, &numbers))?;
        let bytes = size_of_val(table.words());
        if bytes > MAX_BYTES {
            return Err(LiveTableError::TooLarge { entries: entries.len(), bytes });
        }
        let blocked = Presence::collect(&table, |listing| listing == BLOCKED);
        Ok(Self { entries, compiled: Some(Compiled { table, blocked }) })
    }

    /// What it says of `address`; `None`: the generation decides.
    pub fn action(&self, address: IpAddr) -> Option<Action> {
        match self.payload(address)?.listing() {
            BLOCKED => Some(Action::Block),
            ALLOWED => Some(Action::Allow),
            _ => None,
        }
    }

    /// Are packets from `address` dropped? `None`: the generation decides.
    pub fn drops(&self, address: IpAddr) -> Option<bool> {
        self.payload(address).filter(|payload| payload.is_listed()).map(Payload::drops)
    }

    fn payload(&self, address: IpAddr) -> Option<Payload> {
        self.compiled.as_ref().map(|compiled| compiled.table.lookup(address))
    }

    /// The addresses it says are blocked.
    pub fn blocked(&self) -> Option<&Presence> {
        self.compiled.as_ref().map(|compiled| &compiled.blocked)
    }

    /// The entry that decides about `address`. Linear: for explanations, not for queries.
    pub fn deciding(&self, address: IpAddr) -> Option<&LiveEntry> {
        self.action(address)?;
        let holding = (0u32..).zip(&self.entries).filter(|(_, entry)| entry.network.contains(address));
        holding.min_by_key(|(rank, entry)| (entry.network.size(), Reverse(*rank))).map(|(_, entry)| &**entry)
    }

    /// Every entry, in the order they came.
    pub fn entries(&self) -> &[Arc<LiveEntry>] {
        &self.entries
    }

    /// How many entries do this.
    pub fn count(&self, action: Action) -> usize {
        self.entries.iter().filter(|entry| entry.action == action).count()
    }

    /// The image, as the kernel program reads it; `None` without entries.
    pub fn words(&self) -> Option<&[u32]> {
        self.compiled.as_ref().map(|compiled| compiled.table.words())
    }
}

fn of_action(flat: &Flat, action: Action) -> Flat {
    let bit = u32::from(action == Action::Allow);
    Flat { v4: select(&flat.v4, bit), v6: select(&flat.v6, bit), ..Flat::default() }
}

/// The segments whose label ends in `bit`, without their rank.
fn select<A: Bits>(segments: &[Segment<A, u32>], bit: u32) -> Vec<Segment<A, u32>> {
    let mut selected = Vec::new();
    for segment in segments.iter().filter(|segment| segment.label & 1 == bit) {
        push_joined(&mut selected, segment.span, 0);
    }
    selected
}

/// With fixed listing numbers instead of those of this merge.
fn renumbered<A: Bits>(segments: Vec<Segment<A, Payload>>, numbers: &[u32]) -> Vec<Segment<A, Payload>> {
    let renumber = |Segment { span, label }: Segment<A, Payload>| {
        let number = numbers.get(label.listing() as usize).copied().unwrap_or_default();
        let class = if label.drops() { Class::Drop } else { Class::Answer };
        Some(Segment { span, label: Payload::new(class, number)? })
    };
    segments.into_iter().filter_map(renumber).collect()
}

#[cfg(test)]
mod tests;
