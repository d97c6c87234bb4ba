//! Generation files: whatever the bytes are, reading them ends with a reason or with a generation that can be used.
//!
//! Input: one byte for the kind of damage ([`COMPARED`] apart), then what it needs.

#![no_main]

use blackthorn::core::delta::delta;
use blackthorn::core::explain::{explain, explain_domain};
use blackthorn::core::generation::Generation;
use blackthorn::core::generation_file::{Damage, GenerationFile};
use blackthorn::core::listing::FeedIndex;
use blackthorn::core::live_table::LiveTable;
use blackthorn::core::span::Span;
use blackthorn_fuzz::generation::{SECTIONS, file, generation, reseal, section, with_section};
use blackthorn_fuzz::{Input, memory::memory};
use libfuzzer_sys::fuzz_target;
use std::net::IpAddr;
use std::sync::LazyLock;

/// Flag: walk the image and compare it with the undamaged one, which takes the longest by far.
const COMPARED: u8 = 0x18;

static GOOD: LazyLock<(Generation, Vec<u8>)> = LazyLock::new(|| {
    let generation = generation();
    let file = file(&generation);
    let mut again = file.clone();
    reseal(&mut again);
    assert!(again == file, "the checksums here are not those of the format");
    for number in 0..SECTIONS {
        let same = with_section(&file, number, &file[section(&file, number)]);
        assert!(same == file, "section {number} is put together wrongly");
    }
    assert_eq!(read(&file).expect("our own file").digest(), generation.digest());
    (generation, file)
});

fuzz_target!(|data: &[u8]| {
    let (generation, good) = &*GOOD;
    let mut input = Input(data);
    let kind = input.byte();
    let is_compared = kind & COMPARED == COMPARED;
    let refused_or_used = |bytes: &[u8]| refused_or_used(bytes, is_compared);
    match kind & 7 {
        // Nothing of ours.
        0 => refused_or_used(input.rest()),
        // A header of ours, and whatever follows.
        1 => refused_or_used(&[&good[..16], input.rest()].concat()),
        // Changed bytes behind wrong checksums: refused, unless nothing depends on them.
        2 => {
            let mut bytes = good.clone();
            change(&mut bytes, input);
            if let Ok(read) = read(&bytes) {
                assert_eq!(read.digest(), generation.digest());
            }
        }
        // Cut off, or with something behind: refused.
        3 => {
            let len = input.word() as usize % good.len();
            assert!(read(&good[..len]).is_err());
            if !input.is_empty() {
                assert!(read(&[good, input.rest()].concat()).is_err());
            }
        }
        // As before, with right checksums.
        4 => {
            let mut bytes = good.clone();
            change(&mut bytes, input);
            reseal(&mut bytes);
            refused_or_used(&bytes);
        }
        5 => {
            let len = input.word() as usize % good.len();
            let mut bytes = [&good[..len], input.rest()].concat();
            let length = (bytes.len() as u64).to_ne_bytes();
            bytes.iter_mut().skip(16).zip(length).for_each(|(to, from)| *to = from);
            reseal(&mut bytes);
            refused_or_used(&bytes);
        }
        // Another content of one section, and right checksums.
        _ => {
            let number = usize::from(input.byte()) % SECTIONS;
            refused_or_used(&with_section(good, number, input.rest()));
        }
    }
});

/// Changes bytes: section, place in it, what to add.
fn change(bytes: &mut [u8], mut input: Input<'_>) {
    while !input.is_empty() {
        let number = usize::from(input.byte());
        let range = if number < SECTIONS { section(bytes, number) } else { 0..bytes.len() };
        // The header is part of what changes, so a section may be anywhere by now.
        let range = range.start.min(bytes.len())..range.end.min(bytes.len());
        let [low, high, more, add] = input.array();
        let at = usize::from(low) | usize::from(high) << 8 | usize::from(more) << 16;
        if let Some(byte) = at.checked_rem(range.len()).and_then(|at| bytes.get_mut(range.start + at)) {
            *byte = byte.wrapping_add(add);
        }
    }
}

fn read(bytes: &[u8]) -> Result<Generation, Damage> {
    GenerationFile::open(memory(bytes))?.generation()
}

fn refused_or_used(bytes: &[u8], is_compared: bool) {
    match read(bytes) {
        Ok(generation) => {
            use_up(&generation);
            if is_compared {
                compare(&generation);
            }
        }
        Err(damage) => assert!(!damage.to_string().is_empty()),
    }
}

fn use_up(generation: &Generation) {
    let none = LiveTable::default();
    explained(generation, ["192.0.2.77", "127.0.0.2"]);
    for name in [&b"\x04test"[..], b"\x01x\x03www\x07example\x03com"] {
        std::hint::black_box(explain_domain(generation, name));
    }
    std::hint::black_box(generation.feed_domains(FeedIndex(0)));
    for zone in &generation.zones {
        let inhabited = |len| {
            (
                zone.inhabits_v4(&none, Span::prefix(0xc000_0200, len)),
                zone.inhabits_v6(&none, Span::prefix(1, len)),
            )
        };
        std::hint::black_box([0, 8, 24, 96].map(inhabited));
    }
}

/// For an address on the list of a feed, explaining walks the whole image.
fn explained(generation: &Generation, addresses: [&str; 2]) {
    for address in addresses.map(|text| text.parse::<IpAddr>().expect("an address")) {
        let explained = explain(generation, &LiveTable::default(), address);
        assert_eq!(explained.listed, generation.table.lookup(address).is_listed());
    }
}

fn compare(generation: &Generation) {
    explained(generation, ["192.0.2.1", "2001:db8:1::7"]);
    let (ours, theirs) = (GOOD.0.feed_ids(), generation.feed_ids());
    let found = delta(GOOD.0.side(&ours), generation.side(&theirs), 5);
    let back = delta(generation.side(&theirs), GOOD.0.side(&ours), 5);
    assert_eq!(found.addresses.v4.added, back.addresses.v4.removed);
    assert_eq!(found.addresses.v6.changed, back.addresses.v6.changed);
}
