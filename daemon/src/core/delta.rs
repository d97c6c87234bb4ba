//! Delta: what two generations say differently, by walking both images side by side.
//!
//! Listing numbers and feed numbers mean nothing outside their generation, so listings are compared by the ids of their
//! feeds, each pair of listings once. Time is linear in the runs of both images; memory is one comparison for each pair
//! of listings that meet, and the examples asked for.

mod domains;

use super::domain_table::DomainTable;
use super::entry::FeedId;
use super::listing::{ListingId, Listings};
use super::network::Network;
use super::segment::Segment;
use super::span::{Bits, Span};
use super::table::Table;
use blackthorn_common::payload::Payload;
use serde::Serialize;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

/// How a feed is called that no generation has: the built-in test entries.
pub const TEST_FEED: &str = "test entry (RFC 5782)";

/// One of the two generations, as far as it is compared.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Address → payload.
    pub table: &'a Table,
    /// Domain → payload.
    pub domains: &'a DomainTable,
    /// Listing number → feeds.
    pub listings: &'a Listings,
    /// Ids of the feeds, by their number.
    pub feeds: &'a [FeedId],
}

/// What became of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Listed now, not before.
    Added,
    /// Listed before, not now.
    Removed,
    /// Listed before and now, but by other feeds, with other values, or with another verdict of the filter.
    Changed,
}

/// Numbers of addresses. Exact below 2^128, the whole of IPv6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Of [`Change::Added`].
    pub added: u128,
    /// Of [`Change::Removed`].
    pub removed: u128,
    /// Of [`Change::Changed`].
    pub changed: u128,
}

impl Counts {
    /// Nothing changed?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn add(&mut self, change: Change, addresses: u128) {
        let count = match change {
            Change::Added => &mut self.added,
            Change::Removed => &mut self.removed,
            Change::Changed => &mut self.changed,
        };
        *count = count.saturating_add(addresses);
    }
}

/// Numbers of addresses of both families, and of names. A name that changed together with those below it is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FamilyCounts {
    /// IPv4.
    pub v4: Counts,
    /// IPv6.
    pub v6: Counts,
    /// Names.
    pub names: Counts,
}

impl FamilyCounts {
    /// Nothing changed?
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty() && self.names.is_empty()
    }
}

/// A network whose addresses, or a pattern whose names, all changed alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The prefix, or the pattern.
    pub network: String,
    /// What became of it.
    pub change: Change,
    /// The feeds that list it now, or for [`Change::Removed`] listed it before.
    pub feeds: Vec<String>,
}

/// Everything that differs between two generations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Delta {
    /// Addresses and names, whoever lists them.
    pub addresses: FamilyCounts,
    /// Addresses by feed; feeds without any change are left out. A feed that gives an address another value has changed
    /// it; what other feeds say of it does not count here.
    pub feeds: BTreeMap<String, FamilyCounts>,
    /// The widest IPv4 prefixes that changed, widest first.
    pub widest_v4: Vec<Example>,
    /// The widest IPv6 prefixes that changed, widest first.
    pub widest_v6: Vec<Example>,
    /// The names that changed with the fewest labels, in the order of their number.
    pub names: Vec<Example>,
}

impl Delta {
    /// Do both generations list the same, for the same reasons and with the same verdicts?
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.feeds.is_empty()
    }
}

/// Compares two generations; `examples` is how many of the widest prefixes of each family, and of the names, are shown.
pub fn delta(old: Side<'_>, new: Side<'_>, examples: usize) -> Delta {
    let mut compared = Compared { old, new, pairs: HashMap::new() };
    let mut delta = Delta::default();
    let v4 = Pairs::new(old.table.runs_v4(), new.table.runs_v4());
    delta.widest_v4 = compared.family(v4, &mut delta, |counts| &mut counts.v4, Network::V4, examples);
    let v6 = Pairs::new(old.table.runs_v6(), new.table.runs_v6());
    delta.widest_v6 = compared.family(v6, &mut delta, |counts| &mut counts.v6, Network::V6, examples);
    delta.names = compared.names(&mut delta, examples);
    delta
}

/// What both sides say of a span.
type Pair = (Payload, Payload);

/// What is left of a run.
type Rest<A> = Option<Segment<A, Payload>>;

/// Iterator over the spans in which neither side changes, and of which at least one lists something.
struct Pairs<A, O, N> {
    old: O,
    new: N,
    /// What is left of the current run of each side.
    rest: (Rest<A>, Rest<A>),
}

