//! The table in the kernel: time to publish it, and lookups by test run beside `LPM_TRIE`, a new address each time.
//!
//! Needs root and BPF; without them every figure is skipped and says so. The lookups also need the object of
//! `ebpf/bench`, which `cargo xtask bench` builds and names in `BLACKTHORN_BENCH_OBJECT`.

mod measure;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, ArrayOfMaps, Map, MapData};
use aya::programs::{TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use blackthorn::core::filter_plan::{FilterPlan, Mode};
use blackthorn::core::segment::{Segment, push_joined};
use blackthorn::core::span::{Bits, Span};
use blackthorn::core::table::Table;
use blackthorn::filter::{Filter, FilterError};
use blackthorn_common::abi::{CHUNK_WORDS, CHUNKS_PLACEHOLDER, MMAPABLE, TABLES};
use blackthorn_common::payload::{Class, Payload};
use blackthorn_testkit::oracle::Rule;
use blackthorn_testkit::prefixes::{
    clustered_hosts_v4, clustered_hosts_v6, flatten_nested, scattered_v4, scattered_v6,
};
use blackthorn_testkit::random::Random;
use criterion::Criterion;
use measure::{Aim, Clock, Group, criterion, report, size, skipped};
use std::error::Error;

const SIZES: [(usize, f64); 2] = [(120_000, 60.0), (1_000_000, 400.0)];
/// Addresses in a map value of `ebpf/bench`, and number of its values.
const BLOCK: usize = 1 << 16;
const BLOCKS: usize = 16;
/// Runs in one round: every address once.
const RUNS: u32 = (BLOCK * BLOCKS) as u32;
/// Bytes of a frame that no program here reads.
const FRAME: [u8; 64] = [0; 64];

type Chunk = [u32; CHUNK_WORDS];
type Address = [u32; 4];

fn main() -> Result<(), Box<dyn Error>> {
    let plan = FilterPlan { interfaces: Vec::new(), mode: Mode::Auto, enforce: true };
    let filter = match Filter::open(&plan) {
        Ok((filter, _)) => filter,
        Err(why @ FilterError::Privileges { .. }) => {
            skipped("publish and look up in the kernel", &why.to_string());
            return Ok(());
        }
        Err(why) => return Err(why.into()),
    };
    let mut criterion = criterion();
    publish(&mut criterion, filter)?;
    match std::env::var_os("BLACKTHORN_BENCH_OBJECT") {
        Some(path) => lookups(&mut criterion, &std::fs::read(path)?),
        None => {
            skipped("lookup in the kernel", "no object, run `cargo xtask bench`");
            Ok(())
        }
    }
}

/// From merged segments to a table in force, by the clock: the call waits for packets under way.
fn publish(criterion: &mut Criterion, mut filter: Filter) -> Result<(), Box<dyn Error>> {
    for (count, aim) in SIZES {
        let v4 = segments(mixed_v4(count - count / 20));
        let v6 = segments(mixed_v6(count / 20));
        let table = Table::compile(&v4, &v6)?;
        let case = format!("mixed, 5 % IPv6, {}", size(count));
        let all = |()| {
            let table = Table::compile(&v4, &v6)?;
            filter.publish(table.words())?;
            Ok(table)
        };
        let what = "compile and publish";
        let times = Group::new(criterion, Clock::Wall, what, &case).time("ours", || (), all)?;
        if let Some(times) = times {
            report(what, &case, &times.map("ms", |time| time / 1e6), None, Aim::AtMost(aim));
        }
        let only = |()| Ok(filter.publish(table.words())?);
        let times = Group::new(criterion, Clock::Wall, "publish", &case).time("ours", || (), only)?;
        if let Some(times) = times {
            report("publish", &case, &times.map("ms", |time| time / 1e6), None, Aim::None);
        }
    }
    Ok(())
}

/// Image and trie with the same content, one after the other.
fn lookups(criterion: &mut Criterion, object: &[u8]) -> Result<(), Box<dyn Error>> {
    for (count, _) in SIZES {
        let v4 = mixed_v4(count);
        let segments = segments(v4.clone());
        let table = Table::compile(&segments, &[])?;
        let mut random = Random::new(7);
        let addresses: Vec<Address> = (0..RUNS)
            .map(|i| match i % 2 {
                0 => random.word(),
                _ => segments[random.below(segments.len() as u64) as usize].span.first,
            })
            .map(|address| [address.to_be(), 0, 0, 0])
            .collect();
        let keys = |rule: &Rule<u32>| -> Vec<Key<[u8; 4]>> {
            let prefixes = Span { first: rule.first, last: rule.last }.prefixes();
            prefixes.map(|(first, len)| Key::new(len.into(), first.to_be_bytes())).collect()
        };
        let entries = v4.iter().flat_map(|rule| keys(rule).into_iter().map(|key| (key, rule.value)));
        Bench::new(object, &table, &addresses)?.compare(criterion, Names::V4, count, entries)?;
    }
    for (count, _) in SIZES {
        let v6 = mixed_v6(count);
        let segments = segments(v6.clone());
        let table = Table::compile(&[], &segments)?;
        let mut random = Random::new(7);
        let addresses: Vec<Address> = (0..RUNS)
            .map(|i| {
                let near = segments[random.below(segments.len() as u64) as usize].span.first;
                // Half of them somewhere in an allocation of a listed network.
                if i % 2 == 0 { near >> 96 << 96 | random.wide() >> 32 } else { near }
            })
            .map(|address| [96, 64, 32, 0].map(|shift| ((address >> shift) as u32).to_be()))
            .collect();
        let keys = |rule: &Rule<u128>| -> Vec<Key<[u8; 16]>> {
            let prefixes = Span { first: rule.first, last: rule.last }.prefixes();
            prefixes.map(|(first, len)| Key::new(len.into(), first.to_be_bytes())).collect()
        };
        let entries = v6.iter().flat_map(|rule| keys(rule).into_iter().map(|key| (key, rule.value)));
        Bench::new(object, &table, &addresses)?.compare(criterion, Names::V6, count, entries)?;
    }
    Ok(())
}

/// Programs and maps of one family in the object.
#[derive(Clone, Copy)]
struct Names {
    family: &'static str,
    none: &'static str,
    image: &'static str,
    trie: &'static str,
    trie_map: &'static str,
}

impl Names {
    const V4: Self =
        Self { family: "IPv4", none: "none_v4", image: "image_v4", trie: "trie_v4", trie_map: "TRIE_V4" };
    const V6: Self =
        Self { family: "IPv6", none: "none_v6", image: "image_v6", trie: "trie_v6", trie_map: "TRIE_V6" };
}

/// The bench object with a table and addresses in it.
struct Bench {
    ebpf: Ebpf,
}

impl Bench {
    fn new(object: &[u8], table: &Table, addresses: &[Address]) -> Result<Self, Box<dyn Error>> {
        let mut image = table.words().to_vec();
        image.resize(image.len().next_multiple_of(CHUNK_WORDS), 0);
        let chunks = u32::try_from(image.len() / CHUNK_WORDS)?;
        let mut object = object.to_vec();
        let mark = CHUNKS_PLACEHOLDER.to_le_bytes();
        let place =
            object.windows(4).position(|window| window == mark).ok_or("no placeholder in the object")?;
        object[place..place + 4].copy_from_slice(&chunks.to_le_bytes());
        let mut ebpf = EbpfLoader::new().btf(None).load(&object)?;

        let mut inner: Array<MapData, Chunk> = Array::create(chunks, MMAPABLE)?;
        let (parts, _) = image.as_chunks::<CHUNK_WORDS>();
        for (number, chunk) in (0..).zip(parts) {
            inner.set(number, chunk, 0)?;
        }
        let outer = ebpf.map_mut(TABLES).ok_or("no table map")?;
        ArrayOfMaps::<_, Array<MapData, Chunk>>::try_from(outer)?.set(0, &inner, 0)?;

        let blocks = ebpf.map_mut("ADDRESSES").ok_or("no address map")?;
        let mut blocks: Array<_, [Address; BLOCK]> = Array::try_from(blocks)?;
        let (parts, _) = addresses.as_chunks::<BLOCK>();
        for (number, block) in (0..).zip(parts) {
            blocks.set(number, block, 0)?;
        }
        Ok(Self { ebpf })
    }

    /// Fills the trie, checks that both find the same, and reports.
    fn compare<K: aya::Pod>(
        &mut self,
        criterion: &mut Criterion,
        names: Names,
        count: usize,
        entries: impl Iterator<Item = (Key<K>, u32)>,
    ) -> Result<(), Box<dyn Error>> {
        let map: &mut Map = self.ebpf.map_mut(names.trie_map).ok_or("no trie")?;
        let mut trie: LpmTrie<_, K, u32> = LpmTrie::try_from(map)?;
        for (key, value) in entries {
            trie.insert(&key, payload(value).bits(), 0)?;
        }
        let mut found = Vec::new();
        for name in [names.none, names.image, names.trie] {
            let program: &mut Xdp = self.ebpf.program_mut(name).ok_or("no program")?.try_into()?;
            program.load()?;
            let before = self.found()?;
            self.run(name)?;
            found.push(self.found()?.wrapping_sub(before));
        }
        assert_eq!(found[1], found[2], "image and trie find the same");

        let what = "lookup in the kernel, LPM_TRIE";
        let case = format!("{} mixed, half listed, {}", names.family, size(count));
        let mut group = Group::new(criterion, Clock::Thread, what, &case);
        let mut time = |who, name| group.time(who, || (), |()| self.run(name));
        let times = (time("none", names.none)?, time("ours", names.image)?, time("peer", names.trie)?);
        let (Some(none), Some(image), Some(trie)) = times else { return Ok(()) };
        let besides = none.median();
        let [image, trie] = [image, trie].map(|all| all.map("ns", |time| (time - besides) / f64::from(RUNS)));
        let case = format!("{case}; {:.1} ns a run deducted", besides / f64::from(RUNS));
        report(what, &case, &image, Some(&trie), Aim::TimesPeer(8.0));
        Ok(())
    }

    /// Asks for every address once.
    fn run(&self, name: &str) -> Result<(), Box<dyn Error>> {
        let program: &Xdp = self.ebpf.program(name).ok_or("no program")?.try_into()?;
        let options = TestRunOptions { data_in: Some(&FRAME), repeat: RUNS, ..TestRunOptions::default() };
        program.test_run(options)?;
        Ok(())
    }

    /// Sum of everything found so far.
    fn found(&self) -> Result<u32, Box<dyn Error>> {
        let state: Array<_, [u32; 2]> = Array::try_from(self.ebpf.map("STATE").ok_or("no state")?)?;
        Ok(state.get(&0, 0)?[1])
    }
}

fn mixed_v4(count: usize) -> Vec<Rule<u32>> {
    let mut rules = clustered_hosts_v4(1, count - count / 4);
    rules.extend(scattered_v4(2, count / 4));
    rules
}

fn mixed_v6(count: usize) -> Vec<Rule<u128>> {
    let mut rules = clustered_hosts_v6(3, count - count / 4);
    rules.extend(scattered_v6(4, count / 4));
    rules
}

fn payload(value: u32) -> Payload {
    Payload::new(Class::Drop, value).unwrap_or_default()
}

fn segments<A: Bits + Into<u128> + TryFrom<u128>>(rules: Vec<Rule<A>>) -> Vec<Segment<A, Payload>> {
    let mut out = Vec::new();
    for Rule { first, last, value } in flatten_nested(rules) {
        push_joined(&mut out, Span { first, last }, payload(value));
    }
    out
}
