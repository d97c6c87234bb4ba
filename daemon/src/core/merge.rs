//! Merge: all flattened feeds, minus exclusions, become one sequence of segments labelled with listing and policy class.
//!
//! One sweep per family in address order. Union over feeds, carve-outs and protections all fall out of it: at every
//! address where something begins or ends, the set of feeds in force is interned as a listing.

use super::coverage::Coverage;
use super::flatten::Flat;
use super::listing::{FeedIndex, Listings, Member};
use super::segment::{Segment, push_joined};
use super::span::{Bits, Span};
use blackthorn_common::payload::{Class, Payload};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use thiserror::Error;

/// What goes into a merge.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// Flattened feeds; each index at most once.
    pub feeds: &'a [(FeedIndex, &'a Flat)],
    /// Never listed: carved out of every feed.
    pub exclusions: &'a Coverage,
    /// Never dropped: listed for DNS, but policy class 0.
    pub protected: &'a Coverage,
    /// Feeds whose listings the packet filter drops.
    pub filter_feeds: &'a [FeedIndex],
}

/// What comes out.
#[derive(Clone, Debug, Default)]
pub struct Merged {
    /// IPv4 segments, sorted and disjoint; unlisted addresses are left out.
    pub v4: Vec<Segment<u32, Payload>>,
    /// IPv6 segments, sorted and disjoint.
    pub v6: Vec<Segment<u128, Payload>>,
    /// The listings the payloads number.
    pub listings: Listings,
    /// What exclusions and protections kept from each feed; feeds without any are left out.
    pub held_back: BTreeMap<FeedIndex, HeldBack>,
}

/// What of one feed an exclusion or protection overrules. IPv6 counts saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldBack {
    /// Listed by the feed, excluded by the operator.
    pub excluded: u128,
    /// Would be dropped because of the feed, but is protected.
    pub protected: u128,
    /// Names at which an exclusion overrules the feed.
    pub domains: u64,
}

/// A merge that would not fit the format; nothing was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MergeError {
    /// More distinct combinations of feed and value than a payload can number.
    #[error(
        "more than {} different combinations of feeds and values; use fewer feeds with per-entry values, or set min_score",
        Payload::MAX_LISTING
    )]
    TooManyListings,
}

/// Merges both families.
///
/// # Errors
/// [`MergeError::TooManyListings`] when the listings outgrow the payload.
pub fn merge(sources: &Sources<'_>) -> Result<Merged, MergeError> {
    let mut merged = Merged::default();
    let v4 = sources.feeds.iter().map(|(index, flat)| (*index, &flat.v4[..])).collect();
    merged.v4 =
        Sweep::new(sources, v4, sources.exclusions.v4(), sources.protected.v4(), &mut merged).run()?;
    let v6 = sources.feeds.iter().map(|(index, flat)| (*index, &flat.v6[..])).collect();
    merged.v6 =
        Sweep::new(sources, v6, sources.exclusions.v6(), sources.protected.v6(), &mut merged).run()?;
    Ok(merged)
}

/// One of the sorted inputs of a sweep.
enum Input<'a, A> {
    Feed(FeedIndex, &'a [Segment<A, u32>]),
    Exclusions(&'a [Span<A>]),
    Protected(&'a [Span<A>]),
}

impl<A: Bits> Input<'_, A> {
    fn span(&self, position: usize) -> Option<Span<A>> {
        match self {
            Self::Feed(_, segments) => segments.get(position).map(|s| s.span),
            Self::Exclusions(spans) | Self::Protected(spans) => spans.get(position).copied(),
        }
    }
}

/// An input with the sweep's place in it.
struct Cursor<'a, A> {
    input: Input<'a, A>,
    position: usize,
    inside: bool,
}

struct Sweep<'a, A> {
    cursors: Vec<Cursor<'a, A>>,
    /// Next address at which each unfinished cursor begins or ends something.
    boundaries: BinaryHeap<Reverse<(A, usize)>>,
    filter_feeds: &'a [FeedIndex],
    listings: &'a mut Listings,
    held_back: &'a mut BTreeMap<FeedIndex, HeldBack>,
    /// Feeds in force, sorted by feed.
    active: Vec<Member>,
    excluded: bool,
    protected: bool,
}

