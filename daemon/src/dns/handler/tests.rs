//! What becomes of a message, without sockets.

use super::*;
use crate::config::Config;
use crate::core::fixture::{generation, zone};
use crate::core::query::HEADER;
use crate::core::quota;
use crate::dns::serving::Seeds;
use crate::dns::wire::DEFAULT_UDP_SIZE;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use proptest::prelude::*;
use std::path::Path;

fn handler() -> Handler {
    let live = Live::default();
    let feeds = [(1, "127.0.0.2", "see $")];
    live.publish(Arc::new(generation(&[zone("bl.example", &feeds)], &[(1, "192.0.2.0/24")])));
    Handler::new(live, Arc::default())
}

fn respond(handler: &Handler, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    handler.respond(message, "127.0.0.1:5353".parse().unwrap(), transport, &mut out).then_some(out)
}

/// A query for TXT with this name in wire form, and an OPT record with a cookie.
fn query(name: &[u8]) -> Vec<u8> {
    let opt = b"\0\0\x29\x10\0\0\0\x80\0\0\x0c\0\x0a\0\x08cookies!";
    [b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01", name, b"\0\x10\0\x01", opt].concat()
}

#[test]
fn labels_of_any_octets_and_names_of_any_length_are_looked_up() {
    let zone = b"\x02bl\x07example\0";
    let label = |octet: u8, len: u8| [vec![len], vec![octet; len.into()]].concat();
    let longest = [label(b'.', 63), label(0xff, 63), label(0, 63), label(b'x', 50), zone.to_vec()].concat();
    assert_eq!(longest.len(), 255);
    for name in [longest, [&b"\x09127.0.0.2"[..], zone].concat(), [&b"\x01\0"[..], zone].concat()] {
        let reply = respond(&handler(), &query(&name), Transport::Udp).unwrap();
        assert_eq!(reply[3], Rcode::NxDomain as u8, "{name:02x?}");
        assert_eq!(reply[12..12 + name.len()], name);
    }
}

proptest! {
    #[test]
    fn any_octets_get_one_fitting_reply_or_none(
        noise in proptest::collection::vec((0usize..64, any::<u8>()), 0..6),
        cut in 0usize..64,
        tail in proptest::collection::vec(any::<u8>(), 0..40),
        over_tcp: bool,
    ) {
        let mut message = query(b"\x017\x012\x010\x03192\x02bl\x07example\0");
        for (at, octet) in noise {
            message[at % 60] = octet;
        }
        message.truncate(message.len() - cut.min(message.len()));
        message.extend(tail);
        let transport = if over_tcp { Transport::Tcp } else { Transport::Udp };
        let reply = respond(&handler(), &message, transport);
        let is_reply = message.get(2).is_some_and(|flags| flags & 0x80 != 0);
        prop_assert_eq!(reply.is_none(), message.len() < HEADER || is_reply);
        if let Some(reply) = reply {
            prop_assert_eq!(&reply[..2], &message[..2], "same id");
            prop_assert_eq!(reply[2] & 0xf8, message[2] & 0x78 | 0x80, "QR, same opcode");
            prop_assert!(reply.len() >= HEADER && reply.len() <= DEFAULT_UDP_SIZE.into());
        }
    }
}

const SEEDS: Seeds = Seeds { pass: [1; 16], cookie: [2; 16], hash: [3; 16] };
const COOKIE: &[u8] = b"\0\x0a\0\x08cookies!";

/// A handler with these lines in [dns], at a fixed time, and its counters.
struct Rig {
    handler: Handler,
    shard: Arc<Shard>,
    now: Now,
}

impl Rig {
    fn new(dns: &str) -> Self {
        let handler = handler();
        let shard = handler.shard(true);
        let rig = Self { handler, shard, now: Now { unix_ms: 1_763_600_000_000, millis: 1_000_000 } };
        rig.configure(dns);
        rig
    }

    fn configure(&self, dns: &str) {
        let text = format!(
            "[dns]\n{dns}\n[[feed]]\nid = 'f'\nsource = 'f.txt'\nformat = 'plain'\n\
             [[zone]]\nname = 'bl.example'\nfeeds = ['f']"
        );
        let config = Config::parse(&text, Path::new("b.toml"), Path::new("/nowhere")).unwrap();
        let Handler { stats, .. } = &self.handler;
        let serving = Serving::load(&config, &SEEDS, stats, &self.handler.serving()).unwrap();
        self.handler.configure(serving);
    }

    fn ask(&self, message: &[u8], client: &str) -> Option<Vec<u8>> {
        let (mut out, client) = (Vec::new(), client.parse().unwrap());
        let turn = self.handler.turn(&self.shard, self.now);
        turn.respond(message, client, Transport::Udp, &mut out).then_some(out)
    }

    fn decoded(&self, message: &[u8]) -> Message {
        Message::from_vec(&self.ask(message, "192.0.2.1:5353").unwrap()).unwrap()
    }
}

/// A query for 192.0.2.7, with an OPT record of these options.
fn with_options(options: &[u8]) -> Vec<u8> {
    let mut message = query(b"\x017\x012\x010\x03192\x02bl\x07example\0");
    message.truncate(message.len() - 14);
    message.extend_from_slice(&(options.len() as u16).to_be_bytes());
    message.extend_from_slice(options);
    message
}

fn option(message: &Message, code: u16) -> Option<Vec<u8>> {
    match message.edns.as_ref()?.option(EdnsCode::from(code))? {
        EdnsOption::Unknown(_, data) => Some(data.clone()),
        other => Some(Vec::<u8>::try_from(other).unwrap()),
    }
}

#[test]
fn checklist_9_a_cookie_is_given_kept_and_renewed() {
    let mut rig = Rig::new("");
    let first = option(&rig.decoded(&with_options(COOKIE)), 10).unwrap();
    assert_eq!((first.len(), &first[..8]), (24, &b"cookies!"[..]));
    let with = |cookie: &[u8]| with_options(&[&[0, 10, 0, cookie.len() as u8], cookie].concat());
    assert_eq!(option(&rig.decoded(&with(&first)), 10).unwrap(), first);
    rig.now.unix_ms += 1_801_000;
    let renewed = option(&rig.decoded(&with(&first)), 10).unwrap();
    assert_ne!(renewed, first);
    let elsewhere = rig.ask(&with(&renewed), "192.0.2.2:5353").unwrap();
    assert_ne!(option(&Message::from_vec(&elsewhere).unwrap(), 10).unwrap(), renewed);
    let cookies = &rig.handler.stats.dns().cookies;
    assert_eq!((cookies.first.get(), cookies.valid.get(), cookies.invalid.get()), (1, 2, 1));
}

#[test]
fn checklist_9_cookies_of_every_length_are_taken_or_refused() {
    let rig = Rig::new("");
    for len in 0..=41u8 {
        let data = vec![7; len.into()];
        let reply = rig.decoded(&with_options(&[&[0, 10, 0, len], &data[..]].concat()));
        let legal = len == 8 || (16..=40).contains(&len);
        let expected = if legal { ResponseCode::NoError } else { ResponseCode::FormErr };
        assert_eq!(reply.metadata.response_code, expected, "{len}");
        assert_eq!(option(&reply, 10).is_some(), legal, "{len}");
        assert_eq!((reply.queries.len(), reply.edns.is_some()), (1, true));
    }
    let off = Rig::new("cookies = false");
    for len in [0, 8, 41] {
        let reply = off.decoded(&with_options(&[&[0, 10, 0, len], &vec![7; len.into()][..]].concat()));
        assert_eq!((reply.metadata.response_code, option(&reply, 10)), (ResponseCode::NoError, None));
    }
}

#[test]
fn checklist_9_who_asks_nothing_but_a_cookie_gets_one() {
    let rig = Rig::new("");
    let ask = |options: &[u8]| {
        let head = b"\x12\x34\x01\0\0\0\0\0\0\0\0\x01\0\0\x29\x04\xd0\0\0\0\0";
        [&head[..], &(options.len() as u16).to_be_bytes(), options].concat()
    };
    let reply = rig.decoded(&ask(COOKIE));
    assert_eq!((reply.metadata.response_code, reply.queries.len()), (ResponseCode::NoError, 0));
    let own = option(&reply, 10).unwrap();
    let again = rig.decoded(&ask(&[&[0, 10, 0, 24], &own[..]].concat()));
    assert_eq!((again.metadata.response_code, option(&again, 10).unwrap()), (ResponseCode::NoError, own));
    let wrong = rig.decoded(&ask(&[&[0, 10, 0, 24], &[7; 24][..]].concat()));
    assert_eq!(wrong.metadata.response_code, ResponseCode::BADCOOKIE);
    assert_eq!(option(&wrong, 10).unwrap().len(), 24);
    let bare = b"\x12\x34\x81\x01\0\0\0\0\0\0\0\0";
    assert_eq!(rig.ask(&ask(b"\0\x0a\0\x03abc"), "192.0.2.1:53").unwrap(), bare);
    assert_eq!(rig.ask(&ask(b""), "192.0.2.1:53").unwrap(), bare);
    assert_eq!(Rig::new("cookies = false").ask(&ask(COOKIE), "192.0.2.1:53").unwrap(), bare);
}

#[test]
fn our_name_is_told_to_who_asks_for_it() {
    let nsid = b"\0\x03\0\0";
    assert_eq!(option(&Rig::new("nsid = 'ns7'").decoded(&with_options(nsid)), 3).unwrap(), b"ns7");
    assert_eq!(option(&Rig::new("nsid = 'ns7'").decoded(&with_options(b"")), 3), None);
    assert_eq!(option(&Rig::new("").decoded(&with_options(nsid)), 3), None);
}

#[test]
fn floods_are_cut_down_and_who_proves_his_address_is_not() {
    let mut rig = Rig::new("rate_limit = { answers_per_second = 2, slip = 2 }");
    let plain = query(b"\x017\x012\x010\x03192\x02bl\x07example\0");
    let plain = &plain[..plain.len() - 23];
    let plain = [&plain[..11], &[0], &plain[12..]].concat();
    let outcome = |rig: &Rig, message: &[u8], client: &str| {
        let reply = rig.ask(message, client)?;
        Some((reply[2] & 2 != 0, reply[3] & 0xf, reply[7]))
    };
    let (answered, slipped) = (Some((false, 0, 1)), Some((true, 0, 0)));
    for expected in [answered, answered, None, slipped, None, slipped] {
        assert_eq!(outcome(&rig, &plain, "192.0.2.1:5353"), expected);
    }
    // Of the same /24; another one has a limit of its own.
    assert_eq!(outcome(&rig, &plain, "192.0.2.99:5353"), None);
    assert_eq!(outcome(&rig, &plain, "198.51.100.1:5353"), answered);
    // Instead of TC=1, a client that knows cookies gets one.
    let reply = Message::from_vec(&rig.ask(&with_options(COOKIE), "192.0.2.1:5353").unwrap()).unwrap();
    assert_eq!((reply.metadata.response_code, reply.answers.len()), (ResponseCode::BADCOOKIE, 0));
    let own = option(&reply, 10).unwrap();
    let proven = with_options(&[&[0, 10, 0, 24], &own[..]].concat());
    for _ in 0..5 {
        assert_eq!(outcome(&rig, &proven, "192.0.2.1:5353"), answered);
    }
    let mut out = Vec::new();
    let turn = rig.handler.turn(&rig.shard, rig.now);
    assert!(turn.respond(&plain, "192.0.2.1:5353".parse().unwrap(), Transport::Tcp, &mut out));
    drop(turn);
    let dns = rig.handler.stats.dns();
    assert_eq!((dns.dropped.rate.get(), dns.slipped.get(), dns.rcodes.badcookie.get()), (3, 3, 1));
    rig.now.millis += 1000;
    assert_eq!(outcome(&rig, &plain, "192.0.2.1:5353"), answered);
}

#[test]
fn errors_have_a_limit_of_their_own_and_some_clients_have_none() {
    let rig = Rig::new("rate_limit = { errors_per_second = 1, slip = 0, exempt = ['198.51.100.0/24'] }");
    let refused = query(b"\x05other\0");
    let ask = |message: &[u8], client: &str| rig.ask(message, client).is_some();
    assert_eq!([1, 2, 3].map(|_| ask(&refused, "192.0.2.1:5353")), [true, false, false]);
    assert_eq!([1, 2, 3].map(|_| ask(&with_options(b""), "192.0.2.1:5353")), [true; 3]);
    assert_eq!([1, 2, 3].map(|_| ask(&refused, "198.51.100.1:5353")), [true; 3]);
    // Not even a header.
    assert!(!ask(b"\x12\x34\x28\0\0\0\0\0\0\0\0\0", "192.0.2.1:5353"));
    assert!(!ask(b"\x12\x34\x00\0\0\x02\0\0\0\0\0\0", "192.0.2.1:5353"));
}

#[test]
fn a_port_that_answers_errors_gets_none() {
    let rig = Rig::new("");
    assert!(rig.ask(&with_options(b""), "192.0.2.1:464").is_some());
    for message in [&query(b"\x05other\0")[..], b"\x12\x34\x28\0\0\0\0\0\0\0\0\0"] {
        assert!(rig.ask(message, "192.0.2.1:464").is_none());
    }
    assert_eq!(rig.handler.stats.dns().dropped.port.get(), 2);
}

#[test]
fn a_server_knows_its_own_questions_and_does_not_count_them() {
    let rig = Rig::new("clients = { default = 'drop' }");
    assert!(rig.ask(&with_options(b""), "192.0.2.1:5353").is_none());
    let pass =
        |octet: u8, len: u8| with_options(&[&[0xfd, 0xe9, 0, len], &vec![octet; len.into()][..]].concat());
    let before = rig.handler.stats.dns().udp.get();
    assert_eq!(rig.decoded(&pass(SEEDS.pass[0], 16)).answers.len(), 1);
    assert_eq!(rig.handler.stats.dns().udp.get(), before);
    for wrong in [pass(SEEDS.pass[0], 15), pass(9, 16), pass(0, 0)] {
        assert!(rig.ask(&wrong, "192.0.2.1:5353").is_none());
    }
}

#[test]
fn an_error_with_all_that_may_come_with_it_fits_the_smallest_reply() {
    let rig = Rig::new(&format!("nsid = '{}'", "n".repeat(100)));
    let label = |len: u8| [vec![len], vec![b'x'; len.into()]].concat();
    let longest = [label(63), label(63), label(63), label(61), vec![0]].concat();
    let query = query(&longest);
    let options = [&b"\0\x03\0\0"[..], COOKIE].concat();
    let opt = [b"\0\0\x29\x02\0\0\0\0\0\0", &[options.len() as u8][..], &options].concat();
    let message = [&query[..query.len() - 23], &opt].concat();
    let octets = rig.ask(&message, "192.0.2.1:5353").unwrap();
    let reply = Message::from_vec(&octets).unwrap();
    assert_eq!((octets.len(), reply.metadata.response_code), (420, ResponseCode::Refused));
    assert_eq!([3, 10, 15].map(|code| option(&reply, code).unwrap().len()), [100, 24, 2]);
}

#[test]
fn settings_that_stay_keep_their_counts_over_a_reload() {
    let rig = Rig::new("quota = { queries = 2 }");
    let rcode = |rig: &Rig| rig.decoded(&with_options(b"")).metadata.response_code;
    assert_eq!([1, 2, 3].map(|_| rcode(&rig)).last(), Some(&ResponseCode::Refused));
    rig.configure("quota = { queries = 2 }\nversion = 'x'");
    assert_eq!(rcode(&rig), ResponseCode::Refused);
    rig.configure("quota = { queries = 3 }");
    assert_eq!(rcode(&rig), ResponseCode::NoError);
    let kept = rig.handler.serving();
    let quotas = &kept.policy.quota.as_ref().unwrap().quotas;
    let expected = quota::Settings { queries: 3, period: 86_400, v4_prefix: 32, v6_prefix: 64 };
    assert_eq!(quotas.settings(), expected);
    let zones = rig.handler.stats.zones();
    assert_eq!((zones[0].1.questions.get(), zones[0].1.refused.get()), (5, 2));
}

#[test]
fn a_clock_goes_on_between_looks_at_the_time_of_the_day() {
    let handler = handler();
    let mut clock = handler.clock();
    let first = Instant::now();
    let at = |ms| first + Duration::from_millis(ms);
    let start = clock.now(first);
    for ms in [1, 250, 999] {
        let now = clock.now(at(ms));
        assert_eq!((now.unix_ms - start.unix_ms, now.millis - start.millis), (ms, ms));
    }
    // Set again, to what it is.
    let day = || UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    let (before, set, after) = (day(), clock.now(at(1000)), day());
    assert!((before..=after).contains(&set.unix_ms), "{set:?}");
    assert_eq!(set.millis - start.millis, 1000);
}
