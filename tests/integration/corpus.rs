//! Thousands of messages, most of them broken, through the real port: each gets one reply that fits it, or none, and the
//! daemon lives. Replies are read by hickory, which did not write them.
//!
//! Each message is followed by a good question on the same socket. One worker answers in the order of arrival, so the
//! reply to the good question says that there is none to the message before it.

use crate::dns::Udp;
use crate::harness::Site;
use blackthorn_testkit::messages::hex;
use blackthorn_testkit::random::Random;
use hickory_proto::op::{Message, MessageType};

const CONFIG: &str = r#"
[dns]
listen = ["127.0.0.1:0"]
workers = 1

[[feed]]
id = "mine"
source = "mine.txt"
format = "plain"
refresh = "1d"

[[zone]]
name = "bl.example"
feeds = ["mine"]
"#;

/// Octets of a header.
const HEADER: usize = 12;
/// Limits of replies without OPT and with it.
const PLAIN: usize = 512;
const MOST: usize = 1232;

#[test]
fn checklist_10_every_message_of_a_corpus_gets_one_fitting_reply_or_none() {
    let site = Site::new(CONFIG);
    site.write("mine.txt", "192.0.2.9\n2001:db8:1::/48\n");
    let daemon = site.start();
    let corpus = corpus();
    assert!(corpus.len() > 5_000, "{}", corpus.len());
    let socket = Udp::connect(daemon.address());
    let mut replies = 0;
    for message in &corpus {
        let wanted = usize::from(message.len() >= HEADER && message[2] & 0x80 == 0);
        let got = exchange(&socket, message);
        assert_eq!(got.len(), wanted, "{}: {got:02x?}", shown(message));
        for reply in &got {
            assert_fits(message, reply);
        }
        replies += got.len();
    }
    assert!(replies > corpus.len() / 2, "{replies} of {}", corpus.len());
    assert_eq!(daemon.dns().about("192.0.2.9", "bl.example"), "127.0.0.2");
    daemon.stop();
}

/// Sends a message and a good question, and returns all replies that come before the one to the good question.
fn exchange(socket: &Udp, message: &[u8]) -> Vec<Vec<u8>> {
    let mut good = query("1.0.0.127.bl.example", 1);
    // An ID the message does not have.
    let id = message.first().map_or(0, |octet| !octet);
    good[0] = id;
    socket.send_octets(message);
    socket.send_octets(&good);
    let mut replies = Vec::new();
    loop {
        let reply = socket.receive();
        if reply.first() == Some(&id) {
            return replies;
        }
        replies.push(reply);
    }
}

/// Is this a reply to that message, well-formed, and no longer than its sender can take?
fn assert_fits(message: &[u8], reply: &[u8]) {
    let case = format!("{} gets {}", shown(message), shown(reply));
    let read = Message::from_vec(reply).unwrap_or_else(|error| panic!("{case}: {error}"));
    assert_eq!(reply[..2], message[..2], "same ID: {case}");
    assert_eq!(read.metadata.message_type, MessageType::Response, "{case}");
    assert_eq!(reply[2] & 0x78, message[2] & 0x78, "same opcode: {case}");
    assert_eq!(reply[3] & 0xf0, 0, "neither RA nor Z, AD, CD: {case}");
    let questions = u16::from_be_bytes([reply[4], reply[5]]);
    assert_eq!(usize::from(questions), read.queries.len(), "{case}");
    match questions {
        // Nothing to say, except to who asks for nothing but a cookie.
        0 => assert_eq!(reply.len() > HEADER, read.edns.is_some(), "{case}"),
        _ => assert_eq!(question(reply), question(message), "the question of the message: {case}"),
    }
    let limit = match &read.edns {
        None => PLAIN,
        // What the message says of itself, where another library can read it.
        Some(_) => Message::from_vec(message)
            .ok()
            .and_then(|message| Some(usize::from(message.edns?.max_payload()).clamp(PLAIN, MOST)))
            .unwrap_or(MOST),
    };
    assert!(reply.len() <= limit, "at most {limit} octets: {case}");
    if read.metadata.truncation {
        assert!(read.answers.is_empty() && read.authorities.is_empty(), "no part of an RRset: {case}");
    }
}

