//! Generations there and back, and bytes that are none.

use super::*;
use crate::core::build::{Plan, build};
use crate::core::domain::{Scope, dotted};
use crate::core::domain_flat::FlatDomains;
use crate::core::entry::Entries;
use crate::core::explain::{explain, explain_domain};
use crate::core::feed::{Format, Rules, domain_name, parse};
use crate::core::fixture;
use crate::core::flatten::{Flat, flatten};
use crate::core::live_table::LiveTable;
use proptest::prelude::*;
use std::net::IpAddr;
use std::sync::LazyLock;

/// 64 bytes on a boundary of as many, as a mapping has them.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Block([u8; ALIGN]);

// SAFETY: an array of bytes.
unsafe impl Plain for Block {}

struct Memory(Vec<Block>, usize);

// SAFETY: the blocks are on the heap, and a shared reference gives no way to change them.
unsafe impl Bytes for Memory {
    fn bytes(&self) -> &[u8] {
        &as_bytes(&self.0)[..self.1]
    }
}

fn memory(bytes: &[u8]) -> Arc<dyn Bytes> {
    let block = |chunk: &[u8]| {
        let mut block = Block([0; ALIGN]);
        block.0[..chunk.len()].copy_from_slice(chunk);
        block
    };
    Arc::new(Memory(bytes.chunks(ALIGN).map(block).collect(), bytes.len()))
}

/// Two feeds and a third without data, two zones that show the same and one that does not, reservations.
fn generation() -> Generation {
    let flat = |entries: &[(&str, u32)]| {
        let mut parsed = Entries::default();
        for (line, (network, value)) in (1..).zip(entries) {
            parsed.push(network.parse().unwrap(), line, *value);
        }
        flatten(parsed)
    };
    let with_domains = |flat: Flat, text: &str| {
        let domains = parse(&Rules::new(Format::Domains), text.as_bytes()).unwrap().domains;
        Some(Arc::new(Flat { domains: FlatDomains::new(&domains), ..flat }))
    };
    let reserved = |list: &[&str]| {
        let one =
            |network: &&str| Reserved { network: network.parse().unwrap(), reason: format!("for {network}") };
        Reservations::new(list.iter().map(one).collect())
    };
    let zones = [
        fixture::zone("a.example", &[(0, "127.0.0.2", "see $"), (1, "127.0.0.4", "")]),
        ZoneSpec { domains: true, ..fixture::zone("b.example", &[(1, "127.0.0.9", "b")]) },
        fixture::zone("c.example", &[(0, "127.0.0.2", ""), (1, "127.0.0.4", "$$")]),
    ];
    let mut mapped = vec![Reserved {
        network: Network::V6(Span::prefix(0xffff_0000_0000, 96)),
        reason: "special-use address space".to_owned(),
    }];
    mapped.extend(reserved(&["10.0.0.0/8", "2001:db8:1::1"]).iter().cloned());
    let plan = Plan {
        feeds: vec![
            (
                FeedId::new("one").unwrap(),
                with_domains(
                    flat(&[("192.0.2.0/24", 7), ("10.1.2.3", 0), ("2001:db8::/33", 3)]),
                    ".example.com\nbad.example.net\n",
                ),
            ),
            (
                FeedId::new("two").unwrap(),
                with_domains(
                    flat(&[("192.0.2.128/25", 0), ("198.51.100.1-198.51.100.9", 1)]),
                    "*.www.example.com\nworse.example.net\n",
                ),
            ),
            (FeedId::new("none").unwrap(), None),
        ],
        exclusions: reserved(&["192.0.2.77", "198.51.100.3-198.51.100.4"]).with_domains(vec![
            ReservedDomain {
                name: domain_name("safe.www.example.com").unwrap(),
                scope: Scope::Subtree,
                reason: "allow.txt:3".to_owned(),
            },
        ]),
        protections: Reservations::new(mapped),
        zones: &zones,
        filter_feeds: &[FeedIndex(0)],
    };
    let mut generation = build(&plan, 1_795_000_000, 1_795_000_001).unwrap();
    generation.zones[1].loaded = false;
    generation.parts[0].copy = Some(FeedCopy {
        sha256: "ab".repeat(32),
        fetched_at: 1_794_999_999,
        entries_v4: 2,
        entries_v6: 1,
        domains: 3,
    });
    generation.lineage =
        Lineage { parents: vec![1_794_000_000], settings: "s".to_owned(), digest: generation.digest() };
    generation
}

