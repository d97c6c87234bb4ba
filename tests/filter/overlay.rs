//! The table of live entries before the large one: what it says is final, and it outlives programs.

use crate::setup::{CLEAN_V4, CLEAN_V6, LISTED_V4, LISTED_V6, open, plan, two_hosts};
use crate::tables::padded;
use blackthorn::core::filter_plan::Mode;
use blackthorn::core::live_set::{Action, LiveEntry};
use blackthorn::core::live_table::LiveTable;
use blackthorn::core::network::Network;
use blackthorn::core::protection::{Reservations, Reserved};
use blackthorn::filter::{Filter, FilterError, LinkHeader};
use blackthorn_common::layout::header;
use blackthorn_common::verdict::Reason;
use blackthorn_testkit::packet;
use blackthorn_testkit::random::Random;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

fn overlay(entries: &[(Action, Network)], protected: &[&str]) -> LiveTable {
    let entry = |&(action, network): &(Action, Network)| {
        let reason = String::new();
        Arc::new(LiveEntry { network, action, reason, by: 0, added_at: 0, expires_at: None })
    };
    let reserved = |network: &&str| Reserved { network: network.parse().unwrap(), reason: "test".to_owned() };
    let protections = Reservations::new(protected.iter().map(reserved).collect());
    LiveTable::compile(entries.iter().map(entry).collect(), &Reservations::default(), &protections).unwrap()
}

fn of(entries: &[(Action, &str)], protected: &[&str]) -> LiveTable {
    let parsed: Vec<_> = entries.iter().map(|(action, text)| (*action, text.parse().unwrap())).collect();
    overlay(&parsed, protected)
}

fn drops(filter: &Filter, source: IpAddr) -> bool {
    let packet = match source {
        IpAddr::V4(source) => packet::ipv4(source, 17, &[0; 8]),
        IpAddr::V6(source) => packet::ipv6(source, 17, &[0; 8]),
    };
    filter.test_run(LinkHeader::None, &packet).unwrap()
}

/// Which of the four hosts are dropped, the listed ones first.
fn dropped(filter: &Filter) -> [bool; 4] {
    [LISTED_V4, LISTED_V6, CLEAN_V4, CLEAN_V6].map(|host| drops(filter, host.parse().unwrap()))
}

use Action::{Allow, Block};

#[test]
fn live_entries_come_first_and_go_again() {
    let Some((mut filter, _)) = open(&plan(&[], Mode::Auto)) else { return };
    let live = filter.overlay();
    let swapped = of(&[(Allow, LISTED_V4), (Allow, LISTED_V6), (Block, CLEAN_V4), (Block, CLEAN_V6)], &[]);
    live.publish(swapped.words()).unwrap();
    assert_eq!(dropped(&filter), [false, false, true, true], "they need no other table");
    filter.publish(two_hosts().words()).unwrap();
    assert_eq!(dropped(&filter), [false, false, true, true]);
    assert_eq!(filter.counters().unwrap().get(Reason::ListedPass).packets, 4);

    let protected = of(&[(Block, "198.51.100.0/24"), (Block, "2001:db8:1::/48")], &[CLEAN_V4, LISTED_V6]);
    live.publish(protected.words()).unwrap();
    assert_eq!(dropped(&filter), [true, false, false, true]);

    live.publish(None).unwrap();
    assert_eq!(dropped(&filter), [true, true, false, false]);
    live.publish(None).unwrap();
    assert_eq!(dropped(&filter), [true, true, false, false]);
}

#[test]
fn live_entries_stay_when_the_program_is_exchanged() {
    let Some((mut filter, _)) = open(&plan(&[], Mode::Auto)) else { return };
    let live = filter.overlay();
    live.publish(of(&[(Allow, LISTED_V4), (Block, CLEAN_V6)], &[]).words()).unwrap();
    for mib in [5, 20] {
        filter.publish(&padded(two_hosts().words(), mib)).unwrap();
        assert_eq!(dropped(&filter), [false, true, false, true], "{mib} MiB");
    }
    live.publish(of(&[(Block, CLEAN_V4)], &[]).words()).unwrap();
    assert_eq!(dropped(&filter), [true, true, true, false], "and can still be changed");
}

#[test]
fn what_is_no_image_or_too_large_is_refused_and_the_one_before_stays() {
    let Some((filter, _)) = open(&plan(&[], Mode::Auto)) else { return };
    let live = filter.overlay();
    let good = of(&[(Block, CLEAN_V4)], &[]);
    live.publish(good.words()).unwrap();
    let words = good.words().unwrap();
    let mut spoiled = words.to_vec();
    spoiled[header::AT_MAGIC as usize] = 0;
    assert!(matches!(live.publish(Some(&spoiled)), Err(FilterError::Image { .. })));
    assert!(matches!(live.publish(Some(&padded(words, 9))), Err(FilterError::TooLarge { .. })));
    live.publish(Some(&padded(words, 8))).unwrap();
    assert_eq!(dropped(&filter), [false, false, true, false]);
}

#[test]
fn the_kernel_says_what_the_live_entries_say() {
    let Some((mut filter, _)) = open(&plan(&[], Mode::Auto)) else { return };
    filter.publish(two_hosts().words()).unwrap();
    let mut random = Random::new(15);
    let entries: Vec<(Action, Network)> = (0..10_000)
        .map(|_| {
            let action = if random.word().is_multiple_of(4) { Allow } else { Block };
            let network = if random.word().is_multiple_of(2) {
                Network::prefix_masked(IpAddr::V4(random.word().into()), 16 + (random.word() % 17) as u8)
            } else {
                Network::prefix_masked(IpAddr::V6(random.wide().into()), 32 + (random.word() % 97) as u8)
            };
            (action, network.unwrap())
        })
        .collect();
    let start = Instant::now();
    let table = overlay(&entries, &["0.0.0.0/2", "::/3"]);
    let compiled = start.elapsed();
    filter.overlay().publish(table.words()).unwrap();
    let published = start.elapsed() - compiled;
    let bytes = size_of_val(table.words().unwrap());
    println!(
        "10,000 live entries: {bytes} bytes, compiled in {compiled:?}, in the kernel after {published:?}"
    );
    let mut seen = [0, 0];
    for (_, network) in entries.iter().take(4000) {
        let source = network.first();
        let expected = table.drops(source).unwrap_or(false);
        assert_eq!(drops(&filter, source), expected, "{source}");
        seen[usize::from(expected)] += 1;
    }
    assert!(seen.iter().all(|&count| count > 300), "{seen:?}");
}
