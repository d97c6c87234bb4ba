//! Token to name: the one place where a word of a feed becomes a domain or a reject.
//!
//! Upper case is folded, a final dot dropped and U-labels become A-labels (RFC 5890); A-labels stay as they are, whether
//! they decode or not, because that is how they are asked for.

use crate::core::feed::reject::RejectReason;
use crate::core::name::{MAX_LABEL, MAX_NAME};
use idna::AsciiDenyList;
use std::net::IpAddr;

/// Top-level names that never reach the DNS, or mean the test entries of a list (RFC 6761, RFC 6762, RFC 5782 section 5).
/// What zones make of `test` and `invalid` is theirs to say; no feed lists names there.
const SPECIAL: [&[u8]; 4] = [b"invalid", b"local", b"localhost", b"test"];

/// What a word of a feed names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// A domain of at least two labels: wire form in lower case, without the root.
    Name(Vec<u8>),
    /// A name nobody asks the DNS for, or a test entry.
    Special,
    /// An address in its usual form, IPv6 in brackets or not.
    Address(IpAddr),
}

impl Host {
    /// The same, but an address is refused.
    ///
    /// # Errors
    /// [`RejectReason::AddressName`].
    pub(super) fn no_address(self) -> Result<Self, RejectReason> {
        match self {
            Self::Address(_) => Err(RejectReason::AddressName),
            other => Ok(other),
        }
    }
}

/// Reads a name or address.
///
/// # Errors
/// The reason for the reject.
pub(super) fn host(token: &[u8]) -> Result<Host, RejectReason> {
    let inner = token.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).unwrap_or(token);
    if let Some(address) = std::str::from_utf8(inner).ok().and_then(|text| text.parse().ok()) {
        return Ok(Host::Address(address));
    }
    if !token.iter().any(|b| b.is_ascii_alphanumeric() || !b.is_ascii()) {
        // The root and a lone `*` would list everything.
        let everything = matches!(token, b"." | b"*" | b"*.");
        return Err(if everything { RejectReason::TopLevel } else { RejectReason::Empty });
    }
    if token.starts_with(b"!") || token.starts_with(b"-") || token.starts_with(b"@@") {
        return Err(RejectReason::Negated);
    }
    let name = name(token)?;
    if SPECIAL.contains(&name.top()) {
        return Ok(Host::Special);
    }
    match name.labels {
        0 | 1 => Err(RejectReason::TopLevel),
        _ => Ok(Host::Name(name.wire)),
    }
}

/// A name of any number of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Wire form in lower case, without the root.
    pub(super) wire: Vec<u8>,
    /// Number of labels.
    pub(super) labels: usize,
    /// Where the last label begins in the wire form.
    top: usize,
}

impl Name {
    fn top(&self) -> &[u8] {
        self.wire.get(self.top..).unwrap_or_default()
    }
}

/// Reads a name, a final dot being allowed.
///
/// # Errors
/// The reason for the reject.
pub(super) fn name(token: &[u8]) -> Result<Name, RejectReason> {
    let text = token.strip_suffix(b".").unwrap_or(token);
    let mut name = Name { wire: Vec::with_capacity(text.len() + 1), labels: 0, top: 0 };
    for label in text.split(|&b| b == b'.') {
        name.top = name.wire.len() + 1;
        push_label(&mut name.wire, label)?;
        name.labels += 1;
    }
    if name.wire.len() + 1 > MAX_NAME {
        return Err(RejectReason::NameTooLong);
    }
    // No top-level domain is a number, so this is an address in a spelling with two meanings (E05, E06, E11, E20).
    let top = name.top();
    if top.iter().all(u8::is_ascii_digit) || top.starts_with(b"0x") {
        return Err(RejectReason::AddressName);
    }
    Ok(name)
}

/// Appends one label with its length.
fn push_label(wire: &mut Vec<u8>, label: &[u8]) -> Result<(), RejectReason> {
    if label.is_empty() {
        return Err(RejectReason::LabelLength);
    }
    if !label.is_ascii() {
        let ascii = idna::domain_to_ascii_cow(label, AsciiDenyList::EMPTY);
        return push_ascii(wire, ascii.map_err(|_| RejectReason::NotIdna)?.as_bytes());
    }
    push_ascii(wire, label)
}

fn push_ascii(wire: &mut Vec<u8>, label: &[u8]) -> Result<(), RejectReason> {
    if !label.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return Err(RejectReason::NameCharacter);
    }
    let len = u8::try_from(label.len()).ok().filter(|&len| (1..=MAX_LABEL).contains(&len.into()));
    wire.push(len.ok_or(RejectReason::LabelLength)?);
    wire.extend(label.iter().map(u8::to_ascii_lowercase));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::domain::dotted;

    fn name(text: &str) -> String {
        match host(text.as_bytes()) {
            Ok(Host::Name(name)) => dotted(&name),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn f30_names_are_normalised() {
        assert_eq!(name("Bad.Example."), "bad.example");
        assert_eq!(name("www.bad.example"), "www.bad.example");
        assert_eq!(name("_dmarc.bad-1.example"), "_dmarc.bad-1.example");
        assert_eq!(name("b\u{fc}cher.example"), "xn--bcher-kva.example");
        assert_eq!(name("B\u{dc}CHER.EXAMPLE"), "xn--bcher-kva.example");
        assert_eq!(name("XN--BCHER-KVA.example"), "xn--bcher-kva.example");
        assert_eq!(name("xn--a.xn--zzzzzzzz.example"), "xn--a.xn--zzzzzzzz.example");
        assert_eq!(name("1.2.3.example"), "1.2.3.example");
    }

    #[test]
    fn what_would_list_too_much_or_nothing_is_refused() {
        use RejectReason::*;
        let long = format!("{}.example", "x".repeat(64));
        let longest = format!("{}example", "x.".repeat(124));
        for (text, reason) in [
            (".", TopLevel),
            ("*", TopLevel),
            ("*.", TopLevel),
            ("com", TopLevel),
            ("com.", TopLevel),
            ("xn--p1ai", TopLevel),
            ("", Empty),
            ("--", Empty),
            ("!bad.example", Negated),
            ("@@bad.example", Negated),
            ("a..example", LabelLength),
            (".bad.example", LabelLength),
            ("bad.example..", LabelLength),
            (&long, LabelLength),
            (&longest, NameTooLong),
            ("bad.*.example", NameCharacter),
            ("bad example.com", NameCharacter),
            ("bad.example/x", NameCharacter),
            ("bad.example:80", NameCharacter),
            ("a\u{3002}b.example", NameCharacter),
            ("\u{fffd}.example", NotIdna),
            ("192.0.2.300", AddressName),
            ("010.0.0.1", AddressName),
            ("10.1", AddressName),
            ("3232235777", AddressName),
            ("0x7f.1", AddressName),
            ("a.0x7f", AddressName),
        ] {
            assert_eq!(host(text.as_bytes()), Err(reason), "{text}");
        }
        assert_eq!(host(b"\xff\xfe.example"), Err(NotIdna));
    }

    #[test]
    fn special_names_and_addresses_are_told_apart() {
        for text in ["test", "INVALID", "a.invalid", "localhost", "printer.local", "x.test."] {
            assert_eq!(host(text.as_bytes()), Ok(Host::Special), "{text}");
        }
        for text in ["192.0.2.1", "2001:db8::1", "[2001:db8::1]"] {
            assert!(matches!(host(text.as_bytes()), Ok(Host::Address(_))), "{text}");
        }
        assert_eq!(Host::Special.no_address(), Ok(Host::Special));
    }
}
