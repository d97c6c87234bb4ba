//! Wire: writes replies. Owners and names of the zone point into the question, whose octets are copied as they came,
//! so the case of the question is the case of the reply (RFC 4343, and resolvers that check it).

use crate::core::answer::{Answer, CLASS_IN, Ede, Rcode, Records, Soa, qtype};
use crate::core::cookie;
use crate::core::name::{DomainName, QuestionName};
use crate::core::query::{Echo, HEADER, Head, option};
use crate::core::subject::{Spelled, Texts};
use crate::core::text::{MAX_STRING, Template};
use crate::core::zone::{SOA_EXPIRE, SOA_REFRESH, SOA_RETRY, Zone};

/// Largest reply over UDP, and the size told in OPT, unless configured (DNS flag day 2020).
pub(super) const DEFAULT_UDP_SIZE: u16 = 1232;

/// Replies that are padded have a multiple of this many octets (RFC 8467 section 4.1).
const PADDED: usize = 468;
/// Largest one.
const MOST_PADDED: usize = 65_535 / PADDED * PADDED;

const QR: u16 = 0x8000;
const AA: u16 = 0x0400;
const TC: u16 = 0x0200;
const RD: u16 = 0x0100;
const POINTER: u16 = 0xc000;

fn flags(head: Head, rcode: Rcode) -> u16 {
    let rd = if head.recursion_desired { RD } else { 0 };
    // The upper bits of an extended code travel in OPT.
    QR | head.opcode_bits | rd | (rcode as u16 & 0xf)
}

/// OPT of a reply (RFC 6891).
#[derive(Clone, Copy, Debug)]
pub(super) struct Opt<'p> {
    /// Largest datagram we take.
    pub(super) size: u16,
    /// DO, copied from the query.
    pub(super) dnssec_ok: bool,
    /// Who we are, for those who ask (RFC 5001).
    pub(super) nsid: Option<&'p [u8]>,
    /// The client's cookie and ours (RFC 7873).
    pub(super) cookie: Option<[u8; cookie::REPLY]>,
    /// How long the connection may be idle, in units of 100 ms (RFC 7828).
    pub(super) keepalive: Option<u16>,
    /// Fill up to a multiple of [`PADDED`] octets?
    pub(super) padding: bool,
}

/// Writes a reply of a header alone.
pub(super) fn bare(out: &mut Vec<u8>, head: Head, rcode: Rcode) {
    out.clear();
    for field in [head.id, flags(head, rcode), 0, 0, 0, 0] {
        put16(out, field);
    }
}

/// Writes a reply of a header and OPT, to a query without question.
pub(super) fn unasked(out: &mut Vec<u8>, head: Head, rcode: Rcode, opt: Opt<'_>) {
    bare(out, head, rcode);
    set16(out, 10, 1);
    write_opt(out, rcode, opt, None);
}

/// Writes a reply with its question. One above `limit` octets becomes TC=1 with nothing but question and OPT; says if that
/// happened. Replies with an extended error have no records, so that is never too much: with the longest question and
/// all options there are 420 octets.
pub(super) fn reply(
    out: &mut Vec<u8>,
    head: Head,
    echo: Echo<'_>,
    answer: &Answer<'_>,
    opt: Option<Opt<'_>>,
    limit: usize,
) -> bool {
    start(out, head, echo, answer, opt.is_some());
    let question_end = out.len();
    let answers = write_records(out, echo, answer);
    if let Some((soa, ttl)) = answer.authority {
        let zone_at = zone_offset(echo.name, soa.zone);
        record(out, zone_at, (qtype::SOA, CLASS_IN), ttl, |out| write_soa(out, soa, zone_at));
    }
    if let Some(opt) = opt {
        write_opt(out, answer.rcode, opt, answer.ede);
    }
    if out.len() <= limit {
        set16(out, 6, answers);
        set16(out, 8, answer.authority.is_some().into());
        return false;
    }
    out.truncate(question_end);
    set16(out, 2, out_flags(head, answer) | TC);
    if let Some(opt) = opt {
        write_opt(out, answer.rcode, opt, None);
    }
    true
}

