//! Query: a message read in place, up to what a reply has to know of it.
//!
//! Total: any octets give a query or a fault, in time bounded by their number, whatever the counts in the header claim.
//! Nothing is copied, and no name but that of the question is followed.
//!
//! Order of the checks: length, QR, opcode, number of questions, question, then the records behind it.

use super::answer::{Question, Transport, qtype};
use super::name::{MAX_LABEL, MAX_NAME, QuestionName};

/// Octets of a header.
pub const HEADER: usize = 12;
/// Type and class behind the name of a question.
const QUESTION_TAIL: usize = 4;
/// Type, class, TTL and length of RDATA behind the owner of a record.
const RECORD_TAIL: usize = 10;

/// Options of OPT that a reply may have to answer.
pub mod option {
    /// Name server identifier (RFC 5001).
    pub const NSID: u16 = 3;
    /// DNS cookie (RFC 7873).
    pub const COOKIE: u16 = 10;
    /// Idle time of a TCP connection (RFC 7828).
    pub const KEEPALIVE: u16 = 11;
    /// Octets that say nothing (RFC 7830).
    pub const PADDING: u16 = 12;
    /// Extended error (RFC 8914).
    pub const EDE: u16 = 15;
    /// For local use (RFC 6891 section 9): by this the server knows questions of its own.
    pub const PASS: u16 = 65_001;
}

/// Header fields of a query that the reply repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Identifier.
    pub id: u16,
    /// 0 to 15, in place (bits 14 to 11 of the flags).
    pub opcode_bits: u16,
    /// RD.
    pub recursion_desired: bool,
}

/// The question as it came, for a reply to repeat.
#[derive(Clone, Copy, Debug)]
pub struct Echo<'p> {
    /// The name in it.
    pub name: QuestionName<'p>,
    /// Name, type and class.
    pub octets: &'p [u8],
}

/// What the OPT record of a query says (RFC 6891 section 6.1). Options we have no answer to are not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns<'p> {
    /// Largest datagram the client takes, as sent.
    pub size: u16,
    /// Version; only 0 is known.
    pub version: u8,
    /// DO.
    pub dnssec_ok: bool,
    /// Data of the first COOKIE option, of any length; further ones do not count (RFC 7873 section 5.2).
    pub cookie: Option<&'p [u8]>,
    /// Is the identifier of this server wanted? What a query says in the option means nothing (RFC 5001 section 2.1).
    pub nsid: bool,
    /// Does the client understand how long it may keep the connection? Means nothing over UDP (RFC 7828 section 3.2.1).
    pub keepalive: bool,
    /// Is a reply of a length that tells nothing wanted? Ignored where all is open to see (RFC 8467 section 4).
    pub padding: bool,
    /// Data of an option for local use, by which we know ourselves.
    pub pass: Option<&'p [u8]>,
}

/// A query of opcode QUERY with exactly one question (RFC 9619).
#[derive(Clone, Copy, Debug)]
pub struct Query<'p> {
    /// What the reply repeats of the header.
    pub head: Head,
    /// Its question.
    pub question: Question<'p>,
    /// The same as it came.
    pub echo: Echo<'p>,
    /// Its OPT record.
    pub edns: Option<Edns<'p>>,
    /// Is there a TSIG record? We share a key with nobody.
    pub signed: bool,
}

/// What is not a query.
#[derive(Clone, Copy, Debug)]
pub enum Fault<'p> {
    /// Too short for a header, or a reply: two servers must never talk to each other.
    Unanswerable,
    /// An opcode other than QUERY; the rest of the message means nothing to us.
    Opcode(Head),
    /// No question, several, or one that cannot be repeated.
    Question(Head),
    /// No question, but a cookie: the client only wants one of ours (RFC 7873 section 5.4).
    CookieOnly {
        /// What the reply repeats of the header.
        head: Head,
        /// OPT with the cookie.
        edns: Edns<'p>,
    },
    /// The question is whole, what follows it is not.
    Records {
        /// What the reply repeats of the header.
        head: Head,
        /// The question.
        echo: Echo<'p>,
        /// OPT, if a good one came before the fault.
        edns: Option<Edns<'p>>,
    },
}

