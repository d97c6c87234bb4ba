use super::qtype::AAAA;
use super::*;
use crate::core::fixture::{self, SERIAL, zone};
use crate::core::live_set::{Action, entry};
use crate::core::live_table::LiveTable;
use crate::core::name::DomainName;
use crate::core::protection::Reservations;
use crate::core::subject::Spelled;
use crate::core::view::Expiry;
use crate::core::zone::ZoneSpec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::LazyLock;

mod access;
mod domains;

/// When questions are asked.
const NOW: u64 = 1_763_600_000;
const DS: u16 = 43;

/// A dotted name in wire form.
fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    labels.flat_map(|l| [&[l.len() as u8], l.as_bytes()].concat()).chain([0]).collect()
}

/// Everything a test wants to see of an answer, borrowed from nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    rcode: Rcode,
    authoritative: bool,
    records: Vec<String>,
    /// TTL of the SOA in the authority section.
    negative: Option<u32>,
}

/// Of a server that answers everybody.
static OPEN: LazyLock<Policy> = LazyLock::new(Policy::default);

fn ask_with<'g>(g: Option<&'g View>, name: &str, qtype: u16, class: u16, transport: Transport) -> Answer<'g> {
    let wire = wire(name);
    let question = Question { name: QuestionName::read(&wire).unwrap(), qtype, class, transport };
    let asker = Asker { client: Ipv4Addr::LOCALHOST.into(), now: NOW, policy: &OPEN, ourselves: false };
    answer(&question, g, &asker).answer.unwrap()
}

fn ask(g: &View, name: &str, qtype: u16) -> Seen {
    seen(name, &ask_with(Some(g), name, qtype, CLASS_IN, Transport::Udp))
}

fn seen(name: &str, answer: &Answer<'_>) -> Seen {
    let records = match answer.records {
        Records::None => vec![],
        Records::A(codes) => codes.iter().map(Ipv4Addr::to_string).collect(),
        Records::Txt(texts, subject) => {
            let wire = wire(name);
            let name = QuestionName::read(&wire).unwrap();
            Spelled::default().texts(texts, subject, &name).expanded().collect()
        }
        Records::Soa(soa) => vec![format!("SOA {}", soa.serial)],
        Records::Ns(zone) => vec![format!("NS {}", zone.ns().len())],
        Records::Text(text) => vec![text.to_owned()],
    };
    let negative = answer.authority.map(|(_, ttl)| ttl);
    Seen { rcode: answer.rcode, authoritative: answer.authoritative, records, negative }
}

fn records(list: &[&str]) -> Seen {
    let records = list.iter().map(|&record| record.to_owned()).collect();
    Seen { rcode: Rcode::NoError, authoritative: true, records, negative: None }
}

fn nodata() -> Seen {
    Seen { rcode: Rcode::NoError, authoritative: true, records: vec![], negative: Some(300) }
}

fn nxdomain() -> Seen {
    Seen { rcode: Rcode::NxDomain, ..nodata() }
}

fn refused() -> Seen {
    Seen { rcode: Rcode::Refused, authoritative: false, records: vec![], negative: None }
}

/// A view of these zones and entries, without live entries.
fn generation(zones: &[ZoneSpec], entries: &[(u16, &str)]) -> View {
    View::bare(Arc::new(fixture::generation(zones, entries)))
}

fn one_zone(entries: &[(u16, &str)]) -> View {
    generation(&[zone("bl.example", &[(1, "127.0.0.2", "see $")])], entries)
}

#[test]
fn a_listed_address_has_a_and_txt_and_nothing_else() {
    let g = one_zone(&[(1, "192.0.2.7")]);
    assert_eq!(ask(&g, "7.2.0.192.bl.example", qtype::A), records(&["127.0.0.2"]));
    assert_eq!(ask(&g, "7.2.0.192.bl.example", qtype::ANY), records(&["127.0.0.2"]));
    assert_eq!(ask(&g, "7.2.0.192.BL.Example", qtype::TXT), records(&["see 192.0.2.7"]));
    for other in [AAAA, DS, qtype::NS, qtype::SOA, 1000, 65535, 200] {
        assert_eq!(ask(&g, "7.2.0.192.bl.example", other), nodata(), "{other}");
    }
    assert_eq!(ask(&g, "8.2.0.192.bl.example", qtype::A), nxdomain());
    assert_eq!(ask(&g, "x.7.2.0.192.bl.example", qtype::A), nxdomain());
}

