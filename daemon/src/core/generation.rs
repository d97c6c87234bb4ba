//! A generation: table, listings, zones and feeds under one serial. Immutable.

use super::entry::FeedId;
use super::flatten::Flat;
use super::listing::{FeedIndex, Listings};
use super::merge::HeldBack;
use super::protection::Reservations;
use super::table::Table;
use super::zone::Zone;
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
    /// The feed with this number; `None` for the test entries and numbers of another generation.
    pub fn part(&self, index: FeedIndex) -> Option<&Part> {
        self.parts.get(usize::from(index.0))
    }
}
