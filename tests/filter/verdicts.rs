//! One battery, two backends: the parser and lookup on the host, the program in the kernel.

use crate::setup::{CLEAN_V4, CLEAN_V6, LISTED_V4, LISTED_V6, open, plan, privileged, two_hosts};
use aya::EbpfLoader;
use aya::programs::Xdp;
use blackthorn::core::filter_plan::{FilterPlan, Mode};
use blackthorn::core::segment::Segment;
use blackthorn::core::span::{Bits, Span};
use blackthorn::core::table::Table;
use blackthorn::filter::{Filter, LinkHeader};
use blackthorn_common::abi::{self, CHUNKS_PLACEHOLDER, Enforcement};
use blackthorn_common::image::WordSlice;
use blackthorn_common::packet::{Source, ethernet_source, ip_source};
use blackthorn_common::payload::{Class, Payload};
use blackthorn_common::verdict::{Reason, judge};
use blackthorn_testkit::oracle::{Oracle, Rule};
use blackthorn_testkit::packet::{self, Case, Link, battery};
use blackthorn_testkit::{prefixes, random::Random};

/// Far below what the kernel allows (1,000,000), so that a change that makes the verifier work hard is seen.
const BUDGET: u32 = 100_000;

#[test]
fn every_entry_is_accepted_within_the_instruction_budget() {
    if !privileged() {
        return;
    }
    let mut object = std::fs::read("../ebpf/prebuilt/blackthorn.o").unwrap();
    let mark = CHUNKS_PLACEHOLDER.to_le_bytes();
    let place = object.windows(4).position(|window| window == mark).unwrap();
    object[place..place + 4].copy_from_slice(&4u32.to_le_bytes());
    let mut ebpf = EbpfLoader::new().btf(None).load(&object).unwrap();
    for name in [abi::ETHER, abi::IP, abi::ETHER_SINGLE, abi::IP_SINGLE, abi::PROBE] {
        let program: &mut Xdp = ebpf.program_mut(name).unwrap().try_into().unwrap();
        program.load().unwrap();
        let count = program.info().unwrap().verified_instruction_count().unwrap();
        println!("{name}: {count} instructions verified");
        assert!(count < BUDGET, "{name}: {count}");
    }
}

/// What the host makes of a frame.
fn on_the_host(link: Link, frame: &[u8], enforcement: Enforcement, words: Option<&[u32]>) -> Reason {
    let source = match link {
        Link::Ethernet => ethernet_source(frame),
        Link::Raw => ip_source(frame),
    };
    let overlay: Option<&WordSlice<'_>> = None;
    judge(source, || enforcement, overlay, words.map(WordSlice).as_ref())
}

/// Runs the frame in the kernel and reads from the counters how it was judged.
fn in_the_kernel(filter: &Filter, link: Link, frame: &[u8]) -> (bool, Vec<Reason>) {
    let header = match link {
        Link::Ethernet => LinkHeader::Ethernet,
        Link::Raw => LinkHeader::None,
    };
    let before = filter.counters().unwrap();
    let dropped = filter.test_run(header, frame).unwrap();
    let after = filter.counters().unwrap();
    let mut counted = Vec::new();
    for reason in Reason::ALL {
        let packets = after.get(reason).packets - before.get(reason).packets;
        let bytes = after.get(reason).bytes - before.get(reason).bytes;
        assert_eq!(bytes, packets * frame.len() as u64, "{}", reason.name());
        counted.extend(std::iter::repeat_n(reason, usize::try_from(packets).unwrap()));
    }
    (dropped, counted)
}

fn agree(filter: &Filter, enforcement: Enforcement, words: Option<&[u32]>, cases: &[Case]) {
    for case in cases {
        let reason = on_the_host(case.link, &case.frame, enforcement, words);
        let (dropped, counted) = in_the_kernel(filter, case.link, &case.frame);
        assert_eq!(counted, [reason], "{} while {enforcement:?}", case.name);
        assert_eq!(dropped, reason.drops(), "{} while {enforcement:?}", case.name);
    }
}

#[test]
fn kernel_and_host_agree_on_every_frame() {
    let enforcing = plan(&[], Mode::Auto);
    let Some((mut filter, _)) = open(&enforcing) else { return };
    let listed = battery(LISTED_V4.parse().unwrap(), LISTED_V6.parse().unwrap());
    let clean = battery(CLEAN_V4.parse().unwrap(), CLEAN_V6.parse().unwrap());
    let dns_only = battery("203.0.113.9".parse().unwrap(), "2001:db8:2::9".parse().unwrap());

    agree(&filter, Enforcement::Drop, None, &listed);

    let table = two_hosts();
    let words = Some(table.words());
    filter.publish(table.words()).unwrap();
    for cases in [&listed, &clean, &dns_only] {
        agree(&filter, Enforcement::Drop, words, cases);
    }
    filter.reconfigure(&FilterPlan { enforce: false, ..enforcing }).unwrap();
    for cases in [&listed, &clean, &dns_only] {
        agree(&filter, Enforcement::Count, words, cases);
    }
}

