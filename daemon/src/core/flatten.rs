//! Flatten: one feed's entries, with all their overlaps, become disjoint segments with one value each. Its names are
//! settled in [`super::domain_flat`].
//!
//! The narrowest entry that covers an address gives its value; of equally narrow ones the highest value. For prefixes
//! that is "longest prefix wins". Ranges may overlap in any way.

use super::domain_flat::FlatDomains;
use super::entry::{Entries, Entry};
use super::segment::{Segment, push_joined};
use super::span::{Bits, Span};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// One feed, flattened: label = the feed's value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flat {
    /// IPv4 segments, sorted and disjoint.
    pub v4: Vec<Segment<u32, u32>>,
    /// IPv6 segments, sorted and disjoint.
    pub v6: Vec<Segment<u128, u32>>,
    /// Names, sorted and settled.
    pub domains: FlatDomains,
    /// Entries whose exact span came before in the same feed (E19).
    pub duplicates: u64,
    /// Entries that lie wholly inside a wider entry of the same feed (E19).
    pub nested: u64,
}

impl Flat {
    /// Number of IPv4 and IPv6 addresses covered; IPv6 saturates.
    pub fn addresses(&self) -> (u128, u128) {
        (total(&self.v4), total(&self.v6))
    }
}

fn total<A: Bits>(segments: &[Segment<A, u32>]) -> u128 {
    segments.iter().fold(0u128, |sum, s| sum.saturating_add(s.span.size()))
}

/// Flattens both families, without names. Takes the entries because it sorts them in place.
pub fn flatten(entries: Entries) -> Flat {
    let mut flat = Flat::default();
    flat.v4 = family(entries.v4, &mut flat.duplicates, &mut flat.nested);
    flat.v6 = family(entries.v6, &mut flat.duplicates, &mut flat.nested);
    flat
}

/// What covers the sweep's position: narrowest first, then highest value.
type Active<A> = BinaryHeap<Reverse<(u128, Reverse<u32>, A)>>;

fn family<A: Bits>(
    mut entries: Vec<Entry<A>>,
    duplicates: &mut u64,
    nested: &mut u64,
) -> Vec<Segment<A, u32>> {
    entries.sort_unstable_by_key(|e| (e.span.first, Reverse(e.span.last)));
    let mut out = Vec::with_capacity(entries.len());
    let mut active: Active<A> = BinaryHeap::new();
    let mut at = A::ZERO;
    let mut previous: Option<Span<A>> = None;
    // The furthest end so far: sorted by start, an entry that ends before it lies inside an earlier one.
    let mut reach: Option<A> = None;

    for entry in &entries {
        emit(&mut out, &mut active, at, entry.span.first.pred());
        at = entry.span.first;
        if previous == Some(entry.span) {
            *duplicates += 1;
        } else if reach.is_some_and(|reach| entry.span.last <= reach) {
            *nested += 1;
        }
        previous = Some(entry.span);
        reach = reach.max(Some(entry.span.last));
        active.push(Reverse((entry.span.size(), Reverse(entry.value), entry.span.last)));
    }
    emit(&mut out, &mut active, at, Some(A::MAX));
    out
}

/// Writes the segments from `at` to `until` (nothing for `None`) and forgets what ends on the way.
fn emit<A: Bits>(out: &mut Vec<Segment<A, u32>>, active: &mut Active<A>, mut at: A, until: Option<A>) {
    let Some(until) = until else { return };
    while at <= until {
        let Some(&Reverse((_, Reverse(value), last))) = active.peek() else { return };
        if last < at {
            active.pop();
            continue;
        }
        push_joined(out, Span { first: at, last: last.min(until) }, value);
        match last.min(until).succ() {
            Some(next) => at = next,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::network::Network;
    use crate::core::segment::find;
    use proptest::prelude::*;

    fn entries(list: &[(&str, u32)]) -> Entries {
        let mut entries = Entries::default();
        for (line, (text, value)) in (1..).zip(list) {
            entries.push(text.parse().unwrap(), line, *value);
        }
        entries
    }

    fn shown(flat: &Flat) -> Vec<String> {
        let v4 = flat.v4.iter().map(|s| format!("{}={}", Network::V4(s.span), s.label));
        let v6 = flat.v6.iter().map(|s| format!("{}={}", Network::V6(s.span), s.label));
        v4.chain(v6).collect()
    }

    #[test]
    fn narrowest_wins_and_the_wide_one_goes_on_behind_it() {
        let flat = flatten(entries(&[("192.0.2.0/24", 1), ("192.0.2.64/26", 2), ("192.0.2.70", 3)]));
        assert_eq!(
            shown(&flat),
            [
                "192.0.2.0/26=1",
                "192.0.2.64-192.0.2.69=2",
                "192.0.2.70=3",
                "192.0.2.71-192.0.2.127=2",
                "192.0.2.128/25=1"
            ]
        );
        assert_eq!((flat.duplicates, flat.nested), (0, 2));
    }

    #[test]
    fn duplicates_merge_and_the_higher_value_stays() {
        let flat =
            flatten(entries(&[("192.0.2.1", 3), ("192.0.2.1", 9), ("192.0.2.1", 5), ("192.0.2.2", 9)]));
        assert_eq!(shown(&flat), ["192.0.2.1-192.0.2.2=9"]);
        assert_eq!((flat.duplicates, flat.nested), (2, 0));
    }

    #[test]
    fn whole_families_and_their_ends() {
        let flat = flatten(entries(&[("0.0.0.0/0", 1), ("0.0.0.0", 2), ("255.255.255.255", 2), ("::/0", 4)]));
        assert_eq!(shown(&flat), ["0.0.0.0=2", "0.0.0.1-255.255.255.254=1", "255.255.255.255=2", "::/0=4"]);
    }

    proptest! {
        /// The oracle: for each address scan all entries for the narrowest, then the highest value.
        #[test]
        fn agrees_with_a_linear_scan(list in prop::collection::vec((0u32..64, 0u32..64, 0u32..4), 0..40)) {
            let mut all = Entries::default();
            for (a, b, value) in &list {
                all.push(Network::V4(Span { first: *a.min(b), last: *a.max(b) }), 1, *value);
                all.push(Network::V6(Span { first: u128::MAX - u128::from(*a.max(b)), last: u128::MAX - u128::from(*a.min(b)) }), 1, *value);
            }
            let flat = flatten(all.clone());
            for address in 0u32..66 {
                let expected = all.v4.iter().filter(|e| e.span.contains(address)).map(|e| (e.span.size(), Reverse(e.value))).min();
                prop_assert_eq!(find(&flat.v4, address), expected.map(|(_, Reverse(value))| value));
                prop_assert_eq!(find(&flat.v6, u128::MAX - u128::from(address)), expected.map(|(_, Reverse(value))| value));
            }
            for pair in flat.v4.windows(2) {
                prop_assert!(pair[0].span.last < pair[1].span.first);
                prop_assert!(pair[0].label != pair[1].label || pair[0].span.last + 1 < pair[1].span.first);
            }
        }
    }
}