#[test]
fn an_answer_knows_the_feeds_of_the_zone_that_list_it() {
    let spec = zone("bl.example", &[(1, "127.0.0.2", ""), (2, "127.0.0.2", "")]);
    let entries = [(1, "192.0.2.7"), (2, "192.0.2.0/24"), (3, "192.0.2.7")];
    let g = generation(&[spec], &entries);
    let feeds = |g: &View, name| {
        let answer = ask_with(Some(g), name, qtype::A, CLASS_IN, Transport::Udp);
        answer.feeds.iter().map(|feed| feed.0).collect::<Vec<_>>()
    };
    assert_eq!(feeds(&g, "7.2.0.192.bl.example"), [1, 2]);
    assert_eq!(feeds(&g, "8.2.0.192.bl.example"), [2]);
    assert!(feeds(&g, "2.0.0.127.bl.example").is_empty(), "a test entry is of no feed");
    assert!(feeds(&g, "8.2.1.192.bl.example").is_empty());
    let live = with_live(&[(1, "192.0.2.7")], &[(Action::Block, "192.0.2.0/24")]);
    assert_eq!(feeds(&live, "7.2.0.192.bl.example"), [1], "blocked by hand as well");
    assert!(feeds(&live, "8.2.0.192.bl.example").is_empty(), "blocked by hand alone");
}

#[test]
fn the_apex_has_soa_and_ns() {
    let g = one_zone(&[]);
    let soa = format!("SOA {SERIAL}");
    assert_eq!(ask(&g, "bl.example", qtype::SOA), records(&[&soa]));
    assert_eq!(ask(&g, "bl.example", qtype::ANY), records(&[&soa]));
    assert_eq!(ask(&g, "bl.example", qtype::NS), records(&["NS 1"]));
    for other in [qtype::A, AAAA, qtype::TXT, DS] {
        assert_eq!(ask(&g, "bl.example", other), nodata(), "{other}");
    }
    assert_eq!(ask_with(Some(&g), "bl.example", qtype::SOA, CLASS_IN, Transport::Udp).ttl, APEX_TTL);
}

#[test]
fn the_negative_ttl_is_the_lesser_of_soa_ttl_and_minimum() {
    for (minimum, ttl) in [(300, 300), (86_400, APEX_TTL)] {
        let spec = ZoneSpec { negative_ttl: minimum, ..zone("bl.example", &[]) };
        assert_eq!(ask(&generation(&[spec], &[]), "1.0.0.127.bl.example", qtype::A).negative, Some(ttl));
    }
}

#[test]
fn only_our_zones_are_answered() {
    let g = one_zone(&[]);
    for name in ["example", "", "xbl.example", "2.0.0.127.bl.example.net", "7.2.0.192.other.example"] {
        let answer = ask_with(Some(&g), name, qtype::A, CLASS_IN, Transport::Udp);
        assert_eq!((answer.rcode, answer.ede), (Rcode::Refused, Some(Ede::NotAuthoritative)), "{name}");
    }
}

#[test]
fn only_class_in_is_answered() {
    let g = one_zone(&[]);
    for class in [0, 2, 3, 4, 254, 255, 4096] {
        let answer = ask_with(Some(&g), "2.0.0.127.bl.example", qtype::A, class, Transport::Udp);
        assert_eq!((answer.rcode, answer.ede), (Rcode::Refused, Some(Ede::NotSupported)), "{class}");
    }
}

#[test]
fn meta_types_and_transfers_are_turned_down() {
    let g = one_zone(&[]);
    let rcode = |qtype, transport| ask_with(Some(&g), "bl.example", qtype, CLASS_IN, transport).rcode;
    for meta in [41, 249, 250, 253, 254] {
        assert_eq!(rcode(meta, Transport::Udp), Rcode::NotImp, "{meta}");
        assert_eq!(rcode(meta, Transport::Tcp), Rcode::NotImp, "{meta}");
    }
    for transfer in [qtype::AXFR, qtype::IXFR] {
        assert_eq!(rcode(transfer, Transport::Udp), Rcode::NotImp);
        assert_eq!(rcode(transfer, Transport::Tcp), Rcode::Refused);
    }
}

