//! What clients hear that are not answered in full, and what keys and quotas do.

use super::*;
use crate::core::access::{Access, Action as Does};
use crate::core::coverage::Coverage;
use crate::core::keys::Keys;
use crate::core::policy::{Clients, Quota, ZonePolicy};
use crate::core::quota::{self, Quotas, Standing};

const KEY: &str = "k3y-0123456789abcdef";

/// One list of clients; what is coded has a code and text.
fn clients(rules: &[(&str, Does)]) -> Clients {
    let rules: Vec<_> = rules.iter().map(|(network, does)| (network.parse().unwrap(), *does)).collect();
    let text = Template::parse("no access for $").unwrap();
    let coded = Listed::one(Ipv4Addr::new(127, 255, 255, 254), Some(text));
    Clients::new(Access::new(&rules, Does::Allow), Some(coded))
}

fn zone_policy(name: &str, clients: Option<Clients>, keys: &str) -> ZonePolicy {
    ZonePolicy { name: DomainName::parse(name).unwrap(), clients, keys: Keys::parse(keys, [1; 16]).unwrap() }
}

/// Two zones over the same data.
fn view() -> View {
    let feeds = [(1, "127.0.0.2", "see $")];
    generation(&[zone("a.example", &feeds), zone("b.example", &feeds)], &[(1, "192.0.2.7")])
}

fn decide<'g>(g: &'g View, policy: &'g Policy, client: &str, name: &str, qtype: u16) -> Decision<'g> {
    let wire = wire(name);
    let name = QuestionName::read(&wire).unwrap();
    let question = Question { name, qtype, class: CLASS_IN, transport: Transport::Udp };
    let asker = Asker { client: client.parse().unwrap(), now: NOW, policy, ourselves: false };
    answer(&question, Some(g), &asker)
}

#[test]
fn clients_hear_what_the_list_says() {
    let g = view();
    let policy = Policy {
        clients: clients(&[
            ("198.51.100.1", Does::Refuse),
            ("198.51.100.2", Does::Drop),
            ("198.51.100.3", Does::Empty),
            ("198.51.100.4", Does::Code),
        ]),
        ..Policy::default()
    };
    let ask = |client: &str, name: &str, qtype| {
        decide(&g, &policy, client, name, qtype).answer.map(|answer| seen(name, &answer))
    };
    let listed = "7.2.0.192.a.example";
    assert_eq!(ask("198.51.100.9", listed, qtype::A), Some(records(&["127.0.0.2"])));
    assert_eq!(ask("198.51.100.1", listed, qtype::A), Some(refused()));
    assert_eq!(ask("198.51.100.2", listed, qtype::A), None);
    assert_eq!(ask("198.51.100.2", "else.where", qtype::A), None);
    assert_eq!(ask("::ffff:198.51.100.1", listed, qtype::A), Some(refused()));
    let prohibited = decide(&g, &policy, "198.51.100.1", listed, qtype::A).answer.unwrap();
    assert_eq!(prohibited.ede, Some(Ede::Prohibited));

    for name in [listed, "2.0.0.127.a.example", "2.0.192.a.example", "x.a.example"] {
        assert_eq!(ask("198.51.100.3", name, qtype::A), Some(nxdomain()), "{name}");
    }
    assert_eq!(ask("198.51.100.3", "a.example", qtype::NS), Some(records(&["NS 1"])));

    for name in [listed, "8.2.0.192.a.example", "2.0.0.127.a.example"] {
        assert_eq!(ask("198.51.100.4", name, qtype::A), Some(records(&["127.255.255.254"])), "{name}");
    }
    assert_eq!(ask("198.51.100.4", listed, qtype::TXT), Some(records(&["no access for 192.0.2.7"])));
    let coded = decide(&g, &policy, "198.51.100.4", listed, qtype::A).answer.unwrap();
    assert_eq!((coded.ttl, coded.listed), (CODED_TTL, Some(true)));
    assert_eq!(ask("198.51.100.4", "1.0.0.127.a.example", qtype::A), Some(nxdomain()));
    assert_eq!(ask("198.51.100.4", "11.a.example", qtype::A), Some(nodata()));
    assert_eq!(ask("198.51.100.4", "a.example", qtype::SOA), Some(records(&[&format!("SOA {SERIAL}")])));
}