impl<'p> Query<'p> {
    /// Reads a message. Records behind the question are skipped, other than OPT and TSIG; so is what follows them.
    ///
    /// # Errors
    /// What it is instead of a query.
    #[expect(clippy::result_large_err, reason = "as large as the query itself, and neither goes far")]
    pub fn read(message: &'p [u8], transport: Transport) -> Result<Self, Fault<'p>> {
        let Some((header, body)) = message.split_first_chunk::<HEADER>() else {
            return Err(Fault::Unanswerable);
        };
        let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let [id, flags, questions, answers, authorities, additional] = [0, 2, 4, 6, 8, 10].map(field);
        if flags & 0x8000 != 0 {
            return Err(Fault::Unanswerable);
        }
        let opcode_bits = flags & 0x7800;
        let recursion_desired = flags & 0x0100 != 0;
        let head = Head { id, opcode_bits, recursion_desired };
        if opcode_bits != 0 {
            return Err(Fault::Opcode(head));
        }
        if questions == 0
            && let Some(edns) = cookie_without_question(body, [answers, authorities, additional])
        {
            return Err(Fault::CookieOnly { head, edns });
        }
        let question = if questions == 1 { read_question(body, transport) } else { None };
        let (question, echo) = question.ok_or(Fault::Question(head))?;
        let mut records = Records { rest: &body[echo.octets.len()..], edns: None, signed: false };
        let read = records.read_others(answers).and_then(|()| records.read_others(authorities));
        if read.and_then(|()| records.read_additional(additional)).is_none() {
            return Err(Fault::Records { head, echo, edns: records.edns });
        }
        Ok(Self { head, question, echo, edns: records.edns, signed: records.signed })
    }
}

/// OPT of a message without question, if it is whole and holds a cookie.
fn cookie_without_question(body: &[u8], [answers, authorities, additional]: [u16; 3]) -> Option<Edns<'_>> {
    let mut records = Records { rest: body, edns: None, signed: false };
    records.read_others(answers)?;
    records.read_others(authorities)?;
    records.read_additional(additional)?;
    records.edns.filter(|edns| edns.cookie.is_some() && edns.version == 0)
}

/// Seconds for which a reply may be kept: the smallest TTL of its answers or, without any, of its authorities (RFC 8484
/// section 5.1); `None` without either, or if they cannot be read.
pub fn lifetime(reply: &[u8]) -> Option<u32> {
    let (header, body) = reply.split_first_chunk::<HEADER>()?;
    let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let [questions, answers, authorities] = [4, 6, 8].map(field);
    let mut rest = body;
    for _ in 0..questions {
        rest = rest.get(owner_len(rest)? + QUESTION_TAIL..)?;
    }
    let mut records = Records { rest, edns: None, signed: false };
    let count = if answers > 0 { answers } else { authorities };
    let mut least = None;
    for _ in 0..count {
        let ttl = u32::from_be_bytes(records.next()?.ttl);
        least = Some(least.map_or(ttl, |least: u32| least.min(ttl)));
    }
    least
}

fn read_question(body: &[u8], transport: Transport) -> Option<(Question<'_>, Echo<'_>)> {
    let name = QuestionName::read(body)?;
    let octets = body.get(..name.wire().len() + QUESTION_TAIL)?;
    let &[type_high, type_low, class_high, class_low] = octets.last_chunk()?;
    let qtype = u16::from_be_bytes([type_high, type_low]);
    let class = u16::from_be_bytes([class_high, class_low]);
    Some((Question { name, qtype, class, transport }, Echo { name, octets }))
}

/// The records behind a question.
struct Records<'p> {
    rest: &'p [u8],
    edns: Option<Edns<'p>>,
    signed: bool,
}

/// One record.
struct Record<'p> {
    at_root: bool,
    rtype: u16,
    class: u16,
    ttl: [u8; 4],
    data: &'p [u8],
}

impl<'p> Records<'p> {
    /// Skips the answers or authorities of a query, where OPT has no place.
    fn read_others(&mut self, count: u16) -> Option<()> {
        for _ in 0..count {
            let record = self.next()?;
            (record.rtype != qtype::OPT).then_some(())?;
        }
        Some(())
    }

    /// Skips the additional records, but for OPT, of which there is at most one, and TSIG.
    fn read_additional(&mut self, count: u16) -> Option<()> {
        for _ in 0..count {
            let record = self.next()?;
            match record.rtype {
                qtype::OPT if self.edns.is_none() => self.edns = Some(record.edns()?),
                qtype::OPT => return None,
                qtype::TSIG => self.signed = true,
                _ => {}
            }
        }
        Some(())
    }