#[test]
fn without_data_the_answer_is_servfail_not_an_empty_zone() {
    let none = ask_with(None, "2.0.0.127.bl.example", qtype::A, CLASS_IN, Transport::Udp);
    assert_eq!((none.rcode, none.ede, none.authoritative), (Rcode::ServFail, Some(Ede::NotReady), false));
    let mut g = generation(
        &[zone("bl.example", &[]), zone("ok.example", &[(1, "127.0.0.2", "")])],
        &[(1, "192.0.2.1")],
    );
    Arc::get_mut(&mut g.generation).unwrap().zones[0].loaded = false;
    for name in ["2.0.0.127.bl.example", "bl.example", "127.bl.example", "x.bl.example"] {
        assert_eq!(ask(&g, name, qtype::A).rcode, Rcode::ServFail, "{name}");
    }
    assert_eq!(ask(&g, "1.2.0.192.ok.example", qtype::A), records(&["127.0.0.2"]));
    assert_eq!(ask(&g, "1.2.0.192.no.example", qtype::A), refused());
}

#[test]
fn a_zone_inside_another_hides_it_and_keeps_the_names_between_alive() {
    let specs =
        [zone("bl.example", &[(1, "127.0.0.2", "")]), zone("x.sub.bl.example", &[(2, "127.0.0.3", "")])];
    let g = generation(&specs, &[(1, "192.0.2.1"), (2, "192.0.2.2")]);
    assert_eq!(ask(&g, "1.2.0.192.bl.example", qtype::A), records(&["127.0.0.2"]));
    assert_eq!(ask(&g, "2.2.0.192.bl.example", qtype::A), nxdomain());
    assert_eq!(ask(&g, "2.2.0.192.x.sub.bl.example", qtype::A), records(&["127.0.0.3"]));
    assert_eq!(ask(&g, "1.2.0.192.x.sub.bl.example", qtype::A), nxdomain());
    assert_eq!(ask(&g, "sub.bl.example", qtype::NS), nodata());
    assert_eq!(ask(&g, "y.sub.bl.example", qtype::NS), nxdomain());
    assert_eq!(ask(&g, "ub.bl.example", qtype::NS), nxdomain());
}

#[test]
fn a_range_covers_its_prefixes() {
    let g = one_zone(&[(1, "10.0.0.0/8"), (1, "2001:db8::/33")]);
    for name in ["10", "5.10", "4.5.10", "8.b.d.0.1.0.0.2", "7.8.b.d.0.1.0.0.2", "0.0.a.0.f.f.f.f.0.0"] {
        let exists = !name.starts_with("0.0.a");
        assert_eq!(
            ask(&g, &format!("{name}.bl.example"), qtype::A),
            if exists { nodata() } else { nxdomain() }
        );
    }
    assert_eq!(ask(&g, "8.8.b.d.0.1.0.0.2.bl.example", qtype::A), nxdomain());
    // ::ffff:a00:0/104 is 10.0.0.0/8.
    let mapped = format!("a.0.f.f.f.f{}", ".0".repeat(20));
    assert_eq!(ask(&g, &format!("{mapped}.bl.example"), qtype::A), nodata());
    assert_eq!(ask(&g, &format!("3.{mapped}.bl.example"), qtype::A), nodata());
    let beside = format!("b.0.f.f.f.f{}", ".0".repeat(20));
    assert_eq!(ask(&g, &format!("{beside}.bl.example"), qtype::A), nxdomain());
}

#[test]
fn partial_names_always_exist_where_the_zone_says_so() {
    let spec = ZoneSpec { ent: Ent::Always, ..zone("bl.example", &[(1, "127.0.0.2", "see $")]) };
    let g = generation(&[spec], &[(1, "192.0.2.7")]);
    for name in ["10", "5.10", "4.5.10", "f", "8.b.d.0.1.0.0.2", "4.3.2.1"] {
        assert_eq!(ask(&g, &format!("{name}.bl.example"), qtype::A), nodata(), "{name}");
    }
    for name in ["8.2.0.192", "256", "x", "1.2.3.4.5", "0.0.0.10"] {
        let expected = if name == "1.2.3.4.5" { nodata() } else { nxdomain() };
        assert_eq!(ask(&g, &format!("{name}.bl.example"), qtype::A), expected, "{name}");
    }
    assert_eq!(ask(&g, "7.2.0.192.bl.example", qtype::A), records(&["127.0.0.2"]));
}

