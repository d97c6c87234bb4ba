//! Live entries against a naive list, through every step of their lives.

use super::*;
use crate::core::live_set::{LiveSet, entry};
use crate::core::protection::Reserved;
use proptest::prelude::*;

fn reserved(networks: &[Network]) -> Reservations {
    let reserved = |&network: &Network| Reserved { network, reason: "test".to_owned() };
    Reservations::new(networks.iter().map(reserved).collect())
}

fn networks(texts: &[&str]) -> Vec<Network> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn table(entries: &[(Action, &str)], excluded: &[&str], protected: &[&str]) -> LiveTable {
    let entries = entries.iter().map(|(action, network)| Arc::new(entry(*action, network, None))).collect();
    LiveTable::compile(entries, &reserved(&networks(excluded)), &reserved(&networks(protected))).unwrap()
}

fn said(table: &LiveTable, address: &str) -> (Option<Action>, Option<bool>) {
    let address = address.parse().unwrap();
    (table.action(address), table.drops(address))
}

use Action::{Allow, Block};

#[test]
fn the_narrower_entry_decides_and_of_equals_the_later() {
    let table = table(
        &[
            (Allow, "192.0.2.128/25"),
            (Block, "192.0.2.0/24"),
            (Block, "192.0.2.129"),
            (Allow, "2001:db8::/32"),
            (Block, "2001:db8::1"),
            (Block, "198.51.100.1-198.51.100.4"),
            (Allow, "198.51.100.3-198.51.100.6"),
        ],
        &[],
        &[],
    );
    for (address, action) in [
        ("192.0.2.1", Some(Block)),
        ("::ffff:192.0.2.1", Some(Block)),
        ("192.0.2.128", Some(Allow)),
        ("192.0.2.129", Some(Block)),
        ("192.0.3.0", None),
        ("2001:db8::1", Some(Block)),
        ("2001:db8::2", Some(Allow)),
        ("198.51.100.2", Some(Block)),
        ("198.51.100.3", Some(Allow)),
        ("198.51.100.6", Some(Allow)),
    ] {
        assert_eq!(said(&table, address), (action, action.map(|action| action == Block)), "{address}");
        let deciding = table.deciding(address.parse().unwrap());
        assert_eq!(deciding.map(|entry| entry.action), action, "{address}");
    }
}

#[test]
fn exclusions_and_protections_hold_against_a_block() {
    let table = table(&[(Block, "192.0.2.0/24"), (Block, "0.0.0.0/0")], &["192.0.2.7"], &["192.0.2.8"]);
    assert_eq!(said(&table, "192.0.2.7"), (None, None));
    assert_eq!(said(&table, "192.0.2.8"), (Some(Block), Some(false)));
    assert_eq!(said(&table, "192.0.2.9"), (Some(Block), Some(true)));
    for test_entry in ["127.0.0.1", "127.0.0.2", "::ffff:127.0.0.2"] {
        assert_eq!(said(&table, test_entry), (None, None));
    }
}

#[test]
fn without_entries_there_is_no_image() {
    let table = table(&[], &[], &[]);
    assert_eq!((table.words(), said(&table, "192.0.2.1")), (None, (None, None)));
}

#[test]
fn every_host_that_is_allowed_fits_the_kernel_and_scattered_ranges_are_refused_with_numbers() {
    let none = Reservations::default();
    let many = |network: &dyn Fn(u32) -> Network, count: u32| {
        let entry = |n| LiveEntry { network: network(n), ..entry(Block, "::", None) };
        LiveTable::compile((0..count).map(|n| Arc::new(entry(n))).collect(), &none, &none)
    };
    let scattered = |n: u32| n.wrapping_mul(2_654_435_761);
    let all = u32::try_from(crate::core::live_set::MAX_ENTRIES).unwrap();
    let v4 = many(&|n| Network::V4(Span::host(scattered(n))), all).unwrap();
    println!("{all} scattered IPv4 hosts: {} bytes", size_of_val(v4.words().unwrap()));
    let wide = |n: u32| u128::from(scattered(n)) << 96 | u128::from(scattered(n.rotate_left(7)));
    let v6 = many(&|n| Network::V6(Span::host(wide(n))), all).unwrap();
    println!("{all} scattered IPv6 hosts: {} bytes", size_of_val(v6.words().unwrap()));
    let range = |n: u32| Network::V6(Span::new(wide(n) + 3, wide(n) + (1 << 90) + 5).unwrap());
    let refused = many(&range, all).unwrap_err();
    assert!(matches!(refused, LiveTableError::TooLarge { .. }), "{refused}");
    assert!(refused.to_string().starts_with("65536 live entries take "), "{refused}");
}