impl<'a, A: Bits> Sweep<'a, A> {
    fn new(
        sources: &'a Sources<'a>,
        feeds: Vec<(FeedIndex, &'a [Segment<A, u32>])>,
        exclusions: &'a [Span<A>],
        protected: &'a [Span<A>],
        merged: &'a mut Merged,
    ) -> Self {
        let inputs = feeds
            .into_iter()
            .map(|(index, segments)| Input::Feed(index, segments))
            .chain([Input::Exclusions(exclusions), Input::Protected(protected)]);
        let cursors: Vec<_> = inputs.map(|input| Cursor { input, position: 0, inside: false }).collect();
        let boundaries = cursors
            .iter()
            .enumerate()
            .filter_map(|(number, cursor)| Some(Reverse((cursor.input.span(0)?.first, number))))
            .collect();
        Self {
            cursors,
            boundaries,
            filter_feeds: sources.filter_feeds,
            listings: &mut merged.listings,
            held_back: &mut merged.held_back,
            active: Vec::new(),
            excluded: false,
            protected: false,
        }
    }

    fn run(mut self) -> Result<Vec<Segment<A, Payload>>, MergeError> {
        let mut out = Vec::new();
        let mut payload = Payload::NONE;
        let mut since = A::ZERO;
        while let Some(&Reverse((at, _))) = self.boundaries.peek() {
            if let Some(before) = at.pred().filter(|before| since <= *before) {
                self.close(&mut out, Span { first: since, last: before }, payload);
            }
            while let Some(&Reverse((same, number))) = self.boundaries.peek() {
                if same != at {
                    break;
                }
                self.boundaries.pop();
                self.step(number, at);
            }
            payload = self.payload()?;
            since = at;
        }
        // Only what reaches the last address of the family is still open here.
        self.close(&mut out, Span { first: since, last: A::MAX }, payload);
        Ok(out)
    }

    /// Writes the run that just ended and accounts for what was held back in it.
    fn close(&mut self, out: &mut Vec<Segment<A, Payload>>, span: Span<A>, payload: Payload) {
        if payload.is_listed() {
            push_joined(out, span, payload);
        }
        if !(self.excluded || self.protected) {
            return;
        }
        for member in &self.active {
            if self.excluded {
                let held = self.held_back.entry(member.feed).or_default();
                held.excluded = held.excluded.saturating_add(span.size());
            } else if self.filter_feeds.contains(&member.feed) {
                let held = self.held_back.entry(member.feed).or_default();
                held.protected = held.protected.saturating_add(span.size());
            }
        }
    }

    /// Moves one cursor over the boundary at `at`: leaves what ended before it, enters what begins here.
    fn step(&mut self, number: usize, at: A) {
        let Some(cursor) = self.cursors.get_mut(number) else { return };
        if cursor.inside {
            cursor.inside = false;
            cursor.position += 1;
            match cursor.input {
                Input::Feed(feed, _) => self.active.retain(|member| member.feed != feed),
                Input::Exclusions(_) => self.excluded = false,
                Input::Protected(_) => self.protected = false,
            }
        }
        let Some(span) = cursor.input.span(cursor.position) else { return };
        if span.first > at {
            self.boundaries.push(Reverse((span.first, number)));
            return;
        }
        cursor.inside = true;
        match cursor.input {
            Input::Feed(feed, segments) => {
                let value = segments.get(cursor.position).map_or(0, |s| s.label);
                let place = self.active.partition_point(|member| member.feed < feed);
                self.active.insert(place, Member { feed, value });
            }
            Input::Exclusions(_) => self.excluded = true,
            Input::Protected(_) => self.protected = true,
        }
        if let Some(end) = span.last.succ() {
            self.boundaries.push(Reverse((end, number)));
        }
    }

    /// What the feeds now in force say.
    fn payload(&mut self) -> Result<Payload, MergeError> {
        if self.excluded {
            // Test entries are of no feed, and tell clients that the zone works (RFC 5782 section 5).
            let test: Vec<Member> =
                self.active.iter().copied().filter(|member| member.feed == FeedIndex::TEST).collect();
            if test.is_empty() {
                return Ok(Payload::NONE);
            }
            let listing = self.listings.intern(&test);
            return Payload::new(Class::Answer, listing.0).ok_or(MergeError::TooManyListings);
        }
        if self.active.is_empty() {
            return Ok(Payload::NONE);
        }
        let dropped =
            !self.protected && self.active.iter().any(|member| self.filter_feeds.contains(&member.feed));
        let class = if dropped { Class::Drop } else { Class::Answer };
        let listing = self.listings.intern(&self.active);
        Payload::new(class, listing.0).ok_or(MergeError::TooManyListings)
    }
}

#[cfg(test)]
mod tests;
