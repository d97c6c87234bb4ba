//! Workload: a list, what it says of any address, and the questions asked of it.

use crate::generator::Outcome;
use crate::{TEXT, ZONE};
use blackthorn::core::span::Span;
use blackthorn_testkit::oracle::Rule;
use blackthorn_testkit::prefixes::{clustered_hosts_v4, flatten_nested, scattered_v4};
use blackthorn_testkit::random::Random;
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::ops::Range;

/// Questions, asked one after another and then again from the first.
const QUESTIONS: usize = 1 << 18;
/// Every so many questions one is for the marker: at 50,000 a second, each hundredth of a second.
const MARKER_EVERY: usize = 512;
/// First octets that hold special-use space, which stays out of every list by default.
const SPECIAL: [u8; 9] = [0, 10, 100, 127, 169, 172, 192, 198, 203];

const HEADER: usize = 12;
const A: u16 = 1;
const TXT: u16 = 16;

/// What must be said of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// NOERROR and at least one record.
    Listed,
    /// NXDOMAIN and none.
    NotListed,
    /// One of the two: the marker.
    Either,
}

/// One list and its questions.
pub(crate) struct Workload {
    /// An address or prefix in each line; the marker is not among them.
    pub(crate) list: String,
    /// The address whose listing tells one state of the list from the other.
    pub(crate) marker: Ipv4Addr,
    octets: Vec<u8>,
    questions: Vec<(Range<usize>, Expected)>,
}

impl Workload {
    /// A list of `count` lines, three of four from clusters of hosts and the others hosts and networks all over the
    /// space, and questions in random order: 88 % for A of any address, 10 % for A and 2 % for TXT of a listed one.
    pub(crate) fn new(count: usize) -> Self {
        let hosts = clustered_hosts_v4(1, count * 5 / 4).into_iter().filter(is_public).take(count * 3 / 4);
        let mut rules: Vec<Rule<u32>> = hosts.collect();
        let rest = count - rules.len();
        rules.extend(scattered_v4(2, count).into_iter().filter(is_public).take(rest));
        let mut list = String::new();
        for rule in &rules {
            let span = Span { first: rule.first, last: rule.last };
            let address = Ipv4Addr::from(span.first);
            // Writing to a string does not fail.
            let _ = match span.prefix_len() {
                Some(32) | None => writeln!(list, "{address}"),
                Some(len) => writeln!(list, "{address}/{len}"),
            };
        }
        let runs = flatten_nested(rules);
        let listed = |address: u32| {
            let run = runs.partition_point(|run| run.last < address);
            runs.get(run).is_some_and(|run| run.first <= address)
        };

        let mut random = Random::new(3);
        let marker = loop {
            let address = public(&mut random);
            if !listed(address) {
                break address;
            }
        };
        let (mut octets, mut questions) = (Vec::new(), Vec::with_capacity(QUESTIONS));
        for number in 0..QUESTIONS {
            let (address, rtype) = match random.below(100) {
                _ if number % MARKER_EVERY == 0 => (marker, A),
                0..88 => (public(&mut random), A),
                kind => {
                    let run = &runs[random.below(runs.len() as u64) as usize];
                    let address = run.first + random.below(u64::from(run.last - run.first) + 1) as u32;
                    (address, if kind < 98 { A } else { TXT })
                }
            };
            let expected = match address {
                _ if address == marker => Expected::Either,
                _ if listed(address) => Expected::Listed,
                _ => Expected::NotListed,
            };
            let start = octets.len();
            write_question(&mut octets, address.into(), rtype);
            questions.push((start..octets.len(), expected));
        }
        Self { list, marker: marker.into(), octets, questions }
    }

    /// How many questions there are.
    pub(crate) fn len(&self) -> usize {
        self.questions.len()
    }

    /// The octets of a question, with id 0, and what must be said.
    pub(crate) fn question(&self, number: usize) -> (&[u8], Expected) {
        let (range, expected) = &self.questions[number % self.questions.len()];
        (&self.octets[range.clone()], *expected)
    }

    /// Notes in `outcome` what a reply to a question says.
    pub(crate) fn judge(&self, number: usize, reply: &[u8], outcome: &mut Outcome) {
        let (question, expected) = self.question(number);
        let listed = match reply.get(..HEADER) {
            Some(header)
                if header[2] & 0x80 != 0
                    && reply.get(HEADER..question.len()) == Some(&question[HEADER..]) =>
            {
                match (header[3] & 0xf, u16::from_be_bytes([header[6], header[7]])) {
                    (0, 1..) => Some(true),
                    (3, 0) => Some(false),
                    _ => None,
                }
            }
            _ => None,
        };
        let right = match (expected, listed) {
            (Expected::Either, Some(listed)) => {
                outcome.marker = Some(listed);
                true
            }
            (Expected::Listed, Some(listed)) => listed,
            (Expected::NotListed, Some(listed)) => !listed,
            (_, None) => false,
        };
        if !right {
            outcome
                .wrong
                .get_or_insert_with(|| format!("{expected:?}, asked {question:02x?}, got {reply:02x?}"));
        }
    }

    /// The list for a plain feed; `marked`: with the marker.
    pub(crate) fn plain(&self, marked: bool) -> String {
        let marker = if marked { format!("{}\n", self.marker) } else { String::new() };
        marker + &self.list
    }

    /// The same for rbldnsd: the records and times of our zone before it.
    pub(crate) fn dataset(&self, marked: bool) -> String {
        let soa = format!(
            "$SOA 300 {ZONE} hostmaster.{ZONE} 1 3600 600 604800 300\n$NS 3600 ns1.{ZONE}\n$TTL 600\n"
        );
        format!("{soa}:127.0.0.2:{TEXT}\n{}", self.plain(marked))
    }
}

fn is_public(rule: &Rule<u32>) -> bool {
    let [first, ..] = rule.first.to_be_bytes();
    first < 224 && !SPECIAL.contains(&first)
}

/// An address outside of special-use space.
fn public(random: &mut Random) -> u32 {
    loop {
        let address = random.word();
        if is_public(&Rule { first: address, last: address, value: 0 }) {
            return address;
        }
    }
}

/// As mail servers ask: RD, no OPT.
fn write_question(out: &mut Vec<u8>, address: Ipv4Addr, rtype: u16) {
    out.extend_from_slice(&[0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let [a, b, c, d] = address.octets();
    for label in format!("{d}.{c}.{b}.{a}.{ZONE}").split('.') {
        // Labels of this zone and of octets are short.
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&rtype.to_be_bytes());
    out.extend_from_slice(&1u16.to_be_bytes());
}
