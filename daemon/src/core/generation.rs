//! A generation: table, listings, zones and feed counts under one serial. Immutable.

use super::entry::FeedId;
use super::listing::Listings;
use super::table::Table;
use super::zone::Zone;

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
    /// Feed names by [`super::listing::FeedIndex`].
    pub feeds: Vec<FeedId>,
    /// Zones compiled against the listings and the table, in configuration order.
    pub zones: Vec<Zone>,
}