/// Writes a reply that sends the client to TCP: TC=1, question and OPT.
pub(super) fn truncated(
    out: &mut Vec<u8>,
    head: Head,
    echo: Echo<'_>,
    answer: &Answer<'_>,
    opt: Option<Opt<'_>>,
) {
    start(out, head, echo, answer, opt.is_some());
    set16(out, 2, out_flags(head, answer) | TC);
    if let Some(opt) = opt {
        write_opt(out, answer.rcode, opt, None);
    }
}

fn out_flags(head: Head, answer: &Answer<'_>) -> u16 {
    flags(head, answer.rcode) | if answer.authoritative { AA } else { 0 }
}

/// Header without answer and authority counts, and question.
fn start(out: &mut Vec<u8>, head: Head, echo: Echo<'_>, answer: &Answer<'_>, opt: bool) {
    out.clear();
    for field in [head.id, out_flags(head, answer), 1, 0, 0, opt.into()] {
        put16(out, field);
    }
    out.extend_from_slice(echo.octets);
}

/// Offset of the zone's name in the reply; the question lies in the zone.
fn zone_offset(name: QuestionName<'_>, zone: &Zone) -> u16 {
    pointer(name.start(name.labels().saturating_sub(zone.name().labels())))
}

/// A pointer to an offset in the question's name. Names are at most 255 octets, so it always fits.
fn pointer(at: usize) -> u16 {
    POINTER | (HEADER + at) as u16
}

