//! Domains: names listed, above listed ones, and neither, beside addresses in the same zone.

use super::*;
use crate::core::domain::{Scope, pattern, speaks_for};
use crate::core::feed::{domain_name, domain_pattern};
use proptest::sample::select;

/// A zone of domains and addresses that shows feeds 0 and 1, and one of addresses alone.
fn view(entries: &[(u16, &str)], domains: &[(u16, &str)]) -> View {
    let feeds = [(0, "127.0.0.2", "see $"), (1, "127.0.0.4", "")];
    let zones = [ZoneSpec { domains: true, ..zone("rhs.example", &feeds) }, zone("ip.example", &feeds)];
    View::bare(fixture::generation_of(&zones, entries, domains).into())
}

fn a(g: &View, front: &str) -> Seen {
    ask(g, &format!("{front}.rhs.example"), qtype::A)
}

#[test]
fn names_answer_in_every_case_and_type() {
    let g = view(&[], &[(0, ".example.com"), (1, "www.example.com"), (2, "hidden.example.net")]);
    assert_eq!(a(&g, "example.com"), records(&["127.0.0.2"]));
    assert_eq!(a(&g, "wWw.eXample.COM"), records(&["127.0.0.2", "127.0.0.4"]));
    let text = |front: &str| ask(&g, &format!("{front}.rhs.example"), qtype::TXT);
    assert_eq!(text("X.WWW.example.com"), records(&["see x.www.example.com"]));
    assert_eq!(ask(&g, "example.com.rhs.example", qtype::ANY), records(&["127.0.0.2"]));
    for kind in [qtype::NS, qtype::SOA, AAAA, DS, 65_535] {
        assert_eq!(ask(&g, "example.com.rhs.example", kind), nodata());
        assert_eq!(ask(&g, "com.rhs.example", kind), nodata());
        assert_eq!(ask(&g, "org.rhs.example", kind), nxdomain());
    }
    // A feed the zone does not show makes no name exist.
    assert_eq!((a(&g, "hidden.example.net"), a(&g, "net")), (nxdomain(), nxdomain()));
    assert_eq!(ask(&g, "example.com.ip.example", qtype::A), nxdomain());
}

#[test]
fn test_entries_are_there_without_any_list() {
    let g = view(&[], &[]);
    assert_eq!(a(&g, "TEST"), records(&["127.0.0.2"]));
    assert_eq!(ask(&g, "test.rhs.example", qtype::TXT), records(&["see test"]));
    for name in ["invalid", "x.invalid", "x.test", "com"] {
        assert_eq!(a(&g, name), nxdomain(), "{name}");
    }
    assert_eq!(ask(&g, "test.ip.example", qtype::A), nxdomain());
}

#[test]
fn addresses_come_first_and_both_readings_exist() {
    let nibbles = |top: &str| format!("{}{top}", "0.".repeat(31));
    let below_an_address = format!("x.{}", nibbles("e"));
    let g = view(&[(0, "192.0.2.7"), (0, "f000::/16")], &[(1, "x.0.f"), (1, &below_an_address)]);
    assert_eq!(a(&g, "7.2.0.192"), records(&["127.0.0.2"]));
    // A nibble above addresses, and a top-level domain above a listed name.
    assert_eq!(a(&g, "f"), nodata());
    assert_eq!(a(&g, "0.f"), nodata());
    assert_eq!(a(&g, "x.0.f"), records(&["127.0.0.4"]));
    assert_eq!(a(&g, &nibbles("f")), records(&["127.0.0.2"]));
    assert_eq!(a(&g, &nibbles("e")), nodata(), "no listed address, but a name below it is listed");
    assert_eq!(a(&g, &below_an_address), records(&["127.0.0.4"]));
    assert_eq!(a(&g, &nibbles("d")), nxdomain());
}

#[test]
fn whether_a_name_is_listed_is_counted() {
    let g = view(&[], &[(0, "bad.example.com")]);
    let listed = |front: &str| {
        ask_with(Some(&g), &format!("{front}.rhs.example"), qtype::A, CLASS_IN, Transport::Udp).listed
    };
    assert_eq!((listed("bad.example.com"), listed("good.example.com")), (Some(true), Some(false)));
    assert_eq!((listed("example.com"), listed("com")), (None, None), "above a listed name");
}

const LABELS: [&str; 3] = ["a", "b", "com"];

/// All names of up to `depth` labels.
fn names(depth: usize) -> Vec<String> {
    let mut all: Vec<Vec<String>> = vec![LABELS.map(String::from).to_vec()];
    for _ in 1..depth {
        let deepest = all.last().unwrap().iter();
        all.push(deepest.flat_map(|name| LABELS.map(|label| format!("{label}.{name}"))).collect());
    }
    all.concat()
}

fn entries() -> impl Strategy<Value = Vec<(u16, String)>> {
    let scope = select(&[Scope::Exact, Scope::Subtree, Scope::Below][..]);
    let name = proptest::collection::vec(select(&LABELS[..]), 2..4).prop_map(|labels| labels.join("."));
    let entry = (0u16..3, name, scope)
        .prop_map(|(feed, name, scope)| (feed, pattern(&domain_name(&name).unwrap(), scope)));
    proptest::collection::vec(entry, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// By a scan over all entries for every name, and over all names below it.
    #[test]
    fn every_name_is_answered_as_a_scan_says(entries in entries()) {
        let entries: Vec<(u16, &str)> = entries.iter().map(|(feed, entry)| (*feed, entry.as_str())).collect();
        let g = view(&[], &entries);
        let codes = |name: &str| -> Vec<&str> {
            let name = domain_name(name).unwrap();
            let lists = |feed: u16| entries.iter().any(|(of, entry)| {
                let (entry, scope) = domain_pattern(entry).unwrap();
                *of == feed && speaks_for(&entry, scope, &name)
            });
            [(0, "127.0.0.2"), (1, "127.0.0.4")].into_iter().filter(|(feed, _)| lists(*feed)).map(|(_, code)| code).collect()
        };
        let all = names(5);
        let listed: Vec<&String> = all.iter().filter(|name| !codes(name).is_empty()).collect();
        for name in names(3) {
            let expected = match &codes(&name)[..] {
                [] if listed.iter().any(|listed| listed.ends_with(&format!(".{name}"))) => nodata(),
                [] => nxdomain(),
                codes => records(codes),
            };
            prop_assert_eq!(a(&g, &name), expected, "{}", name);
        }
    }
}
