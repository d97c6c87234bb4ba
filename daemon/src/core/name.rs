//! Names: the name of a question read in place, and what it asks of a zone.
//!
//! Everything here works on wire labels (length octet, then up to 63 octets of any value), never on dotted text, so
//! that a label holding a dot or a zero octet is just a label that is no number.

use super::network::fold;
use super::span::{Bits, Span};
use std::net::{IpAddr, Ipv6Addr};
use thiserror::Error;

/// Longest name in wire form, the root included (RFC 1035 section 3.1).
pub const MAX_NAME: usize = 255;
/// Longest label (RFC 1035 section 3.1).
pub const MAX_LABEL: usize = 63;
/// Labels whose place is remembered: those of an IPv6 address and its zone, and as many as make a name one cache line.
const REMEMBERED: usize = 47;

/// Why a configured text is not a domain name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing there, two dots in a row, or a dot at an end.
    #[error("`{0}` has an empty label; write the name as in `bl.example`, without a final dot")]
    EmptyLabel(String),
    /// Label, given here, over 63 octets.
    #[error("label `{0}` is longer than 63 octets")]
    LabelTooLong(String),
    /// Over the limit, in wire octets.
    #[error("`{name}` takes {len} octets as a name, at most {max} are possible here")]
    TooLong {
        /// The name.
        name: String,
        /// Its length in wire form.
        len: usize,
        /// What would fit.
        max: usize,
    },
    /// A character outside of letters, digits, `-` and `_`.
    #[error(
        "`{0}` holds `{1}`; a name is made of letters, digits, `-`, `_` and dots (write xn-- names as such)"
    )]
    Character(String, char),
}

/// A configured domain name in wire form: lower case, root at the end, at most [`MAX_NAME`] octets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DomainName {
    wire: Box<[u8]>,
    labels: usize,
}

impl DomainName {
    /// Reads `bl.example`; upper case is folded.
    ///
    /// # Errors
    /// Says which label is at fault; a name has at least one label and no final dot.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        let mut labels = 0;
        for label in text.split('.') {
            if label.is_empty() {
                return Err(NameError::EmptyLabel(text.into()));
            }
            let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if let Some(c) = label.chars().find(|&c| !legal(c)) {
                return Err(NameError::Character(text.into(), c));
            }
            let len = u8::try_from(label.len()).ok().filter(|&len| usize::from(len) <= MAX_LABEL);
            wire.push(len.ok_or_else(|| NameError::LabelTooLong(label.into()))?);
            wire.extend(label.bytes().map(|b| b.to_ascii_lowercase()));
            labels += 1;
        }
        wire.push(0);
        let name = Self { wire: wire.into(), labels };
        name.fits(MAX_NAME, text)?;
        Ok(name)
    }

    /// Checks the wire length against `max`; `text` is the name for the error.
    pub(super) fn fits(&self, max: usize, text: &str) -> Result<(), NameError> {
        let len = self.wire.len();
        if len <= max { Ok(()) } else { Err(NameError::TooLong { name: text.into(), len, max }) }
    }

    /// The name as it stands in a message, root included.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// Number of labels, the root not counted.
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// The labels in front of `ancestor` in wire form, empty if the two are equal; `None` if it is no ancestor.
    pub fn below(&self, ancestor: &Self) -> Option<&[u8]> {
        let front = self.wire.strip_suffix(&*ancestor.wire)?;
        is_whole_labels(front).then_some(front)
    }
}

/// Do the octets end where a label ends? A suffix that matches octet for octet may still start inside a label.
fn is_whole_labels(mut octets: &[u8]) -> bool {
    while let Some((&len, rest)) = octets.split_first() {
        match rest.get(usize::from(len)..) {
            Some(next) => octets = next,
            None => return false,
        }
    }
    true
}

/// Name of a question, borrowed from the packet: labels found, case kept, nothing copied.
#[derive(Clone, Copy, Debug)]
pub struct QuestionName<'p> {
    /// From the first length octet to the root, both included.
    wire: &'p [u8],
    /// Offset of each label's length octet in `wire`, of the first ones.
    starts: [u8; REMEMBERED],
    /// At most 127, in a name of [`MAX_NAME`] octets.
    count: u8,
}

