//! Publishing generations: order, size classes, refusals.

use crate::setup::{CLEAN_V4, CLEAN_V6, LISTED_V4, LISTED_V6, open, plan, table, two_hosts};
use blackthorn::core::filter_plan::{FilterPlan, Mode};
use blackthorn::filter::{Filter, FilterError, LinkHeader};
use blackthorn_common::layout::header;
use blackthorn_common::payload::Class;
use blackthorn_common::verdict::Reason;
use blackthorn_testkit::packet;

fn drops(filter: &Filter, source: &str) -> bool {
    let packet = packet::ipv4(source.parse().unwrap(), 17, &[0; 8]);
    filter.test_run(LinkHeader::None, &packet).unwrap()
}

/// The same table with unused words behind it, `mib` MiB in all.
pub(crate) fn padded(words: &[u32], mib: usize) -> Vec<u32> {
    let mut words = words.to_vec();
    words.resize(mib << 18, 0);
    words[header::AT_WORDS as usize] = u32::try_from(words.len()).unwrap();
    words
}

#[test]
fn each_generation_replaces_the_one_before() {
    let Some((mut filter, _)) = open(&plan(&[], Mode::Auto)) else { return };
    assert!(!drops(&filter, LISTED_V4), "before the first table everything passes");
    for round in 0..5 {
        let (listed, clean) = if round % 2 == 0 { (LISTED_V4, CLEAN_V4) } else { (CLEAN_V4, LISTED_V4) };
        let table = table(&[(listed, Class::Drop)]);
        let published = filter.publish(table.words()).unwrap();
        assert_eq!(published.bytes, table.words().len() * 4);
        assert!(drops(&filter, listed) && !drops(&filter, clean), "round {round}");
    }
}

#[test]
fn a_larger_table_brings_a_larger_program_and_keeps_the_counters() {
    let Some((mut filter, _)) = open(&plan(&[], Mode::Auto)) else { return };
    let table = table(&[(LISTED_V4, Class::Drop)]);
    filter.publish(table.words()).unwrap();
    assert!(drops(&filter, LISTED_V4));
    for mib in [4, 5, 20, 60, 3] {
        filter.publish(&padded(table.words(), mib)).unwrap();
        assert!(drops(&filter, LISTED_V4) && !drops(&filter, CLEAN_V4), "{mib} MiB");
    }
    let counters = filter.counters().unwrap();
    assert_eq!(counters.get(Reason::Drop4).packets, 6);
    assert_eq!(counters.get(Reason::NotListed).packets, 5);
}

#[test]
fn what_is_not_an_image_is_refused_and_the_old_table_stays() {
    let Some((mut filter, _)) = open(&plan(&[], Mode::Auto)) else { return };
    let good = table(&[(LISTED_V4, Class::Drop)]);
    filter.publish(good.words()).unwrap();

    let other = table(&[(CLEAN_V4, Class::Drop)]);
    let spoiled = |index: u32, value: u32| {
        let mut words = other.words().to_vec();
        words[index as usize] = value;
        words
    };
    for words in [
        Vec::new(),
        vec![0; 200_000],
        other.words()[..1000].to_vec(),
        spoiled(header::AT_MAGIC, 0),
        spoiled(header::AT_VERSION, header::VERSION + 1),
        spoiled(header::AT_ENDIAN, header::ENDIAN.swap_bytes()),
        spoiled(header::AT_WORDS, 7),
    ] {
        assert!(matches!(filter.publish(&words), Err(FilterError::Image { .. })));
        assert!(drops(&filter, LISTED_V4) && !drops(&filter, CLEAN_V4));
    }
}

#[test]
fn a_probe_reads_the_table_whatever_the_action_and_counts_nothing() {
    let monitor = FilterPlan { enforce: false, ..plan(&[], Mode::Auto) };
    let Some((mut filter, _)) = open(&monitor) else { return };
    assert_eq!(filter.probe(LISTED_V4.parse().unwrap()).unwrap(), None, "there is no table yet");
    let table = two_hosts();
    filter.publish(table.words()).unwrap();
    let mut listed = 0;
    for address in [LISTED_V4, CLEAN_V4, LISTED_V6, CLEAN_V6, "203.0.113.9", "2001:db8:2::9", "::", "0.0.0.0"]
    {
        let (address, expected) = (address.parse().unwrap(), table.lookup(address.parse().unwrap()));
        assert_eq!(filter.probe(address).unwrap(), Some(expected), "{address}");
        listed += u32::from(expected.is_listed());
    }
    assert_eq!(listed, 4);
    assert!(filter.counters().unwrap().iter().all(|(_, count)| count.packets == 0));
}
