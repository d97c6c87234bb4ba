//! Answers: a question and a view in, what to say out. No wire format, no copies: an answer borrows from the
//! view, and holds at most one RRset by construction.
//!
//! Existence follows RFC 8020: NXDOMAIN is said only of names with nothing at or below them.

use super::generation::Generation;
use super::live_table::LiveTable;
use super::name::{Asked, QuestionName};
use super::text::Template;
use super::view::View;
use super::zone::{APEX_TTL, Listed, Zone};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Class IN, the only one served.
pub const CLASS_IN: u16 = 1;

/// Type numbers with a meaning here; all others are answered by name alone.
pub mod qtype {
    /// A.
    pub const A: u16 = 1;
    /// NS.
    pub const NS: u16 = 2;
    /// SOA.
    pub const SOA: u16 = 6;
    /// TXT.
    pub const TXT: u16 = 16;
    /// OPT, never a question.
    pub const OPT: u16 = 41;
    /// TKEY.
    pub const TKEY: u16 = 249;
    /// TSIG.
    pub const TSIG: u16 = 250;
    /// Incremental transfer.
    pub const IXFR: u16 = 251;
    /// Transfer.
    pub const AXFR: u16 = 252;
    /// MAILB, obsolete.
    pub const MAILB: u16 = 253;
    /// MAILA, obsolete.
    pub const MAILA: u16 = 254;
    /// ANY.
    pub const ANY: u16 = 255;
}

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// On a connection.
    Tcp,
    /// On a connection under TLS (RFC 7858).
    Tls,
    /// In a request of HTTP (RFC 8484).
    Https,
    /// On a stream of QUIC (RFC 9250).
    Quic,
}

impl Transport {
    /// Does it come from an address that may be forged, and must the reply fit a datagram?
    pub fn is_datagram(self) -> bool {
        self == Self::Udp
    }

    /// Do those on the way see nothing of it but its length?
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Https | Self::Quic)
    }
}

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Question<'p> {
    /// Name asked.
    pub name: QuestionName<'p>,
    /// Type asked.
    pub qtype: u16,
    /// Class asked.
    pub class: u16,
    /// How it came.
    pub transport: Transport,
}

/// Response codes (RFC 1035 section 4.1.1, RFC 6891 section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Rcode {
    /// The name exists, with or without the data asked for.
    NoError = 0,
    /// The packet is no question.
    FormErr = 1,
    /// Ask another server.
    ServFail = 2,
    /// Nothing exists at or below the name.
    NxDomain = 3,
    /// Not offered.
    NotImp = 4,
    /// Not for you, or not here.
    Refused = 5,
    /// Signed with a key that is not ours (RFC 8945 section 5.2.1).
    NotAuth = 9,
    /// An EDNS version we do not know.
    BadVers = 16,
}

/// Extended errors (RFC 8914), told only to those who sent OPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Ede {
    /// The zone has no data yet.
    NotReady = 14,
    /// Not allowed.
    Prohibited = 18,
    /// Not in any of our zones.
    NotAuthoritative = 20,
    /// Type or class not offered.
    NotSupported = 21,
}

/// The one RRset of an answer.
#[derive(Clone, Copy, Debug)]
pub enum Records<'g> {
    /// No record.
    None,
    /// Codes.
    A(&'g [Ipv4Addr]),
    /// Texts, with the address to fill in.
    Txt(&'g [Arc<Template>], IpAddr),
    /// The zone's SOA.
    Soa(Soa<'g>),
    /// The zone's name servers.
    Ns(&'g Zone),
}

/// A zone's SOA at a serial.
#[derive(Clone, Copy, Debug)]
pub struct Soa<'g> {
    /// The zone.
    pub zone: &'g Zone,
    /// Serial of the generation.
    pub serial: u32,
}

/// What to say.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'g> {
    /// Response code.
    pub rcode: Rcode,
    /// AA: does it come from one of our zones?
    pub authoritative: bool,
    /// Answer section; the owner of all records is the name asked.
    pub records: Records<'g>,
    /// TTL of the answer section, in seconds.
    pub ttl: u32,
    /// SOA for the authority section, with its TTL in seconds: how long to remember the negative answer.
    pub authority: Option<(Soa<'g>, u32)>,
    /// Why it failed.
    pub ede: Option<Ede>,
    /// For a question about one address of a zone: is it listed there?
    pub listed: Option<bool>,
}

/// Answers a question from a view; `None`: nothing is loaded yet.
pub fn answer<'g>(question: &Question<'_>, view: Option<&'g View>) -> Answer<'g> {
    if question.class != CLASS_IN {
        return failed(Rcode::Refused, Ede::NotSupported);
    }
    let Some(View { generation, overlay }) = view else { return failed(Rcode::ServFail, Ede::NotReady) };
    let Some((zone, depth)) = find(&generation.zones, &question.name) else {
        return failed(Rcode::Refused, Ede::NotAuthoritative);
    };
    match (question.qtype, question.transport.is_datagram()) {
        (qtype::OPT | qtype::TKEY | qtype::TSIG | qtype::MAILA | qtype::MAILB, _)
        | (qtype::AXFR | qtype::IXFR, true) => return failed(Rcode::NotImp, Ede::NotSupported),
        (qtype::AXFR | qtype::IXFR, false) => return failed(Rcode::Refused, Ede::Prohibited),
        _ => {}
    }
    if !zone.loaded {
        return failed(Rcode::ServFail, Ede::NotReady);
    }
    let source = Source { zone, generation, overlay };
    source.answer(question, depth)
}

/// The zone with the longest matching name, and how many labels of the question lie in front of it.
fn find<'g>(zones: &'g [Zone], name: &QuestionName<'_>) -> Option<(&'g Zone, usize)> {
    let matching = zones.iter().filter_map(|zone| Some((zone, name.depth_below(zone.name())?)));
    matching.min_by_key(|(_, depth)| *depth)
}

fn failed(rcode: Rcode, ede: Ede) -> Answer<'static> {
    Answer {
        rcode,
        authoritative: false,
        records: Records::None,
        ttl: 0,
        authority: None,
        ede: Some(ede),
        listed: None,
    }
}

