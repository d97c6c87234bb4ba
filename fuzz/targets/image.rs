//! Table images: compiled ones say what the oracle says, damaged ones hurt nobody.
//!
//! Input: flags, networks (see [`Rules::read`]), and for a damaged image what is changed.

#![no_main]

use blackthorn::core::delta::{Side, delta};
use blackthorn::core::domain_table::DomainTable;
use blackthorn::core::entry::FeedId;
use blackthorn::core::listing::{FeedIndex, Listings, Member};
use blackthorn::core::segment::Segment;
use blackthorn::core::slab::as_bytes;
use blackthorn::core::span::Bits;
use blackthorn::core::table::Table;
use blackthorn_common::image::{WordSlice, lookup_v4, lookup_v6};
use blackthorn_common::layout::{FIRST_NODE, NODE_WORDS, V4_ROOT, V6_ROOT};
use blackthorn_common::payload::Payload;
use blackthorn_fuzz::Input;
use blackthorn_fuzz::memory::memory;
use blackthorn_fuzz::networks::{Rules, segments};
use blackthorn_testkit::oracle::Oracle;
use libfuzzer_sys::fuzz_target;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

/// Flag: change words of the compiled image.
const DAMAGED: u8 = 0x01;
/// Flag: forget the compiled lines, the rest of the input is the lines.
const INVENTED: u8 = 0x02;
/// Flag: walk the whole image. It takes a hundred times as long as looking up, so several bits are asked for.
const WALKED: u8 = 0x1c;
/// Flag: compare with the table of other networks, which takes longer still.
const COMPARED: u8 = 0xe0;
/// First word behind the roots.
const LINES: usize = (FIRST_NODE * NODE_WORDS) as usize;
/// Most runs of a damaged image that are looked at. A sound one of so few networks has far fewer.
const MOST_RUNS: usize = 1 << 16;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let flags = input.byte();
    let is_set = |flag: u8| flags & flag == flag;
    let rules = Rules::read(&mut input);
    let (v4, v6) = (Oracle::new(rules.v4), Oracle::new(rules.v6));
    let (v4_segments, v6_segments) = (segments(&v4), segments(&v6));
    let table = Table::compile(&v4_segments, &v6_segments).expect("sorted and small");
    if !is_set(DAMAGED) && !is_set(INVENTED) {
        agrees_with_oracle(&table, &v4, &v6);
        if is_set(WALKED) {
            assert!(table.is_intact());
            assert!(table.runs_v4().eq(v4_segments));
            assert!(table.runs_v6().eq(v6_segments));
        }
        if is_set(COMPARED) {
            let (ours, theirs) = (side(&OTHER), side(&table));
            let there = delta(ours, theirs, 3);
            let back = delta(theirs, ours, 3);
            assert_eq!(there.addresses.v4.added, back.addresses.v4.removed);
            assert_eq!(there.addresses.v6.added, back.addresses.v6.removed);
        }
        return;
    }
    let words = if is_set(INVENTED) { invented(&table, input) } else { damaged(&table, input) };
    for address in v4.borders() {
        lookup_v4(&WordSlice(&words), address);
    }
    for address in v6.borders() {
        lookup_v6(&WordSlice(&words), (address >> 64) as u64, address as u64);
    }
    let bytes = as_bytes(&words);
    let Ok(table) = Table::within(&memory(bytes), 0, bytes.len()) else { return };
    if is_set(WALKED) {
        let known = Oracle::borders(&v4);
        runs_agree(table.runs_v4(), |a| table.lookup(Ipv4Addr::from(a).into()), &known);
        let image = WordSlice(table.words());
        runs_agree(table.runs_v6(), |a| lookup_v6(&image, (a >> 64) as u64, a as u64), &Oracle::borders(&v6));
    }
    if is_set(COMPARED) {
        std::hint::black_box(delta(side(&OTHER), side(&table), 3));
    }
});

