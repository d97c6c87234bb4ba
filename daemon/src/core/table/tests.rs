//! The table against a linear model, at every border and at random.

use super::*;
use crate::core::segment::{find, push_joined};
use crate::core::span::Span;
use blackthorn_common::layout::{FIRST_NODE, NODE_WORDS, Node, V4_ROOT};
use blackthorn_common::payload::Class;
use blackthorn_testkit::oracle::{Oracle, Rule};
use blackthorn_testkit::prefixes;
use blackthorn_testkit::random::Random;
use proptest::prelude::*;

fn payload(value: u32) -> Payload {
    let class = if value.is_multiple_of(2) { Class::Answer } else { Class::Drop };
    Payload::new(class, value).unwrap()
}

pub(super) fn segments<A: Bits + Into<u128> + TryFrom<u128>>(oracle: &Oracle<A>) -> Vec<Segment<A, Payload>> {
    let label =
        |run: Rule<A>| Segment { span: Span { first: run.first, last: run.last }, label: payload(run.value) };
    oracle.flatten().into_iter().map(label).collect()
}

fn compile_v4(segments: &[Segment<u32, Payload>]) -> Table {
    Table::compile(segments, &[]).unwrap()
}

fn compile_v6(segments: &[Segment<u128, Payload>]) -> Table {
    Table::compile(&[], segments).unwrap()
}

/// Without folding, so that the mapped range is compared as well.
fn raw_v6(table: &Table, address: u128) -> Payload {
    lookup_v6(&WordSlice(table.words()), (address >> 64) as u64, address as u64)
}

fn agree_v4(name: &str, rules: Vec<Rule<u32>>) {
    let oracle = Oracle::new(rules);
    let table = compile_v4(&segments(&oracle));
    let mut random = Random::new(1);
    let far = (0..2000).map(|_| random.word()).collect::<Vec<_>>();
    let near = oracle.borders().into_iter().flat_map(|b| [b, b ^ 0x80, b ^ 0x100, b ^ 0x8000, b ^ 0x1_0000]);
    for address in near.chain(far).chain([0, u32::MAX]) {
        let expected = payload(oracle.lookup(address));
        assert_eq!(table.lookup(address.to_ip()), expected, "{name}: {}", address.to_ip());
    }
}

fn agree_v6(name: &str, rules: Vec<Rule<u128>>) {
    let oracle = Oracle::new(rules);
    let table = compile_v6(&segments(&oracle));
    let mut random = Random::new(1);
    let far = (0..2000).map(|_| random.wide()).collect::<Vec<_>>();
    let borders = oracle.borders();
    let near = borders.into_iter().flat_map(|b| {
        let bit = 1 << random.below(112);
        [b, b ^ bit, b ^ 1 << 64, b ^ 1 << 63, b ^ 1 << 111, b ^ 1 << 112]
    });
    for address in near.collect::<Vec<_>>().into_iter().chain(far).chain([0, u128::MAX]) {
        let expected = payload(oracle.lookup(address));
        assert_eq!(raw_v6(&table, address), expected, "{name}: {}", address.to_ip());
    }
}

#[test]
fn agrees_with_the_oracle_on_lists_like_real_ones() {
    for seed in 0..4 {
        agree_v4(&format!("seed {seed}"), prefixes::realistic_v4(seed, 800));
        agree_v6(&format!("seed {seed}"), prefixes::realistic_v6(seed, 600));
    }
}

#[test]
fn agrees_with_the_oracle_on_edges() {
    for (name, rules) in prefixes::adversarial_v4() {
        agree_v4(name, rules);
    }
    for (name, rules) in prefixes::adversarial_v6() {
        agree_v6(name, rules);
    }
}

#[test]
fn every_address_of_a_mixed_16_agrees() {
    let mut rules = vec![prefixes::v4(0x0a01_4000, 18, 3), prefixes::v4(0x0a01_8000, 17, 4)];
    let mut random = Random::new(7);
    rules.extend((0..300).map(|_| {
        let len = 20 + random.below(13) as u32;
        prefixes::v4(0x0a01_0000 | random.word() & 0xffff, len, random.below(4) as u32)
    }));
    let oracle = Oracle::new(rules);
    let table = compile_v4(&segments(&oracle));
    for address in 0x0a00_fffe..=0x0a02_0001u32 {
        assert_eq!(table.lookup(address.to_ip()), payload(oracle.lookup(address)), "{}", address.to_ip());
    }
}