impl<A: Bits, O, N> Pairs<A, O, N>
where
    O: Iterator<Item = Segment<A, Payload>>,
    N: Iterator<Item = Segment<A, Payload>>,
{
    fn new(mut old: O, mut new: N) -> Self {
        let rest = (old.next(), new.next());
        Self { old, new, rest }
    }
}

impl<A: Bits, O, N> Iterator for Pairs<A, O, N>
where
    O: Iterator<Item = Segment<A, Payload>>,
    N: Iterator<Item = Segment<A, Payload>>,
{
    type Item = (Span<A>, Pair);

    fn next(&mut self) -> Option<(Span<A>, Pair)> {
        let (old, new) = self.rest;
        let first = match (old, new) {
            (Some(old), Some(new)) => old.span.first.min(new.span.first),
            (Some(one), None) | (None, Some(one)) => one.span.first,
            (None, None) => return None,
        };
        // Up to the next address at which a side begins or ends.
        let mut last = A::MAX;
        let mut payload = |run: Rest<A>| match run {
            None => Payload::NONE,
            Some(run) if run.span.first > first => {
                last = last.min(run.span.first.pred().unwrap_or(last));
                Payload::NONE
            }
            Some(run) => {
                last = last.min(run.span.last);
                run.label
            }
        };
        let pair = (payload(old), payload(new));
        self.rest.0 = behind(old, last).or_else(|| self.old.next());
        self.rest.1 = behind(new, last).or_else(|| self.new.next());
        Some((Span { first, last }, pair))
    }
}

/// What is left of a run behind `last`.
fn behind<A: Bits>(run: Rest<A>, last: A) -> Rest<A> {
    let run = run?;
    let first = last.succ()?.max(run.span.first);
    Span::new(first, run.span.last).map(|span| Segment { span, ..run })
}

/// What a pair of payloads means.
struct Effect {
    /// `None`: nothing changes.
    change: Option<Change>,
    feeds: Vec<(String, Change)>,
}

impl Effect {
    /// Counts so many addresses that changed.
    fn count(
        &self,
        change: Change,
        addresses: u128,
        delta: &mut Delta,
        family: fn(&mut FamilyCounts) -> &mut Counts,
    ) {
        family(&mut delta.addresses).add(change, addresses);
        for (feed, change) in &self.feeds {
            match delta.feeds.get_mut(feed) {
                Some(counts) => family(counts).add(*change, addresses),
                None => family(delta.feeds.entry(feed.clone()).or_default()).add(*change, addresses),
            }
        }
    }
}

/// The pairs compared so far.
struct Compared<'a> {
    old: Side<'a>,
    new: Side<'a>,
    pairs: HashMap<Pair, Effect>,
}

impl Compared<'_> {
    /// Counts one family, and names its widest prefixes.
    fn family<A: Bits>(
        &mut self,
        pairs: impl Iterator<Item = (Span<A>, Pair)>,
        delta: &mut Delta,
        counts: fn(&mut FamilyCounts) -> &mut Counts,
        network: fn(Span<A>) -> Network,
        examples: usize,
    ) -> Vec<Example> {
        let mut widest = Widest { most: examples, heap: BinaryHeap::new() };
        for (span, pair) in pairs {
            let effect = self.effect(pair);
            if let Some(change) = effect.change {
                effect.count(change, span.size(), delta, counts);
                widest.take(span, pair, change);
            }
        }
        let widest = widest.heap.into_sorted_vec().into_iter();
        let example = |(len, first, pair, change): Wide<A>| {
            let side = match change {
                Change::Removed => members(self.old, pair.0),
                Change::Added | Change::Changed => members(self.new, pair.1),
            };
            let feeds = side.keys().map(|feed| (*feed).to_owned()).collect();
            Example { network: network(Span::prefix(first, len)).to_string(), change, feeds }
        };
        widest.map(example).collect()
    }

    fn effect(&mut self, pair: Pair) -> &Effect {
        let (old, new) = (self.old, self.new);
        self.pairs.entry(pair).or_insert_with(|| {
            let (before, now) = (members(old, pair.0), members(new, pair.1));
            let mut feeds: Vec<(String, Change)> = Vec::new();
            for (feed, value) in &now {
                match before.get(feed) {
                    None => feeds.push(((*feed).to_owned(), Change::Added)),
                    Some(other) if other != value => feeds.push(((*feed).to_owned(), Change::Changed)),
                    Some(_) => {}
                }
            }
            let gone = before.keys().filter(|feed| !now.contains_key(*feed));
            feeds.extend(gone.map(|feed| ((*feed).to_owned(), Change::Removed)));
            let change = match (pair.0.is_listed(), pair.1.is_listed()) {
                (false, true) => Some(Change::Added),
                (true, false) => Some(Change::Removed),
                _ if feeds.is_empty() && pair.0.drops() == pair.1.drops() => None,
                _ => Some(Change::Changed),
            };
            Effect { change, feeds }
        })
    }
}

