//! The checklist of a DNSBL, where it takes the whole daemon. Tests of any target that are named after a line of it begin
//! with `checklist_` and its number:
//!
//! 1. Test entries are listed, and their counterparts are not (RFC 5782 section 5).
//! 2. Every part of a listed name is NODATA, for every type (RFC 8020).
//! 3. What is no address is NXDOMAIN.
//! 4. Negative replies have the SOA, with the lesser of its two TTLs (RFC 2308).
//! 5. The question comes back octet for octet.
//! 6. The questions of RFC 8906 section 8 are answered as expected there.
//! 7. TCP: pipelining, queries in pieces, silence, the longest message, no message (RFC 7766).
//! 8. Replies keep to the size that was asked for (RFC 6891).
//! 9. Cookies (RFC 7873, RFC 9018).
//! 10. Malformed messages get the smallest right reply, or none.
//! 11. What no list may hold stays out of it (RFC 6471).
//! 12. Listed stays listed behind resolvers that ask for parts of names.
//! 13. Mail servers reject the listed with our text, accept others, and accept all when a list fails.
//!
//! The other lines are in the tests of `dns/` and `core/cookie`, `corpus` has more of 10, and the target `clients` has 6,
//! 9, 12 and 13.

use crate::dns::{TEST_ENTRY, Tcp, Udp, owner, question, said};
use crate::harness::{Daemon, LOCAL, Site};
use blackthorn_testkit::messages::{EXAMPLES, Example, hex};
use hickory_proto::op::Message;
use hickory_proto::rr::RecordType::{self, A, AAAA, ANY, NS, SOA, TXT};
use std::iter::{empty, repeat};

/// The zone of the [`EXAMPLES`].
const ZONE: &str = r#"
[[feed]]
id = "mine"
source = "mine.txt"
format = "plain"
refresh = "1d"

[[zone]]
name = "bl.example"
feeds = ["mine"]
text = "Listed, see https://bl.example/?q=$"
ns = ["ns1.bl.example"]
"#;

fn start(config: &str, list: &str) -> (Site, Daemon) {
    let site = Site::new(config);
    site.write("mine.txt", list);
    let daemon = site.start();
    (site, daemon)
}

#[test]
fn replies_are_those_of_the_examples_octet_for_octet() {
    let (_site, daemon) = start(ZONE, "192.0.2.9\n");
    let serial = daemon.dns().serial("bl.example").to_be_bytes();
    // That of the examples.
    let theirs = 2_026_112_001_u32.to_be_bytes();
    for Example { case, query, reply } in EXAMPLES {
        let mut expected = hex(reply);
        if let Some(at) = expected.windows(4).position(|octets| octets == theirs) {
            expected[at..at + 4].copy_from_slice(&serial);
        }
        let socket = Udp::connect(daemon.address());
        socket.send_octets(&hex(query));
        assert_eq!(socket.receive(), expected, "{case}, over udp");
        let mut connection = Tcp::connect(daemon.address());
        connection.send_octets(&hex(query));
        assert_eq!(connection.receive(), expected, "{case}, over tcp");
    }
}

/// A zone that lists addresses and domains.
const BOTH: &str = r#"
[[feed]]
id = "mine"
source = "mine.txt"
format = "plain"
refresh = "1d"

[[feed]]
id = "names"
source = "names.txt"
format = "domains"
refresh = "1d"
max_rejects = 100

[[zone]]
name = "bl.example"
feeds = ["mine", { id = "names", code = "127.0.1.2" }]
"#;

fn start_both(names: &str) -> (Site, Daemon) {
    let site = Site::new(BOTH);
    site.write("mine.txt", "192.0.2.9\n2001:db8:1::5\n");
    site.write("names.txt", names);
    let daemon = site.start();
    (site, daemon)
}

#[test]
fn checklist_1_test_entries_of_addresses_and_domains() {
    let (_site, daemon) = start_both(".bad.example.com\n");
    let ask = |name: &str, kind| said(&daemon.dns().ask(&format!("{name}.bl.example"), kind));
    let mapped = |last| owner(&format!("::ffff:127.0.0.{last}"), "").trim_end_matches('.').to_owned();
    for name in ["2.0.0.127", &mapped(2), "test", "TEST"] {
        assert_eq!(ask(name, A), "127.0.0.2", "the code of the zone: {name}");
        assert!(ask(name, TXT).contains("listed"), "{name}: {}", ask(name, TXT));
    }
    for never in ["1.0.0.127", &mapped(1), "invalid", "Invalid", "foo.invalid"] {
        for kind in [A, TXT] {
            assert_eq!(ask(never, kind), "NXDOMAIN", "{never}");
        }
    }
}

#[test]
fn checklist_2_every_part_of_a_listed_name_is_nodata() {
    let (_site, daemon) = start_both("listed.bad.example.com\n");
    let v6 = owner("2001:db8:1::5", "bl.example");
    let parts = (1..32).map(|depth| v6[2 * depth..].to_owned());
    let others = ["2.0.192", "0.192", "192", "bad.example.com", "example.com", "com"];
    let others = others.map(|part| format!("{part}.bl.example"));
    for part in parts.chain(others) {
        for kind in [A, AAAA, TXT, NS, SOA, ANY, RecordType::Unknown(65_000)] {
            assert_eq!(said(&daemon.dns().ask(&part, kind)), "NODATA", "{part} {kind}");
        }
    }
}