#[test]
fn the_battery_reaches_every_verdict() {
    // Guards the test above: agreement over frames that all pass would prove nothing.
    let table = two_hosts();
    let words = Some(table.words());
    let listed = battery(LISTED_V4.parse().unwrap(), LISTED_V6.parse().unwrap());
    let verdicts = |enforcement: Enforcement, words: Option<&[u32]>| -> Vec<&str> {
        let judged = listed.iter().map(|case| on_the_host(case.link, &case.frame, enforcement, words).name());
        let mut names: Vec<&str> = judged.collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    assert_eq!(
        verdicts(Enforcement::Drop, words),
        ["bad_ip", "deep_tag", "drop4", "drop6", "pass_other", "short"]
    );
    assert_eq!(
        verdicts(Enforcement::Count, words),
        ["bad_ip", "deep_tag", "pass_other", "short", "would_drop"]
    );
    assert_eq!(verdicts(Enforcement::Drop, None), ["bad_ip", "deep_tag", "no_table", "pass_other", "short"]);
}

/// Disjoint segments of a model. Odd values drop, even ones are for DNS only.
fn segments<A: Bits + Into<u128> + TryFrom<u128>>(oracle: &Oracle<A>) -> Vec<Segment<A, Payload>> {
    let flat = oracle.flatten();
    flat.iter().filter(|rule| rule.value != 0).map(segment).collect()
}

fn segment<A: Bits>(rule: &Rule<A>) -> Segment<A, Payload> {
    let class = if rule.value % 2 == 1 { Class::Drop } else { Class::Answer };
    Segment {
        span: Span::new(rule.first, rule.last).unwrap(),
        label: Payload::new(class, rule.value).unwrap(),
    }
}

#[test]
fn kernel_and_host_agree_at_every_border_of_nested_prefixes() {
    let Some((mut filter, _)) = open(&plan(&[], Mode::Auto)) else { return };
    let v4 = Oracle::new(prefixes::realistic_v4(11, 3000));
    let v6 = Oracle::new(prefixes::realistic_v6(12, 2000));
    let table = Table::compile(&segments(&v4), &segments(&v6)).unwrap();
    filter.publish(table.words()).unwrap();

    let mut random = Random::new(13);
    let far_v4: Vec<u32> = (0..500).map(|_| random.word()).collect();
    let far_v6: Vec<u128> = (0..500).map(|_| random.wide()).collect();
    let packets = (v4.borders().into_iter().chain(far_v4).map(|a| packet::ipv4(a.into(), 17, &[0; 8])))
        .chain(v6.borders().into_iter().chain(far_v6).map(|a| packet::ipv6(a.into(), 17, &[0; 8])));
    let mut dropped = 0;
    for packet in packets {
        let expected = on_the_host(Link::Raw, &packet, Enforcement::Drop, Some(table.words()));
        let drops = filter.test_run(LinkHeader::None, &packet).unwrap();
        assert_eq!(drops, expected.drops(), "{:?}", ip_source(&packet[..]));
        // And the host agrees with the slow model.
        let value = match ip_source(&packet[..]) {
            Source::V4(address) => v4.lookup(address),
            Source::V6 { hi, lo } => v6.lookup(u128::from(hi) << 64 | u128::from(lo)),
            other => panic!("{other:?}"),
        };
        assert_eq!(drops, value % 2 == 1);
        dropped += u32::from(drops);
    }
    assert!(dropped > 1000, "{dropped}");
}

#[test]
fn a_damaged_image_drops_nothing_it_should_not_and_never_aborts() {
    let Some((mut filter, _)) = open(&plan(&[], Mode::Auto)) else { return };
    let mut words = two_hosts().words().to_vec();
    let mut random = Random::new(14);
    for word in &mut words[1024..] {
        *word = random.word();
    }
    filter.publish(&words).unwrap();
    for _ in 0..2000 {
        let (v4, v6) = (random.word(), random.wide());
        for packet in [packet::ipv4(v4.into(), 17, &[0; 8]), packet::ipv6(v6.into(), 17, &[0; 8])] {
            let expected = on_the_host(Link::Raw, &packet, Enforcement::Drop, Some(&words));
            assert_eq!(filter.test_run(LinkHeader::None, &packet).unwrap(), expected.drops());
        }
    }
}