#[test]
fn a_code_for_all_holds_for_domains_where_the_zone_has_them() {
    let spec = ZoneSpec { domains: true, ..zone("a.example", &[(1, "127.0.0.2", "see $")]) };
    let g = generation(&[spec], &[]);
    let policy = Policy { clients: clients(&[("0.0.0.0/0", Does::Code)]), ..Policy::default() };
    let ask = |name: &str, qtype| {
        decide(&g, &policy, "192.0.2.1", name, qtype).answer.map(|answer| seen(name, &answer))
    };
    assert_eq!(ask("shop.example.a.example", qtype::A), Some(records(&["127.255.255.254"])));
    assert_eq!(ask("shop.example.a.example", qtype::TXT), Some(records(&["no access for shop.example"])));
    for never in ["invalid.a.example", "x.INVALID.a.example", "1.0.0.127.a.example"] {
        assert_eq!(ask(never, qtype::A), Some(nxdomain()), "{never}");
    }
}

#[test]
fn a_list_of_a_zone_takes_the_place_of_the_general_one() {
    let g = view();
    let own = clients(&[("203.0.113.0/24", Does::Refuse)]);
    let policy = Policy {
        clients: clients(&[("198.51.100.0/24", Does::Refuse)]),
        // Not in the order of the generation.
        zones: Some(vec![zone_policy("b.example", Some(own), ""), zone_policy("a.example", None, "")]),
        ..Policy::default()
    };
    let rcode = |client, name| decide(&g, &policy, client, name, qtype::A).answer.unwrap().rcode;
    assert_eq!(rcode("198.51.100.1", "7.2.0.192.a.example"), Rcode::Refused);
    assert_eq!(rcode("198.51.100.1", "7.2.0.192.b.example"), Rcode::NoError);
    assert_eq!(rcode("203.0.113.1", "7.2.0.192.a.example"), Rcode::NoError);
    assert_eq!(rcode("203.0.113.1", "7.2.0.192.b.example"), Rcode::Refused);
}

#[test]
fn a_key_opens_the_zone_it_belongs_to() {
    let g = view();
    let closed = || Some(clients(&[("0.0.0.0/0", Does::Refuse), ("::/0", Does::Drop)]));
    let policy = Policy {
        zones: Some(vec![
            zone_policy("a.example", closed(), &format!("{KEY} somebody")),
            zone_policy("b.example", closed(), ""),
        ]),
        ..Policy::default()
    };
    let ask = |client: &str, name: &str, qtype| {
        decide(&g, &policy, client, name, qtype).answer.map(|answer| seen(name, &answer))
    };
    let keyed = |front: &str| format!("{front}{KEY}.a.example");
    assert_eq!(ask("192.0.2.1", &keyed("7.2.0.192."), qtype::A), Some(records(&["127.0.0.2"])));
    assert_eq!(ask("2001:db8::1", &keyed("7.2.0.192."), qtype::TXT), Some(records(&["see 192.0.2.7"])));
    assert_eq!(ask("192.0.2.1", &keyed("7.2.0.192.").to_uppercase(), qtype::A).unwrap().records.len(), 1);
    assert_eq!(ask("192.0.2.1", &keyed("1.0.0.127."), qtype::A), Some(nxdomain()));
    assert_eq!(ask("192.0.2.1", &keyed("0.127."), qtype::A), Some(nodata()));
    for asked in [qtype::A, qtype::NS, qtype::SOA] {
        assert_eq!(ask("192.0.2.1", &keyed(""), asked), Some(nodata()), "{asked}");
    }
    assert_eq!(ask("192.0.2.1", "7.2.0.192.a.example", qtype::A), Some(refused()));
    assert_eq!(ask("2001:db8::1", "7.2.0.192.a.example", qtype::A), None);
    assert_eq!(ask("192.0.2.1", &format!("7.2.0.192.{KEY}x.a.example"), qtype::A), Some(refused()));
    assert_eq!(ask("192.0.2.1", &format!("7.2.0.192.{KEY}.b.example"), qtype::A), Some(refused()));
    assert_eq!(ask("192.0.2.1", &format!("{KEY}.7.2.0.192.a.example"), qtype::A), Some(refused()));
    let secret = |name: &str| decide(&g, &policy, "192.0.2.1", name, qtype::A).admitted.secret;
    assert_eq!(secret(&keyed("7.2.0.192.")), Some(4));
    assert_eq!(secret(&format!("7.2.0.192.{KEY}x.a.example")), Some(4), "mistyped keys are secrets as well");
    assert_eq!(secret("7.2.0.192.a.example"), None);
    assert_eq!(secret(&format!("7.2.0.192.{KEY}.b.example")), None, "a zone without keys");
}

#[test]
fn a_zone_that_is_not_configured_is_for_nobody() {
    let g = view();
    let policy = Policy { zones: Some(vec![zone_policy("a.example", None, "")]), ..Policy::default() };
    let rcode = |name| decide(&g, &policy, "192.0.2.1", name, qtype::A).answer.unwrap().rcode;
    assert_eq!(rcode("7.2.0.192.a.example"), Rcode::NoError);
    assert_eq!(rcode("7.2.0.192.b.example"), Rcode::Refused);
}