/// The zone that answers, in its generation, with the live entries over it.
#[derive(Clone, Copy)]
struct Source<'g> {
    zone: &'g Zone,
    generation: &'g Generation,
    overlay: &'g LiveTable,
}

impl<'g> Source<'g> {
    fn answer(self, question: &Question<'_>, depth: usize) -> Answer<'g> {
        let any_v4 = |span| self.zone.inhabits_v4(self.overlay, span);
        let any_v6 = |span| self.zone.inhabits_v6(self.overlay, span);
        let inhabited = match Asked::read(&question.name, depth) {
            Asked::Apex => return self.apex(question.qtype),
            Asked::Address { address, above } => {
                if let Some(listed) = self.zone.shown(&self.generation.table, self.overlay, address) {
                    return self.listed(question.qtype, listed, address);
                }
                let listed = Some(false);
                let inhabited = above.is_some_and(any_v6);
                return Answer { listed, ..self.without_records(question, inhabited) };
            }
            Asked::Partial { v4, v6 } => v4.is_some_and(any_v4) || v6.is_some_and(any_v6),
            Asked::NotAnAddress => false,
        };
        self.without_records(question, inhabited)
    }

    fn apex(self, asked: u16) -> Answer<'g> {
        match asked {
            // ANY gets one RRset (RFC 8482 section 4.1).
            qtype::SOA | qtype::ANY => self.positive(Records::Soa(self.soa()), APEX_TTL),
            qtype::NS => self.positive(Records::Ns(self.zone), APEX_TTL),
            _ => self.negative(Rcode::NoError),
        }
    }

    fn listed(self, asked: u16, listed: &'g Listed, address: IpAddr) -> Answer<'g> {
        let ttl = self.zone.spec().ttl;
        let answer = match asked {
            qtype::A | qtype::ANY => self.positive(Records::A(listed.codes()), ttl),
            qtype::TXT if !listed.texts().is_empty() => {
                self.positive(Records::Txt(listed.texts(), address), ttl)
            }
            _ => self.negative(Rcode::NoError),
        };
        Answer { listed: Some(true), ..answer }
    }

    /// NODATA if something exists below the name, else NXDOMAIN.
    fn without_records(self, question: &Question<'_>, inhabited: bool) -> Answer<'g> {
        let exists = inhabited || self.zone.has_zone_below(&question.name);
        self.negative(if exists { Rcode::NoError } else { Rcode::NxDomain })
    }

    fn positive(self, records: Records<'g>, ttl: u32) -> Answer<'g> {
        Answer {
            rcode: Rcode::NoError,
            authoritative: true,
            records,
            ttl,
            authority: None,
            ede: None,
            listed: None,
        }
    }

    fn negative(self, rcode: Rcode) -> Answer<'g> {
        // RFC 2308 section 5: the lesser of the SOA's own TTL and its MINIMUM.
        let ttl = APEX_TTL.min(self.zone.spec().negative_ttl);
        let authority = Some((self.soa(), ttl));
        Answer { rcode, authority, ..self.positive(Records::None, 0) }
    }

    fn soa(self) -> Soa<'g> {
        Soa { zone: self.zone, serial: self.generation.serial }
    }
}

#[cfg(test)]
mod tests;
