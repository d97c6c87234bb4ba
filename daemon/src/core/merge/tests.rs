use super::*;
use crate::core::entry::Entries;
use crate::core::flatten::flatten;
use crate::core::network::Network;
use crate::core::segment::find;
use proptest::prelude::*;

fn flat(list: &[(&str, u32)]) -> Flat {
    let mut entries = Entries::default();
    for (text, value) in list {
        entries.push(text.parse().unwrap(), 1, *value);
    }
    flatten(entries)
}

fn coverage(texts: &[&str]) -> Coverage {
    Coverage::new(texts.iter().map(|t| t.parse::<Network>().unwrap()))
}

fn run(feeds: &[Flat], exclusions: &[&str], protected: &[&str], filter: &[u16]) -> Merged {
    let feeds: Vec<_> = (0..).map(FeedIndex).zip(feeds).collect();
    let filter: Vec<_> = filter.iter().copied().map(FeedIndex).collect();
    merge(&Sources {
        feeds: &feeds,
        exclusions: &coverage(exclusions),
        protected: &coverage(protected),
        filter_feeds: &filter,
    })
    .unwrap()
}

/// `network=feed.value,... !` with `!` for class drop.
fn shown(merged: &Merged) -> Vec<String> {
    let label = |payload: Payload| {
        let members = merged.listings.members(super::super::listing::ListingId(payload.listing()));
        let names: Vec<String> = members.iter().map(|m| format!("{}.{}", m.feed.0, m.value)).collect();
        format!("{}{}", names.join(","), if payload.drops() { "!" } else { "" })
    };
    let v4 = merged.v4.iter().map(|s| format!("{}={}", Network::V4(s.span), label(s.label)));
    let v6 = merged.v6.iter().map(|s| format!("{}={}", Network::V6(s.span), label(s.label)));
    v4.chain(v6).collect()
}

#[test]
fn union_of_feeds_splits_at_every_edge() {
    let merged = run(
        &[flat(&[("192.0.2.0/24", 0)]), flat(&[("192.0.2.128/25", 7), ("2001:db8::/32", 7)])],
        &[],
        &[],
        &[],
    );
    assert_eq!(shown(&merged), ["192.0.2.0/25=0.0", "192.0.2.128/25=0.0,1.7", "2001:db8::/32=1.7"]);
}

#[test]
fn exclusions_are_carved_out_of_wider_entries_and_counted() {
    let merged = run(&[flat(&[("192.0.2.0/24", 0)])], &["192.0.2.64/26", "198.51.100.0/24"], &[], &[]);
    assert_eq!(shown(&merged), ["192.0.2.0/26=0.0", "192.0.2.128/25=0.0"]);
    assert_eq!(merged.held_back[&FeedIndex(0)], HeldBack { excluded: 64, ..HeldBack::default() });
}

#[test]
fn protection_keeps_the_listing_but_not_the_drop() {
    let merged =
        run(&[flat(&[("192.0.2.0/24", 0)]), flat(&[("192.0.2.0/24", 0)])], &[], &["192.0.2.7"], &[1]);
    assert_eq!(
        shown(&merged),
        ["192.0.2.0-192.0.2.6=0.0,1.0!", "192.0.2.7=0.0,1.0", "192.0.2.8-192.0.2.255=0.0,1.0!"]
    );
    assert_eq!(merged.held_back[&FeedIndex(1)], HeldBack { protected: 1, ..HeldBack::default() });
    assert!(!merged.held_back.contains_key(&FeedIndex(0)));
}

#[test]
fn whole_families_reach_their_last_address() {
    let merged = run(&[flat(&[("0.0.0.0/0", 0), ("::/0", 0)])], &["255.255.255.255", "::"], &[], &[]);
    assert_eq!(
        shown(&merged),
        ["0.0.0.0-255.255.255.254=0.0", "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff=0.0"]
    );
}

#[test]
fn nothing_in_nothing_out() {
    let merged = run(&[], &["0.0.0.0/0"], &["::/0"], &[]);
    assert!(merged.v4.is_empty() && merged.v6.is_empty() && merged.held_back.is_empty());
}

proptest! {
    /// The oracle: for each address ask every input in turn.
    #[test]
    fn agrees_with_asking_every_feed(
        feeds in prop::collection::vec(prop::collection::vec((0u32..48, 0u32..48, 0u32..3), 0..12), 0..5),
        excluded in prop::collection::vec((0u32..48, 0u32..8), 0..4),
        protected in prop::collection::vec((0u32..48, 0u32..8), 0..4),
        filter in prop::collection::vec(0u16..5, 0..3),
    ) {
        // IPv4 at the bottom of its family, IPv6 mirrored at the top, so that both ends are met.
        let v4 = |a: u32, b: u32| Network::V4(Span { first: a, last: b });
        let v6 = |a: u32, b: u32| Network::V6(Span { first: u128::MAX - u128::from(b), last: u128::MAX - u128::from(a) });
        let both = |list: &[(u32, u32)]| Coverage::new(list.iter().flat_map(|&(a, n)| [v4(a, a + n), v6(a, a + n)]));
        let flats: Vec<Flat> = feeds.iter().map(|list| {
            let mut entries = Entries::default();
            for &(a, b, value) in list {
                entries.push(v4(a.min(b), a.max(b)), 1, value);
                entries.push(v6(a.min(b), a.max(b)), 1, value);
            }
            flatten(entries)
        }).collect();
        let indexed: Vec<_> = (0..).map(FeedIndex).zip(&flats).collect();
        let filter: Vec<_> = filter.into_iter().map(FeedIndex).collect();
        let (exclusions, protections) = (both(&excluded), both(&protected));
        let merged = merge(&Sources { feeds: &indexed, exclusions: &exclusions, protected: &protections, filter_feeds: &filter }).unwrap();

        for address in 0u32..58 {
            let hit = |list: &[(u32, u32)]| list.iter().any(|&(a, n)| a <= address && address <= a + n);
            let members: Vec<Member> = indexed.iter()
                .filter_map(|(feed, flat)| Some(Member { feed: *feed, value: find(&flat.v4, address)? }))
                .collect();
            let listed = !members.is_empty() && !hit(&excluded);
            let drops = listed && !hit(&protected) && members.iter().any(|m| filter.contains(&m.feed));
            for payload in [find(&merged.v4, address), find(&merged.v6, u128::MAX - u128::from(address))] {
                prop_assert_eq!(payload.is_some(), listed);
                if let Some(payload) = payload {
                    prop_assert_eq!(merged.listings.members(super::super::listing::ListingId(payload.listing())), &members[..]);
                    prop_assert_eq!(payload.drops(), drops);
                }
            }
        }
    }
}
