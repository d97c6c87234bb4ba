use super::*;
use crate::core::domain_table::DomainTable;
use crate::core::fixture::{generation, zone};
use crate::core::live_set::entry;
use crate::core::protection::Reservations;
use crate::core::span::Span;

fn codes(zone: &Zone, table: &Table, address: &str) -> Vec<String> {
    let listed = zone.listed(table, address.parse().unwrap());
    listed.map_or(Vec::new(), |l| l.codes().iter().map(Ipv4Addr::to_string).collect())
}

fn texts(zone: &Zone, table: &Table, address: &str) -> Vec<String> {
    let address = address.parse().unwrap();
    let listed = zone.listed(table, address);
    listed.map_or(Vec::new(), |l| l.texts().iter().map(|t| t.expand(address)).collect())
}

#[test]
fn codes_and_texts_of_several_feeds_are_joined_without_repeats() {
    let spec =
        zone("bl.example", &[(3, "127.0.0.9", "c $"), (1, "127.0.0.2", "a $"), (2, "127.0.0.2", "a $")]);
    let g = generation(
        &[spec],
        &[(1, "192.0.2.0/24"), (2, "192.0.2.0/25"), (3, "192.0.2.7"), (4, "198.51.100.1")],
    );
    let zone = &g.zones[0];
    assert_eq!(codes(zone, &g.table, "192.0.2.7"), ["127.0.0.2", "127.0.0.9"]);
    assert_eq!(
        texts(zone, &g.table, "192.0.2.7"),
        ["c 192.0.2.7", "a 192.0.2.7"],
        "in the order of the zone's feeds"
    );
    assert_eq!(codes(zone, &g.table, "::ffff:192.0.2.7"), codes(zone, &g.table, "192.0.2.7"));
    assert_eq!(codes(zone, &g.table, "192.0.2.200"), ["127.0.0.2"]);
    assert!(codes(zone, &g.table, "198.51.100.1").is_empty(), "a feed of no zone");
    let distinct: std::collections::HashSet<_> = zone.answers.iter().flatten().map(Arc::as_ptr).collect();
    assert_eq!(
        distinct.len(),
        5,
        "a for feed 1, for 1 and 2, and for the test entry; c and a; c for its test entry"
    );
}

#[test]
fn each_zone_sees_its_own_feeds_and_codes() {
    let specs = [
        zone("a.example", &[(1, "127.0.0.2", "")]),
        zone("b.example", &[(2, "127.0.0.4", "")]),
        zone("c.example", &[(1, "127.0.0.2", "other text")]),
    ];
    let g = generation(&specs, &[(1, "192.0.2.1"), (2, "192.0.2.2")]);
    let (a, b, c) = (&g.zones[0], &g.zones[1], &g.zones[2]);
    assert_eq!(codes(a, &g.table, "192.0.2.1"), ["127.0.0.2"]);
    assert!(codes(a, &g.table, "192.0.2.2").is_empty());
    assert_eq!(codes(b, &g.table, "192.0.2.2"), ["127.0.0.4"]);
    assert!(Arc::ptr_eq(&a.shown.addresses, &c.shown.addresses), "same addresses, one presence");
    assert!(!Arc::ptr_eq(&a.shown.addresses, &b.shown.addresses));
    assert!(a.presence().any_v4(Span::host(0xc000_0201)) && !a.presence().any_v4(Span::host(0xc000_0202)));
}

#[test]
fn test_entries_answer_in_every_zone() {
    let specs = [
        zone("plain.example", &[(1, "127.0.0.2", "listed $")]),
        zone("codes.example", &[(1, "127.0.0.9", "nine"), (2, "127.0.0.5", "five $")]),
        zone("none.example", &[]),
        zone("mute.example", &[(1, "127.0.0.2", "")]),
    ];
    let g = generation(&specs, &[]);
    let [plain, several, none, mute] = &g.zones[..] else { panic!() };
    assert_eq!(codes(plain, &g.table, "127.0.0.2"), ["127.0.0.2"]);
    assert_eq!(texts(plain, &g.table, "127.0.0.2"), ["listed 127.0.0.2"]);
    assert!(codes(plain, &g.table, "127.0.0.5").is_empty(), "a code of another zone");
    assert_eq!(
        codes(several, &g.table, "127.0.0.2"),
        ["127.0.0.5"],
        "lowest code of a zone without 127.0.0.2"
    );
    assert_eq!(texts(several, &g.table, "127.0.0.5"), ["five 127.0.0.5"]);
    assert_eq!(codes(several, &g.table, "127.0.0.9"), ["127.0.0.9"]);
    assert_eq!(codes(none, &g.table, "127.0.0.2"), ["127.0.0.2"]);
    assert_eq!(texts(mute, &g.table, "127.0.0.2").len(), 1, "the test entry always has a text");
    for zone in &g.zones {
        assert_eq!(codes(zone, &g.table, "::ffff:127.0.0.2"), codes(zone, &g.table, "127.0.0.2"));
    }
    let addresses: Vec<_> = test_addresses(&specs).iter().map(Ipv4Addr::to_string).collect();
    assert_eq!(addresses, ["127.0.0.2", "127.0.0.5", "127.0.0.9"]);
}

