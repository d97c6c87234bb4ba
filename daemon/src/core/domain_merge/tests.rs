//! The merge against a linear scan over all entries.

use super::*;
use crate::core::domain::{DomainEntry, Domains, Scope, labels};
use crate::core::domain_table::DomainTable;
use crate::core::listing::ListingId;
use proptest::prelude::*;
use proptest::sample::select;

/// One entry: name by its labels from the highest down, scope, excluded.
type Line = (Vec<&'static str>, Scope, bool);

fn wire(labels: &[&str]) -> Vec<u8> {
    labels.iter().rev().flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect()
}

fn flat(lines: &[Line]) -> FlatDomains {
    let mut domains = Domains::default();
    for ((labels, scope, excluded), line) in lines.iter().zip(1..) {
        let entry = DomainEntry { name: &wire(labels), scope: *scope, excluded: *excluded, line };
        assert!(domains.push(entry));
    }
    FlatDomains::new(&domains)
}

/// The oracle for one feed: of all entries that speak for the name, the most specific one decides; of several, an
/// exclusion.
fn lists(lines: &[Line], asked: &[&str]) -> bool {
    let rank = |(name, scope, _): &Line| {
        let exact = name.as_slice() == asked && scope.has_name();
        let above = name.len() < asked.len() && asked.starts_with(name) && scope.has_below();
        if exact { Some(usize::MAX) } else { above.then_some(name.len()) }
    };
    let deciding = lines.iter().filter_map(|line| Some((rank(line)?, line.2))).max();
    deciding.is_some_and(|(_, excluded)| !excluded)
}

/// Does any exclusion speak for the name?
fn excluded(lines: &[Line], asked: &[&str]) -> bool {
    let speaks = |(name, scope, _): &Line| {
        name.as_slice() == asked && scope.has_name()
            || name.len() < asked.len() && asked.starts_with(name) && scope.has_below()
    };
    lines.iter().any(speaks)
}

fn member(feed: usize) -> Member {
    Member { feed: FeedIndex(feed as u16), value: 0 }
}

struct Merged {
    table: DomainTable,
    listings: Listings,
    held_back: BTreeMap<FeedIndex, HeldBack>,
}

fn merged(feeds: &[Vec<Line>], exclusions: &[Line]) -> Merged {
    let flats: Vec<FlatDomains> = feeds.iter().map(|lines| flat(lines)).collect();
    let sources: Vec<_> = flats.iter().enumerate().map(|(number, flat)| (member(number), flat)).collect();
    let (mut listings, mut held_back) = (Listings::default(), BTreeMap::new());
    let sources = DomainSources { feeds: &sources, exclusions: &flat(exclusions) };
    let rules = merge_domains(&sources, &mut listings, &mut held_back).unwrap();
    Merged { table: DomainTable::compile_sorted(&rules).unwrap(), listings, held_back }
}

impl Merged {
    /// Feeds that list the name.
    fn listed_by(&self, asked: &[&str]) -> Vec<u16> {
        let found = self.table.find_labels(asked.iter().map(|label| label.as_bytes()));
        self.listings.members(ListingId(found.payload.listing())).iter().map(|m| m.feed.0).collect()
    }
}

fn line(labels: &[&'static str], scope: Scope) -> Line {
    (labels.to_vec(), scope, false)
}

#[test]
fn a_name_answers_for_all_feeds_that_cover_it() {
    let merged = merged(
        &[
            vec![line(&["com", "example"], Scope::Subtree)],
            vec![line(&["com", "example", "www"], Scope::Exact)],
            vec![
                line(&["com", "example"], Scope::Below),
                (vec!["com", "example", "www"], Scope::Exact, true),
            ],
        ],
        &[],
    );
    assert_eq!(merged.listed_by(&["com", "example"]), [0]);
    assert_eq!(merged.listed_by(&["com", "example", "www"]), [0, 1]);
    assert_eq!(merged.listed_by(&["com", "example", "ftp"]), [0, 2]);
    assert_eq!(merged.listed_by(&["com", "example", "www", "x"]), [0, 2]);
    assert_eq!(merged.listed_by(&["com"]), [] as [u16; 0]);
    assert!(merged.held_back.is_empty());
}

#[test]
fn exclusions_of_the_operator_hold_for_all_feeds_and_all_below() {
    let merged = merged(
        &[
            vec![line(&["com", "example"], Scope::Subtree), line(&["net", "good"], Scope::Exact)],
            vec![
                line(&["com", "example", "safe", "bad"], Scope::Exact),
                line(&["net", "good", "x"], Scope::Exact),
            ],
        ],
        &[line(&["com", "example", "safe"], Scope::Subtree), line(&["net", "good"], Scope::Exact)],
    );
    assert_eq!(merged.listed_by(&["com", "example", "other"]), [0]);
    for held in [&["com", "example", "safe"][..], &["com", "example", "safe", "bad"], &["net", "good"]] {
        assert_eq!(merged.listed_by(held), [] as [u16; 0], "{held:?}");
    }
    assert_eq!(merged.listed_by(&["net", "good", "x"]), [1]);
    // Feed 0: an exclusion inside .example.com, and good.net itself. Feed 1: the name below an exclusion.
    let held = |feed| merged.held_back[&FeedIndex(feed)].domains;
    assert_eq!((held(0), held(1)), (2, 1));
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let label = select(&["a", "b", "com"][..]);
    let name = prop::collection::vec(label, 1..4);
    let scope = select(&[Scope::Exact, Scope::Subtree, Scope::Below][..]);
    prop::collection::vec((name, scope, prop::bool::weighted(0.3)), 0..12)
}

proptest! {
    /// Every name over a small alphabet, below and above what is listed, by a scan over all entries.
    #[test]
    fn agrees_with_a_linear_scan(feeds in prop::collection::vec(lines(), 1..4), exclusions in lines()) {
        let exclusions: Vec<Line> = exclusions.into_iter().map(|(name, scope, _)| (name, scope, false)).collect();
        let merged = merged(&feeds, &exclusions);
        let alphabet = ["a", "b", "com", "x"];
        let mut asked: Vec<Vec<&str>> = vec![vec![]];
        for _ in 0..4 {
            let deeper = asked.iter().flat_map(|name| alphabet.map(|label| [&name[..], &[label]].concat()));
            asked = deeper.chain(asked.clone()).collect();
            asked.sort();
            asked.dedup();
        }
        for name in asked.iter().filter(|name| !name.is_empty()) {
            let by = |number: &usize| lists(&feeds[*number], name) && !excluded(&exclusions, name);
            let expected: Vec<u16> = (0..feeds.len()).filter(by).map(|number| number as u16).collect();
            prop_assert_eq!(merged.listed_by(name), expected, "{:?}", name);
        }
    }

    /// What was settled once settles to itself.
    #[test]
    fn settled_feeds_stay_as_they_are(lines in lines()) {
        let first = flat(&lines);
        let again: Vec<Line> = first.iter().flat_map(|said| {
            let labels: Vec<&'static str> = labels(said.key).unwrap().map(|l| match l { b"a" => "a", b"b" => "b", _ => "com" }).collect();
            let name = said.name.map(|listed| (labels.clone(), Scope::Exact, !listed));
            let below = said.below.map(|listed| (labels.clone(), Scope::Below, !listed));
            name.into_iter().chain(below)
        }).collect();
        prop_assert!(flat(&again).iter().eq(first.iter()));
    }
}