#[test]
fn holds_both_families_and_folds_mapped_addresses() {
    let v4 = vec![Segment { span: Span::prefix(0xc000_0200u32, 24), label: payload(1) }];
    let v6 = vec![Segment { span: Span::prefix(0u128, 0), label: payload(2) }];
    let table = Table::compile(&v4, &v6).unwrap();
    let lookup = |text: &str| table.lookup(text.parse().unwrap()).listing();
    assert_eq!(lookup("192.0.2.9"), 1);
    assert_eq!(lookup("::ffff:192.0.2.9"), 1);
    assert_eq!(lookup("::ffff:192.0.3.9"), 0);
    assert_eq!(lookup("2001:db8::1"), 2);
}

#[test]
fn empty_table_is_a_whole_image() {
    let table = Table::default();
    assert_eq!(table, Table::compile(&[], &[]).unwrap());
    assert_eq!(table.words().len() as u32, FIRST_NODE * NODE_WORDS);
    assert_eq!(table.words()[..4], [header::MAGIC, header::VERSION, header::ENDIAN, FIRST_NODE * NODE_WORDS]);
    assert_eq!(table.lookup([192, 0, 2, 1].into()), Payload::NONE);
}

#[test]
fn equal_segments_give_equal_words_and_other_segments_do_not() {
    let oracle = Oracle::new(prefixes::realistic_v4(5, 500));
    let mut other = segments(&oracle);
    let table = compile_v4(&segments(&oracle));
    assert_eq!(table, compile_v4(&other));
    assert!(table.words().as_ptr().cast::<[u32; 16]>().align_offset(64) == 0, "nodes are cache lines");
    let hash = |table: &Table| {
        let mut hasher = std::hash::DefaultHasher::new();
        table.hash(&mut hasher);
        hasher.finish()
    };
    assert_eq!(hash(&table), hash(&compile_v4(&other)));
    other[17].label = payload(8191);
    assert_ne!(table, compile_v4(&other));
    assert_ne!(hash(&table), hash(&compile_v4(&other)));
}

#[test]
fn refuses_what_the_image_cannot_hold() {
    // A /16 with one host in it takes two words, of which eight fit a line.
    let hosts: Vec<_> =
        (0..1000u32).map(|i| Segment { span: Span::host(i << 20 | 1), label: payload(1) }).collect();
    let limit = FIRST_NODE * NODE_WORDS + 124 * NODE_WORDS;
    assert!(matches!(builder::build(&hosts, &[], limit), Err(Full { limit: l }) if l == limit));
    let exact = builder::build(&hosts, &[], limit + NODE_WORDS).map_err(|_| ()).unwrap();
    assert_eq!(arena::words(&exact).len() as u32, limit + NODE_WORDS);
    let error = TableError::TooLarge { v4: 7, v6: 9, limit_mib: MAX_WORDS >> 18 };
    assert_eq!(
        error.to_string(),
        "table of 7 IPv4 and 9 IPv6 segments needs more than the 1024 MiB an image can hold, \
         disable a feed or list wider networks"
    );
}

#[test]
fn refuses_segments_out_of_order() {
    let segment = |first, last| Segment { span: Span { first, last }, label: payload(1) };
    for (wrong, at) in [
        (vec![segment(5, 6), segment(6, 7)], 6u32),
        (vec![segment(5, 6), segment(1, 2)], 1),
        (vec![segment(5, u32::MAX), segment(0, 1)], 0),
        (vec![segment(6, 5)], 6),
    ] {
        let error = Table::compile(&wrong, &[]).unwrap_err();
        assert_eq!(error, TableError::Disordered { at: at.to_ip() });
    }
}

/// Equal neighbours that merge would have joined, and holes spelled out, cost space but not truth.
#[test]
fn unjoined_segments_mean_the_same() {
    let segment = |first, last, value| Segment { span: Span { first, last }, label: payload(value) };
    let split = compile_v4(&[
        segment(0x0a00_0000, 0x0a00_7fff, 1),
        segment(0x0a00_8000, 0x0a00_80ff, 1),
        segment(0x0a00_8100, 0x0a00_8107, 0),
        segment(0x0a00_8108, 0x0a00_8108, 1),
        segment(0x0a00_8109, 0x0a00_8109, 1),
        segment(0x0a00_810a, 0x0a00_ffff, 1),
    ]);
    let joined = compile_v4(&[segment(0x0a00_0000, 0x0a00_80ff, 1), segment(0x0a00_8108, 0x0a00_ffff, 1)]);
    for address in 0x09ff_fff0..0x0a01_0010u32 {
        assert_eq!(split.lookup(address.to_ip()), joined.lookup(address.to_ip()), "{}", address.to_ip());
    }
}

