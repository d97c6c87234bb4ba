//! Verify: which addresses a round of checks asks about, and how two words on one address are compared. Pure; the engine
//! asks.
//!
//! Most faults of a compiled table sit at the ends of a run, so a round takes runs at random, their ends with the
//! neighbours on both sides and one address within, and some addresses from anywhere. A round is bounded, whatever the
//! size of the table: at most [`MAX_PROBES`] addresses.

mod names;

pub use names::{MAX_NAMES, first_wrong_name, names};

use super::explain::Target;
use super::network::fold;
use super::segment::{Segment, find};
use super::span::{Bits, Span};
use super::table::Table;
use blackthorn_common::payload::Payload;
use std::fmt;
use std::net::IpAddr;

/// Runs looked at per family.
const RUNS: usize = 200;
/// Addresses of each run: both ends, one beyond each, one within.
const PER_RUN: usize = 5;
/// Addresses from anywhere, per family.
const ANYWHERE: usize = 24;
/// Most addresses in one round.
pub const MAX_PROBES: usize = 2 * (PER_RUN * RUNS + ANYWHERE);

/// An address, and what must be found there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The address; IPv4-mapped IPv6 is folded.
    pub address: IpAddr,
    /// What must be found.
    pub expected: Payload,
}

/// Two words on one address or name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What they are about.
    pub subject: Target,
    /// Who says something else: `the image`, `the kernel`, `zone bl.example at 127.0.0.1:53`.
    pub place: String,
    /// What must be found.
    pub expected: String,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, place, expected, found } = self;
        write!(f, "{subject}: {place} says {found}, right is {expected}")
    }
}

/// Draws addresses from merged segments, each with the segment's own word.
pub fn from_segments(v4: &[Segment<u32, Payload>], v6: &[Segment<u128, Payload>], seed: u64) -> Vec<Probe> {
    let expected = |address| match address {
        IpAddr::V4(a) => find(v4, a.into()),
        IpAddr::V6(a) => find(v6, a.into()),
    };
    let addresses = addresses(v4.iter().map(|s| s.span), v6.iter().map(|s| s.span), seed);
    let probe = |address| Probe { address, expected: expected(address).unwrap_or_default() };
    addresses.into_iter().map(probe).collect()
}

/// Draws addresses from a table, each with the table's own word.
pub fn from_table(table: &Table, seed: u64) -> Vec<Probe> {
    let addresses = addresses(table.runs_v4().map(|s| s.span), table.runs_v6().map(|s| s.span), seed);
    addresses.into_iter().map(|address| Probe { address, expected: table.lookup(address) }).collect()
}

/// The first probe of which `say` says something else than expected.
pub fn first_mismatch(
    probes: &[Probe],
    place: &str,
    mut say: impl FnMut(IpAddr) -> Payload,
) -> Option<Mismatch> {
    probes.iter().find_map(|probe| mismatch(probe, place, say(probe.address)))
}

/// Is `found` something else than expected?
pub fn mismatch(probe: &Probe, place: &str, found: Payload) -> Option<Mismatch> {
    (found != probe.expected).then(|| Mismatch {
        subject: Target::Address(probe.address),
        place: place.to_owned(),
        expected: payload_text(probe.expected),
        found: payload_text(found),
    })
}

fn payload_text(payload: Payload) -> String {
    match (payload.is_listed(), payload.drops()) {
        (false, _) => "not listed".to_owned(),
        (true, false) => format!("listing {}", payload.listing()),
        (true, true) => format!("listing {} to drop", payload.listing()),
    }
}

/// At most [`MAX_PROBES`] addresses, sorted, without repeats. `v4` and `v6` are the runs of a table.
fn addresses(
    v4: impl Iterator<Item = Span<u32>>,
    v6: impl Iterator<Item = Span<u128>>,
    seed: u64,
) -> Vec<IpAddr> {
    let mut random = Random(seed);
    let mut out = Vec::with_capacity(MAX_PROBES);
    draw(v4, &mut random, &mut out, |r| (r >> 96) as u32);
    draw(v6, &mut random, &mut out, |r| r);
    for address in &mut out {
        *address = fold(*address);
    }
    out.sort_unstable();
    out.dedup();
    out
}

fn draw<A: Bits>(
    runs: impl Iterator<Item = Span<A>>,
    random: &mut Random,
    out: &mut Vec<IpAddr>,
    bits: fn(u128) -> A,
) {
    for run in sample(runs, random) {
        let ends = [run.first.pred(), Some(run.first), Some(run.last), run.last.succ()];
        out.extend(ends.into_iter().flatten().map(Bits::to_ip));
        out.push(within(run, bits(random.bits())).to_ip());
    }
    out.extend((0..ANYWHERE).map(|_| bits(random.bits()).to_ip()));
}

/// An address of the run: random below the widest prefix it begins with.
fn within<A: Bits>(run: Span<A>, random: A) -> A {
    let len = run.prefixes().next().map_or(A::WIDTH, |(_, len)| len);
    // Keeps of the random bits those behind the prefix.
    run.first.or(random.and_not(Span::prefix(A::MAX, len).first))
}

