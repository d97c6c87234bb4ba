//! Answers: a question and a view in, what to say out. No wire format, no copies: an answer borrows from the
//! view, and holds at most one RRset by construction.
//!
//! Existence follows RFC 8020: NXDOMAIN is said only of names with nothing at or below them.

use super::generation::Generation;
use super::listing::FeedIndex;
use super::live_table::LiveTable;
use super::name::{Asked, QuestionName};
use super::network::fold;
use super::policy::{Admission, Admitted, Asker, CODED_TTL, Policy};
use super::presence::NEVER;
use super::subject::Subject;
use super::text::Template;
use super::view::View;
use super::zone::{APEX_TTL, Ent, Listed, Named, RETIRED_TTL, Zone};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Class IN, that of zones.
pub const CLASS_IN: u16 = 1;
/// Class CH, in which servers tell of themselves.
pub const CLASS_CH: u16 = 3;

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
    /// AAAA.
    pub const AAAA: u16 = 28;
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
    /// Its name, for logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Https => "https",
            Self::Quic => "quic",
        }
    }

    /// Does it come from an address that may be forged, and must the reply fit a datagram?
    pub fn is_datagram(self) -> bool {
        self == Self::Udp
    }

    /// Do those on the way see nothing of it but its length?
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Https | Self::Quic)
    }

    /// May the reply say how long the connection may be idle? Connections of QUIC and HTTP have other means.
    pub fn has_keepalive(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
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
    /// A cookie is needed, and this one is not ours (RFC 7873 section 5.2.3).
    BadCookie = 23,
}

impl Rcode {
    /// Its mnemonic.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoError => "NOERROR",
            Self::FormErr => "FORMERR",
            Self::ServFail => "SERVFAIL",
            Self::NxDomain => "NXDOMAIN",
            Self::NotImp => "NOTIMP",
            Self::Refused => "REFUSED",
            Self::NotAuth => "NOTAUTH",
            Self::BadVers => "BADVERS",
            Self::BadCookie => "BADCOOKIE",
        }
    }
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
    /// Texts, with what to fill in.
    Txt(&'g [Arc<Template>], Subject),
    /// The zone's SOA.
    Soa(Soa<'g>),
    /// The zone's name servers.
    Ns(&'g Zone),
    /// A text of the server or of a zone, of any length.
    Text(&'g str),
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
    /// For a question about one address or domain of a zone: is it listed there?
    pub listed: Option<bool>,
    /// The feeds that list it.
    pub feeds: &'g [FeedIndex],
}

/// What to do with a question.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'g> {
    /// What to say; `None`: nothing.
    pub answer: Option<Answer<'g>>,
    /// The zone asked, and its number in the generation.
    pub zone: Option<(usize, &'g Zone)>,
    /// How the client was judged.
    pub admitted: Admitted<'g>,
}

/// Answers a question from a view as far as the asker may know; `None`: nothing is loaded yet.
///
/// Order: client, class, zone, type, state of the zone, name.
pub fn answer<'g>(question: &Question<'_>, view: Option<&'g View>, asker: &Asker<'g>) -> Decision<'g> {
    // Whatever the class: what stands in front of a zone may be a key.
    let located = find(view.map_or(&[][..], |view| &view.generation.zones), &question.name);
    let admitted = asker.admit(&question.name, located);
    let answer = match admitted.admission {
        Admission::Ignored => None,
        Admission::Refused => Some(failed(Rcode::Refused, Ede::Prohibited)),
        _ => Some(match (question.class, view, located) {
            (CLASS_CH, ..) => of_server(question, asker.policy),
            (CLASS_IN, None, _) => failed(Rcode::ServFail, Ede::NotReady),
            (CLASS_IN, Some(view), Some((_, zone, depth))) => {
                of_zone(question, view, asker.now, zone, depth, &admitted)
            }
            (CLASS_IN, Some(_), None) => failed(Rcode::Refused, Ede::NotAuthoritative),
            _ => failed(Rcode::Refused, Ede::NotSupported),
        }),
    };
    Decision { answer, zone: located.map(|(number, zone, _)| (number, zone)), admitted }
}

/// The zone with the longest matching name, its number, and how many labels of the question lie in front of it.
fn find<'g>(zones: &'g [Zone], name: &QuestionName<'_>) -> Option<(usize, &'g Zone, usize)> {
    let below = |(number, zone): (usize, &'g Zone)| Some((number, zone, name.depth_below(zone.name())?));
    zones.iter().enumerate().filter_map(below).min_by_key(|(.., depth)| *depth)
}

fn of_zone<'g>(
    question: &Question<'_>,
    view: &'g View,
    now: u64,
    zone: &'g Zone,
    depth: usize,
    admitted: &Admitted<'g>,
) -> Answer<'g> {
    match (question.qtype, question.transport) {
        (qtype::OPT | qtype::TKEY | qtype::TSIG | qtype::MAILA | qtype::MAILB, _)
        | (qtype::AXFR | qtype::IXFR, Transport::Udp) => {
            return failed(Rcode::NotImp, Ede::NotSupported);
        }
        (qtype::AXFR | qtype::IXFR, _) => return failed(Rcode::Refused, Ede::Prohibited),
        _ => {}
    }
    let View { generation, overlay, .. } = view;
    let source = Source { zone, generation, overlay };
    if let Some(farewell) = &zone.spec().retired {
        return source.retired(question.qtype, depth, farewell);
    }
    if !view.is_ready(zone, now) {
        return failed(Rcode::ServFail, Ede::NotReady);
    }
    match admitted.admission {
        Admission::Empty => source.empty(question, depth),
        Admission::Coded(listed) => source.coded(question, depth, listed),
        // A key stands between address and zone, and has no records.
        _ if admitted.key.is_some() && depth == 1 => source.negative(Rcode::NoError),
        _ => source.answer(question, depth - usize::from(admitted.key.is_some())),
    }
}