#[test]
fn a_closed_zone_says_farewell_and_lists_nothing() {
    let spec =
        ZoneSpec { retired: Some("closed".into()), ..zone("bl.example", &[(1, "127.0.0.2", "see $")]) };
    let g = generation(&[spec], &[(1, "192.0.2.7")]);
    let negative = |seen: Seen| Seen { negative: Some(86_400), ..seen };
    assert_eq!(ask(&g, "bl.example", qtype::TXT), records(&["closed"]));
    assert_eq!(ask(&g, "bl.example", qtype::SOA), records(&[&format!("SOA {SERIAL}")]));
    assert_eq!(ask(&g, "bl.example", qtype::NS), records(&["NS 1"]));
    assert_eq!(ask(&g, "bl.example", qtype::A), negative(nodata()));
    for name in ["7.2.0.192", "2.0.0.127", "1.0.0.127", "192", "x"] {
        assert_eq!(ask(&g, &format!("{name}.bl.example"), qtype::A), negative(nxdomain()), "{name}");
    }
}

#[test]
fn expired_data_is_servfail_in_that_zone_alone() {
    let zones = [zone("bl.example", &[(1, "127.0.0.2", "")]), zone("ok.example", &[(1, "127.0.0.2", "")])];
    let mut g = generation(&zones, &[(1, "192.0.2.7")]);
    let expire = |at| Arc::from([Expiry { zone: DomainName::parse("bl.example").unwrap(), at }]);
    g.expiries = expire(NOW + 1);
    assert_eq!(ask(&g, "7.2.0.192.bl.example", qtype::A), records(&["127.0.0.2"]));
    g.expiries = expire(NOW);
    let answer = ask_with(Some(&g), "7.2.0.192.bl.example", qtype::A, CLASS_IN, Transport::Udp);
    assert_eq!((answer.rcode, answer.ede), (Rcode::ServFail, Some(Ede::NotReady)));
    assert_eq!(ask(&g, "7.2.0.192.ok.example", qtype::A), records(&["127.0.0.2"]));
}

#[test]
fn counts_only_questions_about_addresses() {
    let g = one_zone(&[]);
    let listed = |name, qtype| ask_with(Some(&g), name, qtype, CLASS_IN, Transport::Udp).listed;
    assert_eq!(listed("2.0.0.127.bl.example", qtype::A), Some(true));
    assert_eq!(listed("2.0.0.127.bl.example", AAAA), Some(true));
    assert_eq!(listed("1.0.0.127.bl.example", qtype::A), Some(false));
    assert_eq!(listed("127.bl.example", qtype::A), None);
    assert_eq!(listed("www.bl.example", qtype::A), None);
    assert_eq!(listed("www.example", qtype::A), None);
}

/// Codes and texts of a name; both empty where names exist only below it.
type Data = (BTreeSet<Ipv4Addr>, BTreeSet<String>);

/// The naive model: every existing name of every zone, spelled out.
struct Model {
    /// By zone name, then by whole name.
    zones: BTreeMap<String, BTreeMap<String, Data>>,
}

fn reversed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.octets().iter().rev().map(u8::to_string).collect::<Vec<_>>().join("."),
        IpAddr::V6(v6) => {
            let digits: String = v6.octets().iter().map(|octet| format!("{octet:02x}")).collect();
            digits.chars().rev().map(String::from).collect::<Vec<_>>().join(".")
        }
    }
}

