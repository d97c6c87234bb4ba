//! Wire: writes replies. Owners and names of the zone point into the question, whose octets are copied as they came,
//! so the case of the question is the case of the reply (RFC 4343, and resolvers that check it).

use crate::core::answer::{Answer, CLASS_IN, Ede, Rcode, Records, Soa, qtype};
use crate::core::name::{DomainName, QuestionName};
use crate::core::query::{Echo, HEADER, Head, option};
use crate::core::text::{LONGEST_ADDRESS, MAX_STRING, Template};
use crate::core::zone::{SOA_EXPIRE, SOA_REFRESH, SOA_RETRY, Zone};
use std::io::Write;
use std::net::IpAddr;

/// Largest reply over UDP, and the size told in OPT (DNS flag day 2020).
pub(super) const MAX_UDP: u16 = 1232;
/// Largest message on a connection.
pub(super) const MAX_TCP: usize = 65_535;

/// Replies that are padded have a multiple of this many octets (RFC 8467 section 4.1).
const PADDED: usize = 468;

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
pub(super) struct Opt {
    /// DO, copied from the query.
    pub(super) dnssec_ok: bool,
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

/// Writes a reply with its question. One above `limit` octets becomes TC=1 with nothing but question and OPT; says
/// if that happened.
pub(super) fn reply(
    out: &mut Vec<u8>,
    head: Head,
    echo: Echo<'_>,
    answer: &Answer<'_>,
    opt: Option<Opt>,
    limit: usize,
) -> bool {
    start(out, head, echo, answer, opt);
    let question_end = out.len();
    let answers = write_records(out, echo.name, answer);
    if let Some((soa, ttl)) = answer.authority {
        let zone_at = zone_offset(echo.name, soa.zone);
        record(out, zone_at, qtype::SOA, ttl, |out| write_soa(out, soa, zone_at));
    }
    write_opt(out, answer, opt);
    if out.len() <= limit {
        set16(out, 6, answers);
        set16(out, 8, answer.authority.is_some().into());
        return false;
    }
    out.truncate(question_end);
    set16(out, 2, out_flags(head, answer) | TC);
    write_opt(out, answer, opt);
    true
}

fn out_flags(head: Head, answer: &Answer<'_>) -> u16 {
    flags(head, answer.rcode) | if answer.authoritative { AA } else { 0 }
}

/// Header without answer and authority counts, and question.
fn start(out: &mut Vec<u8>, head: Head, echo: Echo<'_>, answer: &Answer<'_>, opt: Option<Opt>) {
    out.clear();
    for field in [head.id, out_flags(head, answer), 1, 0, 0, opt.is_some().into()] {
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
fn write_records(out: &mut Vec<u8>, name: QuestionName<'_>, answer: &Answer<'_>) -> u16 {
    let (owner, ttl) = (pointer(0), answer.ttl);
    let count = match answer.records {
        Records::None => 0,
        Records::A(codes) => {
            for code in codes {
                record(out, owner, qtype::A, ttl, |out| out.extend_from_slice(&code.octets()));
            }
            codes.len()
        }
        Records::Txt(texts, address) => {
            let mut spelled = Spelled::default();
            let address = spelled.of(address);
            for text in texts {
                record(out, owner, qtype::TXT, ttl, |out| write_text(out, text, address));
            }
            texts.len()
        }
        Records::Soa(soa) => {
            record(out, owner, qtype::SOA, ttl, |out| write_soa(out, soa, zone_offset(name, soa.zone)));
            1
        }
        Records::Ns(zone) => {
            let zone_at = zone_offset(name, zone);
            for ns in zone.ns() {
                record(out, owner, qtype::NS, ttl, |out| write_name(out, ns, zone, zone_at));
            }
            zone.ns().len()
        }
    };
    // More than fit a message never get out: the reply is cut then.
    u16::try_from(count).unwrap_or(u16::MAX)
}

fn record(out: &mut Vec<u8>, owner: u16, rtype: u16, ttl: u32, rdata: impl FnOnce(&mut Vec<u8>)) {
    put16(out, owner);
    put16(out, rtype);
    put16(out, CLASS_IN);
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
    for field in [soa.serial, SOA_REFRESH, SOA_RETRY, SOA_EXPIRE, zone.spec().negative_ttl] {
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
fn write_text(out: &mut Vec<u8>, text: &Template, address: &str) {
    let (mut left, pieces) = text.pieces(address);
    let mut room = left.min(MAX_STRING);
    out.push(room as u8);
    for mut piece in pieces.map(str::as_bytes) {
        while !piece.is_empty() {
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

/// Room to spell out an address without allocating.
struct Spelled {
    octets: [u8; LONGEST_ADDRESS],
    len: usize,
}

impl Default for Spelled {
    fn default() -> Self {
        Self { octets: [0; LONGEST_ADDRESS], len: 0 }
    }
}

impl Spelled {
    fn of(&mut self, address: IpAddr) -> &str {
        let mut rest = &mut self.octets[..];
        // No address is longer than the longest.
        let _ = write!(rest, "{address}");
        self.len = LONGEST_ADDRESS - rest.len();
        str::from_utf8(&self.octets[..self.len]).unwrap_or_default()
    }
}

fn write_opt(out: &mut Vec<u8>, answer: &Answer<'_>, opt: Option<Opt>) {
    let Some(opt) = opt else { return };
    let length_at = out.len() + 9;
    out.push(0);
    put16(out, qtype::OPT);
    put16(out, MAX_UDP);
    out.push(answer.rcode as u8 >> 4);
    out.push(0);
    put16(out, if opt.dnssec_ok { 0x8000 } else { 0 });
    match answer.ede {
        Some(ede) => write_ede(out, ede),
        None => put16(out, 0),
    }
    if opt.padding {
        pad(out, length_at);
    }
}

/// Fills up a message with option 12 (RFC 7830) in the OPT at its end, whose RDATA length is at `length_at`.
fn pad(out: &mut Vec<u8>, length_at: usize) {
    let len = out.len() + 4;
    let padded = len.next_multiple_of(PADDED);
    if padded > MAX_TCP {
        return;
    }
    put16(out, option::PADDING);
    put16(out, (padded - len) as u16);
    out.resize(padded, 0);
    set16(out, length_at, (padded - length_at - 2) as u16);
}

/// RDATA length and the one option: code 15, the info code, no text (RFC 8914).
fn write_ede(out: &mut Vec<u8>, ede: Ede) {
    for field in [6, 15, 2, ede as u16] {
        put16(out, field);
    }
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