/// What a careful person would keep on paper.
#[derive(Default)]
struct Naive(Vec<LiveEntry>);

impl Naive {
    fn action(&self, address: IpAddr) -> Option<Action> {
        let mut best: Option<&LiveEntry> = None;
        for entry in &self.0 {
            let narrower = best.is_none_or(|best| entry.network.size() <= best.network.size());
            if entry.network.contains(address) && narrower {
                best = Some(entry);
            }
        }
        best.map(|entry| entry.action)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Set(Action, Network, Option<u64>),
    Remove(Network),
    Wait(u64),
}

/// Networks that meet each other often: inside 192.0.2.0/26 and the last 64 addresses of 2001:db8::/122.
fn network() -> impl Strategy<Value = Network> {
    let ends = (0u32..64, 0u32..64);
    let span = |(a, b): (u32, u32)| (a.min(b), a.max(b));
    let v4 = |n: u32| 0xc000_0200 + n;
    let v6 = |n: u32| 0x2001_0db8_u128 << 96 | u128::from(n);
    prop_oneof![
        (0u32..64, 26u8..=32).prop_map(move |(n, len)| Network::V4(Span::prefix(v4(n), len))),
        ends.clone().prop_map(move |ends| {
            let (first, last) = span(ends);
            Network::V4(Span::new(v4(first), v4(last)).unwrap())
        }),
        (0u32..64, 122u8..=128).prop_map(move |(n, len)| Network::V6(Span::prefix(v6(n), len))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let action = prop_oneof![Just(Block), Just(Allow)];
    prop_oneof![
        4 => (action, network(), proptest::option::of(1u64..8)).prop_map(|(a, n, e)| Step::Set(a, n, e)),
        1 => network().prop_map(Step::Remove),
        2 => (0u64..4).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn it_says_what_a_naive_list_says_after_every_step(
        steps in proptest::collection::vec(step(), 1..24),
        excluded in proptest::collection::vec(network(), 0..3),
        protected in proptest::collection::vec(network(), 0..3),
    ) {
        let (mut set, mut naive, mut now) = (LiveSet::default(), Naive::default(), 100);
        let (exclusions, protections) = (reserved(&excluded), reserved(&protected));
        for step in steps {
            match step {
                Step::Set(action, network, lasts) => {
                    let expires_at = lasts.map(|lasts| now + lasts);
                    let new = LiveEntry { network, ..entry(action, "::", expires_at) };
                    naive.0.retain(|entry| entry.network != network);
                    naive.0.push(new.clone());
                    set.set([Arc::new(new)]).unwrap();
                }
                Step::Remove(network) => {
                    let was = naive.0.iter().any(|entry| entry.network == network);
                    naive.0.retain(|entry| entry.network != network);
                    prop_assert_eq!(set.remove(&network).is_some(), was);
                }
                Step::Wait(time) => {
                    now += time;
                    naive.0.retain(|entry| entry.expires_at.is_none_or(|at| at > now));
                    set.expire(now);
                }
            }
            prop_assert_eq!(set.next_expiry(), naive.0.iter().filter_map(|entry| entry.expires_at).min());
            let table =
                LiveTable::compile(set.entries().cloned().collect(), &exclusions, &protections).unwrap();
            let v4 = (0xc000_01ff..=0xc000_0240u32).map(|a| IpAddr::V4(a.into()));
            let v6 = (0..=0x40u128).map(|n| IpAddr::V6((0x2001_0db8_u128 << 96 | n).into()));
            for address in v4.chain(v6) {
                let said = naive.action(address);
                let expected = said.filter(|_| !excluded.iter().any(|network| network.contains(address)));
                prop_assert_eq!(table.action(address), expected, "{}", address);
                let is_protected = protected.iter().any(|network| network.contains(address));
                let drops = expected.map(|action| action == Block && !is_protected);
                prop_assert_eq!(table.drops(address), drops, "{}", address);
                prop_assert_eq!(table.deciding(address).map(|entry| entry.action), expected);
                let host = match address {
                    IpAddr::V4(a) => table.blocked().is_some_and(|b| b.any_v4(Span::host(a.into()))),
                    IpAddr::V6(a) => table.blocked().is_some_and(|b| b.any_v6(Span::host(a.into()))),
                };
                prop_assert_eq!(host, expected == Some(Block));
            }
        }
    }
}
