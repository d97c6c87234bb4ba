//! Lookup time, size and build time of the table beside `ip_network_table`, in one run.
//!
//! `cargo bench --bench lookup [-- FILE]`: FILE is a list of addresses or prefixes, one to a line, to measure as well.
//! Each figure is the median of several rounds over shuffled addresses, with the fastest and slowest round behind it.
//! Compare the two columns of one run; figures of two machines say little about each other.

use blackthorn::core::network::Network;
use blackthorn::core::segment::{Segment, push_joined};
use blackthorn::core::span::{Bits, Span};
use blackthorn::core::table::{Table, TableError};
use blackthorn_common::payload::{Class, Payload};
use blackthorn_testkit::oracle::Rule;
use blackthorn_testkit::prefixes::{flatten_nested, scattered_v4, scattered_v6, v4};
use blackthorn_testkit::random::Random;
use ip_network::IpNetwork;
use ip_network_table::IpNetworkTable;
use std::hint::black_box;
use std::net::IpAddr;
use std::time::Instant;

const PROBES: usize = 1 << 18;
const ROUNDS: usize = 9;
const SIZES: [usize; 3] = [10_000, 120_000, 1_000_000];

fn main() {
    println!("ns per lookup: median (fastest-slowest) of {ROUNDS} rounds over {PROBES} shuffled addresses");
    println!(
        "{:<18}{:>9}{:>9}{:>9}{:>9}  {:<7}{:>24}{:>24}",
        "set", "entries", "build ms", "MiB", "B/entry", "probe", "table", "ip_network_table"
    );
    for size in SIZES {
        let mut random = Random::new(1);
        let hosts = (0..size).map(|_| v4(random.word(), 32, 1)).collect();
        measure("IPv4 random hosts", hosts, |v4| Table::compile(v4, &[]));
        measure("IPv4 mixed", scattered_v4(2, size), |v4| Table::compile(v4, &[]));
        measure("IPv6 mixed", scattered_v6(3, size), |v6| Table::compile(&[], v6));
    }
    for path in std::env::args().skip(1).filter(|argument| !argument.starts_with('-')) {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
            eprintln!("{path}: {error}");
            String::new()
        });
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in text.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()) {
            match network {
                Network::V4(Span { first, last }) => v4.push(Rule { first, last, value: 1 }),
                Network::V6(Span { first, last }) => v6.push(Rule { first, last, value: 1 }),
            }
        }
        measure("IPv4 of the file", v4, |v4| Table::compile(v4, &[]));
        measure("IPv6 of the file", v6, |v6| Table::compile(&[], v6));
    }
}

/// Builds both tables of `rules`, nested or apart, and prints a line for each kind of probe.
fn measure<A>(
    name: &str,
    rules: Vec<Rule<A>>,
    compile: impl Fn(&[Segment<A, Payload>]) -> Result<Table, TableError>,
) where
    A: Bits + Into<u128> + TryFrom<u128>,
{
    let payload = |value| Payload::new(Class::Drop, value).unwrap_or_default();
    let mut peer = IpNetworkTable::new();
    for rule in &rules {
        for (address, len) in (Span { first: rule.first, last: rule.last }).prefixes() {
            if let Ok(network) = IpNetwork::new(address.to_ip(), len) {
                peer.insert(network, payload(rule.value));
            }
        }
    }
    let entries = rules.len();
    let mut segments: Vec<Segment<A, Payload>> = Vec::new();
    for Rule { first, last, value } in flatten_nested(rules) {
        push_joined(&mut segments, Span { first, last }, payload(value));
    }
    // The best of three builds: the first one pays for fresh memory.
    let mut fastest = f64::MAX;
    let mut built = None;
    for _ in 0..3 {
        let start = Instant::now();
        built = compile(&segments).ok();
        fastest = fastest.min(start.elapsed().as_secs_f64());
    }
    let Some(table) = built.filter(|_| entries > 0) else { return };
    let bytes = table.words().len() * 4;
    let mut random = Random::new(7);
    let mut addresses = |pick: &dyn Fn(&mut Random, Span<A>) -> IpAddr| -> Vec<IpAddr> {
        let mut one = || {
            let span = segments[random.below(segments.len() as u64) as usize].span;
            pick(&mut random, span)
        };
        (0..PROBES).map(|_| one()).collect()
    };
    for (probe, addresses) in [
        ("match", addresses(&|_, span| span.first.to_ip())),
        // Next to a listed address: the whole way down, for nothing.
        ("near", addresses(&|_, span| span.last.succ().unwrap_or(A::ZERO).to_ip())),
        ("random", addresses(&|random, _| anywhere::<A>(random))),
    ] {
        let ours = rounds(&addresses, |address| table.lookup(address).bits());
        let theirs = rounds(&addresses, |address| {
            peer.longest_match(address).map_or(0, |(_, payload)| payload.bits())
        });
        println!(
            "{name:<18}{entries:>9}{:>9.1}{:>9.2}{:>9.1}  {probe:<7}{ours:>24}{theirs:>24}",
            fastest * 1e3,
            bytes as f64 / f64::from(1 << 20),
            bytes as f64 / entries as f64
        );
    }
}

/// Any IPv4 address, or any in 2000::/3.
fn anywhere<A: Bits>(random: &mut Random) -> IpAddr {
    match A::WIDTH {
        32 => random.word().to_ip(),
        _ => (0x2000_u128 << 112 | random.wide() >> 3).to_ip(),
    }
}

/// Median, fastest and slowest time per address in ns, as text.
fn rounds(addresses: &[IpAddr], lookup: impl Fn(IpAddr) -> u32) -> String {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let sum = addresses.iter().fold(0u32, |sum, &address| sum.wrapping_add(lookup(address)));
            black_box(sum);
            start.elapsed().as_secs_f64() * 1e9 / addresses.len() as f64
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    format!("{:.1} ({:.1}-{:.1})", times[ROUNDS / 2], times[0], times[ROUNDS - 1])
}