impl<'p> QuestionName<'p> {
    /// Reads the name at the front of `octets`; what follows it is left alone.
    ///
    /// `None` if it is cut off, longer than 255 octets or holds anything but plain labels. A compression pointer is
    /// none of those: the first name of a message has nothing to point to.
    pub fn read(octets: &'p [u8]) -> Option<Self> {
        let mut starts = [0; REMEMBERED];
        let mut count = 0u8;
        let mut at = 0;
        loop {
            let len = usize::from(*octets.get(at)?);
            if len > MAX_LABEL || at + 1 + len > MAX_NAME {
                return None;
            }
            if len == 0 {
                return Some(Self { wire: octets.get(..=at)?, starts, count });
            }
            if let Some(start) = starts.get_mut(usize::from(count)) {
                *start = u8::try_from(at).ok()?;
            }
            // A name of 255 octets has room for 127 labels and the root.
            count += 1;
            at += 1 + len;
        }
    }

    /// The name as it stands in the packet, root included.
    pub fn wire(&self) -> &'p [u8] {
        self.wire
    }

    /// Number of labels, the root not counted.
    pub fn labels(&self) -> usize {
        self.count.into()
    }

    /// Number of labels in front of `zone`, 0 for the zone itself; `None` if the name is not in the zone. ASCII case
    /// does not count (RFC 4343).
    pub fn depth_below(&self, zone: &DomainName) -> Option<usize> {
        let depth = self.labels().checked_sub(zone.labels)?;
        // Length octets are below the letters, so folding case over the whole run compares them exactly.
        self.wire.get(self.start(depth)..)?.eq_ignore_ascii_case(&zone.wire).then_some(depth)
    }

    /// Is the name a proper ancestor of `name`?
    pub fn is_above(&self, name: &DomainName) -> bool {
        let Some(at) = name.wire.len().checked_sub(self.wire.len()) else { return false };
        let (front, tail) = name.wire.split_at(at);
        !front.is_empty() && tail.eq_ignore_ascii_case(self.wire) && is_whole_labels(front)
    }

    /// Label `index`, the deepest being 0; empty (which no label is) from the root on.
    pub fn label(&self, index: usize) -> &'p [u8] {
        let rest = self.wire.get(self.start(index)..).unwrap_or_default();
        rest.split_first().and_then(|(&len, rest)| rest.get(..len.into())).unwrap_or_default()
    }

    /// Offset in the name of label `index`; that of the root when `index` is the number of labels.
    #[inline]
    pub fn start(&self, index: usize) -> usize {
        if index >= self.labels() {
            return self.wire.len() - 1;
        }
        if let Some(&start) = self.starts.get(index) {
            return start.into();
        }
        // Few names have so many labels, and no label of theirs is asked for often.
        let mut at = usize::from(self.starts[REMEMBERED - 1]);
        for _ in REMEMBERED - 1..index {
            at += 1 + self.wire.get(at).copied().map_or(0, usize::from);
        }
        at
    }
}

/// What the labels in front of a zone ask for (RFC 5782 sections 2.1 and 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The zone itself.
    Apex,
    /// A whole address: 4 octets or 32 nibbles. Mapped IPv6 is folded to IPv4.
    Address {
        /// The address.
        address: IpAddr,
        /// `4.3.2.1` is 1.2.3.4 and also the name above all of 1234::/16; this is the second reading.
        above: Option<Span<u128>>,
    },
    /// The front part of addresses: 1 to 3 octets, 1 to 31 nibbles. Short runs of single digits are both.
    Partial {
        /// IPv4 addresses below this name.
        v4: Option<Span<u32>>,
        /// IPv6 addresses below this name; IPv4 lives in `::ffff:0:0/96` of it.
        v6: Option<Span<u128>>,
    },
    /// Nothing a DNSBL of addresses could know.
    NotAnAddress,
}

impl Asked {
    /// Reads the first `count` labels of a name, those in front of the zone.
    pub fn read(name: &QuestionName<'_>, count: usize) -> Self {
        if count == 0 {
            return Self::Apex;
        }
        let (v4, v6) = (octets(name, count), nibbles(name, count));
        match (v4, v6) {
            (None, None) => Self::NotAnAddress,
            (Some(v4), _) if count == 4 => Self::Address { address: v4.first.to_ip(), above: v6 },
            (_, Some(v6)) if count == 32 => {
                Self::Address { address: fold(Ipv6Addr::from(v6.first).into()), above: None }
            }
            _ => Self::Partial { v4, v6 },
        }
    }
}

