//! Rejects: lines that gave no entry, each with its number, its text and its reason.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A line that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// Line in the decoded body, from 1.
    pub line: u32,
    /// At most the first 200 bytes of the line, made safe to print.
    pub text: String,
    /// Why.
    pub reason: RejectReason,
}

/// Why a line was refused. `Display` explains it to an operator; [`Self::name`] is stable, for JSON and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RejectReason {
    /// E05: `010.0.0.1`, octal to some tools and decimal to others.
    LeadingZero,
    /// E06: `0x0A000001`, `167772161`, `10.1`, `127/24`.
    NumberForm,
    /// E07, under `strict` only.
    HostBits,
    /// E09.
    TooWide,
    /// E10, and netmasks (F05), which no format here takes.
    PrefixLength,
    /// E11.
    OctetRange,
    /// E12, where the format has no ports.
    Port,
    /// E13: `::203.0.113.10`, or an IPv6 prefix wide enough to hold the mapped range.
    Ipv4Compatible,
    /// E14.
    TransitionSpace,
    /// E15: `fe80::1%eth0`.
    ZoneId,
    /// E18.
    Empty,
    /// E20: two addresses without a line end between them.
    GluedLines,
    /// E21.
    TrailingText,
    /// E22.
    HostName,
    /// E24.
    Negated,
    /// F03: the end of a range lies before its start.
    ReversedRange,
    /// F03: a range from one family to the other.
    MixedRange,
    /// F21: a line that is not the JSON object of the format.
    BadJson,
    /// F13 to F15: the row ends before the address column.
    ShortRow,
    /// F13 to F15: a quote that is not closed on its line, or text behind a closing quote.
    BadQuote,
    /// F30: the root, a top-level domain or `*`, which would list the world.
    TopLevel,
    /// F30: a name under which the public registers names, such as `co.kr`.
    PublicSuffix,
    /// F30: an empty label, or one over 63 octets.
    LabelLength,
    /// F30: over 255 octets in wire form.
    NameTooLong,
    /// F30: something else than letters, digits, `-` and `_` in a label.
    NameCharacter,
    /// F30: a U-label that has no A-label.
    NotIdna,
    /// F29 to F33: an address, or a number that some tools take for one, where the format has names.
    AddressName,
    /// F29: not an address followed by names.
    HostsForm,
    /// F31: not a rule of a resolver dialect.
    UnknownRule,
    /// F33: no scheme, or no host behind it.
    NotAUrl,
    /// None of the above.
    NotAnAddress,
}

impl RejectReason {
    /// Stable short name.
    pub fn name(self) -> &'static str {
        self.describe().0
    }

    /// Short name and explanation.
    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::LeadingZero => ("leading-zero", "a number with leading zeros is octal to some tools"),
            Self::NumberForm => {
                ("number-form", "hexadecimal, integer and short forms of an address are not read")
            }
            Self::HostBits => ("host-bits", "address bits are set behind the prefix, and the feed is strict"),
            Self::TooWide => ("too-wide", "wider than the widest prefix this feed may list"),
            Self::PrefixLength => ("prefix-length", "not a prefix length of this family"),
            Self::OctetRange => ("octet-range", "an octet is above 255"),
            Self::Port => ("port", "an address with a port, which this format does not have"),
            Self::Ipv4Compatible => ("ipv4-compatible", "covers IPv4 addresses embedded in IPv6"),
            Self::TransitionSpace => {
                ("transition-space", "covers 6to4, Teredo or NAT64 space of more than one IPv4 address")
            }
            Self::ZoneId => ("zone-id", "an address with a zone id means nothing to other hosts"),
            Self::Empty => ("empty", "nothing but punctuation"),
            Self::GluedLines => ("glued-lines", "two addresses glued together, a line end is missing"),
            Self::TrailingText => ("trailing-text", "text behind the entry, which this format does not have"),
            Self::HostName => ("host-name", "a host name; names are not resolved"),
            Self::Negated => ("negated", "an exclusion mark, which this format does not have"),
            Self::ReversedRange => ("reversed-range", "the range ends before it starts"),
            Self::MixedRange => ("mixed-range", "the range mixes IPv4 and IPv6"),
            Self::BadJson => ("bad-json", "not a JSON object of this format"),
            Self::ShortRow => ("short-row", "the row ends before the address column"),
            Self::BadQuote => ("bad-quote", "a quote is not closed on its line, or text follows it"),
            Self::TopLevel => ("top-level", "the root, a top-level domain or `*` would list the world"),
            Self::PublicSuffix => {
                ("public-suffix", "a public suffix, under which anybody registers names, would list them all")
            }
            Self::LabelLength => ("label-length", "a label is empty or longer than 63 octets"),
            Self::NameTooLong => ("name-too-long", "the name is longer than 255 octets"),
            Self::NameCharacter => ("name-character", "a label holds more than letters, digits, `-` and `_`"),
            Self::NotIdna => ("not-idna", "an internationalised label that has no ASCII form"),
            Self::AddressName => ("address-name", "an address, or part of one, in place of a name"),
            Self::HostsForm => ("hosts-form", "not an address followed by names"),
            Self::UnknownRule => ("unknown-rule", "not a rule of a resolver that blocks a name"),
            Self::NotAUrl => ("not-a-url", "not a URL with scheme and host"),
            Self::NotAnAddress => ("not-an-address", "not an address, prefix or range"),
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe().1)
    }
}

/// At most the first 200 bytes of `text`, with everything a terminal would act on replaced.
pub(super) fn printable(text: &[u8]) -> String {
    const MAX_BYTES: usize = 200;
    // Directional overrides can make a reject read as something else.
    let steers =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let head = &text[..text.len().min(MAX_BYTES)];
    String::from_utf8_lossy(head)
        .chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() || steers(c) => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_json_form() {
        for name in ["leading-zero", "ipv4-compatible", "not-an-address", "not-a-url", "bad-json"] {
            let reason: RejectReason = serde_json::from_value(name.into()).unwrap();
            assert_eq!(reason.name(), name);
        }
    }

    #[test]
    fn rejected_text_is_short_and_safe_to_print() {
        assert_eq!(printable(b"a\tb\x1b[31m\xff"), "a b\u{fffd}[31m\u{fffd}");
        assert_eq!(printable("1\u{202e}2".as_bytes()), "1\u{fffd}2");
        assert_eq!(printable(&[b'x'; 500]).len(), 200);
    }
}
