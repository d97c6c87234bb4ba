//! Small generations for tests, merged the slow and obvious way.

use super::domain::{DomainEntry, Domains, Scope};
use super::domain_flat::FlatDomains;
use super::domain_merge::{DomainSources, merge_domains};
use super::domain_table::DomainTable;
use super::feed::domain_pattern;
use super::generation::Generation;
use super::listing::{FeedIndex, Listings, Member};
use super::network::Network;
use super::segment::{Segment, push_joined};
use super::span::{Bits, Span};
use super::table::Table;
use super::zone::{Ent, Tables, Zone, ZoneFeed, ZoneLive, ZoneSpec, test_addresses};
use blackthorn_common::payload::{Class, Payload};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Serial of every fixture, that of the byte-exact examples.
pub(crate) const SERIAL: u32 = 2_026_112_001;

/// A zone with positive TTL 600, negative TTL 300 and name server `ns1` in it. Feeds are (number, code, text).
pub(crate) fn zone(name: &str, feeds: &[(u16, &str, &str)]) -> ZoneSpec {
    let feed = |&(feed, code, text): &(u16, &str, &str)| ZoneFeed {
        feed: FeedIndex(feed),
        code: code.parse().unwrap(),
        text: text.to_owned(),
    };
    ZoneSpec {
        name: name.to_owned(),
        feeds: feeds.iter().map(feed).collect(),
        domains: false,
        live: Some(ZoneLive { code: Ipv4Addr::new(127, 0, 0, 2), text: "blocked: $".to_owned() }),
        ttl: 600,
        negative_ttl: 300,
        ns: vec![format!("ns1.{name}")],
        contact: None,
        ent: Ent::Exact,
        max_age: None,
        retired: None,
    }
}

/// A generation of these zones; entries are (feed, network). The test entries are added.
pub(crate) fn generation(zones: &[ZoneSpec], entries: &[(u16, &str)]) -> Generation {
    generation_of(zones, entries, &[])
}

/// The same with domains: (feed, pattern).
pub(crate) fn generation_of(
    zones: &[ZoneSpec],
    entries: &[(u16, &str)],
    domains: &[(u16, &str)],
) -> Generation {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (feed, network) in entries {
        let member = Member { feed: FeedIndex(*feed), value: 0 };
        match network.parse().unwrap() {
            Network::V4(span) => v4.push((span, member)),
            Network::V6(span) => v6.push((span, member)),
        }
    }
    for address in test_addresses(zones).into_iter().map(Ipv4Addr::to_bits) {
        v4.push((Span::host(address), Member { feed: FeedIndex::TEST, value: address & 0x00ff_ffff }));
    }
    let mut listings = Listings::default();
    let table = Table::compile(&segments(&v4, &mut listings), &segments(&v6, &mut listings)).unwrap();
    let domains = domain_table(domains, &mut listings);
    let tables = Tables { addresses: &table, domains: &domains };
    let zones = Zone::compile_all(zones, &listings, tables).unwrap();
    Generation { table, domains, listings, zones, ..Generation::empty(SERIAL) }
}

fn domain_table(entries: &[(u16, &str)], listings: &mut Listings) -> DomainTable {
    let mut feeds: BTreeMap<Member, Domains> = BTreeMap::new();
    let test = Member { feed: FeedIndex::TEST, value: 2 };
    let named = entries.iter().map(|&(feed, entry)| (Member { feed: FeedIndex(feed), value: 0 }, entry));
    for (member, entry) in named.chain([(test, "test")]) {
        let (name, scope) = match entry {
            "test" => (b"\x04test".to_vec(), Scope::Exact),
            entry => domain_pattern(entry).unwrap(),
        };
        feeds.entry(member).or_default().push(DomainEntry { name: &name, scope, excluded: false, line: 1 });
    }
    let flats: Vec<(Member, FlatDomains)> =
        feeds.iter().map(|(member, domains)| (*member, FlatDomains::new(domains))).collect();
    let feeds: Vec<(Member, &FlatDomains)> = flats.iter().map(|(member, flat)| (*member, flat)).collect();
    let sources = DomainSources { feeds: &feeds, exclusions: &FlatDomains::default() };
    let rules = merge_domains(&sources, listings, &mut BTreeMap::new()).unwrap();
    DomainTable::compile_sorted(&rules).unwrap()
}

fn segments<A: Bits>(entries: &[(Span<A>, Member)], listings: &mut Listings) -> Vec<Segment<A, Payload>> {
    let starts = entries.iter().flat_map(|(span, _)| [Some(span.first), span.last.succ()]);
    let starts: Vec<A> = starts.flatten().collect::<BTreeSet<_>>().into_iter().collect();
    let mut out = Vec::new();
    for (i, &first) in starts.iter().enumerate() {
        let last = starts.get(i + 1).and_then(|next| next.pred()).unwrap_or(A::MAX);
        let covering = entries.iter().filter(|(span, _)| span.contains(first)).map(|(_, member)| *member);
        let members: Vec<Member> = covering.collect::<BTreeSet<_>>().into_iter().collect();
        let payload = Payload::new(Class::Answer, listings.intern(&members).0).unwrap();
        if payload.is_listed() {
            push_joined(&mut out, Span::new(first, last).unwrap(), payload);
        }
    }
    out
}
