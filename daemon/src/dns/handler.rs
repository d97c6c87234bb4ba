//! Handler: one message in, at most one reply out. No waiting and no I/O; UDP and TCP share it.
//!
//! [`Query::read`] settles what is no query; then come signature and version; only then is the generation asked. Work is
//! bounded by the length of the message.

use super::wire::{self, MAX_TCP, MAX_UDP, Opt};
use crate::core::answer::{Answer, Rcode, Records, Transport, answer};
use crate::core::query::{Echo, Edns, Fault, Head, Query};
use crate::live::Live;
use crate::stats::{Counter, RcodeStats, Stats};
use std::net::SocketAddr;
use std::sync::Arc;

/// Largest reply over UDP to a query without OPT (RFC 1035 section 4.2.1).
const MAX_PLAIN: u16 = 512;
/// Source ports whose services answer anything, or of which no query comes: unset, echo, daytime, chargen, time.
const LOOP_PORTS: [u16; 5] = [0, 7, 13, 19, 37];

/// Answers messages from the live generation and counts what it does.
#[derive(Debug)]
pub struct Handler {
    live: Live,
    stats: Arc<Stats>,
}

impl Handler {
    /// Answers what `live` publishes, counts in `stats`.
    pub fn new(live: Live, stats: Arc<Stats>) -> Self {
        Self { live, stats }
    }

    pub(super) fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Replaces `out` by the reply to `message`; `false`: there is none.
    pub fn respond(
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
            Transport::Tls => stats.tls.add_one(),
            Transport::Https => stats.https.add_one(),
            Transport::Quic => stats.quic.add_one(),
        }
        if transport.is_datagram() && LOOP_PORTS.contains(&client.port()) {
            stats.dropped.add_one();
            return false;
        }
        match Query::read(message, transport) {
            Ok(query) => self.reply(&query, out),
            Err(Fault::Unanswerable) => {
                stats.dropped.add_one();
                return false;
            }
            // RFC 8906 section 8.1.4: no other bit is repeated.
            Err(Fault::Opcode(head)) => {
                self.bare(Head { recursion_desired: false, ..head }, Rcode::NotImp, out);
            }
            Err(Fault::Question(head)) => self.bare(head, Rcode::FormErr, out),
            Err(Fault::Records { head, echo, edns }) => {
                self.write(head, echo, &without_data(Rcode::FormErr), edns, transport, out);
            }
        }
        true
    }

    fn bare(&self, head: Head, rcode: Rcode, out: &mut Vec<u8>) {
        count_rcode(&self.stats.dns.rcodes, rcode).add_one();
        wire::bare(out, head, rcode);
    }

    fn reply(&self, query: &Query<'_>, out: &mut Vec<u8>) {
        let view = self.live.load();
        let found = match query.edns {
            _ if query.signed => without_data(Rcode::NotAuth),
            Some(Edns { version: 1.., .. }) => without_data(Rcode::BadVers),
            _ => answer(&query.question, view.as_deref()),
        };
        let stats = &self.stats.dns;
        match found.listed {
            Some(true) => stats.listed.add_one(),
            Some(false) => stats.not_listed.add_one(),
            None => {}
        }
        self.write(query.head, query.echo, &found, query.edns, query.question.transport, out);
    }

    fn write(
        &self,
        head: Head,
        echo: Echo<'_>,
        answer: &Answer<'_>,
        edns: Option<Edns<'_>>,
        transport: Transport,
        out: &mut Vec<u8>,
    ) {
        count_rcode(&self.stats.dns.rcodes, answer.rcode).add_one();
        let padding = |edns: Edns<'_>| edns.padding && transport.is_encrypted();
        let opt = edns.map(|edns| Opt { dnssec_ok: edns.dnssec_ok, padding: padding(edns) });
        if wire::reply(out, head, echo, answer, opt, limit(edns, transport)) {
            self.stats.dns.truncated.add_one();
        }
    }
}

/// A reply that says nothing of its question.
fn without_data(rcode: Rcode) -> Answer<'static> {
    Answer {
        rcode,
        authoritative: false,
        records: Records::None,
        ttl: 0,
        authority: None,
        ede: None,
        listed: None,
    }
}

/// Octets a reply may have.
fn limit(edns: Option<Edns<'_>>, transport: Transport) -> usize {
    match edns {
        _ if !transport.is_datagram() => MAX_TCP,
        None => MAX_PLAIN.into(),
        Some(edns) => edns.size.clamp(MAX_PLAIN, MAX_UDP).into(),
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
        Rcode::NotAuth => &stats.notauth,
        Rcode::BadVers => &stats.badvers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fixture::{generation, zone};
    use crate::core::query::HEADER;
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