/// The answer section; returns the number of records.
fn write_records(out: &mut Vec<u8>, echo: Echo<'_>, answer: &Answer<'_>) -> u16 {
    let (name, owner, ttl) = (echo.name, pointer(0), answer.ttl);
    let count = match answer.records {
        Records::None => 0,
        Records::A(codes) => {
            for code in codes {
                record(out, owner, (qtype::A, CLASS_IN), ttl, |out| out.extend_from_slice(&code.octets()));
            }
            codes.len()
        }
        Records::Txt(texts, subject) => {
            let mut spelled = Spelled::default();
            let texts = spelled.texts(texts, subject, &name);
            for text in texts.templates {
                record(out, owner, (qtype::TXT, CLASS_IN), ttl, |out| write_text(out, text, texts));
            }
            texts.templates.len()
        }
        Records::Soa(soa) => {
            record(out, owner, (qtype::SOA, CLASS_IN), ttl, |out| {
                write_soa(out, soa, zone_offset(name, soa.zone));
            });
            1
        }
        Records::Ns(zone) => {
            let zone_at = zone_offset(name, zone);
            for ns in zone.ns() {
                record(out, owner, (qtype::NS, CLASS_IN), ttl, |out| write_name(out, ns, zone, zone_at));
            }
            zone.ns().len()
        }
        Records::Text(text) => {
            // Of the server itself in class CH, of a zone in IN: the class of the question.
            let class = echo.octets.last_chunk().map_or(CLASS_IN, |class| u16::from_be_bytes(*class));
            record(out, owner, (qtype::TXT, class), ttl, |out| write_strings(out, text.as_bytes()));
            1
        }
    };
    // More than fit a message never get out: the reply is cut then.
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// A record, of a type and class.
fn record(
    out: &mut Vec<u8>,
    owner: u16,
    (rtype, class): (u16, u16),
    ttl: u32,
    rdata: impl FnOnce(&mut Vec<u8>),
) {
    put16(out, owner);
    put16(out, rtype);
    put16(out, class);
    out.extend_from_slice(&ttl.to_be_bytes());
    let length_at = out.len();
    put16(out, 0);
    rdata(out);
    let length = out.len() - length_at - 2;
    // Texts and names are bounded far below 64 KiB when the zone is checked.
    set16(out, length_at, u16::try_from(length).unwrap_or(u16::MAX));
}

fn write_soa(out: &mut Vec<u8>, soa: Soa<'_>, zone_at: u16) {
    let zone = soa.zone;
    write_name(out, zone.ns().first().unwrap_or(zone.name()), zone, zone_at);
    write_name(out, zone.contact(), zone, zone_at);
    for field in [soa.serial, SOA_REFRESH, SOA_RETRY, SOA_EXPIRE, zone.minimum()] {
        out.extend_from_slice(&field.to_be_bytes());
    }
}

/// A name, its part in the zone as a pointer.
fn write_name(out: &mut Vec<u8>, name: &DomainName, zone: &Zone, zone_at: u16) {
    match name.below(zone.name()) {
        Some(front) => {
            out.extend_from_slice(front);
            put16(out, zone_at);
        }
        None => out.extend_from_slice(name.wire()),
    }
}

/// A text as strings of at most 255 octets; at least one.
fn write_text(out: &mut Vec<u8>, text: &Template, texts: Texts<'_>) {
    let (len, pieces) = text.pieces(texts.subject);
    let mut left = len.min(texts.longest);
    let mut room = left.min(MAX_STRING);
    out.push(room as u8);
    for mut piece in pieces.map(str::as_bytes) {
        while !piece.is_empty() && left > 0 {
            if room == 0 {
                room = left.min(MAX_STRING);
                out.push(room as u8);
            }
            let (now, later) = piece.split_at(room.min(piece.len()));
            out.extend_from_slice(now);
            room -= now.len();
            left -= now.len();
            piece = later;
        }
    }
}

/// Octets as strings of at most 255; at least one.
fn write_strings(out: &mut Vec<u8>, octets: &[u8]) {
    let (now, mut later) = octets.split_at(octets.len().min(MAX_STRING));
    out.push(now.len() as u8);
    out.extend_from_slice(now);
    while !later.is_empty() {
        let (now, rest) = later.split_at(later.len().min(MAX_STRING));
        out.push(now.len() as u8);
        out.extend_from_slice(now);
        later = rest;
    }
}

fn write_opt(out: &mut Vec<u8>, rcode: Rcode, opt: Opt<'_>, ede: Option<Ede>) {
    out.push(0);
    put16(out, qtype::OPT);
    put16(out, opt.size);
    out.push(rcode as u8 >> 4);
    out.push(0);
    put16(out, if opt.dnssec_ok { 0x8000 } else { 0 });
    let length_at = out.len();
    put16(out, 0);
    if let Some(ede) = ede {
        // The info code and no text (RFC 8914).
        write_option(out, option::EDE, &(ede as u16).to_be_bytes());
    }
    if let Some(cookie) = opt.cookie {
        write_option(out, option::COOKIE, &cookie);
    }
    if let Some(nsid) = opt.nsid {
        write_option(out, option::NSID, nsid);
    }
    if let Some(timeout) = opt.keepalive {
        write_option(out, option::KEEPALIVE, &timeout.to_be_bytes());
    }
    if opt.padding {
        pad(out);
    }
    let length = out.len() - length_at - 2;
    // A few short options, and padding up to 64 KiB at most.
    set16(out, length_at, u16::try_from(length).unwrap_or(u16::MAX));
}

/// Fills up the message with an option that says nothing (RFC 7830), as long as that is possible.
fn pad(out: &mut Vec<u8>) {
    let head = out.len() + 4;
    let len = head.next_multiple_of(PADDED);
    if len <= MOST_PADDED {
        put16(out, option::PADDING);
        put16(out, u16::try_from(len - head).unwrap_or(u16::MAX));
        out.resize(len, 0);
    }
}

fn write_option(out: &mut Vec<u8>, code: u16, data: &[u8]) {
    put16(out, code);
    // As above.
    put16(out, u16::try_from(data.len()).unwrap_or(u16::MAX));
    out.extend_from_slice(data);
}

fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Overwrites two octets already written.
fn set16(out: &mut [u8], at: usize, value: u16) {
    if let Some(place) = out.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}
