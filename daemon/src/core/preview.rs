//! Preview: two generations side by side, what one lists that the other does not. One sweep over both tables.
//!
//! Time is linear in the runs of both tables times the feeds of a listing; memory is bounded by the listings and
//! [`BIGGEST`].

use super::generation::Generation;
use super::listing::ListingId;
use super::network::Network;
use super::segment::Segment;
use super::span::{Bits, Span};
use blackthorn_common::payload::Payload;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

/// Most added prefixes shown, per family.
pub const BIGGEST: usize = 20;

/// Numbers of addresses. IPv6 is a float because it outgrows every integer JSON can carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Addresses {
    /// IPv4.
    pub v4: u64,
    /// IPv6.
    pub v6: f64,
}

impl Addresses {
    /// None of either family?
    pub fn is_zero(&self) -> bool {
        self.v4 == 0 && self.v6 == 0.0
    }

    fn add<A: Bits>(&mut self, span: Span<A>) {
        match A::WIDTH {
            // At most 2^32.
            32 => self.v4 += u64::try_from(span.size()).unwrap_or(u64::MAX),
            _ => self.v6 += span.size() as f64,
        }
    }
}

/// What would change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Addresses listed in the old generation.
    pub before: Addresses,
    /// Addresses listed in the new one.
    pub after: Addresses,
    /// Listed in the new one only.
    pub added: Addresses,
    /// Listed in the old one only.
    pub removed: Addresses,
    /// By feed id; feeds that change nothing are left out.
    pub feeds: BTreeMap<String, FeedDifference>,
    /// The biggest prefixes among the added addresses: IPv4 first, each family from the widest on, at most [`BIGGEST`]
    /// of each.
    pub biggest: Vec<AddedPrefix>,
}

/// What would change for one feed. Addresses are counted as listed: without what exclusions hold back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeedDifference {
    /// Listed by this feed in the new generation only.
    pub added: Addresses,
    /// Listed by this feed in the old generation only.
    pub removed: Addresses,
}

/// A prefix that nothing lists now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedPrefix {
    /// The prefix.
    pub network: String,
    /// Feeds that would list its first address.
    pub feeds: Vec<String>,
}

/// Compares two generations.
pub fn compare(old: &Generation, new: &Generation) -> Difference {
    let mut comparison = Comparison::new(old, new);
    let v4 = comparison.family(old.table.runs_v4(), new.table.runs_v4());
    let v6 = comparison.family(old.table.runs_v6(), new.table.runs_v6());
    let shown = |(network, listing): (Network, u32)| AddedPrefix {
        network: network.to_string(),
        feeds: comparison
            .new
            .get(&listing)
            .map_or(&[][..], |feeds| feeds)
            .iter()
            .map(ToString::to_string)
            .collect(),
    };
    let v4 = v4.into_iter().map(|(span, listing)| (Network::V4(span), listing)).map(shown);
    let v6 = v6.into_iter().map(|(span, listing)| (Network::V6(span), listing)).map(shown);
    let biggest = v4.chain(v6).collect();
    Difference { biggest, ..comparison.difference }
}

/// Feed ids by listing number.
type Members<'g> = HashMap<u32, Vec<&'g str>>;

struct Comparison<'g> {
    old: Members<'g>,
    new: Members<'g>,
    difference: Difference,
}

impl<'g> Comparison<'g> {
    fn new(old: &'g Generation, new: &'g Generation) -> Self {
        let members = |generation: &'g Generation| {
            let feeds = |id: ListingId| {
                // Without the built-in test entries.
                let members = generation.listings.members(id).iter();
                members.filter_map(|member| Some(generation.part(member.feed)?.id.as_str())).collect()
            };
            generation.listings.iter().map(|(id, _)| (id.0, feeds(id))).collect()
        };
        Self { old: members(old), new: members(new), difference: Difference::default() }
    }

    /// Counts one family and returns the biggest added prefixes with the listing of their first address, widest first.
    fn family<A: Bits>(
        &mut self,
        old: impl Iterator<Item = Segment<A, Payload>>,
        new: impl Iterator<Item = Segment<A, Payload>>,
    ) -> Vec<(Span<A>, u32)> {
        let mut biggest = Biggest::default();
        sweep(old, new, |span, old, new| {
            let Difference { before, after, added, removed, .. } = &mut self.difference;
            if old.is_listed() {
                before.add(span);
            }
            if new.is_listed() {
                after.add(span);
            }
            match (old.is_listed(), new.is_listed()) {
                (false, true) => {
                    added.add(span);
                    biggest.extend(span, new.listing());
                }
                (true, false) => removed.add(span),
                _ => {}
            }
            self.feeds(span, old.listing(), new.listing());
        });
        biggest.finish()
    }

    fn feeds<A: Bits>(&mut self, span: Span<A>, old: u32, new: u32) {
        let none = Vec::new();
        let (old, new) = (self.old.get(&old).unwrap_or(&none), self.new.get(&new).unwrap_or(&none));
        let changes = &mut self.difference.feeds;
        for feed in new.iter().filter(|feed| !old.contains(feed)) {
            changes.entry((*feed).to_owned()).or_default().added.add(span);
        }
        for feed in old.iter().filter(|feed| !new.contains(feed)) {
            changes.entry((*feed).to_owned()).or_default().removed.add(span);
        }
    }
}