#[test]
fn checklist_7_tcp_takes_the_longest_message() {
    let (_site, daemon) = start(LOCAL, "192.0.2.9\n");
    let mut connection = Tcp::connect(daemon.address());
    let asked = question("9.2.0.192.bl.example", TXT);
    // What follows the last record does not matter.
    let mut longest = asked.to_vec().unwrap();
    longest.resize(65_535, 0);
    for _ in 0..3 {
        connection.send_octets(&longest);
        let reply = Message::from_vec(&connection.receive()).unwrap();
        assert_eq!(reply.metadata.id, asked.metadata.id);
        assert_eq!(said(&reply), "Address 192.0.2.9 is listed by feed mine in bl.example");
    }
}

#[test]
fn checklist_7_tcp_closes_what_is_silent() {
    let (_site, daemon) = start(LOCAL, "192.0.2.9\n");
    let mut connection = Tcp::connect(daemon.address());
    connection.send(&question("bl.example", SOA));
    connection.receive();
    connection.wait_closed(empty());
}

#[test]
fn checklist_7_tcp_closes_what_is_never_done() {
    let (_site, daemon) = start(LOCAL, "192.0.2.9\n");
    // A message of 0x6161 octets, one of them every now and then.
    Tcp::connect(daemon.address()).wait_closed(repeat(b'a'));
}

#[test]
fn checklist_11_entries_may_hold_the_test_entries_but_never_their_counterparts() {
    let config = ZONE.replace("refresh", "special_use = \"keep\"\nrefresh");
    let (_site, daemon) = start(&config, "127.0.0.0/8\n192.0.2.9\n");
    let dns = daemon.dns();
    for listed in [TEST_ENTRY, "127.0.0.0", "127.0.0.3", "127.255.255.255", "::ffff:127.0.0.2"] {
        assert_eq!(dns.about(listed, "bl.example"), "127.0.0.2", "{listed}");
    }
    for never in ["127.0.0.1", "::ffff:127.0.0.1", "::127.0.0.1"] {
        assert_eq!(dns.about(never, "bl.example"), "NXDOMAIN", "{never}");
    }
}

#[test]
fn checklist_11_special_use_space_is_listed_on_purpose_only() {
    let list = "10.1.2.3 100.64.0.0/10 169.254.1.1 172.16.0.0/12 192.168.1.1 224.0.0.1 fe80::1 fd00:1::/32";
    let within = "10.1.2.3 100.64.9.9 169.254.1.1 172.31.9.9 192.168.1.1 224.0.0.1 fe80::1 fd00:1::9";
    for (purpose, expected) in [("drop", "NXDOMAIN"), ("keep", "127.0.0.2")] {
        let config = ZONE.replace("refresh", &format!("special_use = \"{purpose}\"\nrefresh"));
        let (_site, daemon) = start(&config, &format!("192.0.2.9 {list}\n").replace(' ', "\n"));
        assert_eq!(daemon.dns().about("192.0.2.9", "bl.example"), "127.0.0.2");
        for address in within.split(' ') {
            assert_eq!(daemon.dns().about(address, "bl.example"), expected, "{address}, {purpose}");
        }
    }
}

#[test]
fn checklist_11_no_line_lists_the_world() {
    let (_site, daemon) = start(ZONE, "0.0.0.0/0\n::/0\n8.0.0.0/7\n2000::/18\n192.0.2.9\n2001:db8::9\n");
    let dns = daemon.dns();
    for listed in ["192.0.2.9", "2001:db8::9"] {
        assert_eq!(dns.about(listed, "bl.example"), "127.0.0.2", "{listed}");
    }
    for unlisted in ["192.0.2.10", "8.8.8.8", "9.9.9.9", "2000::1", "2001:db8::10"] {
        assert_eq!(dns.about(unlisted, "bl.example"), "NXDOMAIN", "{unlisted}");
    }
}

#[test]
fn checklist_11_no_name_lists_all_below_a_suffix_or_what_must_not_be_listed() {
    let (_site, daemon) =
        start_both("*\n.\ncom\n.com\n*.com\n.co.uk\ninvalid\n.invalid\nx.invalid\nbad.example.com\n");
    let dns = daemon.dns();
    assert_eq!(said(&dns.ask("bad.example.com.bl.example", A)), "127.0.1.2");
    for unlisted in ["example.net", "other.com", "x.co.uk", "co.uk", "invalid", "x.invalid", "y.invalid"] {
        assert_eq!(said(&dns.ask(&format!("{unlisted}.bl.example"), A)), "NXDOMAIN", "{unlisted}");
    }
    assert_eq!(said(&dns.ask("com.bl.example", A)), "NODATA", "part of a listed name");
}

#[test]
fn checklist_11_codes_that_mail_servers_take_for_something_else_are_refused() {
    for code in ["127.0.0.1", "127.255.255.252", "127.255.255.255", "128.0.0.2", "192.0.2.1", "::2"] {
        for key in [format!("code = \"{code}\""), format!("live = {{ code = \"{code}\" }}")] {
            let site = Site::new(&format!("{LOCAL}{key}\n"));
            site.write("mine.txt", "192.0.2.9\n");
            let refusal = site.refusal();
            assert!(refusal.contains("bad code") && refusal.contains(code), "{key}: {refusal}");
        }
    }
}

#[test]
fn checklist_11_an_empty_list_replaces_nothing() {
    let (site, daemon) = start(LOCAL, "192.0.2.9\n");
    for empty in ["", "# all gone\n", "<html>502 Bad Gateway</html>\n"] {
        site.write("mine.txt", empty);
        daemon.reload();
        assert_eq!(daemon.dns().about("192.0.2.9", "bl.example"), "127.0.0.2", "{empty:?}");
    }
    site.write("mine.txt", "192.0.2.10\n");
    daemon.reload();
    assert_eq!(daemon.dns().about("192.0.2.10", "bl.example"), "127.0.0.2");
}
