//! DNS messages: any octets get one well-formed reply that fits, or none.
//!
//! Input: flags, then the message as it stands in a datagram or behind its length on a connection.

#![no_main]

use blackthorn::core::answer::Transport;
use blackthorn::core::live_set::{Action, LiveEntry};
use blackthorn::core::live_table::LiveTable;
use blackthorn::core::protection::Reservations;
use blackthorn::core::view::View;
use blackthorn::dns::Handler;
use blackthorn::live::Live;
use blackthorn_fuzz::Input;
use blackthorn_fuzz::generation::generation;
use domain::base::Message;
use domain::base::iana::{Class, Rtype};
use domain::base::name::ToLabelIter;
use domain::rdata::AllRecordData;
use libfuzzer_sys::fuzz_target;
use std::net::Ipv4Addr;
use std::sync::{Arc, LazyLock};

/// Flag: over TCP.
const TCP: u8 = 1;
/// Flag: nothing is loaded yet.
const EMPTY: u8 = 2;
/// Flag: entries made by hand lie over the generation.
const OVERLAID: u8 = 4;
/// Octets of a header.
const HEADER: usize = 12;
/// Limits of replies: without EDNS, most over UDP, on a connection.
const PLAIN: usize = 512;
const MOST_UDP: usize = 1232;
const MOST_TCP: usize = 65_535;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let flags = input.byte();
    let transport = if flags & TCP == 0 { Transport::Udp } else { Transport::Tcp };
    let handler = match flags & (EMPTY | OVERLAID) {
        0 => &SERVED[0],
        OVERLAID => &SERVED[1],
        _ => &SERVED[2],
    };
    let query = input.rest();
    let mut reply = Vec::new();
    let replied = handler.respond(query, (Ipv4Addr::LOCALHOST, 53).into(), transport, &mut reply);
    // Whatever else is in it: what has no header or is a reply gets none, all else gets one.
    let is_query = query.len() >= HEADER && query[2] & 0x80 == 0;
    assert_eq!(replied, is_query);
    if replied {
        is_reply_to(query, &reply);
        fits(query, &reply, transport);
        is_well_formed(query, &reply);
    }
});

/// A generation, the same with live entries over it, and nothing.
static SERVED: LazyLock<[Handler; 3]> = LazyLock::new(|| {
    let entry = |action, network: &str| {
        Arc::new(LiveEntry {
            network: network.parse().expect("a network"),
            action,
            reason: String::new(),
            by: 0,
            added_at: 1,
            expires_at: None,
        })
    };
    let entries = vec![
        entry(Action::Block, "203.0.113.0/25"),
        entry(Action::Allow, "192.0.2.8/29"),
        entry(Action::Block, "2001:db8:ffff::/48"),
    ];
    let none = Reservations::default();
    let overlay = LiveTable::compile(entries, &none, &none).expect("a few entries");
    let lives = [Live::default(), Live::default(), Live::default()];
    let generation = Arc::new(generation());
    lives[0].publish(Arc::clone(&generation));
    lives[1].publish_view(View { overlay: Arc::new(overlay), ..View::bare(generation) });
    lives.map(|live| Handler::new(live, Arc::default()))
});

fn is_reply_to(query: &[u8], reply: &[u8]) {
    assert!(reply.len() >= HEADER);
    assert_eq!(reply[..2], query[..2], "same id");
    assert_eq!(reply[2] & 0xf8, query[2] & 0x78 | 0x80, "QR set, same opcode");
    let counts = [u16::from_be_bytes([reply[4], reply[5]]), u16::from_be_bytes([query[4], query[5]])];
    match counts[0] {
        0 => assert_eq!(reply.len(), HEADER, "without a question there is nothing to say"),
        1 => {
            assert_eq!(counts[1], 1);
            let end = reply.len().min(query.len());
            let name = Message::from_octets(reply).expect("a header").sole_question().expect("one question");
            let len = usize::from(name.qname().compose_len()) + 4;
            assert!(HEADER + len <= end && reply[HEADER..HEADER + len] == query[HEADER..HEADER + len]);
        }
        more => panic!("{more} questions"),
    }
}

/// Is the reply short enough for who asked?
fn fits(query: &[u8], reply: &[u8], transport: Transport) {
    let with_opt = Message::from_octets(reply).expect("a header").opt();
    let advertised = Message::from_octets(query).ok().and_then(|query| query.opt());
    let limit = match (with_opt, advertised) {
        _ if !transport.is_datagram() => MOST_TCP,
        (None, _) => PLAIN,
        (Some(_), Some(opt)) => usize::from(opt.udp_payload_size()).clamp(PLAIN, MOST_UDP),
        // The other library reads no OPT in this query; ours did.
        (Some(_), None) => MOST_UDP,
    };
    assert!(reply.len() <= limit, "{} octets, at most {limit}", reply.len());
}

/// Every record can be read, and nothing is left behind the last one.
fn is_well_formed(query: &[u8], reply: &[u8]) {
    let message = Message::from_octets(reply).expect("a header");
    let counts = message.header_counts();
    let (mut records, mut opts) = (0u16, 0);
    let mut end = HEADER;
    for question in message.question() {
        question.expect("a question");
    }
    let mut section = Some(message.answer().expect("an answer section"));
    while let Some(mut records_here) = section {
        for record in records_here.by_ref() {
            let record = record.expect("a record");
            opts += u16::from(record.rtype() == Rtype::OPT);
            let data = record.to_any_record::<AllRecordData<_, _>>().expect("readable data");
            assert!(data.class() == Class::IN || record.rtype() == Rtype::OPT);
            records += 1;
        }
        end = records_here.pos();
        section = records_here.next_section().expect("a section");
    }
    let stated = counts.ancount() + counts.nscount() + counts.arcount();
    assert_eq!((records, opts <= 1), (stated, true));
    if counts.qdcount() == 1 {
        assert_eq!(end, reply.len(), "octets behind the last record");
    }
    if message.header().tc() {
        assert_eq!((counts.ancount(), counts.nscount()), (0, 0), "truncated replies hold no records");
    }
    // OPT answers OPT (RFC 6891 section 6.1.1); a query without additional records had none.
    assert!(opts == 0 || query[10..12] != [0, 0]);
}