/// A node that counts runs and one that counts differences answer alike; both forms occur.
#[test]
fn picks_the_shorter_form_of_a_node() {
    let flags = |segments: Vec<_>| {
        let table = compile_v4(&segments);
        let word = (FIRST_NODE * NODE_WORDS + 9) as usize;
        (table.words()[word] & Node::RUNS != 0, table.words().len() as u32 / NODE_WORDS - FIRST_NODE)
    };
    let listed = |first, last, value| Segment { span: Span { first, last }, label: payload(value) };
    let at = |i: u32| 0x0a00_0000 | i << 12;
    let run = (0..12).map(|i| listed(at(i), at(i) | 0x8ff, 1 + i)).collect();
    assert_eq!(flags(run), (true, 3), "12 runs of 9 equal slots and what follows each are 24 slots");
    let hosts = (1..12).map(|i| listed(at(i), at(i), i)).collect();
    assert_eq!(flags(hosts), (false, 2), "eleven hosts are eleven slots behind their node");
    let hole = vec![listed(0x0a00_0000u32, 0x0a00_1000, 1), listed(0x0a00_1002, 0x0a00_ffff, 1)];
    assert_eq!(flags(hole), (false, 1), "one hole in a /16 is one slot under a listed default");
}

/// What a /16 takes that fits a list, and the first that does not.
#[test]
fn a_list_takes_at_most_a_line() {
    let words = |rules: Vec<Rule<u32>>| {
        let table = compile_v4(&segments(&Oracle::new(rules)));
        table.words()[V4_ROOT as usize + 0x0a00] >> 30 == 1
            && table.words().len() as u32 == (FIRST_NODE + 1) * NODE_WORDS
    };
    let alike = |count| (0..count).map(|i| prefixes::v4(0x0a00_0000 | i << 9, 32, 1)).collect();
    assert!(words(alike(29)) && !words(alike(30)));
    let differing =
        |count| (0..count).map(|i| prefixes::v4(0x0a00_0000 | i << 9, 32 - i % 9, 1 + i)).collect();
    assert!(words(differing(10)) && !words(differing(11)));
    // 192.0.2.1 to 192.0.2.254 take 14 prefixes, all but one of different length: a node instead.
    assert!(!words(vec![Rule { first: 0x0a00_0001, last: 0x0a00_00fe, value: 1 }]));
}

/// In a listed /16 whose /24 all begin or end with another listing, no slot is whole, and still no /24 needs a node.
#[test]
fn finds_the_default_behind_lone_hosts() {
    for odd in [0, 255] {
        let rules = (0..256).map(|i| prefixes::v4(0x0a01_0000 | i << 8 | odd, 32, 2));
        let oracle = Oracle::new(rules.chain([prefixes::v4(0x0a01_0000, 16, 1)]).collect());
        let table = compile_v4(&segments(&oracle));
        assert_eq!(table.lookup([10, 1, 7, odd as u8].into()), payload(2));
        assert_eq!(table.lookup([10, 1, 7, 77].into()), payload(1));
        let lines = table.words().len() as u32 / NODE_WORDS - FIRST_NODE;
        assert!(lines <= 17, "one node and 256 slots, not {lines} lines");
    }
}

#[test]
fn ipv6_networks_share_lines() {
    let lines = |count: u128, len| {
        let segment = |i| Segment { span: Span::prefix((0x2000 + i) << 112, len), label: payload(1) };
        compile_v6(&(0..count).map(segment).collect::<Vec<_>>()).words().len() as u32 / NODE_WORDS
            - FIRST_NODE
    };
    assert_eq!([lines(1, 64), lines(5, 64), lines(6, 64)], [1, 1, 2], "three words each");
    assert_eq!([lines(3, 65), lines(4, 65)], [1, 2], "five words each");
    // In one slot of the root, as one group.
    let group = |count: u128, len| {
        let segment =
            |i| Segment { span: Span::prefix(0x2001_u128 << 112 | i << 80, len), label: payload(1) };
        compile_v6(&(1..=count).map(segment).collect::<Vec<_>>()).words().len() as u32 / NODE_WORDS
            - FIRST_NODE
    };
    assert_eq!([group(5, 64), group(3, 128)], [1, 1]);
    assert!(group(6, 64) > 2 && group(4, 128) > 2, "more than a line take nodes");
}