#[test]
fn a_wrong_key_in_an_open_zone_is_a_name_like_any_other() {
    let g = view();
    let policy = Policy {
        zones: Some(vec![zone_policy("a.example", None, &format!("{KEY} x"))]),
        ..Policy::default()
    };
    let answer = decide(&g, &policy, "192.0.2.1", &format!("7.2.0.192.{KEY}x.a.example"), qtype::A).answer;
    assert_eq!(seen("x.a.example", &answer.unwrap()), nxdomain());
}

#[test]
fn quotas_are_counted_for_keys_and_clients_apart() {
    let g = view();
    let settings = quota::Settings { queries: 2, period: 86_400, v4_prefix: 32, v6_prefix: 64 };
    let quota = Quota {
        quotas: Arc::new(Quotas::new(settings, [1; 16])),
        exempt: Coverage::new(["203.0.113.0/24".parse().unwrap()]),
    };
    let zones = Some(vec![zone_policy("a.example", None, &format!("{KEY} x"))]);
    let policy = Policy { zones, quota: Some(quota), ..Policy::default() };
    let (plain, keyed) = ("7.2.0.192.a.example".to_owned(), format!("7.2.0.192.{KEY}.a.example"));
    let ask = |client, name: &str| {
        let decision = decide(&g, &policy, client, name, qtype::A);
        (decision.answer.unwrap().rcode, decision.admitted.standing)
    };
    assert_eq!(ask("192.0.2.1", &plain), (Rcode::NoError, Some(Standing::Within)));
    assert_eq!(ask("192.0.2.1", &plain), (Rcode::NoError, Some(Standing::Near)));
    assert_eq!(ask("192.0.2.1", &plain), (Rcode::Refused, Some(Standing::Spent)));
    assert_eq!(ask("192.0.2.1", &keyed), (Rcode::NoError, Some(Standing::Within)));
    assert_eq!(ask("192.0.2.2", &keyed), (Rcode::NoError, Some(Standing::Near)), "the key has one quota");
    assert_eq!(ask("192.0.2.2", &keyed).0, Rcode::Refused);
    assert_eq!(ask("203.0.113.1", &keyed).0, Rcode::Refused, "keys are never exempt");
    for _ in 0..5 {
        assert_eq!(ask("203.0.113.1", &plain), (Rcode::NoError, None));
        assert_eq!(ask("192.0.2.3", "other.name").1, None, "not in a zone of ours");
    }
}

#[test]
fn the_server_itself_is_always_answered() {
    let g = view();
    let policy = Policy { clients: clients(&[("0.0.0.0/0", Does::Drop)]), ..Policy::default() };
    let wire = wire("7.2.0.192.a.example");
    let name = QuestionName::read(&wire).unwrap();
    let question = Question { name, qtype: qtype::A, class: CLASS_IN, transport: Transport::Udp };
    let asker = |ourselves| Asker { client: [127, 0, 0, 1].into(), now: NOW, policy: &policy, ourselves };
    assert!(answer(&question, Some(&g), &asker(false)).answer.is_none());
    assert_eq!(
        seen("7.2.0.192.a.example", &answer(&question, Some(&g), &asker(true)).answer.unwrap()),
        records(&["127.0.0.2"])
    );
}

#[test]
fn the_server_tells_of_itself_only_what_it_is_to() {
    let told = Policy { version: Some("v1".into()), hostname: Some("h1".into()), ..Policy::default() };
    let ask = |policy: &Policy, name: &str, qtype| {
        let wire = wire(name);
        let asked = QuestionName::read(&wire).unwrap();
        let question = Question { name: asked, qtype, class: CLASS_CH, transport: Transport::Udp };
        let asker = Asker { client: [127, 0, 0, 1].into(), now: NOW, policy, ourselves: false };
        let answer = answer(&question, None, &asker).answer.unwrap();
        (answer.rcode, seen(name, &answer).records.first().cloned(), answer.ttl, answer.authoritative)
    };
    let text = |text: &str| (Rcode::NoError, Some(text.to_owned()), 0, true);
    for (name, said) in
        [("version.bind", "v1"), ("VERSION.server", "v1"), ("hostname.bind", "h1"), ("id.server", "h1")]
    {
        assert_eq!(ask(&told, name, qtype::TXT), text(said));
        assert_eq!(ask(&OPEN, name, qtype::TXT).0, Rcode::Refused, "{name}");
        assert_eq!(ask(&told, name, qtype::A).0, Rcode::Refused, "{name}");
    }
    assert_eq!(ask(&told, "authors.bind", qtype::TXT).0, Rcode::Refused);
}