/// The octets of the first question.
fn question(message: &[u8]) -> &[u8] {
    let mut end = HEADER;
    while message[end] != 0 {
        end += 1 + usize::from(message[end]);
    }
    &message[HEADER..end + 5]
}

/// The same messages in every run.
fn corpus() -> Vec<Vec<u8>> {
    let mut random = Random::new(13);
    let mut corpus = Vec::new();
    for seed in seeds() {
        cut(&seed, &mut corpus);
        recount(&seed, &mut corpus);
        damage(&seed, &mut random, &mut corpus);
        rearrange(&seed, &mut random, &mut corpus);
        corpus.push(seed);
    }
    flag(&mut corpus);
    noise(&mut random, &mut corpus);
    corpus
}

/// Good questions of all kinds, and such as are none with every octet in its place.
fn seeds() -> Vec<Vec<u8>> {
    let listed = "9.2.0.192.bl.example";
    let v6 = "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.example";
    let mut seeds = Vec::new();
    for (name, kind) in [
        (listed, 1),
        (v6, 1),
        (v6, 16),
        ("1.0.0.127.bl.example", 1),
        ("127.BL.example", 2),
        ("bl.example", 6),
        ("bl.example", 255),
        ("bl.example", 252),
        ("www.example", 1),
        ("", 2),
    ] {
        seeds.push(query(name, kind));
        seeds.push(with_opt(query(name, kind), 4096, ""));
    }
    for options in [
        "000a 0008 0102030405060708",
        "000a 0018 0102030405060708 01000000 5cf79f11 1f8130c3eee29480",
        "0003 0000",
        "0008 0008 0001 2000 c0000209",
        "000b 0000 000c 0004 00000000 fde9 0002 6162",
    ] {
        seeds.push(with_opt(query(listed, 1), 512, options));
    }
    // Nothing but a cookie: to get one, and to have one renewed.
    for options in
        ["000a 0008 0102030405060708", "000a 0018 0102030405060708 01000000 5cf79f11 1f8130c3eee29480"]
    {
        let whole = with_opt(query("", 1), 1232, options);
        let mut alone = [&whole[..HEADER], &whole[HEADER + 5..]].concat();
        alone[5] = 0;
        seeds.push(alone);
    }
    // Two OPT; OPT of version 1; OPT in the answer; a signature; a class and types without data.
    seeds.push(with_opt(with_opt(query(listed, 1), 1232, ""), 1232, ""));
    let mut version = with_opt(query(listed, 1), 1232, "");
    let at = version.len() - 5;
    version[at] = 1;
    seeds.push(version);
    let mut misplaced = with_opt(query(listed, 1), 1232, "");
    misplaced.swap(7, 11);
    seeds.push(misplaced);
    let mut signed = query(listed, 1);
    signed[11] = 1;
    signed.extend(hex("036b657900 00fa 00ff 00000000 0002 0000"));
    seeds.push(signed);
    for tail in [hex("0010 0003"), hex("0029 0001"), hex("00f9 00ff"), hex("ffff ffff")] {
        let mut other = query(listed, 1);
        other.truncate(other.len() - 4);
        other.extend(tail);
        seeds.push(other);
    }
    // Names: the longest, one too long, a pointer to itself, one into the header.
    for labels in [[63, 63, 63, 61], [63, 63, 63, 62]] {
        let name = labels.map(|len| [vec![len], vec![b'x'; len.into()]].concat()).concat();
        seeds.push([&query("", 1)[..HEADER], &name, &[0, 0, 1, 0, 1]].concat());
    }
    for pointer in ["c00c", "c000", "01 32 c00e", "3f"] {
        seeds.push([&query("", 1)[..HEADER], &hex(pointer), &[0, 1, 0, 1]].concat());
    }
    // Messages of servers among themselves: NOTIFY and UPDATE with what belongs in them.
    for opcode in [4, 5] {
        let mut other = query("bl.example", 6);
        other[2] = opcode << 3;
        other[7] = 1;
        other.extend(hex("c00c 0001 0001 00000000 0004 7f000002"));
        seeds.push(other);
    }
    seeds
}

