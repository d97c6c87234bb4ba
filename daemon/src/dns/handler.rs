//! Handler: one message in, at most one reply out. No waiting and no I/O; UDP and TCP share it.
//!
//! Order of the checks: length, QR, opcode, number of questions, question, records and OPT, version; only then is the
//! generation asked. Work is bounded by the length of the message.

use super::wire::{self, Echo, HEADER, Head, MAX_TCP, MAX_UDP, Opt};
use crate::core::answer::{Answer, Question, Rcode, Records, Transport, answer};
use crate::core::name::QuestionName;
use crate::live::Live;
use crate::stats::{Counter, RcodeStats, Stats};
use hickory_proto::op::Edns;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::Request;
use std::net::SocketAddr;
use std::sync::Arc;

/// Largest reply over UDP to a query without OPT (RFC 1035 section 4.2.1).
const MAX_PLAIN: u16 = 512;
/// Type and class behind the name of a question.
const QUESTION_TAIL: usize = 4;

/// Answers messages from the live generation and counts what it does.
#[derive(Debug)]
pub(super) struct Handler {
    live: Live,
    stats: Arc<Stats>,
}

impl Handler {
    pub(super) fn new(live: Live, stats: Arc<Stats>) -> Self {
        Self { live, stats }
    }

    pub(super) fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Replaces `out` by the reply to `message`; `false`: there is none.
    pub(super) fn respond(
        &self,
        message: &[u8],
        client: SocketAddr,
        transport: Transport,
        out: &mut Vec<u8>,
    ) -> bool {
        let stats = &self.stats.dns;
        match transport {
            Transport::Udp => stats.udp.add_one(),
            Transport::Tcp => stats.tcp.add_one(),
        }
        let Some(&[id_high, id_low, high, _, count_high, count_low, ..]) = message.first_chunk::<HEADER>()
        else {
            stats.dropped.add_one();
            return false;
        };
        // A reply is never replied to, whatever else is in it: two servers must not talk to each other.
        if high & 0x80 != 0 {
            stats.dropped.add_one();
            return false;
        }
        let mut head = Head {
            id: u16::from_be_bytes([id_high, id_low]),
            opcode_bits: u16::from(high & 0x78) << 8,
            recursion_desired: high & 1 != 0,
        };
        if head.opcode_bits != 0 {
            // RFC 8906 section 8.1.4: no other bit is repeated, the rest of the message means nothing to us.
            head.recursion_desired = false;
            return self.bare(out, head, Rcode::NotImp);
        }
        let questions = u16::from_be_bytes([count_high, count_low]);
        let Some(query) = Query::read(message, questions, client, transport) else {
            return self.bare(out, head, Rcode::FormErr);
        };
        self.reply(&query, head, out);
        true
    }

    fn bare(&self, out: &mut Vec<u8>, head: Head, rcode: Rcode) -> bool {
        count_rcode(&self.stats.dns.rcodes, rcode).add_one();
        wire::bare(out, head, rcode);
        true
    }

    fn reply(&self, query: &Query<'_>, head: Head, out: &mut Vec<u8>) {
        let view = self.live.load();
        let found = match &query.edns {
            Some(edns) if edns.version() != 0 => BAD_VERSION,
            _ => answer(&query.question, view.as_deref()),
        };
        let opt = query.edns.as_ref().map(|edns| Opt { dnssec_ok: edns.flags().dnssec_ok });
        let truncated = wire::reply(out, head, query.echo, &found, opt, query.limit());
        let stats = &self.stats.dns;
        count_rcode(&stats.rcodes, found.rcode).add_one();
        match found.listed {
            Some(true) => stats.listed.add_one(),
            Some(false) => stats.not_listed.add_one(),
            None => {}
        }
        if truncated {
            stats.truncated.add_one();
        }
    }
}

/// Reply to an EDNS version other than 0 (RFC 6891 section 6.1.3).
const BAD_VERSION: Answer<'static> = Answer {
    rcode: Rcode::BadVers,
    authoritative: false,
    records: Records::None,
    ttl: 0,
    authority: None,
    ede: None,
    listed: None,
};

/// A well-formed query.
struct Query<'p> {
    question: Question<'p>,
    echo: Echo<'p>,
    edns: Option<Edns>,
}

impl<'p> Query<'p> {
    /// Reads a query of exactly one question (RFC 9619); `None` if any part of it is malformed.
    fn read(message: &'p [u8], questions: u16, client: SocketAddr, transport: Transport) -> Option<Self> {
        // Asked first: hickory makes room for as many questions as the header claims.
        if questions != 1 {
            return None;
        }
        let name = QuestionName::read(message.get(HEADER..)?)?;
        let octets = message.get(HEADER..HEADER + name.wire().len() + QUESTION_TAIL)?;
        let &[type_high, type_low, class_high, class_low] = octets.last_chunk::<QUESTION_TAIL>()?;
        let protocol = match transport {
            Transport::Udp => Protocol::Udp,
            Transport::Tcp => Protocol::Tcp,
        };
        let request = Request::from_bytes(message.to_vec(), client, protocol).ok()?;
        let question = Question {
            name,
            qtype: u16::from_be_bytes([type_high, type_low]),
            class: u16::from_be_bytes([class_high, class_low]),
            transport,
        };
        Some(Self { question, echo: Echo { name, octets }, edns: request.edns.clone() })
    }

    /// Octets the reply may have.
    fn limit(&self) -> usize {
        match (self.question.transport, &self.edns) {
            (Transport::Tcp, _) => MAX_TCP,
            (Transport::Udp, None) => MAX_PLAIN.into(),
            (Transport::Udp, Some(edns)) => edns.max_payload().clamp(MAX_PLAIN, MAX_UDP).into(),
        }
    }
}

fn count_rcode(stats: &RcodeStats, rcode: Rcode) -> &Counter {
    match rcode {
        Rcode::NoError => &stats.noerror,
        Rcode::FormErr => &stats.formerr,
        Rcode::ServFail => &stats.servfail,
        Rcode::NxDomain => &stats.nxdomain,
        Rcode::NotImp => &stats.notimp,
        Rcode::Refused => &stats.refused,
        Rcode::BadVers => &stats.badvers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fixture::{generation, zone};
    use proptest::prelude::*;

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
        let longest =
            [label(b'.', 63), label(0xff, 63), label(0, 63), label(b'x', 50), zone.to_vec()].concat();
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
                prop_assert!(reply.len() >= HEADER && reply.len() <= MAX_UDP.into());
            }
        }
    }
}