/// What the server says of itself, to those who ask in class CH (RFC 4892), if it is to.
fn of_server<'g>(question: &Question<'_>, policy: &'g Policy) -> Answer<'g> {
    let is = |name: &[u8]| question.name.wire().eq_ignore_ascii_case(name);
    let text = if is(b"\x07version\x04bind\0") || is(b"\x07version\x06server\0") {
        &policy.version
    } else if is(b"\x08hostname\x04bind\0") || is(b"\x02id\x06server\0") {
        &policy.hostname
    } else {
        &None
    };
    match text {
        Some(text) if matches!(question.qtype, qtype::TXT | qtype::ANY) => {
            Answer { records: Records::Text(text), ..positive() }
        }
        _ => failed(Rcode::Refused, Ede::NotSupported),
    }
}

fn failed(rcode: Rcode, ede: Ede) -> Answer<'static> {
    Answer { rcode, authoritative: false, ede: Some(ede), ..positive() }
}

/// NOERROR with records yet to be filled in.
fn positive() -> Answer<'static> {
    Answer {
        rcode: Rcode::NoError,
        authoritative: true,
        records: Records::None,
        ttl: 0,
        authority: None,
        ede: None,
        listed: None,
        feeds: &[],
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
        let always = self.zone.spec().ent == Ent::Always;
        match Asked::read(&question.name, depth) {
            Asked::Apex => self.apex(question.qtype),
            Asked::Address { address, above } => {
                if let Some(listed) = self.zone.shown(&self.generation.table, self.overlay, address) {
                    return self.listed(
                        question.qtype,
                        listed,
                        Subject::Address(address),
                        self.zone.spec().ttl,
                    );
                }
                let listed = Some(false);
                let inhabited =
                    above.is_some_and(|span| always || any_v6(span)) || self.names_domains(question, depth);
                Answer { listed, ..self.without_records(question, inhabited) }
            }
            Asked::Partial { v4, v6 } => {
                let inhabited = always || v4.is_some_and(any_v4) || v6.is_some_and(any_v6);
                self.domain(question, depth, inhabited)
            }
            Asked::NotAnAddress => self.domain(question, depth, false),
        }
    }

    /// A name that is no address, looked up as a domain where the zone has such. `inhabited`: addresses lie below it.
    fn domain(self, question: &Question<'_>, depth: usize, inhabited: bool) -> Answer<'g> {
        match self.zone.named(&self.generation.domains, &question.name, depth) {
            Some(Named::Listed(listed)) => {
                self.listed(question.qtype, listed, Subject::Domain { labels: depth }, self.zone.spec().ttl)
            }
            Some(Named::Unlisted) if !inhabited => {
                Answer { listed: Some(false), ..self.without_records(question, false) }
            }
            named => self.without_records(question, inhabited || matches!(named, Some(Named::Above))),
        }
    }

    /// Is the name of an address also a listed domain, or above one? Top-level domains are no numbers, so hardly ever.
    fn names_domains(self, question: &Question<'_>, depth: usize) -> bool {
        let named = self.zone.named(&self.generation.domains, &question.name, depth);
        matches!(named, Some(Named::Listed(_) | Named::Above))
    }

    /// As if nothing was listed.
    fn empty(self, question: &Question<'_>, depth: usize) -> Answer<'g> {
        match depth {
            0 => self.apex(question.qtype),
            _ => self.without_records(question, false),
        }
    }

    /// As if everything was listed, but for what tells clients whether a list works (RFC 5782 section 5).
    fn coded(self, question: &Question<'_>, depth: usize, listed: &'g Listed) -> Answer<'g> {
        match Asked::read(&question.name, depth) {
            Asked::Apex => self.apex(question.qtype),
            Asked::Address { address, .. } if fold(address) != Ipv4Addr::from_bits(NEVER) => {
                self.listed(question.qtype, listed, Subject::Address(address), CODED_TTL)
            }
            Asked::Partial { .. } => self.without_records(question, true),
            Asked::NotAnAddress if self.zone.may_list_domain(&question.name, depth) => {
                self.listed(question.qtype, listed, Subject::Domain { labels: depth }, CODED_TTL)
            }
            Asked::Address { .. } | Asked::NotAnAddress => self.without_records(question, false),
        }
    }

    /// A closed list (RFC 6471 section 3.6): nothing but a farewell, to be remembered for a day.
    fn retired(self, asked: u16, depth: usize, farewell: &'g str) -> Answer<'g> {
        let negative = |rcode| Answer { authority: Some((self.soa(), RETIRED_TTL)), ..self.negative(rcode) };
        match (depth, asked) {
            (0, qtype::SOA | qtype::ANY) => self.positive(Records::Soa(self.soa()), RETIRED_TTL),
            (0, qtype::NS) => self.positive(Records::Ns(self.zone), RETIRED_TTL),
            (0, qtype::TXT) => self.positive(Records::Text(farewell), RETIRED_TTL),
            (0, _) => negative(Rcode::NoError),
            _ => negative(Rcode::NxDomain),
        }
    }

    fn apex(self, asked: u16) -> Answer<'g> {
        match asked {
            // ANY gets one RRset (RFC 8482 section 4.1).
            qtype::SOA | qtype::ANY => self.positive(Records::Soa(self.soa()), APEX_TTL),
            qtype::NS => self.positive(Records::Ns(self.zone), APEX_TTL),
            _ => self.negative(Rcode::NoError),
        }
    }

    fn listed(self, asked: u16, listed: &'g Listed, subject: Subject, ttl: u32) -> Answer<'g> {
        let answer = match asked {
            qtype::A | qtype::ANY => self.positive(Records::A(listed.codes()), ttl),
            qtype::TXT if !listed.texts().is_empty() => {
                self.positive(Records::Txt(listed.texts(), subject), ttl)
            }
            _ => self.negative(Rcode::NoError),
        };
        Answer { listed: Some(true), feeds: listed.feeds(), ..answer }
    }

    /// NODATA if something exists below the name, else NXDOMAIN.
    fn without_records(self, question: &Question<'_>, inhabited: bool) -> Answer<'g> {
        let exists = inhabited || self.zone.has_zone_below(&question.name);
        self.negative(if exists { Rcode::NoError } else { Rcode::NxDomain })
    }

    fn positive(self, records: Records<'g>, ttl: u32) -> Answer<'g> {
        Answer { records, ttl, ..positive() }
    }

    fn negative(self, rcode: Rcode) -> Answer<'g> {
        // RFC 2308 section 5: the lesser of the SOA's own TTL and its MINIMUM.
        let ttl = APEX_TTL.min(self.zone.spec().negative_ttl);
        Answer { rcode, authority: Some((self.soa(), ttl)), ..positive() }
    }

    fn soa(self) -> Soa<'g> {
        Soa { zone: self.zone, serial: self.generation.serial }
    }
}

#[cfg(test)]
mod tests;