fn bytes_of(generation: &Generation) -> Vec<u8> {
    let encoded = encode(generation).unwrap();
    let bytes: Vec<u8> = encoded.chunks().flatten().copied().collect();
    assert_eq!(encoded.len(), bytes.len() as u64);
    bytes
}

static GENERATION: LazyLock<(Generation, Vec<u8>)> = LazyLock::new(|| {
    let generation = generation();
    let bytes = bytes_of(&generation);
    (generation, bytes)
});

fn read(bytes: &[u8]) -> Result<Generation, Damage> {
    GenerationFile::open(memory(bytes))?.generation()
}

fn names() -> Vec<Vec<u8>> {
    let texts = [
        "com",
        "example.com",
        "www.example.com",
        "x.www.example.com",
        "safe.www.example.com",
        "bad.example.net",
        "worse.example.net",
        "x.worse.example.net",
        "test",
        "invalid",
    ];
    texts.iter().map(|text| domain_name(text).unwrap()).collect()
}

fn probes() -> Vec<IpAddr> {
    let texts = [
        "192.0.2.1",
        "192.0.2.77",
        "192.0.2.200",
        "10.1.2.3",
        "198.51.100.2",
        "198.51.100.3",
        "2001:db8::1",
        "2001:db8:8000::",
        "127.0.0.2",
        "127.0.0.9",
        "203.0.113.1",
    ];
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Makes the checksums right again, so that what is behind them is reached.
fn reseal(bytes: &mut [u8]) {
    for number in 0..SECTIONS {
        let at = AT_TABLE + number * ENTRY;
        let place = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        let end = place(at).saturating_add(place(at + 8));
        if let Some(sum) = bytes.get(place(at)..end).map(checksum) {
            bytes[at + 16..at + 24].copy_from_slice(&sum.to_ne_bytes());
        }
    }
    let sum = checksum(&bytes[..AT_CHECKSUM]);
    bytes[AT_CHECKSUM..HEADER].copy_from_slice(&sum.to_ne_bytes());
}

fn section(bytes: &[u8], section: Section) -> Range<usize> {
    sections(bytes).unwrap()[section as usize].0.clone()
}

#[test]
fn a_generation_comes_back_whole() {
    let (generation, bytes) = &*GENERATION;
    let back = read(bytes).unwrap();
    assert_eq!(back.table, generation.table);
    assert_eq!(back.digest(), generation.digest());
    assert_eq!(
        (back.serial, back.built_at, back.size),
        (generation.serial, generation.built_at, generation.size)
    );
    assert_eq!(back.lineage, generation.lineage);
    assert_eq!(back.exclusions, generation.exclusions);
    assert_eq!(back.protections, generation.protections);
    assert_eq!(back.feed_ids(), generation.feed_ids());
    for (back, part) in back.parts.iter().zip(&generation.parts) {
        assert_eq!((&back.copy, back.held_back, back.filtered), (&part.copy, part.held_back, part.filtered));
    }
    for (back, zone) in back.zones.iter().zip(&generation.zones) {
        assert_eq!((back.spec(), back.loaded, back.presence()), (zone.spec(), zone.loaded, zone.presence()));
    }
    assert!(std::ptr::eq(back.zones[0].presence(), back.zones[2].presence()), "shared as before");
    for address in probes() {
        let (mut is, mut was) = (
            explain(&back, &LiveTable::default(), address),
            explain(generation, &LiveTable::default(), address),
        );
        for named in is.feeds.iter_mut().chain(&mut was.feeds) {
            // A file has no more than the image: less than the feed by what is excluded.
            named.network.clear();
        }
        if is.exclusions.is_empty() {
            assert_eq!(is, was, "{address}");
        } else {
            assert!(is.feeds.is_empty(), "{address}");
        }
    }
    let manifest = GenerationFile::open(memory(bytes)).unwrap().manifest().clone();
    assert_eq!((manifest.entries(), manifest.feeds.len()), (6, 3));
    assert_eq!(back.domains, generation.domains);
    for (back, zone) in back.zones.iter().zip(&generation.zones) {
        assert_eq!(back.domain_presence(), zone.domain_presence());
    }
    assert_ne!(back.zones[1].domain_presence(), &DomainPresence::default());
    assert!(std::ptr::eq(back.zones[0].domain_presence(), back.zones[2].domain_presence()));
    for name in names() {
        let (mut is, mut was) = (explain_domain(&back, &name), explain_domain(generation, &name));
        if is.exclusions.is_empty() {
            for named in is.feeds.iter_mut().chain(&mut was.feeds) {
                // Of entries inside wider ones of other feeds the image knows as much as it needs.
                named.entry.clear();
            }
            assert_eq!(is, was);
        } else {
            assert!(is.feeds.is_empty() && !was.feeds.is_empty());
        }
    }
}

#[test]
fn a_feed_is_read_back_less_what_is_excluded() {
    let back = read(&GENERATION.1).unwrap();
    let shown: Vec<String> =
        back.feed_v4(FeedIndex(1)).iter().map(|s| format!("{} {}", Network::V4(s.span), s.label)).collect();
    assert_eq!(shown, ["192.0.2.128/25 0", "198.51.100.1-198.51.100.2 1", "198.51.100.5-198.51.100.9 1"]);
    assert_eq!(back.feed_v6(FeedIndex(0))[0].span, Span::prefix(0x2001_0db8 << 96, 33));
    assert!(back.feed_v4(FeedIndex(2)).is_empty());
    let domains = |feed| {
        let flat = back.feed_domains(FeedIndex(feed));
        names()
            .into_iter()
            .filter(|name| flat.deciding(name).is_some_and(|(.., listed)| listed))
            .map(|name| dotted(&name))
            .collect::<Vec<_>>()
    };
    assert_eq!(domains(0), ["example.com", "www.example.com", "x.www.example.com", "bad.example.net"]);
    assert_eq!(domains(1), ["x.www.example.com", "worse.example.net"]);
    assert_eq!(domains(2), [""; 0]);
    let named = &explain(&back, &LiveTable::default(), "198.51.100.7".parse().unwrap()).feeds[0];
    assert_eq!(
        (named.feed.as_str(), named.network.as_str(), named.value),
        ("two", "198.51.100.5-198.51.100.9", 1)
    );
}

#[test]
fn the_empty_generation_comes_back() {
    let empty = Generation::empty(9);
    let back = read(&bytes_of(&empty)).unwrap();
    assert_eq!((back.serial, back.digest()), (9, empty.digest()));
}

#[test]
fn the_image_is_read_in_place() {
    let owner = memory(&GENERATION.1);
    let back = GenerationFile::open(owner.clone()).unwrap().generation().unwrap();
    let image = back.table.words().as_ptr().cast::<u8>();
    assert!(owner.bytes().as_ptr_range().contains(&image));
    drop(owner);
    assert!(back.table.lookup("192.0.2.1".parse().unwrap()).is_listed(), "kept alive by the table");
}

#[test]
fn every_refusal_has_its_reason() {
    let good = &GENERATION.1;
    let with = |at: usize, new: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        bytes
    };
    let refused = |bytes: &[u8]| read(bytes).unwrap_err();
    assert_eq!(refused(b""), Damage::NoGeneration);
    assert_eq!(refused(b"BTHORNGN"), Damage::NoGeneration);
    assert_eq!(refused(&with(0, b"x")), Damage::NoGeneration);
    assert_eq!(refused(&with(8, &BYTE_ORDER.swap_bytes().to_ne_bytes())), Damage::ByteOrder);
    assert_eq!(refused(&with(12, &0u32.to_ne_bytes())), Damage::Version { found: 0 });
    assert_eq!(refused(&with(12, &9u32.to_ne_bytes())), Damage::Version { found: 9 });
    let expected = good.len() as u64;
    assert_eq!(refused(&good[..1000]), Damage::Length { expected, found: 1000 });
    assert_eq!(refused(&[good.as_slice(), b"x"].concat()), Damage::Length { expected, found: expected + 1 });
    assert_eq!(refused(&with(AT_TABLE, &[0xff])), Damage::Header);
    for part in [
        Section::Manifest,
        Section::Image,
        Section::Listings,
        Section::SpansV4,
        Section::SpansV6,
        Section::Zones,
        Section::Reservations,
        Section::Domains,
        Section::DomainMarks,
    ] {
        let at = section(good, part).start;
        assert_eq!(refused(&with(at, &[good[at] ^ 1])), Damage::Checksum(part));
    }
}