/// Every beginning.
fn cut(seed: &[u8], corpus: &mut Vec<Vec<u8>>) {
    corpus.extend((0..seed.len()).map(|len| seed[..len].to_vec()));
}

/// Counts that are not true.
fn recount(seed: &[u8], corpus: &mut Vec<Vec<u8>>) {
    for at in [4, 6, 8, 10] {
        for count in [0, 1, 2, 255, 65_535_u16] {
            let mut message = seed.to_vec();
            message[at..at + 2].copy_from_slice(&count.to_be_bytes());
            corpus.push(message);
        }
    }
}

/// One to four octets replaced, most behind the header.
fn damage(seed: &[u8], random: &mut Random, corpus: &mut Vec<Vec<u8>>) {
    for round in 0..60 {
        let mut message = seed.to_vec();
        for _ in 0..=random.below(4) {
            let from = if round % 4 == 0 { 2 } else { HEADER.min(message.len() - 1) };
            let at = from + random.below((message.len() - from) as u64) as usize;
            let odd = [0x00, 0x01, 0x3f, 0x40, 0x7f, 0x80, 0xbf, 0xc0, 0xff];
            message[at] = match random.below(2) {
                0 => odd[random.below(odd.len() as u64) as usize],
                _ => random.bits() as u8,
            };
        }
        corpus.push(message);
    }
}

/// Parts taken out, put in twice, and put in from nowhere.
fn rearrange(seed: &[u8], random: &mut Random, corpus: &mut Vec<Vec<u8>>) {
    for _ in 0..20 {
        let mut place = || random.below(seed.len() as u64 + 1) as usize;
        let (one, other) = (place(), place());
        let (from, to) = (one.min(other), one.max(other));
        corpus.push([&seed[..from], &seed[to..]].concat());
        corpus.push([&seed[..to], &seed[from..]].concat());
        let foreign: Vec<u8> = (0..random.below(40)).map(|_| random.bits() as u8).collect();
        corpus.push([&seed[..to], &foreign, &seed[to..]].concat());
    }
}

/// Every opcode, as question and as reply, with all other flags set and none.
fn flag(corpus: &mut Vec<Vec<u8>>) {
    for opcode in 0..16 {
        for (first, second) in [(0, 0), (0x07, 0xff), (0x80, 0), (0x87, 0xff)] {
            let mut message = query("9.2.0.192.bl.example", 1);
            message[2] = opcode << 3 | first;
            message[3] = second;
            corpus.push(message[..HEADER].to_vec());
            corpus.push(message);
        }
    }
}

/// No message at all, of all lengths.
fn noise(random: &mut Random, corpus: &mut Vec<Vec<u8>>) {
    for round in 0..600 {
        let len = if round % 100 == 0 { 60_000 } else { random.below(600) };
        corpus.push((0..len).map(|_| random.bits() as u8).collect());
    }
}

/// A question in class IN with RD, without EDNS.
fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut message = hex("1234 0100 0001 0000 0000 0000");
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message
}

/// The same with an OPT record behind it, with DO.
fn with_opt(mut query: Vec<u8>, size: u16, options: &str) -> Vec<u8> {
    let options = hex(options);
    query[11] += 1;
    query.extend(hex("00 0029"));
    query.extend(size.to_be_bytes());
    query.extend(hex("0000 8000"));
    query.extend((options.len() as u16).to_be_bytes());
    query.extend(options);
    query
}

/// A message for the eye, cut where it is long.
fn shown(message: &[u8]) -> String {
    let octets: Vec<String> = message.iter().take(200).map(|octet| format!("{octet:02x}")).collect();
    format!("{} ({} octets)", octets.join(" "), message.len())
}
