//! Lookup time and memory of the table beside `ip_network_table`: match, miss and worst case, both families, ten
//! thousand to ten million networks.
//!
//! Both are asked the same addresses in the same order, again and again; the answers are compared before that.

mod measure;

use blackthorn::core::segment::{Segment, push_joined};
use blackthorn::core::span::{Bits, Span};
use blackthorn::core::table::Table;
use blackthorn_common::payload::{Class, Payload};
use blackthorn_testkit::oracle::Rule;
use blackthorn_testkit::prefixes::{
    clustered_hosts_v4, clustered_hosts_v6, flatten_nested, scattered_v4, scattered_v6, v4,
};
use blackthorn_testkit::random::Random;
use criterion::Criterion;
use ip_network::IpNetwork;
use ip_network_table::IpNetworkTable;
use measure::{Aim, Clock, Group, Samples, criterion, report, size};
use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

const PROBES: usize = 1 << 18;
const SIZES: [usize; 4] = [10_000, 120_000, 1_000_000, 10_000_000];

/// Counts what is allocated: the one way to learn what the peer takes.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: hands everything to the system allocator and only counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are those of the system allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = criterion();
    // One set at a time: the peer takes gigabytes for the largest.
    for count in SIZES {
        let few = count / 4;
        let mut mixed = clustered_hosts_v4(1, count - few);
        mixed.extend(scattered_v4(2, few));
        Set::new("IPv4 mixed", count, mixed).measure(&mut criterion)?;
        let mut mixed = clustered_hosts_v6(3, count - few);
        mixed.extend(scattered_v6(4, few));
        Set::new("IPv6 mixed", count, mixed).measure(&mut criterion)?;
    }
    for count in [120_000, 1_000_000] {
        Set::new("IPv4 hosts, clustered", count, clustered_hosts_v4(1, count)).weigh(Aim::AtMost(16.0));
        let mut random = Random::new(1);
        let hosts = (0..count).map(|_| v4(random.word(), 32, 1)).collect();
        Set::new("IPv4 hosts, random, one value", count, hosts).weigh(Aim::AtMost(16.0));
        let hosts = (0..count).map(|_| v4(random.word(), 32, 1 + random.below(8) as u32)).collect();
        Set::new("IPv4 hosts, random, eight values", count, hosts).weigh(Aim::AtMost(16.0));
        Set::new("IPv6 hosts", count, clustered_hosts_v6(3, count)).weigh(Aim::None);
        Set::new("IPv4 networks of all lengths", count, scattered_v4(2, count)).weigh(Aim::None);
        Set::new("IPv6 networks of all lengths", count, scattered_v6(3, count)).weigh(Aim::None);
    }
    Ok(())
}

/// A table and its peer with the same content.
struct Set<A> {
    name: String,
    count: usize,
    distinct: usize,
    segments: Vec<Segment<A, Payload>>,
    table: Table,
    peer: IpNetworkTable<Payload>,
    peer_bytes: usize,
}

/// What the families differ in.
trait Family: Bits + Into<u128> + TryFrom<u128> {
    fn compile(segments: Vec<Segment<Self, Payload>>) -> Option<Table>;
    /// An address in the part of the space where `near` lies, listed or not.
    fn elsewhere(random: &mut Random, near: Self) -> Self;
}

impl Family for u32 {
    fn compile(segments: Vec<Segment<Self, Payload>>) -> Option<Table> {
        Table::compile(&segments, &[]).ok()
    }

    fn elsewhere(random: &mut Random, _: Self) -> Self {
        random.word()
    }
}

impl Family for u128 {
    fn compile(segments: Vec<Segment<Self, Payload>>) -> Option<Table> {
        Table::compile(&[], &segments).ok()
    }

    /// In the same /32: most of IPv6 is nobody's, and missing there costs nothing.
    fn elsewhere(random: &mut Random, near: Self) -> Self {
        near >> 96 << 96 | random.wide() >> 32
    }
}

