//! Raw packets against real sockets on loopback. Replies are decoded by hickory, which did not write them.

use super::*;
use crate::config::{CertificateFiles, ConnectionLimits};
use crate::core::answer::Transport;
use crate::core::fixture::{generation, zone};
use crate::core::generation::Generation;
use crate::core::zone::ZoneSpec;
use blackthorn_testkit::messages::{EXAMPLES, Example, hex};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

mod connections;
mod encrypted;
mod malformed;
mod sockets;

const A: u16 = 1;
const NS: u16 = 2;
const SOA: u16 = 6;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const ANY: u16 = 255;

/// Long enough for a busy machine, short enough for a missing reply to be noticed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Plain DNS at an address, with one worker.
fn plain(listen: SocketAddr) -> Dns {
    Dns { listen: vec![listen], workers: Some(NonZeroUsize::MIN), ..Dns::default() }
}

struct Rig {
    server: DnsServer,
    live: Live,
    stats: Arc<Stats>,
    at: SocketAddr,
}

impl Rig {
    fn start(generation: Generation) -> Self {
        Self::configured(generation, &plain("127.0.0.1:0".parse().unwrap()))
    }

    fn configured(generation: Generation, dns: &Dns) -> Self {
        let (live, stats) = (Live::default(), Arc::new(Stats::default()));
        live.publish(Arc::new(generation));
        let bound = DnsServer::bind(dns).unwrap();
        let at = bound.local_addrs()[0];
        let server = bound.serve(live.clone(), stats.clone(), Serving::default()).unwrap();
        Self { server, live, stats, at }
    }

    /// Where a service is.
    fn at(&self, service: Service) -> SocketAddr {
        self.server.endpoints().iter().find(|endpoint| endpoint.service == service).unwrap().address
    }

    async fn udp(&self, query: &[u8]) -> Vec<u8> {
        udp(self.at, query).await
    }

    async fn tcp(&self, query: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        stream.write_all(&framed(query)).await.unwrap();
        read_framed(&mut stream).await.unwrap()
    }

    /// Asks over UDP without EDNS.
    async fn ask(&self, name: &str, qtype: u16) -> Message {
        Message::from_vec(&self.udp(&query(name, qtype)).await).unwrap()
    }
}

async fn udp(at: SocketAddr, query: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(query, at).await.unwrap();
    receive(&socket).await
}

async fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut reply = vec![0; 65_536];
    let len = tokio::time::timeout(PATIENCE, socket.recv(&mut reply)).await.unwrap().unwrap();
    reply.truncate(len);
    reply
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