    fn next(&mut self) -> Option<Record<'p>> {
        let owner = owner_len(self.rest)?;
        let (owner, rest) = self.rest.split_at_checked(owner)?;
        let (tail, rest) = rest.split_first_chunk::<RECORD_TAIL>()?;
        let &[type_high, type_low, class_high, class_low, t0, t1, t2, t3, len_high, len_low] = tail;
        let (data, rest) = rest.split_at_checked(u16::from_be_bytes([len_high, len_low]).into())?;
        self.rest = rest;
        Some(Record {
            at_root: owner == [0],
            rtype: u16::from_be_bytes([type_high, type_low]),
            class: u16::from_be_bytes([class_high, class_low]),
            ttl: [t0, t1, t2, t3],
            data,
        })
    }
}

impl<'p> Record<'p> {
    /// What the record says as OPT; `None` if its owner is not the root or an option runs out of it.
    fn edns(&self) -> Option<Edns<'p>> {
        let [_, version, flags, _] = self.ttl;
        let dnssec_ok = flags & 0x80 != 0;
        let size = self.class;
        let mut edns = Edns {
            size,
            version,
            dnssec_ok,
            cookie: None,
            nsid: false,
            keepalive: false,
            padding: false,
            pass: None,
        };
        let mut options = self.data;
        while !options.is_empty() {
            let (&[code_high, code_low, len_high, len_low], rest) = options.split_first_chunk()?;
            let (data, rest) = rest.split_at_checked(u16::from_be_bytes([len_high, len_low]).into())?;
            match u16::from_be_bytes([code_high, code_low]) {
                option::COOKIE => edns.cookie = edns.cookie.or(Some(data)),
                option::NSID => edns.nsid = true,
                option::KEEPALIVE => edns.keepalive = true,
                option::PADDING => edns.padding = true,
                option::PASS => edns.pass = Some(data),
                _ => {}
            }
            options = rest;
        }
        self.at_root.then_some(edns)
    }
}