/// [`RUNS`] of the runs, each with the same chance; all of them if there are no more. One pass (reservoir sampling).
fn sample<A: Bits>(runs: impl Iterator<Item = Span<A>>, random: &mut Random) -> Vec<Span<A>> {
    let mut kept = Vec::with_capacity(RUNS);
    for (seen, run) in runs.enumerate() {
        if kept.len() < RUNS {
            kept.push(run);
        } else if let Some(place) = kept.get_mut(random.below(seen + 1)) {
            *place = run;
        }
    }
    kept
}

/// SplitMix64: enough for sampling, and the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn bits(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }

    /// A number below `limit`, which is not 0; the bias of the remainder does not matter here.
    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::network::Network;
    use blackthorn_common::payload::Class;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn payload(listing: u32) -> Payload {
        Payload::new(Class::Answer, listing).unwrap()
    }

    /// Every 16th address is a run of its own.
    fn hosts(count: u32) -> Vec<Segment<u32, Payload>> {
        let host = |n: u32| Segment { span: Span::host(0xc000_0200 + 16 * n), label: payload(n % 7 + 1) };
        (0..count).map(host).collect()
    }

    #[test]
    fn few_runs_are_asked_at_every_end_and_beyond() {
        let span = |text: &str| match text.parse().unwrap() {
            Network::V4(span) => span,
            Network::V6(_) => unreachable!(),
        };
        let label = payload(1);
        let v4 = ["0.0.0.0/24", "192.0.2.64/26", "255.255.255.255"];
        let v4 = v4.map(|text| Segment { span: span(text), label });
        let v6 = [Segment { span: Span::prefix(0x2001_0db8 << 96, 32), label: payload(2) }];
        let probes = from_segments(&v4, &v6, 7);
        let said = |text: &str| {
            let address: IpAddr = text.parse().unwrap();
            probes.iter().find(|probe| probe.address == address).map(|probe| probe.expected.listing())
        };
        for (address, listing) in [
            ("0.0.0.0", 1),
            ("0.0.0.255", 1),
            ("0.0.1.0", 0),
            ("192.0.2.63", 0),
            ("192.0.2.64", 1),
            ("192.0.2.127", 1),
            ("192.0.2.128", 0),
            ("255.255.255.254", 0),
            ("255.255.255.255", 1),
            ("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", 0),
            ("2001:db8::", 2),
            ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 2),
            ("2001:db9::", 0),
        ] {
            assert_eq!(said(address), Some(listing), "{address}");
        }
    }

    #[test]
    fn a_round_is_bounded_and_rounds_differ() {
        let segments = hosts(100_000);
        let first = from_segments(&segments, &[], 1);
        // Of a host both ends and the address within are one.
        assert!(first.len() > 3 * RUNS && first.len() <= MAX_PROBES, "{}", first.len());
        assert_eq!(first, from_segments(&segments, &[], 1));
        // Every run must have its chance: over many rounds, about as many from each tenth.
        let mut tenths = [0; 10];
        for seed in 0..50 {
            for probe in from_segments(&segments, &[], seed).iter().filter(|p| p.expected.is_listed()) {
                let IpAddr::V4(address) = probe.address else { continue };
                tenths[(u32::from(address) - 0xc000_0200) as usize / 160_000] += 1;
            }
        }
        assert!(tenths.iter().all(|&n| n > 700 && n < 1300), "{tenths:?}");
    }

    #[test]
    fn a_wrong_table_is_found_and_told() {
        let (segments, mut wrong) = (hosts(1000), hosts(1000));
        let probes = from_segments(&segments, &[], 3);
        let right = Table::compile(&segments, &[]).unwrap();
        assert_eq!(first_mismatch(&probes, "the image", |a| right.lookup(a)), None);
        for segment in &mut wrong {
            segment.label = Payload::new(Class::Drop, 9).unwrap();
        }
        let wrong = Table::compile(&wrong, &[]).unwrap();
        let found = first_mismatch(&probes, "the image", |a| wrong.lookup(a)).unwrap().to_string();
        assert!(
            found.starts_with("192.")
                && found.contains(": the image says listing 9 to drop, right is listing "),
            "{found}"
        );
    }

    proptest! {
        #[test]
        fn the_address_within_is_within(first: u32, size in 0u32..1 << 20, random: u32, first6: u128, random6: u128) {
            let run = Span { first, last: first.saturating_add(size) };
            prop_assert!(run.contains(within(run, random)));
            let run = Span { first: first6, last: first6.saturating_add(size.into()) };
            prop_assert!(run.contains(within(run, random6)));
        }

        /// Segments and the table made of them draw the same addresses and expect the same of them.
        #[test]
        fn a_table_is_asked_what_its_segments_are(starts: BTreeSet<u16>, seed: u64) {
            let segment = |start: &u16| Segment { span: Span::host(u32::from(*start) * 3), label: payload(u32::from(*start) % 5 + 1) };
            let segments: Vec<_> = starts.iter().map(segment).collect();
            let table = Table::compile(&segments, &[]).unwrap();
            prop_assert_eq!(from_table(&table, seed), from_segments(&segments, &[], seed));
        }
    }
}
