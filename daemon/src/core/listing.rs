//! Listings: the interned sets of (feed, value) that cover one address.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Number of a feed within one generation, in the order of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FeedIndex(pub u16);

impl FeedIndex {
    /// The built-in feed of RFC 5782 test entries. It lists 127.0.0.2 and, so that every code can be tried, the
    /// address that equals each code of each zone. Its value is the low 24 bits of the address: what 127.x.y.z
    /// answers is the zone's business.
    pub const TEST: Self = Self(u16::MAX);
}

/// Number of a listing within one generation; 0 = not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListingId(pub u32);

impl ListingId {
    /// The address is on no list.
    pub const NONE: Self = Self(0);
}

/// One feed's word on an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// Which feed.
    pub feed: FeedIndex,
    /// The feed's own value for the entry (see [`super::entry::Entry::value`]).
    pub value: u32,
}

/// All listings of a generation. Index 0 is the empty listing.
#[derive(Clone, Debug)]
pub struct Listings {
    sets: Vec<Box<[Member]>>,
    ids: HashMap<Box<[Member]>, ListingId>,
}

impl Default for Listings {
    fn default() -> Self {
        let empty: Box<[Member]> = Box::default();
        Self { sets: vec![empty.clone()], ids: HashMap::from([(empty, ListingId::NONE)]) }
    }
}

impl Listings {
    /// The number of `members`, which are sorted by feed with at most one per feed; a new number if the set is new.
    pub fn intern(&mut self, members: &[Member]) -> ListingId {
        if let Some(&id) = self.ids.get(members) {
            return id;
        }
        // Reaches u32::MAX only with as many distinct sets in memory; the table refuses far earlier.
        let id = ListingId(u32::try_from(self.sets.len()).unwrap_or(u32::MAX));
        self.sets.push(members.into());
        self.ids.insert(members.into(), id);
        id
    }

    /// Members of a listing, sorted by feed; empty for "not listed" and for numbers of another generation.
    pub fn members(&self, id: ListingId) -> &[Member] {
        self.sets.get(id.0 as usize).map_or(&[], |set| set)
    }

    /// Number of listings, the empty one included.
    pub fn len(&self) -> usize {
        self.sets.len()
    }

    /// Never true: the empty listing is always there.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Every listing with its members, in number order, the empty one first.
    pub fn iter(&self) -> impl Iterator<Item = (ListingId, &[Member])> {
        (0u32..).zip(&self.sets).map(|(id, set)| (ListingId(id), &**set))
    }
}