/// Walks two sorted sequences of disjoint runs and calls `each` for every span of which at least one says something,
/// with what both say.
fn sweep<A: Bits>(
    old: impl Iterator<Item = Segment<A, Payload>>,
    new: impl Iterator<Item = Segment<A, Payload>>,
    mut each: impl FnMut(Span<A>, Payload, Payload),
) {
    let (mut old, mut new) = (Cursor::new(old), Cursor::new(new));
    while let Some(first) = [old.first(), new.first()].into_iter().flatten().min() {
        let ends = [old.change_after(first), new.change_after(first)];
        let last = ends.into_iter().flatten().min().unwrap_or(A::MAX);
        each(Span { first, last }, old.at(first), new.at(first));
        old.advance(last);
        new.advance(last);
    }
}

/// A sequence of runs with the part of its first run that is not passed yet.
struct Cursor<A, I> {
    run: Option<Segment<A, Payload>>,
    rest: I,
}

impl<A: Bits, I: Iterator<Item = Segment<A, Payload>>> Cursor<A, I> {
    fn new(mut rest: I) -> Self {
        Self { run: rest.next(), rest }
    }

    fn first(&self) -> Option<A> {
        self.run.map(|run| run.span.first)
    }

    fn at(&self, address: A) -> Payload {
        self.run.filter(|run| run.span.contains(address)).map_or(Payload::NONE, |run| run.label)
    }

    /// The last address from `first` on of which it says the same; `None`: it never says anything else.
    fn change_after(&self, first: A) -> Option<A> {
        let run = self.run?;
        if run.span.first <= first { Some(run.span.last) } else { run.span.first.pred() }
    }

    /// Passes everything up to `last`.
    fn advance(&mut self, last: A) {
        let Some(run) = &mut self.run else { return };
        if run.span.last <= last {
            self.run = self.rest.next();
        } else if run.span.first <= last
            && let Some(next) = last.succ()
        {
            run.span.first = next;
        }
    }
}

/// The widest prefixes of spans that come in order; touching spans are one.
struct Biggest<A> {
    open: Option<(Span<A>, u32)>,
    /// Narrowest first: (address bits not fixed, then lowest address wins), prefix, listing.
    kept: BinaryHeap<Reverse<(u8, Reverse<A>, u32)>>,
}

impl<A: Bits> Default for Biggest<A> {
    fn default() -> Self {
        Self { open: None, kept: BinaryHeap::new() }
    }
}

impl<A: Bits> Biggest<A> {
    fn extend(&mut self, span: Span<A>, listing: u32) {
        match &mut self.open {
            Some((open, _)) if open.last.succ() == Some(span.first) => open.last = span.last,
            _ => {
                self.close();
                self.open = Some((span, listing));
            }
        }
    }

    fn close(&mut self) {
        let Some((span, listing)) = self.open.take() else { return };
        for (address, len) in span.prefixes() {
            self.kept.push(Reverse((A::WIDTH - len, Reverse(address), listing)));
            if self.kept.len() > BIGGEST {
                self.kept.pop();
            }
        }
    }