#[test]
fn loopback_one_is_never_listed() {
    let g = generation(&[zone("bl.example", &[(1, "127.0.0.2", "")])], &[(1, "127.0.0.0/8")]);
    assert!(codes(&g.zones[0], &g.table, "127.0.0.1").is_empty());
    assert!(codes(&g.zones[0], &g.table, "::ffff:127.0.0.1").is_empty());
    assert_eq!(codes(&g.zones[0], &g.table, "127.0.0.3"), ["127.0.0.2"]);
}

#[test]
fn texts_that_do_not_fit_together_are_left_out_and_counted() {
    let long = |c: &str| c.repeat(200);
    let feeds = [(1, "127.0.0.2", &*long("a")), (2, "127.0.0.2", &*long("b")), (3, "127.0.0.2", "c")];
    let g =
        generation(&[zone("bl.example", &feeds)], &[(1, "192.0.2.1"), (2, "192.0.2.1"), (3, "192.0.2.1")]);
    let zone = &g.zones[0];
    assert_eq!(zone.texts_left_out(), 1);
    assert_eq!(texts(zone, &g.table, "192.0.2.1"), [long("a"), "c".into()]);
}

#[test]
fn names_and_servers_have_defaults() {
    let spec = ZoneSpec { ns: vec![], ..zone("bl.example", &[]) };
    let g = generation(&[spec, zone("x.sub.bl.example", &[])], &[]);
    assert_eq!(g.zones[0].ns(), [DomainName::parse("bl.example").unwrap()]);
    assert_eq!(g.zones[0].contact().wire(), b"\x0ahostmaster\x02bl\x07example\x00");
    assert_eq!(g.zones[0].nested, [DomainName::parse("x.sub.bl.example").unwrap()]);
    assert!(g.zones[1].nested.is_empty());
}

#[test]
fn unchecked_specifications_are_refused_not_served() {
    let (addresses, domains) = (Table::default(), DomainTable::default());
    let tables = Tables { addresses: &addresses, domains: &domains };
    let compile = |spec| Zone::compile_all(&[spec], &Listings::default(), tables);
    let with_name = |name: &str| ZoneSpec { ns: vec![], ..zone(name, &[]) };
    assert!(matches!(compile(with_name("bl..example")), Err(ZoneError::Name(NameError::EmptyLabel(_)))));
    assert!(matches!(
        compile(zone("bl.example", &[(1, "127.0.0.2", "a\tb")])),
        Err(ZoneError::Text(TextError::Character('\t')))
    ));
}

#[test]
fn codes_are_checked() {
    for (code, result) in [
        ("127.0.0.2", Ok(())),
        ("127.1.2.3", Ok(())),
        ("127.0.0.1", Err(ZoneError::CodeLoopback)),
        ("127.255.255.254", Err(ZoneError::CodeReserved(Ipv4Addr::new(127, 255, 255, 254)))),
        ("192.0.2.1", Err(ZoneError::CodeOutside(Ipv4Addr::new(192, 0, 2, 1)))),
    ] {
        assert_eq!(check_code(code.parse().unwrap()), result, "{code}");
    }
}

#[test]
fn zone_names_leave_room_for_an_ipv6_address() {
    assert_eq!(check_zone_name("bl.example"), Ok(()));
    // 64 octets of nibbles and 191 of zone are the 255 a name may have.
    let longest = [&*"a".repeat(63), &*"b".repeat(63), &*"c".repeat(61)].join(".");
    assert_eq!(check_zone_name(&longest), Ok(()));
    let longer = format!("{longest}c");
    assert!(matches!(check_zone_name(&longer), Err(ZoneError::Name(NameError::TooLong { len: 192, .. }))));
}