/// The addresses whose highest octets the first `count` labels are; `None` unless they are 1 to 4 octets.
fn octets(name: &QuestionName<'_>, count: usize) -> Option<Span<u32>> {
    let len = u8::try_from(count).ok().filter(|&n| n <= 4)? * 8;
    // The deepest label is the lowest octet: the highest one ends up on top, the others below it.
    let high = (0..count).rev().try_fold(0, |high: u32, i| Some(high << 8 | octet(name.label(i))?))?;
    Some(Span::prefix(high << (32 - len), len))
}

/// The addresses whose highest nibbles the first `count` labels are; `None` unless they are 1 to 32 nibbles.
fn nibbles(name: &QuestionName<'_>, count: usize) -> Option<Span<u128>> {
    let len = u8::try_from(count).ok().filter(|&n| n <= 32)? * 4;
    let high = (0..count).rev().try_fold(0, |high: u128, i| Some(high << 4 | nibble(name.label(i))?))?;
    Some(Span::prefix(high << (128 - len), len))
}

/// One hex digit of either case.
fn nibble(label: &[u8]) -> Option<u128> {
    let &[digit] = label else { return None };
    char::from(digit).to_digit(16).map(u128::from)
}

/// 0 to 255 in decimal without leading zeros; `09` is not how anyone writes an octet.
fn octet(label: &[u8]) -> Option<u32> {
    let digit = |b: u8| Some(u32::from(b.wrapping_sub(b'0'))).filter(|digit| *digit < 10);
    let value = match *label {
        [one] => digit(one)?,
        [ten @ b'1'..=b'9', one] => digit(ten)? * 10 + digit(one)?,
        [hundred @ b'1'..=b'9', ten, one] => digit(hundred)? * 100 + digit(ten)? * 10 + digit(one)?,
        _ => return None,
    };
    (value <= 255).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn asked(labels: &str) -> Asked {
        asked_labels(&labels.split('.').map(str::as_bytes).collect::<Vec<_>>())
    }

    fn asked_labels(labels: &[&[u8]]) -> Asked {
        let front: Vec<u8> =
            labels.iter().flat_map(|label| [&[label.len() as u8], *label].concat()).collect();
        let wire = [&front[..], b"\x02bl\x00"].concat();
        Asked::read(&QuestionName::read(&wire).unwrap(), labels.len())
    }

    fn v4(text: &str) -> Asked {
        Asked::Address { address: text.parse().unwrap(), above: None }
    }

    #[test]
    fn four_octets_are_an_address() {
        assert_eq!(asked("2.0.0.127"), v4("127.0.0.2"));
        assert_eq!(asked("255.255.255.255"), v4("255.255.255.255"));
    }

    #[test]
    fn octets_are_strict() {
        for name in ["09.2.0.192", "007.2.0.192", "00.2.0.192", "256.2.0.192", "+1.2.0.192", "1000.2.0.192"] {
            assert_eq!(asked(name), Asked::NotAnAddress, "{name}");
        }
        assert_eq!(asked("x.2.0.0.127"), Asked::NotAnAddress);
        assert_eq!(asked("12.3.4.5.6"), Asked::NotAnAddress);
        assert_eq!(asked_labels(&[b"1.2", b"0", b"127"]), Asked::NotAnAddress);
        assert_eq!(asked_labels(&[b"1\0"]), Asked::NotAnAddress);
    }

    #[test]
    fn thirty_two_nibbles_of_either_case_are_an_address() {
        let name = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2";
        let address = "2001:db8:1:2:3:4:567:89ab".parse().unwrap();
        assert_eq!(asked(name), Asked::Address { address, above: None });
        assert_eq!(asked(&name.to_uppercase()), asked(name));
        assert_eq!(asked(&format!("0.{name}")), Asked::NotAnAddress);
    }

    #[test]
    fn mapped_nibbles_are_the_ipv4_address() {
        let name = format!("2.0.0.0.0.0.f.7.f.f.f.f{}", ".0".repeat(20));
        assert_eq!(asked(&name), v4("127.0.0.2"));
    }

    #[test]
    fn short_single_digits_are_both_families() {
        let v6 = Some(Span::prefix(0x3210u128 << 112, 12));
        assert_eq!(asked("1.2.3"), Asked::Partial { v4: Some(Span::prefix(0x0302_0100, 24)), v6 });
        assert_eq!(asked("10.2.3"), Asked::Partial { v4: Some(Span::prefix(0x0302_0a00, 24)), v6: None });
        assert_eq!(asked("f"), Asked::Partial { v4: None, v6: Some(Span::prefix(0xfu128 << 124, 4)) });
        let above = Some(Span::prefix(0x4321u128 << 112, 16));
        assert_eq!(
            asked("1.2.3.4"),
            Asked::Address { address: Ipv4Addr::new(4, 3, 2, 1).into(), above },
            "four digits are an IPv4 address and above IPv6 ones"
        );
        assert_eq!(
            asked("1.2.3.4.5"),
            Asked::Partial { v4: None, v6: Some(Span::prefix(0x54321u128 << 108, 20)) }
        );
    }

    #[test]
    fn reads_question_names_in_place() {
        let packet = b"\x01A\x02bL\x07example\x00\x00\x01";
        let name = QuestionName::read(packet).unwrap();
        assert_eq!(name.wire(), &packet[..14]);
        let zone = DomainName::parse("bl.Example").unwrap();
        assert_eq!(name.depth_below(&zone), Some(1));
        assert_eq!(name.start(1), 2);
        assert_eq!((name.label(0), name.label(2), name.label(3)), (&b"A"[..], &b"example"[..], &b""[..]));
        assert_eq!(name.depth_below(&DomainName::parse("l.example").unwrap()), None);
        assert_eq!(name.depth_below(&DomainName::parse("a.b.bl.example").unwrap()), None);
        assert!(name.is_above(&DomainName::parse("x.a.bl.example").unwrap()));
        assert!(!name.is_above(&DomainName::parse("a.bl.example").unwrap()));
        assert!(!name.is_above(&DomainName::parse("xa.bl.example").unwrap()));
    }

    #[test]
    fn refuses_names_that_are_no_plain_labels() {
        assert!(QuestionName::read(b"").is_none());
        assert!(QuestionName::read(b"\x03ab").is_none());
        assert!(QuestionName::read(b"\x01a").is_none());
        assert!(QuestionName::read(b"\xc0\x0c").is_none());
        assert!(QuestionName::read(b"\x41aaaa\x00").is_none());
        let label = |n: usize| [&[n as u8][..], &vec![b'a'; n]].concat();
        let longest = [label(63), label(63), label(63), label(61), vec![0]].concat();
        assert_eq!((longest.len(), QuestionName::read(&longest).unwrap().labels()), (255, 4));
        let longer = [label(63), label(63), label(63), label(62), vec![0]].concat();
        assert!(QuestionName::read(&longer).is_none());
        let most = [b"\x01a".repeat(127), vec![0]].concat();
        assert_eq!(QuestionName::read(&most).unwrap().labels(), 127);
        assert!(QuestionName::read(&[b"\x01a".repeat(128), vec![0]].concat()).is_none());
    }

    #[test]
    fn configured_names_are_checked() {
        assert_eq!(DomainName::parse("Bl.Example").unwrap().wire(), b"\x02bl\x07example\x00");
        assert!(matches!(DomainName::parse(""), Err(NameError::EmptyLabel(_))));
        assert!(matches!(DomainName::parse("bl.example."), Err(NameError::EmptyLabel(_))));
        assert!(matches!(DomainName::parse("me@bl.example"), Err(NameError::Character(_, '@'))));
        assert!(matches!(DomainName::parse(&"a".repeat(64)), Err(NameError::LabelTooLong(_))));
        assert!(matches!(DomainName::parse(&vec!["a"; 128].join(".")), Err(NameError::TooLong { .. })));
    }

    #[test]
    fn below_cuts_between_labels() {
        let name = |text| DomainName::parse(text).unwrap();
        assert_eq!(name("ns1.bl.example").below(&name("bl.example")), Some(&b"\x03ns1"[..]));
        assert_eq!(name("bl.example").below(&name("bl.example")), Some(&b""[..]));
        assert_eq!(name("xbl.example").below(&name("bl.example")), None);
        assert_eq!(name("bl.example").below(&name("example.net")), None);
    }
}