impl<A: Family> Set<A> {
    fn new(name: &str, count: usize, rules: Vec<Rule<A>>) -> Self {
        let payload = |value| Payload::new(Class::Drop, value).unwrap_or_default();
        let mut keys: Vec<(A, A)> = rules.iter().map(|rule| (rule.first, rule.last)).collect();
        keys.sort_unstable();
        keys.dedup();
        let distinct = keys.len();
        drop(keys);
        let before = ALLOCATED.load(Ordering::Relaxed);
        let mut peer = IpNetworkTable::new();
        for rule in &rules {
            for (address, len) in (Span { first: rule.first, last: rule.last }).prefixes() {
                if let Ok(network) = IpNetwork::new(address.to_ip(), len) {
                    peer.insert(network, payload(rule.value));
                }
            }
        }
        let peer_bytes = ALLOCATED.load(Ordering::Relaxed) - before;
        let mut segments: Vec<Segment<A, Payload>> = Vec::new();
        for Rule { first, last, value } in flatten_nested(rules) {
            push_joined(&mut segments, Span { first, last }, payload(value));
        }
        let table = A::compile(segments.clone()).unwrap_or_default();
        Self { name: name.into(), count, distinct, segments, table, peer, peer_bytes }
    }

    /// Reports bytes for each network.
    fn weigh(&self, aim: Aim) {
        let each = |bytes: usize| Samples::new(vec![bytes as f64 / self.distinct as f64], "B");
        let ours = each(self.table.words().len() * 4);
        report("memory for each entry", &self.case(), &ours, Some(&each(self.peer_bytes)), aim);
    }

    fn case(&self) -> String {
        format!("{}, {}", self.name, size(self.count))
    }

    /// Reports memory and the time of each kind of lookup.
    fn measure(&self, criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
        self.weigh(Aim::None);
        let mut random = Random::new(7);
        let listed = self.probes(&mut random, true, |_, span| Some(span.first));
        self.compare(criterion, "lookup, match", &listed)?;
        let elsewhere =
            self.probes(&mut random, false, |random, span| Some(A::elsewhere(random, span.first)));
        self.compare(criterion, "lookup, miss", &elsewhere)?;
        // Next to a listed address: all the way down, for nothing.
        let next = self.probes(&mut random, false, |_, span| span.last.succ());
        self.compare(criterion, "lookup, worst", &next)
    }

    /// Addresses that `of` makes of segments in no order, all of them listed or none.
    fn probes(
        &self,
        random: &mut Random,
        listed: bool,
        of: impl Fn(&mut Random, Span<A>) -> Option<A>,
    ) -> Vec<IpAddr> {
        let mut addresses = Vec::with_capacity(PROBES);
        while addresses.len() < PROBES {
            let span = self.segments[random.below(self.segments.len() as u64) as usize].span;
            let address = of(random, span).map(A::to_ip);
            addresses.extend(address.filter(|address| self.table.lookup(*address).is_listed() == listed));
        }
        addresses
    }

    /// Reports the time of one lookup.
    fn compare(
        &self,
        criterion: &mut Criterion,
        what: &str,
        addresses: &[IpAddr],
    ) -> Result<(), Box<dyn Error>> {
        let ours = |address| self.table.lookup(address).bits();
        let theirs = |address| self.peer.longest_match(address).map_or(0, |(_, payload)| payload.bits());
        for &address in addresses {
            assert_eq!(ours(address), theirs(address), "{}: {what}: {address}", self.case());
        }
        let mut group = Group::new(criterion, Clock::Thread, what, &self.case());
        let ours = group.time("ours", || (), |()| Ok(sum(addresses, ours)))?;
        let theirs = group.time("peer", || (), |()| Ok(sum(addresses, theirs)))?;
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return Ok(()) };
        let [ours, theirs] = [ours, theirs].map(|all| all.map("ns", |time| time / PROBES as f64));
        let aim = if [120_000, 1_000_000].contains(&self.count) { Aim::TimesPeer(4.0) } else { Aim::None };
        report(what, &self.case(), &ours, Some(&theirs), aim);
        Ok(())
    }
}

/// Of all that was found.
fn sum(addresses: &[IpAddr], lookup: impl Fn(IpAddr) -> u32) -> u32 {
    addresses.iter().fold(0, |sum, &address| sum.wrapping_add(lookup(address)))
}