#[test]
fn zones_inside_zones_never_look_like_addresses() {
    for (inner, safe) in [
        ("sbl.bl.example", true),
        ("x.sbl.bl.example", true),
        ("9.sbl.bl.example", true),
        ("bl.example", true),
        ("other.example", true),
        ("xbl.example", true),
        ("10.bl.example", false),
        ("a.bl.example", false),
        ("g.bl.example", false),
        ("sbl.0.bl.example", false),
    ] {
        assert_eq!(check_nesting(inner, "bl.example").is_ok(), safe, "{inner}");
    }
}

fn overlay(entries: &[(Action, &str)]) -> LiveTable {
    let entries = entries.iter().map(|(action, network)| Arc::new(entry(*action, network, None))).collect();
    LiveTable::compile(entries, &Reservations::default(), &Reservations::default()).unwrap()
}

#[test]
fn a_block_adds_to_what_the_feeds_say_and_an_allow_silences_them() {
    let live = |code: &str, text: &str| Some(ZoneLive { code: code.parse().unwrap(), text: text.to_owned() });
    let specs = [
        ZoneSpec {
            live: live("127.0.0.9", "by hand: $"),
            ..zone("a.example", &[(1, "127.0.0.4", "feed: $")])
        },
        ZoneSpec { live: None, ..zone("b.example", &[(1, "127.0.0.4", "feed: $")]) },
        ZoneSpec { live: live("127.0.0.2", ""), ..zone("c.example", &[]) },
    ];
    let g = generation(&specs, &[(1, "192.0.2.0/24"), (1, "2001:db8::/32")]);
    let overlay = overlay(&[
        (Action::Block, "192.0.2.128/25"),
        (Action::Block, "198.51.100.1"),
        (Action::Allow, "192.0.2.130"),
        (Action::Allow, "2001:db8:1::/48"),
        (Action::Block, "127.0.0.0/8"),
    ]);
    let said = |zone: &Zone, address: &str| {
        let address: IpAddr = address.parse().unwrap();
        let listed = zone.shown(&g.table, &overlay, address)?;
        let codes: Vec<String> = listed.codes().iter().map(ToString::to_string).collect();
        let texts: Vec<String> = listed.texts().iter().map(|text| text.expand(address)).collect();
        Some(format!("{} {}", codes.join(","), texts.join(",")))
    };
    for (address, a, b, c) in [
        ("192.0.2.1", Some("127.0.0.4 feed: 192.0.2.1"), Some("127.0.0.4 feed: 192.0.2.1"), None),
        (
            "192.0.2.129",
            Some("127.0.0.4,127.0.0.9 by hand: 192.0.2.129,feed: 192.0.2.129"),
            Some("127.0.0.4 feed: 192.0.2.129"),
            Some("127.0.0.2 "),
        ),
        ("192.0.2.130", None, None, None),
        ("198.51.100.1", Some("127.0.0.9 by hand: 198.51.100.1"), None, Some("127.0.0.2 ")),
        ("2001:db8:1::1", None, None, None),
        ("127.0.0.1", None, None, None),
        ("127.0.0.9", Some("127.0.0.9 by hand: 127.0.0.9"), None, None),
    ] {
        let expected = [a, b, c].map(|text| text.map(str::to_owned));
        assert_eq!([0, 1, 2].map(|zone| said(&g.zones[zone], address)), expected, "{address}");
    }
}

#[test]
fn the_text_of_a_block_comes_first_when_not_all_fit() {
    let long = |c: &str| c.repeat(220);
    let live = Some(ZoneLive { code: Ipv4Addr::new(127, 0, 0, 9), text: long("l") });
    let spec =
        ZoneSpec { live, ..zone("a.example", &[(1, "127.0.0.2", &long("a")), (2, "127.0.0.3", "short")]) };
    let g = generation(&[spec], &[(1, "192.0.2.1"), (2, "192.0.2.1")]);
    let overlay = overlay(&[(Action::Block, "192.0.2.1")]);
    let listed = g.zones[0].shown(&g.table, &overlay, "192.0.2.1".parse().unwrap()).unwrap();
    let texts: Vec<usize> =
        listed.texts().iter().map(|text| text.expand(IpAddr::from([0; 4])).len()).collect();
    assert_eq!((listed.codes().len(), texts), (3, vec![220, 5]));
}
