extern crate std;

use super::*;
use blackthorn_testkit::packet::{Found, Link, battery};
use core::net::{Ipv4Addr, Ipv6Addr};
use std::vec::Vec;

const V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 77);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, 0x4d);

fn source(link: Link, frame: &[u8]) -> Source {
    match link {
        Link::Ethernet => ethernet_source(frame),
        Link::Raw => ip_source(frame),
    }
}

fn expected(found: Found) -> Source {
    match found {
        Found::V4(address) => Source::V4(address.into()),
        Found::V6(address) => v6(address),
        Found::Other => Source::Other,
        Found::Short => Source::Short,
        Found::BadIp => Source::BadIp,
        Found::DeepTag => Source::DeepTag,
    }
}

fn v6(address: Ipv6Addr) -> Source {
    let bits = address.to_bits();
    Source::V6 { hi: (bits >> 64) as u64, lo: bits as u64 }
}

#[test]
fn every_frame_of_the_battery() {
    for case in battery(V4, V6) {
        assert_eq!(source(case.link, &case.frame), expected(case.found), "{}", case.name);
    }
}

#[test]
fn a_frame_cut_anywhere_names_no_other_source() {
    for case in battery(V4, V6) {
        let whole = source(case.link, &case.frame);
        for len in 0..case.frame.len().min(80) {
            let cut = source(case.link, &case.frame[..len]);
            assert!(cut == Source::Short || cut == whole, "{} cut at {len}: {cut:?}", case.name);
        }
    }
}

#[test]
fn only_the_mapped_prefix_is_folded() {
    for (text, folded) in [
        ("::ffff:203.0.113.77", true),
        ("::203.0.113.77", false),
        ("::fffe:203.0.113.77", false),
        ("::1:ffff:203.0.113.77", false),
        ("64:ff9b::203.0.113.77", false),
        ("2002:cb00:714d::1", false),
    ] {
        let address: Ipv6Addr = text.parse().unwrap();
        let packet = blackthorn_testkit::packet::ipv6(address, 59, &[]);
        let expected = if folded { Source::V4(V4.into()) } else { v6(address) };
        assert_eq!(ip_source(&packet[..]), expected, "{text}");
    }
}

#[test]
fn an_empty_frame_is_short() {
    let nothing: Vec<u8> = Vec::new();
    assert_eq!(ethernet_source(&nothing[..]), Source::Short);
    assert_eq!(ip_source(&nothing[..]), Source::Short);
}
