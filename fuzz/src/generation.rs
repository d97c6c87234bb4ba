//! A small generation with a bit of everything, and its file taken apart and put together.

use blackthorn::core::build::{Plan, build};
use blackthorn::core::domain_flat::FlatDomains;
use blackthorn::core::entry::{Entries, FeedId};
use blackthorn::core::feed::{Format, Rules, parse};
use blackthorn::core::flatten::{Flat, flatten};
use blackthorn::core::generation::{FeedCopy, Generation, Lineage};
use blackthorn::core::generation_file::{checksum, encode};
use blackthorn::core::listing::FeedIndex;
use blackthorn::core::protection::{Reservations, Reserved};
use blackthorn::core::zone::{Ent, ZoneFeed, ZoneLive, ZoneSpec};
use std::ops::Range;
use std::sync::Arc;

/// Sections of a file.
pub const SECTIONS: usize = 9;
/// Where the table of sections begins, and bytes of each entry: offset, length, checksum.
const AT_TABLE: usize = 24;
const ENTRY: usize = 24;
/// Where the checksum of the header is.
const AT_CHECKSUM: usize = AT_TABLE + SECTIONS * ENTRY;

/// A zone of feeds (number, code, text).
fn zone(name: &str, feeds: &[(u16, [u8; 4], &str)]) -> ZoneSpec {
    let feed = |&(feed, code, text): &(u16, [u8; 4], &str)| ZoneFeed {
        feed: FeedIndex(feed),
        code: code.into(),
        text: text.to_owned(),
    };
    ZoneSpec {
        name: name.to_owned(),
        feeds: feeds.iter().map(feed).collect(),
        domains: name == "bl.example",
        live: Some(ZoneLive { code: [127, 0, 0, 3].into(), text: "blocked: $".to_owned() }),
        ttl: 600,
        negative_ttl: 300,
        ns: vec![format!("ns1.{name}"), "ns.example.net".to_owned()],
        contact: None,
        ent: Ent::Exact,
        max_age: None,
        retired: None,
    }
}

/// Three zones, one below another and one without data; three feeds, one of them never loaded and one with texts that
/// do not fit a small reply; networks of both families, exclusions and protections.
pub fn generation() -> Generation {
    let long = "x".repeat(230);
    let zones = [
        zone("bl.example", &[(0, [127, 0, 0, 2], "see https://bl.example/?q=$"), (1, [127, 0, 0, 4], &long)]),
        zone("deep.bl.example", &[(1, [127, 0, 0, 9], &long)]),
        zone("none.example", &[(2, [127, 0, 0, 2], "")]),
    ];
    let flat = |networks: &[(&str, u32)], domains: &str| {
        let mut entries = Entries::default();
        for (line, (network, value)) in (1..).zip(networks) {
            entries.push(network.parse().expect("a network"), line, *value);
        }
        let parsed = parse(&Rules::new(Format::Domains), domains.as_bytes()).expect("a list of domains");
        Some(Arc::new(Flat { domains: FlatDomains::new(&parsed.domains), ..flatten(entries) }))
    };
    let reserved = |network: &str| Reserved {
        network: network.parse().expect("a network"),
        reason: format!("for {network}"),
    };
    let id = |name| FeedId::new(name).expect("a feed id");
    let plan = Plan {
        feeds: vec![
            (
                id("one"),
                flat(
                    &[("192.0.2.0/24", 7), ("203.0.113.9", 0), ("2001:db8::/33", 3)],
                    ".example.com\nbad.example.net\n",
                ),
            ),
            (
                id("two"),
                flat(
                    &[("192.0.2.128/25", 0), ("198.51.100.1-198.51.100.9", 1), ("2001:db8:1::7", 1)],
                    "*.www.example.com\nworse.example.net\n",
                ),
            ),
            (id("none"), None),
        ],
        exclusions: Reservations::new(vec![reserved("192.0.2.77"), reserved("2001:db8:2::/48")]),
        protections: Reservations::new(vec![reserved("198.51.100.3-198.51.100.4")]),
        zones: &zones,
        filter_feeds: &[FeedIndex(0)],
    };
    let mut generation = build(&plan, 1_795_000_000, 1_795_000_001).expect("the plan is sound");
    if let Some(zone) = generation.zones.last_mut() {
        zone.loaded = false;
    }
    if let Some(part) = generation.parts.first_mut() {
        part.copy = Some(FeedCopy {
            sha256: "ab".repeat(32),
            fetched_at: 1,
            entries_v4: 2,
            entries_v6: 1,
            domains: 3,
        });
    }
    generation.lineage = Lineage { parents: vec![1], settings: "s".to_owned(), digest: generation.digest() };
    generation
}

/// The file of a generation.
pub fn file(generation: &Generation) -> Vec<u8> {
    let encoded = encode(generation).expect("a generation of ours");
    encoded.chunks().flatten().copied().collect()
}

fn long(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().map_or(0, u64::from_ne_bytes)
}

/// Where a section lies, going by the header.
pub fn section(file: &[u8], number: usize) -> Range<usize> {
    let at = AT_TABLE + number * ENTRY;
    let start = usize::try_from(long(file, at)).unwrap_or(usize::MAX);
    let len = usize::try_from(long(file, at + 8)).unwrap_or(usize::MAX);
    start..start.saturating_add(len)
}

/// The file with another content of one section: those behind it move, and all checksums are right.
pub fn with_section(file: &[u8], number: usize, content: &[u8]) -> Vec<u8> {
    let range = section(file, number);
    let after = range.end.next_multiple_of(64);
    let mut out = [&file[..range.start], content].concat();
    out.resize(out.len().next_multiple_of(64), 0);
    // Both are multiples of the alignment.
    let moved = |at: u64| at.wrapping_add(out.len() as u64).wrapping_sub(after as u64);
    let mut head: Vec<(usize, u64)> = vec![(AT_TABLE + number * ENTRY + 8, content.len() as u64)];
    for later in number + 1..SECTIONS {
        let at = AT_TABLE + later * ENTRY;
        head.push((at, moved(long(file, at))));
    }
    out.extend(&file[after..]);
    head.push((16, out.len() as u64));
    for (at, value) in head {
        out[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    }
    reseal(&mut out);
    out
}

/// Makes the checksums right, so that what is behind them is reached.
pub fn reseal(file: &mut [u8]) {
    if file.len() < AT_CHECKSUM + 8 {
        return;
    }
    for number in 0..SECTIONS {
        if let Some(sum) = file.get(section(file, number)).map(checksum) {
            let at = AT_TABLE + number * ENTRY + 16;
            file[at..at + 8].copy_from_slice(&sum.to_ne_bytes());
        }
    }
    let sum = checksum(&file[..AT_CHECKSUM]);
    file[AT_CHECKSUM..AT_CHECKSUM + 8].copy_from_slice(&sum.to_ne_bytes());
}