#[test]
fn what_no_writer_writes_is_refused_behind_the_checksums_too() {
    let refused = |part: Section, change: &dyn Fn(&mut [u8])| {
        let mut bytes = GENERATION.1.clone();
        let range = section(&bytes, part);
        change(&mut bytes[range]);
        reseal(&mut bytes);
        read(&bytes).err().map_or_else(|| format!("{part} accepted"), |damage| damage.to_string())
    };
    let word = |number: usize, value: u32| {
        move |bytes: &mut [u8]| bytes[4 * number..4 * number + 4].copy_from_slice(&value.to_ne_bytes())
    };
    // Word 0: the empty listing; word 1: how many members the second has, then its first feed.
    for (change, said) in [
        (word(0, 1), "its listings cannot be read: "),
        (word(1, 0), "its listings cannot be read: listings are repeated, or too many"),
        (word(1, u32::MAX), "its listings cannot be read: "),
        (word(2, 3), "its listings cannot be read: a feed is not in the manifest"),
        (word(2, 1 << 16), "its listings cannot be read: a feed has no number"),
    ] {
        let text = refused(Section::Listings, &change);
        assert!(text.starts_with(said), "{text}");
    }
    assert_eq!(refused(Section::Domains, &word(0, 0)), "there is no domain table");
    assert!(refused(Section::Domains, &word(9, 16)).starts_with("the domain table has the wrong size"));
    assert_eq!(refused(Section::Image, &word(0, 0)), "there is no table image");
    assert!(refused(Section::Image, &word(1, 9)).starts_with("the table image has version 9"));
    assert!(refused(Section::Image, &word(3, 16)).starts_with("the table image has the wrong size"));
    let text = refused(Section::Manifest, &|bytes| bytes[0] = b'[');
    assert!(text.starts_with("its manifest cannot be read: "), "{text}");
    let spans = |bytes: &mut [u8]| {
        let text =
            String::from_utf8(bytes.to_vec()).unwrap().replacen("\"spans_v4\":[0", "\"spans_v4\":[9", 1);
        bytes.copy_from_slice(text.as_bytes());
    };
    assert_eq!(
        refused(Section::Zones, &spans),
        "its IPv4 spans cannot be read: a zone has a part outside of it"
    );
}