impl Model {
    /// `hosts` are (feed, address), none of them mapped.
    fn new(specs: &[ZoneSpec], hosts: &[(u16, IpAddr)]) -> Self {
        let mut zones: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for spec in specs {
            let names = zones.entry(spec.name.clone()).or_default();
            let mut list = |address: IpAddr, code: Ipv4Addr, text: &str| {
                if address == Ipv4Addr::LOCALHOST {
                    return;
                }
                let mapped = match address {
                    IpAddr::V4(v4) => Some(v4.to_ipv6_mapped().into()),
                    IpAddr::V6(_) => None,
                };
                for form in [Some(address), mapped].into_iter().flatten() {
                    let (codes, texts): &mut Data =
                        names.entry(format!("{}.{}", reversed(form), spec.name)).or_default();
                    codes.insert(code);
                    texts.extend(Some(text.replace('$', &address.to_string())).filter(|t| !t.is_empty()));
                }
            };
            for (feed, address) in hosts {
                for part in spec.feeds.iter().filter(|part| part.feed.0 == *feed) {
                    list(*address, part.code, &part.text);
                }
            }
            for part in &spec.feeds {
                list(part.code.into(), part.code, &part.text);
            }
            let plain = Ipv4Addr::new(127, 0, 0, 2);
            if !spec.feeds.iter().any(|part| part.code == plain) {
                let lowest = spec.feeds.iter().min_by_key(|part| part.code).unwrap();
                list(plain.into(), lowest.code, &lowest.text);
            }
        }
        let mut model = Self { zones };
        // What exists makes all names above it exist, up to the zone; so does a zone inside a zone.
        for spec in specs {
            let inside = specs.iter().map(|s| &s.name).filter(|n| n.ends_with(&format!(".{}", spec.name)));
            let names = &model.zones[&spec.name];
            let mut above = BTreeSet::new();
            for name in names.keys().chain(inside) {
                let mut name = name.as_str();
                while let Some((_, rest)) =
                    name.split_once('.').filter(|(_, rest)| rest.len() >= spec.name.len())
                {
                    above.insert(rest.to_owned());
                    name = rest;
                }
            }
            let names = model.zones.get_mut(&spec.name).unwrap();
            for name in above {
                names.entry(name).or_default();
            }
        }
        model
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.zones.values().flat_map(BTreeMap::keys)
    }

    fn zone_of(&self, name: &str) -> Option<&String> {
        let inside = |zone: &&String| name == **zone || name.ends_with(&format!(".{zone}"));
        self.zones.keys().filter(inside).max_by_key(|zone| zone.len())
    }

    /// Answer to A, TXT and AAAA.
    fn ask(&self, name: &str, asked: u16) -> Seen {
        let Some(zone) = self.zone_of(name) else { return refused() };
        let Some((codes, texts)) = self.zones[zone].get(name) else { return nxdomain() };
        let records: Vec<String> = match asked {
            qtype::A => codes.iter().map(Ipv4Addr::to_string).collect(),
            qtype::TXT => texts.iter().cloned().collect(),
            _ => vec![],
        };
        if records.is_empty() { nodata() } else { Seen { records, negative: None, ..nodata() } }
    }
}

/// Addresses that collide: few digits, so that names of both families overlap, and the neighbourhood of 127.0.0.1.
fn hosts() -> impl Strategy<Value = Vec<(u16, IpAddr)>> {
    let digit = prop_oneof![Just(0u8), Just(1), Just(2), Just(4)];
    let v4 = (digit.clone(), digit.clone(), digit.clone(), digit.clone())
        .prop_map(|(a, b, c, d)| IpAddr::from([a, b, c, d]));
    let loopback = (0u8..6).prop_map(|d| IpAddr::from([127, 0, 0, d]));
    let v6 = (digit.clone(), digit, 0u16..3).prop_map(|(high, low, last)| {
        let high = u16::from(high) << 12 | u16::from(low) << 8 | 0x21;
        IpAddr::from([high, 0, 0, 0, 0, 0, 0, last])
    });
    let beside_mapped = (0u16..2).prop_map(|low| Ipv6Addr::new(0, 0, 0, 0, 0, 0xfffe, 0x7f00, low).into());
    let address = prop_oneof![4 => v4, 1 => loopback, 3 => v6, 1 => beside_mapped];
    proptest::collection::vec((1u16..5, address), 0..6)
}

fn specs() -> impl Strategy<Value = Vec<ZoneSpec>> {
    let zone_a = zone("bl.example", &[(1, "127.0.0.2", "one $"), (2, "127.0.0.4", "two $ two")]);
    let zone_b = zone("in.bl.example", &[(2, "127.0.0.3", "inner")]);
    let zone_c = zone("x.deep.bl.example", &[(3, "127.1.0.2", "deep $"), (1, "127.0.0.2", "one")]);
    let zone_d = zone("other.example", &[(1, "127.0.0.2", "one $"), (2, "127.0.0.4", "two $ two")]);
    proptest::sample::subsequence(vec![zone_a, zone_b, zone_c, zone_d], 1..=4).prop_shuffle()
}

/// A view of one zone with live entries over it.
fn with_live(entries: &[(u16, &str)], live: &[(Action, &str)]) -> View {
    let live = live.iter().map(|(action, network)| Arc::new(entry(*action, network, None))).collect();
    let overlay = LiveTable::compile(live, &Reservations::default(), &Reservations::default()).unwrap();
    View { overlay: Arc::new(overlay), ..one_zone(entries) }
}