/// The next message; `None` when the server closes.
async fn read_framed(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let read = async {
        let len = stream.read_u16().await.ok()?;
        let mut message = vec![0; len.into()];
        stream.read_exact(&mut message).await.ok()?;
        Some(message)
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap()
}

/// A query with ID 0x1234 and RD, without EDNS.
fn query(name: &str, qtype: u16) -> Vec<u8> {
    let mut out = hex("12 34 01 00 00 01 00 00 00 00 00 00");
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&qtype.to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    out
}

/// Appends an OPT record to a query.
fn with_opt(mut query: Vec<u8>, size: u16, ttl: u32, options: &[u8]) -> Vec<u8> {
    query[11] += 1;
    query.extend_from_slice(&[0, 0, 41]);
    query.extend_from_slice(&size.to_be_bytes());
    query.extend_from_slice(&ttl.to_be_bytes());
    query.extend_from_slice(&(options.len() as u16).to_be_bytes());
    query.extend_from_slice(options);
    query
}

/// `message` with octets from `at` on replaced.
fn patched(message: &[u8], at: usize, octets: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    message[at..at + octets.len()].copy_from_slice(octets);
    message
}

fn nibbles(address: &str) -> String {
    let digits = format!("{:032x}", u128::from(address.parse::<std::net::Ipv6Addr>().unwrap()));
    digits.chars().rev().map(String::from).collect::<Vec<_>>().join(".")
}

fn codes(message: &Message) -> Vec<String> {
    let code = |record: &Record| match &record.data {
        RData::A(a) => a.to_string(),
        other => panic!("{other:?}"),
    };
    message.answers.iter().map(code).collect()
}

fn texts(message: &Message) -> Vec<String> {
    let text = |record: &Record| match &record.data {
        RData::TXT(txt) => String::from_utf8(txt.txt_data.concat()).unwrap(),
        other => panic!("{other:?}"),
    };
    message.answers.iter().map(text).collect()
}

fn assert_nodata(message: &Message) {
    assert_eq!(message.metadata.response_code, ResponseCode::NoError, "{message}");
    assert_negative(message);
}

fn assert_nxdomain(message: &Message) {
    assert_eq!(message.metadata.response_code, ResponseCode::NXDomain, "{message}");
    assert_negative(message);
}

fn assert_negative(message: &Message) {
    assert!(message.answers.is_empty() && message.additionals.is_empty(), "{message}");
    let [soa] = &message.authorities[..] else { panic!("{message}") };
    assert_eq!(soa.record_type(), RecordType::SOA);
}

fn example() -> Generation {
    let feeds = [(1, "127.0.0.2", "Listed, see https://bl.example/?q=$")];
    generation(&[zone("bl.example", &feeds)], &[(1, "192.0.2.0/24"), (1, "2001:db8:1:2:3:4:567:89ab")])
}

#[tokio::test]
async fn byte_exact_examples_over_udp() {
    let rig = Rig::start(example());
    for Example { case, query, reply } in EXAMPLES {
        assert_eq!(rig.udp(&hex(query)).await, hex(reply), "{case}");
    }
}

#[tokio::test]
async fn byte_exact_examples_over_tcp() {
    let rig = Rig::start(example());
    for Example { case, query, reply } in EXAMPLES {
        assert_eq!(rig.tcp(&hex(query)).await, hex(reply), "{case}");
    }
}

#[tokio::test]
async fn checklist_1_test_entries_of_both_families() {
    let rig = Rig::start(example());
    let text = "Listed, see https://bl.example/?q=127.0.0.2";
    for name in ["2.0.0.127".to_owned(), nibbles("::ffff:127.0.0.2")] {
        let name = format!("{name}.bl.example");
        assert_eq!(codes(&rig.ask(&name, A).await), ["127.0.0.2"], "{name}");
        assert_eq!(texts(&rig.ask(&name, TXT).await), [text], "{name}");
    }
    for name in ["1.0.0.127".to_owned(), nibbles("::ffff:127.0.0.1")] {
        assert_nxdomain(&rig.ask(&format!("{name}.bl.example"), A).await);
        assert_nxdomain(&rig.ask(&format!("{name}.bl.example"), TXT).await);
    }
}

#[tokio::test]
async fn checklist_2_every_prefix_of_a_listed_name_is_nodata() {
    let rig = Rig::start(example());
    let v6 = nibbles("2001:db8:1:2:3:4:567:89ab");
    let mapped = nibbles("::ffff:127.0.0.2");
    let mut names = vec!["127".to_owned(), "0.127".to_owned(), "0.0.127".to_owned()];
    for whole in [&v6, &mapped] {
        names.extend((1..32).map(|depth| whole[2 * depth..].to_owned()));
    }
    assert_eq!(names.len(), 3 + 62);
    for name in names {
        for qtype in [A, NS, TXT, AAAA, ANY] {
            assert_nodata(&rig.ask(&format!("{name}.bl.example"), qtype).await);
        }
    }
}

#[tokio::test]
async fn checklist_3_names_that_cannot_be_listed_are_nxdomain() {
    let rig = Rig::start(example());
    for name in ["x.2.0.0.127", "256.0.0.127", "1.2.3.4.5", "09.2.0.192", "www", "1.7.2.0.192"] {
        assert_nxdomain(&rig.ask(&format!("{name}.bl.example"), A).await);
    }
    let below = format!("0.{}.bl.example", nibbles("2001:db8:1:2:3:4:567:89ab"));
    assert_nxdomain(&rig.ask(&below, A).await);
}

#[tokio::test]
async fn checklist_4_negative_replies_carry_the_soa() {
    let rig = Rig::start(example());
    for name in ["1.0.0.127.bl.example", "127.bl.example", "bl.example"] {
        let reply = rig.ask(name, AAAA).await;
        assert!(reply.metadata.authoritative, "{name}");
        let [soa] = &reply.authorities[..] else { panic!("{reply}") };
        assert_eq!((soa.name.to_ascii(), soa.ttl), ("bl.example.".to_owned(), 300), "{name}");
    }
}

#[tokio::test]
async fn checklist_5_the_case_of_the_question_is_kept() {
    let rig = Rig::start(example());
    for name in ["2.0.0.127.BL.exAMple", "1.0.0.127.BL.exAMple", "bL.ExAmPlE"] {
        for qtype in [A, SOA, NS] {
            let asked = query(name, qtype);
            let reply = rig.udp(&asked).await;
            assert_eq!(reply[12..asked.len()], asked[12..], "{name}");
            assert_eq!(reply[asked.len()] & 0xc0, 0xc0, "the first owner is a pointer");
            let decoded = Message::from_vec(&reply).unwrap();
            for record in decoded.answers.iter().chain(&decoded.authorities) {
                let owner = record.name.to_ascii();
                assert!(format!("{name}.").ends_with(&owner), "{owner} in {name}");
            }
        }
    }
}

/// Two hundred codes on one address: 3200 octets of A records.
fn many_codes() -> Generation {
    let codes: Vec<String> = (0..200).map(|i| format!("127.0.1.{i}")).collect();
    let feeds: Vec<_> = (0u16..).zip(&codes).map(|(feed, code)| (feed, code.as_str(), "")).collect();
    let entries: Vec<_> = (0..200).map(|feed| (feed, "192.0.2.7")).collect();
    let few = [(0, "127.0.0.2", ""), (1, "127.0.0.3", "")];
    let fits: Vec<_> = feeds[..60].to_vec();
    let zones = [zone("many.example", &feeds), zone("few.example", &few), zone("fits.example", &fits)];
    generation(&zones, &entries)
}

#[tokio::test]
async fn checklist_8_replies_keep_to_the_size_asked_for() {
    let rig = Rig::start(many_codes());
    let many = query("7.2.0.192.many.example", A);
    for (size, sent) in [(0, 512), (100, 512), (512, 512), (1000, 1000), (1232, 1232), (65_535, 1232)] {
        let asked = if size == 0 { many.clone() } else { with_opt(many.clone(), size, 0x8000, &[]) };
        let reply = rig.udp(&asked).await;
        assert!(reply.len() <= sent, "{} octets for {size}", reply.len());
        let reply = Message::from_vec(&reply).unwrap();
        assert!(reply.metadata.truncation && reply.metadata.authoritative, "{size}");
        assert!(reply.answers.is_empty() && reply.authorities.is_empty(), "no part of an RRset");
        assert_eq!(reply.queries.len(), 1);
        assert_eq!(reply.edns.is_some(), size != 0);
    }
    assert_eq!(rig.stats.dns().truncated.get(), 6);
    // 60 records of 16 octets: too much for 512, not for 1232, and for 1011 it is a matter of one octet.
    let fits = query("7.2.0.192.fits.example", A);
    let whole = fits.len() + 11 + 60 * 16;
    for (size, truncated) in [(512, true), (whole - 1, true), (whole, false), (65_535, false)] {
        let asked = with_opt(fits.clone(), size as u16, 0, &[]);
        let reply = Message::from_vec(&rig.udp(&asked).await).unwrap();
        assert_eq!(reply.metadata.truncation, truncated, "{size}");
        assert_eq!(reply.answers.len(), if truncated { 0 } else { 60 });
    }
    for asked in [many.clone(), with_opt(many, 512, 0, &[])] {
        let reply = Message::from_vec(&rig.tcp(&asked).await).unwrap();
        assert!(!reply.metadata.truncation);
        assert_eq!(codes(&reply).len(), 200, "all of them over tcp, whatever OPT says");
    }
    assert_eq!(codes(&rig.ask("7.2.0.192.few.example", A).await), ["127.0.0.2", "127.0.0.3"]);
}

#[tokio::test]
async fn checklist_8_texts_are_never_truncated() {
    // The longest texts a zone takes, asked for under the longest name there is.
    let zone_name = [&*"a".repeat(63), &*"b".repeat(63), &*"c".repeat(61)].join(".");
    let longest = (0..400)
        .rev()
        .map(|len| "x".repeat(len) + "$")
        .find(|text| crate::core::text::check_text(&zone_name, text).is_ok())
        .unwrap();
    let specs = [
        ZoneSpec {
            ns: vec![],
            contact: Some("me.example".into()),
            ..zone(&zone_name, &[(1, "127.0.0.2", &longest)])
        },
        zone("bl.example", &[(1, "127.0.0.2", &"x".repeat(406)), (2, "127.0.0.2", "short")]),
    ];
    let address = "2001:1db8:1111:2222:3333:4444:5555:6666";
    let rig = Rig::start(generation(&specs, &[(1, address), (2, address)]));
    for (zone, text) in [(&*zone_name, longest.replace('$', address)), ("bl.example", "x".repeat(406))] {
        let reply = rig.udp(&query(&format!("{}.{zone}", nibbles(address)), TXT)).await;
        assert!(reply.len() > 500, "near the limit: {}", reply.len());
        let reply = Message::from_vec(&reply).unwrap();
        assert!(!reply.metadata.truncation);
        assert_eq!(texts(&reply), [text]);
    }
}

#[tokio::test]
async fn opt_is_answered_in_kind() {
    let rig = Rig::start(example());
    let asked = query("2.0.0.127.bl.example", A);
    let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0, 0, 0];
    for (ttl, options, flags) in [(0, &[][..], 0), (0x8000, &[], 0x8000), (0x7fff, &cookie, 0)] {
        let reply = rig.udp(&with_opt(asked.clone(), 4096, ttl, options)).await;
        let opt = [&[0, 0, 41, 4, 0xd0, 0, 0][..], &u16::to_be_bytes(flags), &[0, 0]].concat();
        assert!(reply.ends_with(&opt), "size 1232, DO copied, no other flag, no option: {reply:02x?}");
    }
    assert_eq!(rig.ask("2.0.0.127.bl.example", A).await.edns, None);
}

