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
        let generation = self.live.load();
        let found = match &query.edns {
            Some(edns) if edns.version() != 0 => BAD_VERSION,
            _ => answer(&query.question, generation.as_deref()),
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