/// Octets of the owner name at the front: labels up to the root, or up to a pointer, which is not followed.
fn owner_len(octets: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let len = usize::from(*octets.get(at)?);
        match len {
            0 => return Some(at + 1),
            0xc0.. => return Some(at + 2),
            _ if len > MAX_LABEL || at + 1 + len >= MAX_NAME => return None,
            _ => at += 1 + len,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUESTION: &[u8] = b"\x02bl\x07example\0\0\x01\0\x01";
    const OPT: &[u8] = b"\0\0\x29\x04\xd0\0\0\x80\0\0\0";
    const A: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x7f\0\0\x02";

    /// A message with these counts behind the number of questions.
    fn message(counts: [u8; 3], rest: &[&[u8]]) -> Vec<u8> {
        let [an, ns, ar] = counts;
        [&[0x12, 0x34, 1, 0, 0, 1, 0, an, 0, ns, 0, ar], rest.concat().as_slice()].concat()
    }

    #[expect(clippy::result_large_err, reason = "as large as the query itself")]
    fn read(message: &[u8]) -> Result<Query<'_>, Fault<'_>> {
        Query::read(message, Transport::Udp)
    }

    #[test]
    fn a_query_is_read_whatever_harmless_records_it_has() {
        let long = [&[63; 64][..], &[63; 64], &[63; 64], &[60; 61], b"\0\0\x10\0\x01\0\0\0\0\0\0"].concat();
        let plain = Edns {
            size: 1232,
            version: 0,
            dnssec_ok: true,
            cookie: None,
            nsid: false,
            keepalive: false,
            padding: false,
            pass: None,
        };
        let edns = Some(plain);
        for (counts, rest, expected) in [
            ([0, 0, 0], &[QUESTION][..], None),
            ([0, 0, 0], &[QUESTION, b"what follows"], None),
            ([0, 0, 1], &[QUESTION, OPT], edns),
            ([1, 1, 3], &[QUESTION, A, A, A, OPT, A], edns),
            ([0, 0, 2], &[QUESTION, &long, OPT], edns),
            ([0, 0, 1], &[QUESTION, b"\0\0\x29\x10\0\0\x07\0\0\0\x05\xab\xcd\0\x01\0"], {
                Some(Edns { size: 4096, version: 7, dnssec_ok: false, ..plain })
            }),
        ] {
            let message = message(counts, rest);
            let query = read(&message).unwrap();
            assert_eq!((query.edns, query.signed), (expected, false), "{message:02x?}");
            assert_eq!(query.head, Head { id: 0x1234, opcode_bits: 0, recursion_desired: true });
            assert_eq!((query.question.qtype, query.question.class), (1, 1));
            assert_eq!(query.echo.octets, QUESTION);
        }
    }

    /// OPT with these options.
    fn opt(options: &[u8]) -> Vec<u8> {
        [&OPT[..9], &(options.len() as u16).to_be_bytes(), options].concat()
    }

    #[test]
    fn options_with_an_answer_are_noticed_and_the_first_cookie_counts() {
        let full = [b"\0\x0a\0\x28", [7; 40].as_slice()].concat();
        for (options, cookie, nsid, keepalive) in [
            (&b""[..], None, false, false),
            (b"\0\x03\0\0", None, true, false),
            (b"\0\x03\0\x03abc", None, true, false),
            (b"\0\x0b\0\0", None, false, true),
            (b"\0\x0b\0\x02\0\x64", None, false, true),
            (b"\0\x0a\0\x0812345678", Some(&b"12345678"[..]), false, false),
            (b"\0\x0a\0\0", Some(b""), false, false),
            (b"\0\x0a\0\0\0\x0a\0\x0812345678", Some(b""), false, false),
            (b"\0\x0a\0\x01a\0\x0b\0\0\0\x0a\0\x01b\0\x03\0\0", Some(b"a"), true, true),
            (&full, Some(&[7; 40]), false, false),
            // Client subnet, padding, and codes that differ in the high octet only.
            (b"\0\x08\0\x04\0\x01\0\0\0\x0c\0\x02\0\0", None, false, false),
            (b"\x01\x03\0\0\x01\x0a\0\0\x01\x0b\0\0", None, false, false),
            // An option inside the data of another is none.
            (b"\0\x0c\0\x04\0\x03\0\0", None, false, false),
        ] {
            let message = message([0, 0, 1], &[QUESTION, &opt(options)]);
            let edns = read(&message).unwrap().edns.unwrap();
            let seen = (edns.cookie, edns.nsid, edns.keepalive);
            assert_eq!(seen, (cookie, nsid, keepalive), "{options:02x?}");
        }
    }

    #[test]
    fn options_of_an_opt_before_a_fault_are_kept() {
        let message = message([0, 0, 2], &[QUESTION, &opt(b"\0\x0a\0\x0812345678\0\x03\0\0"), b"\x01x"]);
        let Err(Fault::Records { edns: Some(edns), .. }) = read(&message) else {
            panic!("{message:02x?}");
        };
        assert_eq!((edns.cookie, edns.nsid), (Some(&b"12345678"[..]), true));
    }

    #[test]
    fn a_cookie_that_runs_out_of_its_record_is_a_fault() {
        let whole = opt(b"\0\x0a\0\x0812345678");
        for missing in 1..12u8 {
            let mut short = whole[..whole.len() - usize::from(missing)].to_vec();
            short[10] -= missing;
            let message = message([0, 0, 1], &[QUESTION, &short]);
            assert!(matches!(read(&message), Err(Fault::Records { edns: None, .. })), "{missing} missing");
        }
    }

    #[test]
    fn padding_is_noticed_whatever_it_is_made_of() {
        for (options, padding) in [
            (&b"\0\x0c\0\0"[..], true),
            (b"\0\x0c\0\x05\0\0\0\0\0", true),
            (b"\0\x03\0\0\0\x0c\0\x02\xff\xff", true),
            (b"\0\x03\0\x04\0\x0c\0\0", false),
            (b"", false),
        ] {
            let message = message([0, 0, 1], &[QUESTION, &opt(options)]);
            assert_eq!(read(&message).unwrap().edns.unwrap().padding, padding, "{options:02x?}");
        }
    }

    #[test]
    fn a_reply_is_kept_as_long_as_its_shortest_record() {
        let a = |ttl: u8| [&A[..9], &[ttl], &A[10..]].concat();
        for (counts, rest, expected) in [
            ([2, 1, 1], &[QUESTION, &a(9), &a(7), &a(5), OPT][..], Some(7)),
            ([0, 1, 1], &[QUESTION, &a(5), OPT], Some(5)),
            ([0, 0, 1], &[QUESTION, OPT], None),
            ([0, 0, 0], &[QUESTION], None),
            ([2, 0, 0], &[QUESTION, &a(9), &a(7)[..15]], None),
            ([1, 0, 0], &[&QUESTION[..14]], None),
        ] {
            assert_eq!(lifetime(&message(counts, rest)), expected, "{rest:02x?}");
        }
        assert_eq!(lifetime(b"\0\0"), None);
    }

    proptest! {
        #[test]
        fn any_octets_have_a_lifetime_or_none(
            noise in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..6),
            cut in 0usize..60,
            ttls: [u8; 2],
        ) {
            let a = |ttl: u8| [&A[..9], &[ttl], &A[10..]].concat();
            let mut reply = message([2, 0, 0], &[QUESTION, &a(ttls[0]), &a(ttls[1])]);
            if noise.is_empty() && cut == 0 {
                prop_assert_eq!(lifetime(&reply), Some(ttls[0].min(ttls[1]).into()));
            }
            let len = reply.len();
            for (at, octet) in noise {
                reply[at % len] = octet;
            }
            reply.truncate(len - cut.min(len));
            let _ = lifetime(&reply);
        }
    }

    #[test]
    fn tsig_is_noticed() {
        let tsig = b"\x03key\0\0\xfa\0\xff\0\0\0\0\0\x02ab";
        assert!(read(&message([0, 0, 2], &[QUESTION, OPT, tsig])).unwrap().signed);
    }

    #[test]
    fn broken_records_leave_the_question_and_a_good_opt() {
        let good = Some(1232);
        for (counts, rest, size) in [
            ([1, 0, 0], &[QUESTION][..], None),
            ([0, 1, 0], &[QUESTION, &A[..15]], None),
            ([0, 0, 2], &[QUESTION, OPT], good),
            ([0, 0, 2], &[QUESTION, OPT, OPT], good),
            ([1, 0, 0], &[QUESTION, OPT], None),
            ([0, 1, 0], &[QUESTION, OPT], None),
            ([0, 0, 1], &[QUESTION, b"\x01x", OPT], None),
            ([0, 0, 1], &[QUESTION, b"\xc0\x0c", &OPT[1..]], None),
            ([0, 0, 1], &[QUESTION, &OPT[..10]], None),
            ([0, 0, 1], &[QUESTION, &OPT[..9], b"\0\x05ab"], None),
            ([0, 0, 1], &[QUESTION, &OPT[..9], b"\0\x03\0\x0a\0"], None),
            ([0, 0, 1], &[QUESTION, &OPT[..9], b"\0\x05\0\x0a\0\x02x"], None),
            ([0, 0, 1], &[QUESTION, b"\x40x", &OPT[1..]], None),
            ([0, 0, 1], &[QUESTION, b"\x80x", &OPT[1..]], None),
            ([0, 0, 1], &[QUESTION, &[63; 256], A], None),
        ] {
            let message = message(counts, rest);
            match read(&message) {
                Err(Fault::Records { head, echo, edns }) => {
                    assert_eq!((head.id, echo.octets), (0x1234, QUESTION));
                    assert_eq!(edns.map(|edns| edns.size), size, "{message:02x?}");
                }
                other => panic!("{message:02x?}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_cannot_be_repeated_is_told_apart() {
        let good = message([0, 0, 0], &[QUESTION]);
        for len in 0..good.len() {
            let fault = read(&good[..len]).unwrap_err();
            assert!(if len < HEADER {
                matches!(fault, Fault::Unanswerable)
            } else {
                matches!(fault, Fault::Question(_))
            });
        }
        let with = |at: usize, octet: u8| {
            let mut message = good.clone();
            message[at] = octet;
            message
        };
        assert!(matches!(read(&with(2, 0x80)), Err(Fault::Unanswerable)));
        assert!(matches!(read(&with(2, 0x29)), Err(Fault::Opcode(Head { opcode_bits: 0x2800, .. }))));
        for message in [with(5, 0), with(5, 2), with(4, 1), with(12, 0x40), with(12, 0xc0), with(15, 64)] {
            assert!(matches!(read(&message), Err(Fault::Question(_))), "{message:02x?}");
        }
    }
}