#[tokio::test]
async fn header_bits_are_ours() {
    let rig = Rig::start(example());
    // AA, TC, RA, Z, AD, CD and a response code in a query mean nothing; RD is copied.
    for (flags, rd) in [([0x07, 0xff], 1), ([0x06, 0x30], 0), ([0x00, 0x00], 0), ([0x01, 0x10], 1)] {
        let mut asked = query("2.0.0.127.bl.example", A);
        asked[2..4].copy_from_slice(&flags);
        let reply = rig.udp(&asked).await;
        assert_eq!(reply[..4], [0x12, 0x34, 0x84 | rd, 0], "{flags:02x?}");
    }
}

#[tokio::test]
async fn failures_say_why_to_those_who_sent_opt() {
    let rig = Rig::start(example());
    let with_class = |class: u8| {
        let mut asked = query("2.0.0.127.bl.example", A);
        *asked.last_mut().unwrap() = class;
        asked
    };
    for (asked, rcode, code) in [
        (query("www.example", A), 5, 20),
        (with_class(3), 5, 21),
        (with_class(0), 5, 21),
        (query("bl.example", 252), 4, 21),
        (query("bl.example", 250), 4, 21),
    ] {
        let plain = rig.udp(&asked).await;
        assert_eq!(plain, [&[0x12, 0x34, 0x81, rcode, 0, 1, 0, 0, 0, 0, 0, 0], &asked[12..]].concat());
        let told = rig.udp(&with_opt(asked, 1232, 0, &[])).await;
        assert!(told.ends_with(&[0, 6, 0, 15, 0, 2, 0, code]), "{told:02x?}");
    }
    let transfer = with_opt(query("bl.example", 252), 1232, 0, &[]);
    assert!(rig.tcp(&transfer).await.ends_with(&[0, 6, 0, 15, 0, 2, 0, 18]));
}