/// Whatever was read: using it must not hurt.
fn use_up(generation: &Generation) {
    for address in probes() {
        std::hint::black_box(explain(generation, &LiveTable::default(), address));
    }
    for name in names() {
        std::hint::black_box(explain_domain(generation, &name));
    }
    std::hint::black_box(generation.feed_domains(FeedIndex(0)));
    for zone in &generation.zones {
        for len in [0, 8, 24, 96] {
            let span = Span::prefix(0xc000_0200u32, len);
            std::hint::black_box((
                zone.presence().any_v4(span),
                zone.presence().any_v6(Span::prefix(1, len)),
            ));
        }
    }
    std::hint::black_box(generation.table.runs_v6().count());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..600), with_magic: bool) {
        let bytes = if with_magic { [&GENERATION.1[..16], &bytes].concat() } else { bytes };
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn a_changed_byte_shows_or_does_not_matter(at: prop::sample::Index, bit in 0u32..8, cut: bool) {
        let mut bytes = GENERATION.1.clone();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
            prop_assert!(read(&bytes).is_err());
        } else {
            bytes[at] ^= 1 << bit;
            if let Ok(read) = read(&bytes) {
                prop_assert!(!(0..HEADER).contains(&at), "byte {} of the header", at);
                prop_assert_eq!(read.digest(), GENERATION.0.digest());
            }
        }
    }

    #[test]
    fn damage_behind_right_checksums_does_not_hurt(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..20),
    ) {
        let mut bytes = GENERATION.1.clone();
        let image = section(&bytes, Section::Image);
        for (at, value, outside) in changes {
            // Most of a small file is the empty roots of its image; half of the damage goes elsewhere.
            let mut at = at.index(bytes.len());
            if outside && image.contains(&at) {
                at = image.end + (at - image.start) % (bytes.len() - image.end);
            }
            bytes[at] = value;
        }
        reseal(&mut bytes);
        if let Ok(generation) = read(&bytes) {
            use_up(&generation);
        }
    }
}