/// A table to compare with.
static OTHER: LazyLock<Table> = LazyLock::new(|| {
    let mut input = Input(include_bytes!("../seeds/image/hosts"));
    input.byte();
    let rules = Rules::read(&mut input);
    Table::compile(&segments(&Oracle::new(rules.v4)), &segments(&Oracle::new(rules.v6))).expect("sorted")
});

/// Two listings and two feeds; the payloads of a table may name others.
static LISTINGS: LazyLock<Listings> = LazyLock::new(|| {
    let mut listings = Listings::default();
    for feed in 0..2 {
        listings.intern(&[Member { feed: FeedIndex(feed), value: 0 }]);
    }
    listings
});
static FEEDS: LazyLock<[FeedId; 2]> =
    LazyLock::new(|| ["a", "b"].map(|id| FeedId::new(id).expect("a feed id")));

static NO_DOMAINS: LazyLock<DomainTable> = LazyLock::new(DomainTable::default);

fn side(table: &Table) -> Side<'_> {
    Side { table, domains: &NO_DOMAINS, listings: &LISTINGS, feeds: &*FEEDS }
}

fn agrees_with_oracle(table: &Table, v4: &Oracle<u32>, v6: &Oracle<u128>) {
    for address in v4.borders() {
        let says = table.lookup(Ipv4Addr::from(address).into());
        assert_eq!(says.bits(), v4.lookup(address), "{}", Ipv4Addr::from(address));
    }
    let image = WordSlice(table.words());
    for address in v6.borders() {
        let says = lookup_v6(&image, (address >> 64) as u64, address as u64);
        let ip = Ipv6Addr::from(address);
        assert_eq!(says.bits(), v6.lookup(address), "{ip}");
        match ip.to_ipv4_mapped() {
            Some(folded) => assert_eq!(table.lookup(ip.into()), table.lookup(folded.into()), "{ip}"),
            None => assert_eq!(table.lookup(ip.into()), says, "{ip}"),
        }
    }
}

/// A few words of the lines or of the roots in use, each changed by a word.
fn damaged(table: &Table, mut input: Input<'_>) -> Vec<u32> {
    let mut words = table.words().to_vec();
    while !input.is_empty() {
        let at = input.word() as usize;
        let change = input.word();
        let at = match at >> 30 {
            0 => LINES + at % (words.len() - LINES).max(1),
            1 => root_slot(V4_ROOT, at),
            2 => root_slot(V6_ROOT, at),
            _ => at % words.len(),
        };
        if let Some(word) = words.get_mut(at) {
            *word ^= change;
        }
    }
    words
}

/// The lines are the rest of the input; the roots still lead where they led.
fn invented(table: &Table, input: Input<'_>) -> Vec<u32> {
    let mut words = table.words()[..LINES].to_vec();
    words.extend(input.words());
    words.resize(words.len().next_multiple_of(NODE_WORDS as usize), 0);
    // As many words as the header says: to a wrong number nothing would be done.
    words[blackthorn_common::layout::header::AT_WORDS as usize] = words.len() as u32;
    words
}

fn root_slot(root: u32, number: usize) -> usize {
    root as usize + number % (1 << 16)
}

/// The walk gives sorted, disjoint runs, and says of them what the lookup says.
fn runs_agree<A: Bits>(
    runs: impl Iterator<Item = Segment<A, Payload>>,
    lookup: impl Fn(A) -> Payload,
    known: &[A],
) {
    let mut last: Option<A> = None;
    for run in runs.take(MOST_RUNS) {
        assert!(run.span.first <= run.span.last && last.is_none_or(|last| last < run.span.first));
        assert!(run.label.is_listed());
        let inside = known.iter().filter(|address| run.span.contains(**address));
        for &address in inside.chain([&run.span.first, &run.span.last]) {
            assert_eq!(lookup(address), run.label, "{address:x?} in {:x?}", run.span);
        }
        last = Some(run.span.last);
    }
}