#[tokio::test]
async fn before_the_first_generation_all_is_servfail() {
    let live = Live::default();
    let bound = DnsServer::bind(&plain("127.0.0.1:0".parse().unwrap())).unwrap();
    let at = bound.local_addrs()[0];
    let _server = bound.serve(live.clone(), Arc::default(), Serving::default()).unwrap();
    let asked = query("2.0.0.127.bl.example", A);
    assert_eq!(udp(at, &asked).await[2..4], [0x81, 2]);
    assert!(udp(at, &with_opt(asked.clone(), 1232, 0, &[])).await.ends_with(&[0, 6, 0, 15, 0, 2, 0, 14]));
    live.publish(Arc::new(example()));
    assert_eq!(codes(&Message::from_vec(&udp(at, &asked).await).unwrap()), ["127.0.0.2"]);
}

#[tokio::test]
async fn a_published_generation_answers_the_next_question() {
    let rig = Rig::start(example());
    assert_nxdomain(&rig.ask("1.113.0.203.bl.example", A).await);
    let spec = zone("bl.example", &[(1, "127.0.0.2", "")]);
    rig.live.publish(Arc::new(generation(&[spec], &[(1, "203.0.113.1")])));
    assert_eq!(codes(&rig.ask("1.113.0.203.bl.example", A).await), ["127.0.0.2"]);
}

