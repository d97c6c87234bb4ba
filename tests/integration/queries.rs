//! What a mail server gets to see: names, types, codes, transports.

use crate::dns::{TEST_ENTRY, owner, said};
use crate::harness::{Daemon, Site};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{A, AAAA, NS, SOA, TXT};

const CONFIG: &str = r#"
[[feed]]
id = "hosts"
source = "hosts.txt"
format = "plain"

[[feed]]
id = "nets"
source = "nets.txt"
format = "plain"

[[zone]]
name = "bl.example"
ttl = "20m"
negative_ttl = "2m"
ns = ["ns1.bl.example", "ns2.example.net"]
contact = "listmaster@bl.example"
feeds = [{ id = "hosts", code = "127.0.0.4", text = "Listed, see https://bl.example/?q=$" }, "nets"]

[[zone]]
name = "nets.example"
feeds = [{ id = "nets", code = "127.0.0.9" }]

[exclude]
networks = ["192.0.2.80/28", "2001:db8:53::/48"]
"#;

const HOSTS: &str = "192.0.2.7\n203.0.113.9\n2001:db8:1::7\n";
const NETS: &str = "192.0.2.0/24\n2001:db8::/32\n";

fn start() -> (Site, Daemon) {
    let site = Site::new(CONFIG);
    site.write("hosts.txt", HOSTS);
    site.write("nets.txt", NETS);
    let daemon = site.start();
    (site, daemon)
}

#[test]
fn each_feed_that_lists_an_address_adds_its_code() {
    let (_site, daemon) = start();
    let dns = daemon.dns();
    assert_eq!(dns.about("203.0.113.9", "bl.example"), "127.0.0.4", "one feed");
    assert_eq!(dns.about("192.0.2.8", "bl.example"), "127.0.0.2", "the other, by its network");
    assert_eq!(dns.about("192.0.2.7", "bl.example"), "127.0.0.2 127.0.0.4", "both");
    assert_eq!(dns.about("203.0.113.10", "bl.example"), "NXDOMAIN");
}

#[test]
fn texts_name_the_address_and_the_feed() {
    let (_site, daemon) = start();
    let ask = |address| said(&daemon.dns().ask(&owner(address, "bl.example"), TXT));
    assert_eq!(ask("203.0.113.9"), "Listed, see https://bl.example/?q=203.0.113.9");
    assert_eq!(ask("192.0.2.8"), "Address 192.0.2.8 is listed by feed nets in bl.example");
    assert!(ask("2001:db8:1::7").starts_with("Listed, see https://bl.example/?q=2001:db8:1::7"));
    assert_eq!(ask("203.0.113.10"), "NXDOMAIN");
}

#[test]
fn ipv6_is_asked_by_nibbles() {
    let (_site, daemon) = start();
    let dns = daemon.dns();
    assert_eq!(dns.about("2001:db8:1::7", "bl.example"), "127.0.0.2 127.0.0.4");
    assert_eq!(dns.about("2001:db8:1::8", "bl.example"), "127.0.0.2");
    assert_eq!(dns.about("2001:db9::8", "bl.example"), "NXDOMAIN");
    let half = owner("2001:db8::", "bl.example");
    let above = &half[half.len() - "8.b.d.0.1.0.0.2.bl.example".len()..];
    assert_eq!(said(&dns.ask(above, A)), "NODATA", "listed addresses lie below {above}");
}

#[test]
fn a_mapped_ipv6_address_is_the_ipv4_address() {
    let (_site, daemon) = start();
    let dns = daemon.dns();
    assert_eq!(dns.about("::ffff:203.0.113.9", "bl.example"), "127.0.0.4");
    assert_eq!(dns.about("::ffff:203.0.113.10", "bl.example"), "NXDOMAIN");
}

#[test]
fn zones_answer_for_their_own_feeds_only() {
    let (_site, daemon) = start();
    let dns = daemon.dns();
    assert_eq!(dns.about("192.0.2.7", "nets.example"), "127.0.0.9");
    assert_eq!(dns.about("203.0.113.9", "nets.example"), "NXDOMAIN");
}

#[test]
fn names_outside_of_the_zones_are_refused() {
    let (_site, daemon) = start();
    for name in ["example", "other.example", "7.2.0.192.bl.example.net", "xbl.example"] {
        for kind in [A, TXT, SOA] {
            assert_eq!(said(&daemon.dns().ask(name, kind)), "REFUSED", "{name} {kind}");
        }
    }
}

#[test]
fn test_entries_follow_rfc_5782() {
    let (_site, daemon) = start();
    let dns = daemon.dns();
    for zone in ["bl.example", "nets.example"] {
        assert!(dns.about(TEST_ENTRY, zone).starts_with("127.0.0."), "always listed");
        assert_eq!(dns.about("127.0.0.1", zone), "NXDOMAIN", "never listed");
        assert_eq!(said(&dns.ask(&format!("0.127.{zone}"), A)), "NODATA", "part of an address");
        assert_eq!(said(&dns.ask(zone, A)), "NODATA", "the zone itself");
    }
    assert_eq!(dns.about("::ffff:127.0.0.2", "bl.example"), dns.about(TEST_ENTRY, "bl.example"));
    assert_eq!(said(&dns.ask("mail.bl.example", A)), "NXDOMAIN");
}