/// The feeds of a payload by id, with their values.
fn members<'a>(side: Side<'a>, payload: Payload) -> BTreeMap<&'a str, u32> {
    let members = side.listings.members(ListingId(payload.listing())).iter();
    let id = |feed: u16| side.feeds.get(usize::from(feed)).map_or(TEST_FEED, FeedId::as_str);
    members
        .map(|member| {
            let feed = id(member.feed.0);
            // The value of a test entry is its address, which is no news.
            (feed, if feed == TEST_FEED { 0 } else { member.value })
        })
        .collect()
}

/// A prefix that changed: length, first address, and how. The widest and lowest is the least.
type Wide<A> = (u8, A, Pair, Change);

/// The widest prefixes so far; the heap gives up its narrowest first.
struct Widest<A> {
    most: usize,
    heap: BinaryHeap<Wide<A>>,
}

impl<A: Bits> Widest<A> {
    fn take(&mut self, span: Span<A>, pair: Pair, change: Change) {
        for (first, len) in span.prefixes() {
            if self.heap.len() < self.most || self.heap.peek().is_some_and(|worst| len < worst.0) {
                self.heap.push((len, first, pair, change));
            }
            if self.heap.len() > self.most {
                self.heap.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::listing::{FeedIndex, Member};
    use blackthorn_common::payload::Class;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// A generation of feeds that list spans with a value, labelled address by address, of the first 1 Ki addresses.
    struct Small {
        table: Table,
        domains: DomainTable,
        listings: Listings,
        feeds: Vec<FeedId>,
    }

    const SPACE: u32 = 1 << 10;

    /// Entries: (feed, first, length, value). `order` is which feed has which number.
    fn small(order: &[&str], dropping: &str, entries: &[(usize, u32, u32, u32)]) -> Small {
        let mut listings = Listings::default();
        let mut segments: Vec<Segment<u32, Payload>> = Vec::new();
        for address in 0..SPACE {
            let says = said(entries, address);
            let mut members: Vec<Member> = says
                .iter()
                .map(|(&feed, &value)| {
                    let index = order.iter().position(|id| *id == NAMES[feed]).unwrap();
                    Member { feed: FeedIndex(index as u16), value }
                })
                .collect();
            members.sort_unstable();
            let drops = says.keys().any(|feed| NAMES[*feed] == dropping);
            let class = if drops { Class::Drop } else { Class::Answer };
            let label = Payload::new(class, listings.intern(&members).0).unwrap();
            if label.is_listed() {
                crate::core::segment::push_joined(&mut segments, Span::host(address), label);
            }
        }
        let wide: Vec<Segment<u128, Payload>> = segments
            .iter()
            .map(|s| Segment {
                span: Span {
                    first: u128::from(s.span.first) << 96,
                    last: ((u128::from(s.span.last) + 1) << 96) - 1,
                },
                label: s.label,
            })
            .collect();
        let feeds = order.iter().map(|id| FeedId::new(id).unwrap()).collect();
        let domains = DomainTable::default();
        Small { table: Table::compile(&segments, &wide).unwrap(), domains, listings, feeds }
    }

    const NAMES: [&str; 3] = ["a", "b", "c"];

    /// What the feeds say of an address: the last entry of each counts.
    fn said(entries: &[(usize, u32, u32, u32)], address: u32) -> BTreeMap<usize, u32> {
        let covering = entries.iter().filter(|(_, first, len, _)| (*first..first + len).contains(&address));
        covering.map(|&(feed, _, _, value)| (feed, value)).collect()
    }

    impl Small {
        fn side(&self) -> Side<'_> {
            Side { table: &self.table, domains: &self.domains, listings: &self.listings, feeds: &self.feeds }
        }
    }

    fn entries() -> impl Strategy<Value = Vec<(usize, u32, u32, u32)>> {
        prop::collection::vec((0usize..3, 0u32..SPACE, 1u32..40, 0u32..3), 0..30)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn counts_are_those_of_the_sets(before in entries(), now in entries(), dropping in (0usize..3, 0usize..3)) {
            // Feeds have other numbers on the other side.
            let old = small(&["a", "b", "c"], NAMES[dropping.0], &before);
            let new = small(&["c", "a", "b"], NAMES[dropping.1], &now);
            let mut expected = Counts::default();
            let mut by_feed: BTreeMap<String, Counts> = BTreeMap::new();
            let drops = |says: &BTreeMap<usize, u32>, feed: usize| says.contains_key(&feed);
            for address in 0..SPACE {
                let (was, is) = (said(&before, address), said(&now, address));
                let change = match (was.is_empty(), is.is_empty()) {
                    (true, true) => None,
                    (true, false) => Some(Change::Added),
                    (false, true) => Some(Change::Removed),
                    _ if was != is || drops(&was, dropping.0) != drops(&is, dropping.1) => Some(Change::Changed),
                    _ => None,
                };
                if let Some(change) = change {
                    expected.add(change, 1);
                }
                for feed in was.keys().chain(is.keys()).collect::<BTreeSet<_>>() {
                    let change = match (was.get(feed), is.get(feed)) {
                        (None, Some(_)) => Change::Added,
                        (Some(_), None) => Change::Removed,
                        (before, now) if before != now => Change::Changed,
                        _ => continue,
                    };
                    by_feed.entry(NAMES[*feed].to_owned()).or_default().add(change, 1);
                }
            }
            let found = delta(old.side(), new.side(), 5);
            prop_assert_eq!(found.addresses.v4, expected);
            let v4 = found.feeds.iter().map(|(feed, counts)| (feed.clone(), counts.v4)).collect::<BTreeMap<_, _>>();
            prop_assert_eq!(&v4, &by_feed);
            let each = |n: u128| n << 96;
            let v6 = Counts { added: each(expected.added), removed: each(expected.removed), changed: each(expected.changed) };
            prop_assert_eq!(found.addresses.v6, v6);
            prop_assert_eq!(found.is_empty(), expected.is_empty());
            let prefixes = found.addresses.v4.added + found.addresses.v4.removed + found.addresses.v4.changed;
            prop_assert!(found.widest_v4.len() <= 5 && (found.widest_v4.is_empty() == (prefixes == 0)));
        }
    }

    #[test]
    fn a_generation_does_not_differ_from_itself() {
        let one = small(&["a", "b", "c"], "a", &[(0, 3, 9, 0), (1, 5, 90, 2)]);
        assert_eq!(delta(one.side(), one.side(), 10), Delta::default());
    }

    #[test]
    fn the_widest_prefixes_come_first_with_their_feeds() {
        let old = small(&["a"], "", &[(0, 512, 32, 0), (0, 100, 1, 0)]);
        let new = small(&["b", "a"], "", &[(0, 100, 1, 7), (1, 0, 16, 0), (0, 0, 8, 0)]);
        let found = delta(old.side(), new.side(), 3);
        let shown = |list: &[Example]| -> Vec<String> {
            list.iter().map(|e| format!("{} {:?} {}", e.network, e.change, e.feeds.join(","))).collect()
        };
        assert_eq!(
            shown(&found.widest_v4),
            ["0.0.2.0/27 Removed a", "0.0.0.0/29 Added a,b", "0.0.0.8/29 Added b"]
        );
        assert_eq!(shown(&found.widest_v6)[0], "0:200::/27 Removed a");
        assert!(delta(old.side(), new.side(), 0).widest_v4.is_empty());
        assert_eq!(found.feeds["a"].v4, Counts { added: 8, removed: 32, changed: 1 });
    }

    #[test]
    fn the_whole_of_ipv6_is_counted() {
        let mut listings = Listings::default();
        let label =
            Payload::new(Class::Answer, listings.intern(&[Member { feed: FeedIndex(0), value: 0 }]).0)
                .unwrap();
        let whole = Table::compile(&[], &[Segment { span: Span::ALL, label }]).unwrap();
        let feeds = [FeedId::new("a").unwrap()];
        let domains = DomainTable::default();
        let nothing =
            Side { table: &Table::default(), domains: &domains, listings: &listings, feeds: &feeds };
        let found = delta(nothing, Side { table: &whole, ..nothing }, 9);
        assert_eq!(found.addresses.v6.added, u128::MAX);
        assert_eq!(found.widest_v6[0].network, "::/0");
    }
}
