//! Domain merge: what all feeds say of names, minus exclusions, becomes one sequence of rules for the table.
//!
//! One walk over all feeds in the order of the keys, which visits each name right before those below it. At every name
//! of which something is said, the set of feeds in force is interned as a listing, as for addresses. A feed's own
//! exclusion takes out that feed only; those of the operator take out all, also what is listed below them.

use super::domain_flat::{FlatDomain, FlatDomains, FlatIter};
use super::domain_table::SortedRules;
use super::listing::{FeedIndex, Listings, Member};
use super::merge::{HeldBack, MergeError};
use blackthorn_common::payload::{Class, Payload};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::iter::Peekable;

/// What goes into a merge of domains.
#[derive(Clone, Copy, Debug)]
pub struct DomainSources<'a> {
    /// Settled feeds, each with its place in listings; each feed at most once.
    pub feeds: &'a [(Member, &'a FlatDomains)],
    /// Never listed, whatever feeds say of them or below them.
    pub exclusions: &'a FlatDomains,
}

/// Merges the domains of all feeds. Listings and counts are added to what is there.
///
/// # Errors
/// [`MergeError::TooManyListings`] when the listings outgrow the payload.
pub fn merge_domains(
    sources: &DomainSources<'_>,
    listings: &mut Listings,
    held_back: &mut BTreeMap<FeedIndex, HeldBack>,
) -> Result<SortedRules, MergeError> {
    let mut rules = SortedRules::default();
    let mut walk = Walk::new(sources);
    // What is in force below the names on the way down to the one at hand.
    let mut path: Vec<Open<'_>> = Vec::new();
    while let Some((key, group)) = walk.next_name() {
        while path.pop_if(|open| !key.starts_with(open.key)).is_some() {}
        let nothing = Force::default();
        let inherited = path.last().map_or(&nothing, |open| &open.force);
        inherited.count_held_back(&group, held_back);
        let name = inherited.after(group.iter().map(|(source, said)| (*source, said.name)));
        let below = inherited.after(group.iter().map(|(source, said)| (*source, said.below)));
        let name = name.map(|force| force.payload(listings)).transpose()?;
        let below_payload = below.as_ref().map(|force| force.payload(listings)).transpose()?;
        rules.push(key, name, below_payload);
        path.extend(below.map(|force| Open { key, force }));
    }
    Ok(rules)
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Feed(Member),
    Exclusions,
}

/// All sources side by side, each at its next name.
struct Walk<'a> {
    sources: Vec<(Source, Peekable<FlatIter<'a>>)>,
    next: BinaryHeap<Reverse<(&'a [u8], usize)>>,
}

/// What several sources say of one name.
type Group<'a> = Vec<(Source, FlatDomain<'a>)>;

impl<'a> Walk<'a> {
    fn new(sources: &DomainSources<'a>) -> Self {
        let feeds =
            sources.feeds.iter().map(|(member, flat)| (Source::Feed(*member), flat.iter().peekable()));
        let exclusions = (Source::Exclusions, sources.exclusions.iter().peekable());
        let mut sources: Vec<_> = feeds.chain([exclusions]).collect();
        let heads = sources.iter_mut().zip(0..);
        let next =
            heads.filter_map(|((_, names), number)| Some(Reverse((names.peek()?.key, number)))).collect();
        Self { sources, next }
    }

    /// The next name by its key, and all that is said of it.
    fn next_name(&mut self) -> Option<(&'a [u8], Group<'a>)> {
        let &Reverse((key, _)) = self.next.peek()?;
        let mut group = Vec::new();
        while let Some(&Reverse((same, number))) = self.next.peek().filter(|Reverse((next, _))| *next == key)
        {
            self.next.pop();
            let Some((source, names)) = self.sources.get_mut(number) else { continue };
            group.extend(names.next().map(|said| (*source, said)));
            debug_assert_eq!(same, key);
            self.next.extend(names.peek().map(|following| Reverse((following.key, number))));
        }
        Some((key, group))
    }
}

/// A name below which something is in force that is not above it.
struct Open<'a> {
    key: &'a [u8],
    force: Force,
}

/// What is in force for some names.
#[derive(Clone, Debug, Default)]
struct Force {
    /// Feeds that list them, sorted by feed, excluded or not.
    members: Vec<Member>,
    /// The operator excluded them.
    excluded: bool,
}

impl Force {
    /// What is in force after these words; `None` when none was said.
    fn after(&self, words: impl Iterator<Item = (Source, Option<bool>)>) -> Option<Self> {
        let mut after = None;
        for (source, listed) in words.filter_map(|(source, said)| Some((source, said?))) {
            let force = after.get_or_insert_with(|| self.clone());
            match (source, force.members.binary_search_by_key(&source.feed(), |member| Some(member.feed))) {
                // Exclusions settled like a feed: what is listed there is excluded. They never end below a name.
                (Source::Exclusions, _) => force.excluded |= listed,
                (Source::Feed(member), Err(place)) if listed => force.members.insert(place, member),
                (Source::Feed(_), Ok(place)) if !listed => _ = force.members.remove(place),
                (Source::Feed(_), _) => {}
            }
        }
        after
    }

    fn payload(&self, listings: &mut Listings) -> Result<Payload, MergeError> {
        // Test entries are of no feed, and tell clients that the zone works (RFC 5782 section 5).
        let stays = |member: &&Member| !self.excluded || member.feed == FeedIndex::TEST;
        let members: Vec<Member> = self.members.iter().filter(stays).copied().collect();
        if members.is_empty() {
            return Ok(Payload::NONE);
        }
        let listing = listings.intern(&members);
        Payload::new(Class::Answer, listing.0).ok_or(MergeError::TooManyListings)
    }

    /// Counts for each feed the names at which an exclusion overrules it: its own names in excluded space, and
    /// exclusions inside what it lists.
    fn count_held_back(&self, group: &Group<'_>, held_back: &mut BTreeMap<FeedIndex, HeldBack>) {
        let here = group.iter().find(|(source, _)| *source == Source::Exclusions).map(|(_, said)| *said);
        let covers = |part: fn(&FlatDomain<'_>) -> Option<bool>| {
            self.excluded || here.as_ref().and_then(part).unwrap_or(false)
        };
        let (name, below) = (covers(|said| said.name), covers(|said| said.below));
        if !name && !below {
            return;
        }
        let mut add = |feed: FeedIndex| held_back.entry(feed).or_default().domains += 1;
        for (source, said) in group {
            let overruled = name && said.name == Some(true) || below && said.below == Some(true);
            if let Source::Feed(member) = source
                && overruled
            {
                add(member.feed);
            }
        }
        if here.is_some() && !self.excluded {
            let own = |member: &&Member| !group.iter().any(|(source, _)| source.feed() == Some(member.feed));
            self.members.iter().filter(own).for_each(|member| add(member.feed));
        }
    }
}

impl Source {
    fn feed(self) -> Option<FeedIndex> {
        match self {
            Self::Feed(member) => Some(member.feed),
            Self::Exclusions => None,
        }
    }
}

#[cfg(test)]
mod tests;