/// IPv4 hosts near one another as on real lists: what the roots leave of the sixteen bytes aimed at.
#[test]
fn clustered_hosts_cost_few_bytes() {
    let rules = prefixes::clustered_hosts_v4(1, 120_000);
    let mut built = Vec::new();
    for rule in prefixes::flatten_nested(rules) {
        push_joined(&mut built, Span { first: rule.first, last: rule.last }, payload(rule.value));
    }
    let bytes = compile_v4(&built).words().len() * 4;
    assert!(bytes <= 16 * 120_000, "{bytes} bytes");
}

/// As dense as a million random hosts over all of IPv4, in a sixteenth of it.
#[test]
fn random_hosts_cost_few_bytes() {
    let mut random = Random::new(11);
    let mut hosts: Vec<u32> = (0..62_500).map(|_| 0x4000_0000 | random.word() >> 4).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let segment = |&host: &u32| Segment { span: Span::host(host), label: payload(1) };
    let table = compile_v4(&hosts.iter().map(segment).collect::<Vec<_>>());
    let bytes = (table.words().len() as u32 - FIRST_NODE * NODE_WORDS) as usize * 4;
    assert!(bytes <= 11 * hosts.len(), "{bytes} bytes for {} hosts", hosts.len());
}

/// The costliest segments there are: ends in the middle of nowhere, so that each end has nodes of its own.
#[test]
fn ranges_off_all_borders_keep_the_stated_bound() {
    let v4 = |i: u32| Segment {
        span: Span { first: (i << 24) + 0x0055_55d5, last: (i << 24) + 0x00aa_aaaa },
        label: payload(1),
    };
    let table = compile_v4(&(0..200u32).map(v4).collect::<Vec<_>>());
    assert!(table.words().len() as u32 / NODE_WORDS - FIRST_NODE <= 200 * 2 * 2);
    let inner: u128 = 0x5555_5555_5555_5555_5555_5555_5555;
    let v6 = |i: u128| Segment {
        span: Span { first: (i << 113) + inner, last: (i << 113) + (1 << 112) + inner },
        label: payload(1),
    };
    let table = compile_v6(&(0..200u128).map(v6).collect::<Vec<_>>());
    assert!(table.words().len() as u32 / NODE_WORDS - FIRST_NODE <= 200 * 2 * 14);
}

/// Any words at all: every lookup ends, without a panic and without reading outside.
#[test]
fn damaged_images_never_hurt() {
    let v4 = segments(&Oracle::new(prefixes::realistic_v4(3, 400)));
    let v6 = segments(&Oracle::new(prefixes::realistic_v6(3, 400)));
    let probes_v4: Vec<u32> = v4.iter().flat_map(|s| [s.span.first, s.span.last]).collect();
    let probes_v6: Vec<u128> = v6.iter().flat_map(|s| [s.span.first, s.span.last]).collect();
    let table = Table::compile(&v4, &v6).unwrap();
    let lines = (FIRST_NODE * NODE_WORDS) as usize;
    let mut random = Random::new(99);
    for round in 0..200 {
        let mut words = table.words().to_vec();
        let flips = 1 << (round % 12);
        for _ in 0..flips {
            // Half of the damage behind the roots, where most of the structure is.
            let from = if random.below(2) == 0 { 1024 } else { lines };
            let at = from + random.below((words.len() - from) as u64) as usize;
            words[at] = match random.below(3) {
                0 => random.word(),
                1 => words[at] ^ 1 << random.below(32),
                _ => FIRST_NODE + random.below(64) as u32,
            };
        }
        if round % 3 == 0 {
            words.truncate(random.below(words.len() as u64) as usize);
        }
        let image = WordSlice(&words);
        for &address in &probes_v4 {
            std::hint::black_box(lookup_v4(&image, address));
        }
        for &address in &probes_v6 {
            std::hint::black_box(lookup_v6(&image, (address >> 64) as u64, address as u64));
        }
    }
    // A node that leads to itself is followed as often as there are levels, then it is nothing.
    let mut circle = vec![FIRST_NODE; lines];
    circle.extend((0..16).map(|i| if i < 8 { u32::MAX } else { FIRST_NODE }));
    circle[lines + 8] = 0;
    circle[lines + 9] = 1024;
    assert_eq!(lookup_v4(&WordSlice(&circle), 0x0102_0304), Payload::NONE);
    assert_eq!(lookup_v6(&WordSlice(&circle), 1, 2), Payload::NONE);
    for len in 0..64 {
        assert_eq!(lookup_v4(&WordSlice(&circle[..len]), u32::MAX), Payload::NONE);
    }
}