#[test]
fn the_zone_itself_has_soa_and_ns() {
    let (_site, daemon) = start();
    let dns = daemon.dns();
    let serial = dns.serial("bl.example");
    let soa = dns.ask("bl.example", SOA);
    let text = format!("ns1.bl.example. listmaster.bl.example. {serial} 3600 600 604800 120");
    assert_eq!(said(&soa), text);
    assert_eq!(said(&dns.ask("bl.example", NS)), "ns1.bl.example. ns2.example.net.");
    assert_eq!(said(&dns.ask("nets.example", NS)), "nets.example.", "names itself");
    assert_eq!(dns.serial("nets.example"), serial, "one generation, one serial");
}

#[test]
fn ttls_are_those_of_the_zone() {
    let (_site, daemon) = start();
    let listed = daemon.dns().ask(&owner("192.0.2.7", "bl.example"), A);
    assert!(listed.answers.iter().all(|record| record.ttl == 1200), "{listed}");
    let not_listed = daemon.dns().ask(&owner("203.0.113.10", "bl.example"), A);
    assert_eq!(not_listed.authorities[0].ttl, 120, "{not_listed}");
}

#[test]
fn listed_names_have_no_other_types() {
    let (_site, daemon) = start();
    for kind in [AAAA, NS, SOA] {
        assert_eq!(said(&daemon.dns().ask(&owner("192.0.2.7", "bl.example"), kind)), "NODATA", "{kind}");
    }
}

#[test]
fn exclusions_are_carved_out_of_wider_entries() {
    let (_site, daemon) = start();
    let dns = daemon.dns();
    for (address, listed) in [
        ("192.0.2.79", true),
        ("192.0.2.80", false),
        ("192.0.2.95", false),
        ("192.0.2.96", true),
        ("2001:db8:52:ffff:ffff:ffff:ffff:ffff", true),
        ("2001:db8:53::", false),
        ("2001:db8:53:ffff:ffff:ffff:ffff:ffff", false),
        ("2001:db8:54::", true),
    ] {
        let answer = dns.about(address, "bl.example");
        assert_eq!(answer, if listed { "127.0.0.2" } else { "NXDOMAIN" }, "{address}");
    }
}

#[test]
fn the_case_of_a_question_is_kept() {
    let (_site, daemon) = start();
    // The client checks that the question comes back octet for octet.
    assert_eq!(said(&daemon.dns().ask("9.113.0.203.bL.eXaMpLe", A)), "127.0.0.4");
    let nibbles = owner("2001:db8:1::7", "bl.example");
    assert_eq!(said(&daemon.dns().ask(&nibbles.to_uppercase(), A)), "127.0.0.2 127.0.0.4");
}

#[test]
fn tcp_and_edns_get_the_same_answers() {
    let (_site, daemon) = start();
    let dns = daemon.dns();
    for address in ["192.0.2.7", "203.0.113.10", "2001:db8:1::7"] {
        for kind in [A, TXT] {
            let name = owner(address, "bl.example");
            let plain = dns.ask(&name, kind);
            let edns = dns.ask_edns(&name, kind, 1232);
            assert_eq!(said(&dns.ask_tcp(&name, kind)), said(&plain));
            assert_eq!(said(&edns), said(&plain));
            assert_eq!(edns.metadata.response_code, plain.metadata.response_code);
        }
    }
    assert_eq!(dns.ask_edns("other.example", A, 1232).metadata.response_code, ResponseCode::Refused);
}

#[test]
fn texts_are_left_out_rather_than_truncated() {
    let text = "a reason of some length, ".repeat(9);
    let ids = ["one", "two", "three"];
    let feeds = ids.map(|id| format!("[[feed]]\nid = \"{id}\"\nsource = \"list.txt\"\nformat = \"plain\"\n"));
    let members = ids.map(|id| format!("{{ id = \"{id}\", text = \"{id}: {text}\" }}")).join(", ");
    let site =
        Site::new(&format!("{}[[zone]]\nname = \"bl.example\"\nfeeds = [{members}]\n", feeds.concat()));
    site.write("list.txt", "192.0.2.7\n");
    let daemon = site.start();
    let (dns, name) = (daemon.dns(), owner("192.0.2.7", "bl.example"));
    for reply in [dns.ask(&name, TXT), dns.ask_tcp(&name, TXT), dns.ask_edns(&name, TXT, 1232)] {
        assert_eq!(said(&reply), format!("one: {text}"), "the first, by whatever way it is asked");
    }
}

#[test]
fn it_answers_over_ipv6_too() {
    let site = Site::new(&CONFIG.replace("[exclude]", "[dns]\nlisten = [\"[::1]:0\"]\n[exclude]"));
    site.write("hosts.txt", HOSTS);
    site.write("nets.txt", NETS);
    let daemon = site.start();
    assert!(daemon.address().is_ipv6());
    assert_eq!(daemon.dns().about("203.0.113.9", "bl.example"), "127.0.0.4");
    assert_eq!(said(&daemon.dns().ask_tcp(&owner("203.0.113.9", "bl.example"), A)), "127.0.0.4");
}