#[tokio::test]
async fn checklist_7_tcp_takes_pipelined_and_split_queries() {
    let rig = Rig::start(example());
    let mut stream = TcpStream::connect(rig.at).await.unwrap();
    let asked: Vec<Vec<u8>> = (0u8..50)
        .map(|id| {
            let mut asked = query(&format!("{id}.2.0.192.bl.example"), A);
            asked[0] = id;
            framed(&asked)
        })
        .collect();
    stream.write_all(&asked.concat()).await.unwrap();
    for id in 0..50 {
        let reply = read_framed(&mut stream).await.unwrap();
        assert_eq!(reply[0], id);
        assert_eq!(codes(&Message::from_vec(&reply).unwrap()), ["127.0.0.2"]);
    }
    stream.set_nodelay(true).unwrap();
    for octet in &asked[7] {
        stream.write_all(&[*octet]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(read_framed(&mut stream).await.unwrap()[0], 7);
    assert_eq!((rig.stats.dns().tcp.get(), rig.stats.dns().connections.get()), (51, 1));
}

#[tokio::test]
async fn checklist_7_tcp_closes_on_what_cannot_be_a_message() {
    let rig = Rig::start(example());
    for broken in [&[0, 0][..], &[0, 11], &framed(&hex("12 34 80 00 00 01 00 00 00 00 00 00"))] {
        let mut stream = TcpStream::connect(rig.at).await.unwrap();
        stream.write_all(broken).await.unwrap();
        assert_eq!(read_framed(&mut stream).await, None, "{broken:02x?}");
    }
}

#[tokio::test]
async fn counters_tell_transport_code_and_outcome() {
    let rig = Rig::start(example());
    rig.ask("2.0.0.127.bl.example", A).await;
    rig.ask("7.2.0.192.bl.example", TXT).await;
    rig.ask("1.0.0.127.bl.example", A).await;
    rig.ask("127.bl.example", A).await;
    rig.ask("www.example", A).await;
    rig.tcp(&query("bl.example", SOA)).await;
    let dns = rig.stats.dns();
    assert_eq!((dns.udp.get(), dns.tcp.get(), dns.connections.get()), (5, 1, 1));
    assert_eq!((dns.listed.get(), dns.not_listed.get()), (2, 1));
    assert_eq!((dns.rcodes.noerror.get(), dns.rcodes.nxdomain.get(), dns.rcodes.refused.get()), (4, 1, 1));
    assert_eq!((dns.dropped.total(), dns.socket_errors.get(), dns.truncated.get()), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_during_a_swap_is_right_for_one_generation() {
    let of = |code: &str, text: &str| {
        Arc::new(generation(&[zone("bl.example", &[(1, code, text)])], &[(1, "192.0.2.0/24")]))
    };
    let (old, new) = (of("127.0.0.2", "old"), of("127.0.0.4", "new"));
    let rig = Rig::start((*old).clone());
    let (live, done) = (rig.live.clone(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let stop = done.clone();
    let swapping = tokio::task::spawn_blocking(move || {
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            live.publish(new.clone());
            live.publish(old.clone());
        }
    });
    let mut seen = std::collections::BTreeSet::new();
    for i in 0..500u32 {
        let reply = rig.ask(&format!("{}.2.0.192.bl.example", i % 256), A).await;
        seen.extend(codes(&reply));
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    swapping.await.unwrap();
    assert!(seen.iter().all(|code| code == "127.0.0.2" || code == "127.0.0.4"), "{seen:?}");
    assert_eq!(rig.stats.dns().listed.get(), 500);
}