#[test]
fn blocked_addresses_exist_at_their_partial_names_and_allowed_ones_are_not_listed() {
    let live =
        [(Action::Block, "203.0.113.7"), (Action::Block, "2001:db8:7::/48"), (Action::Allow, "192.0.2.7")];
    let g = with_live(&[(1, "192.0.2.7")], &live);
    assert_eq!(ask(&g, "7.113.0.203.bl.example", qtype::A), records(&["127.0.0.2"]));
    assert_eq!(ask(&g, "7.113.0.203.bl.example", qtype::TXT), records(&["blocked: 203.0.113.7"]));
    for name in ["113.0.203", "0.203", "203", "7.0.0.0.8.b.d.0.1.0.0.2", "2"] {
        assert_eq!(ask(&g, &format!("{name}.bl.example"), qtype::A), nodata(), "{name}");
    }
    // Existence of an allowed name is a by-product; that it is not listed is not.
    assert_eq!(ask(&g, "7.2.0.192.bl.example", qtype::A), nxdomain());
    assert_eq!(ask(&g, "2.0.192.bl.example", qtype::A), nodata());
    assert_eq!(ask(&g, "8.113.0.203.bl.example", qtype::A), nxdomain());
    assert_eq!(ask(&g, "112.0.203.bl.example", qtype::A), nxdomain());
}

#[test]
fn blocking_answers_as_if_a_feed_listed_it() {
    // The oracle: a generation in which a feed with the code and text of the block lists the same.
    let blocked = ["203.0.113.0/29", "192.0.2.7", "2001:db8::/126"];
    let feeds = [(1, "127.0.0.2", "see $"), (2, "127.0.0.2", "blocked: $")];
    let listed: Vec<(u16, &str)> =
        [(1, "192.0.2.0/30"), (1, "192.0.2.7")].into_iter().chain(blocked.map(|net| (2, net))).collect();
    let oracle = generation(&[zone("bl.example", &feeds)], &listed);
    let live = with_live(&[(1, "192.0.2.0/30"), (1, "192.0.2.7")], &blocked.map(|net| (Action::Block, net)));
    let v4 = (0..12).flat_map(|n| [reversed([203, 0, 113, n].into()), reversed([192, 0, 2, n].into())]);
    let v6 = (0..6u128).map(|n| reversed(Ipv6Addr::from(0x2001_0db8 << 96 | n).into()));
    for name in v4.chain(v6) {
        let mut name = &*format!("{name}.bl.example");
        while name != "bl.example" {
            for qtype in [qtype::A, qtype::TXT, AAAA] {
                let sorted = |mut seen: Seen| {
                    seen.records.sort();
                    seen
                };
                assert_eq!(sorted(ask(&live, name, qtype)), sorted(ask(&oracle, name, qtype)), "{name}");
            }
            name = name.split_once('.').unwrap().1;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_name_is_answered_as_in_the_naive_model(specs in specs(), hosts in hosts()) {
        let model = Model::new(&specs, &hosts);
        let texts: Vec<(u16, String)> = hosts.iter().map(|(feed, ip)| (*feed, ip.to_string())).collect();
        let entries: Vec<(u16, &str)> = texts.iter().map(|(feed, ip)| (*feed, ip.as_str())).collect();
        let g = generation(&specs, &entries);
        let mut names: BTreeSet<String> = model.names().cloned().collect();
        for name in model.names() {
            // Names beside and below the existing ones; a name above exists as well.
            let (first, rest) = name.split_once('.').unwrap();
            names.extend(["0", "1", "2", "f", "10", "x", "00"].map(|label| format!("{label}.{rest}")));
            names.extend(["1", "x", "127"].map(|label| format!("{label}.{name}")));
            names.insert(format!("{first}0.{rest}"));
        }
        // Nibbles fill the room a name has; one label more is no name.
        for name in names.iter().filter(|name| name.len() < 250) {
            for asked in [qtype::A, qtype::TXT, AAAA] {
                let mut seen = ask(&g, name, asked);
                if asked == qtype::TXT {
                    seen.records.sort();
                }
                prop_assert_eq!(seen, model.ask(name, asked), "{} {}", name, asked);
            }
        }
    }
}