pub(super) fn any_segments<A: Bits>(
    address: impl Strategy<Value = A> + Clone,
) -> impl Strategy<Value = Vec<Segment<A, Payload>>> {
    prop::collection::vec((address, 0u32..5), 0..60).prop_map(|mut ends| {
        // Every end begins a segment that runs to the next one; value 0 is a gap.
        ends.sort_unstable();
        ends.dedup_by_key(|(address, _)| *address);
        let mut out = Vec::new();
        for (i, &(first, value)) in ends.iter().enumerate() {
            let last = match ends.get(i + 1) {
                Some((next, _)) => next.pred().unwrap_or(first),
                None => A::MAX,
            };
            if value != 0 {
                push_joined(&mut out, Span { first, last }, payload(value));
            }
        }
        out
    })
}

/// Addresses that fall together often enough to share slots, and into every level.
pub(super) fn clustered_v4() -> impl Strategy<Value = u32> + Clone {
    (any::<u32>(), 0u32..33, 0u32..3).prop_map(|(bits, keep, base)| {
        let low = bits.checked_shr(keep).unwrap_or(0);
        (0x0a0b_0c0d * base) ^ low
    })
}

pub(super) fn clustered_v6() -> impl Strategy<Value = u128> + Clone {
    (any::<u128>(), 0u32..129, 0u128..3).prop_map(|(bits, keep, base)| {
        let low = bits.checked_shr(keep).unwrap_or(0);
        (0x2001_0db8_0000_0000_0123_4567_89ab_cdef * base) ^ low
    })
}

proptest! {
    #[test]
    fn any_ipv4_segments_agree(segments in any_segments(clustered_v4()), far in prop::collection::vec(clustered_v4(), 50)) {
        let table = compile_v4(&segments);
        let near = segments.iter().flat_map(|s| {
            let (first, last) = (s.span.first, s.span.last);
            [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
        });
        for address in near.chain(far) {
            let expected = find(&segments, address).unwrap_or(Payload::NONE);
            prop_assert_eq!(table.lookup(address.to_ip()), expected, "{}", address.to_ip());
        }
    }

    #[test]
    fn any_ipv6_segments_agree(segments in any_segments(clustered_v6()), far in prop::collection::vec(clustered_v6(), 50)) {
        let table = compile_v6(&segments);
        let near = segments.iter().flat_map(|s| {
            let (first, last) = (s.span.first, s.span.last);
            [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
        });
        for address in near.chain(far) {
            let expected = find(&segments, address).unwrap_or(Payload::NONE);
            prop_assert_eq!(raw_v6(&table, address), expected, "{}", address.to_ip());
        }
    }

    #[test]
    fn any_words_are_a_harmless_image(words in prop::collection::vec(any::<u32>(), 0..400), start in 0u32..200_000, address: u32, wide: u128) {
        // Arbitrary words everywhere: they are repeated over the whole image, cut at any place.
        let image: Vec<u32> = words.iter().copied().cycle().take(if words.is_empty() { 0 } else { start as usize }).collect();
        lookup_v4(&WordSlice(&image), address);
        lookup_v6(&WordSlice(&image), (wide >> 64) as u64, wide as u64);
    }
}

#[test]
fn a_flipped_bit_is_noticed() {
    let table =
        Table::compile(&[Segment { span: Span::host(7), label: Payload::from_bits(1) }], &[]).unwrap();
    assert!(table.is_intact() && Table::default().is_intact());
    assert!(!table.damaged().is_intact());
}