    fn finish(mut self) -> Vec<(Span<A>, u32)> {
        self.close();
        let widest_first = self.kept.into_sorted_vec().into_iter();
        widest_first
            .map(|Reverse((free, Reverse(address), listing))| {
                (Span::prefix(address, A::WIDTH - free), listing)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::entry::FeedId;
    use crate::core::fixture;
    use crate::core::generation::Part;
    use crate::core::merge::HeldBack;
    use blackthorn_common::payload::Class;
    use proptest::prelude::*;
    use std::net::IpAddr;

    fn generation(entries: &[(u16, &str)]) -> Generation {
        let part = |id: &&str| Part {
            id: FeedId::new(id).unwrap(),
            flat: None,
            held_back: HeldBack::default(),
            filtered: false,
        };
        Generation { parts: ["a", "b"].iter().map(part).collect(), ..fixture::generation(&[], entries) }
    }

    #[test]
    fn feeds_and_totals_are_counted_apart() {
        let old = generation(&[(0, "192.0.2.0/24"), (1, "198.51.100.0/25"), (0, "2001:db8::/64")]);
        let new = generation(&[
            (0, "192.0.2.0/25"),
            (1, "192.0.2.0/26"),
            (1, "198.51.100.0/24"),
            (1, "2001:db8::/63"),
        ]);
        let Difference { before, after, added, removed, feeds, biggest } = compare(&old, &new);
        // The test entry is in both.
        assert_eq!((before.v4, after.v4), (385, 385));
        assert_eq!((added.v4, removed.v4), (128, 128));
        let half = 2f64.powi(64);
        assert_eq!([before.v6, after.v6, added.v6, removed.v6], [half, 2.0 * half, half, 0.0]);
        let change = |added, removed| FeedDifference { added, removed };
        assert_eq!(feeds["a"], change(Addresses::default(), Addresses { v4: 128, v6: half }));
        assert_eq!(feeds["b"], change(Addresses { v4: 192, v6: 2.0 * half }, Addresses::default()));
        let shown: Vec<String> =
            biggest.iter().map(|p| format!("{} {}", p.network, p.feeds.join(" "))).collect();
        assert_eq!(shown, ["198.51.100.128/25 b", "2001:db8:0:1::/64 b"]);
        assert_eq!(compare(&new, &new).feeds.len(), 0);
    }

    #[test]
    fn the_biggest_prefixes_come_first_and_are_few() {
        let hosts: Vec<String> = (0..60).map(|n| format!("203.0.113.{}", 4 * n)).collect();
        let mut entries: Vec<(u16, &str)> = hosts.iter().map(|host| (0, host.as_str())).collect();
        // Two feeds beside each other are one span of added addresses.
        entries.extend([
            (0, "198.51.100.0/25"),
            (1, "198.51.100.128/25"),
            (0, "0.0.0.0"),
            (1, "255.255.255.254/31"),
        ]);
        let shown: Vec<String> =
            compare(&generation(&[]), &generation(&entries)).biggest.into_iter().map(|p| p.network).collect();
        assert_eq!(shown.len(), BIGGEST);
        assert_eq!(shown[..4], ["198.51.100.0/24", "255.255.255.254/31", "0.0.0.0", "203.0.113.0"]);
    }

    proptest! {
        /// The oracle: every address, one by one.
        #[test]
        fn the_sweep_agrees_with_a_scan(old in runs(), new in runs()) {
            let mut said: Vec<(u32, u32)> = vec![(0, 0); 300];
            let mut end = 0;
            sweep(old.iter().copied(), new.iter().copied(), |span, old, new| {
                assert!(span.first >= end && (old.is_listed() || new.is_listed()));
                end = span.last + 1;
                for address in span.first..=span.last {
                    said[address as usize] = (old.listing(), new.listing());
                }
            });
            let at = |runs: &[Segment<u32, Payload>], address| {
                runs.iter().find(|run| run.span.contains(address)).map_or(0, |run| run.label.listing())
            };
            for (address, said) in (0..).zip(said) {
                prop_assert_eq!(said, (at(&old, address), at(&new, address)), "{:?}", IpAddr::from(address.to_be_bytes()));
            }
        }
    }

    fn runs() -> impl Strategy<Value = Vec<Segment<u32, Payload>>> {
        prop::collection::vec((0u32..6, 1u32..8, 1u32..3), 0..15).prop_map(|parts| {
            let mut at = 0;
            let mut runs = Vec::new();
            for (gap, len, listing) in parts {
                let first = at + gap;
                at = first + len;
                let label = Payload::new(Class::Answer, listing).unwrap();
                runs.push(Segment { span: Span { first, last: at - 1 }, label });
            }
            runs
        })
    }
}
