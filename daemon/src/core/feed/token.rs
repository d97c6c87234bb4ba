//! Token to network: the one place where a word of a feed becomes addresses or a reject (E04 to E15, E18 to E24).
//!
//! Rule: only what every tool reads the same way is an address. Spellings with two meanings are rejected with their
//! own reason, so that an operator can see what a publisher does.

use super::lines::{is_blank, repair, trim};
use super::reject::RejectReason;
use crate::core::network::{Network, NetworkError};
use crate::core::span::Span;
use std::net::{IpAddr, Ipv4Addr};

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// The addresses.
    pub(super) network: Network,
    /// Read after a repair: Unicode blanks or dashes (E04), host bits (E07) or brackets (E15).
    pub(super) repaired: bool,
    /// A port stood behind the address (E12).
    pub(super) port: bool,
}

/// How a format reads its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spelling {
    /// Reject host bits instead of masking them (E07).
    pub(super) strict: bool,
    /// Drop a port instead of rejecting it (E12).
    pub(super) ports: bool,
}

/// Reads one token.
///
/// # Errors
/// The reason for the reject.
pub(super) fn read(token: &[u8], spelling: Spelling) -> Result<Reading, RejectReason> {
    let token = trim(token);
    if let Some(repaired) = repair(token) {
        return read_ascii(trim(repaired.as_bytes()), spelling).map(|r| Reading { repaired: true, ..r });
    }
    read_ascii(token, spelling)
}

fn read_ascii(token: &[u8], spelling: Spelling) -> Result<Reading, RejectReason> {
    // Nothing that is an address holds a byte outside ASCII, so this loses none.
    let text = std::str::from_utf8(token).map_err(|_| RejectReason::NotAnAddress)?;
    let plain = |network| Reading { network, repaired: false, port: false };
    if let Some((base, len)) = text.split_once('/') {
        let (base, brackets) = bracketed(base).ok_or_else(|| explain(text))?;
        let (network, masked) = prefix(base, len, spelling.strict)?;
        return Ok(Reading { repaired: masked || brackets, ..plain(network) });
    }
    if let Some((address, brackets)) = bracketed(text) {
        return Ok(Reading { repaired: brackets, ..plain(Network::host(address)) });
    }
    if let Some((first, last)) = text.split_once('-')
        && let Some(first) = address(trimmed(first))
    {
        let last = address(trimmed(last)).ok_or_else(|| explain(trimmed(last)))?;
        return range(first, last).map(plain);
    }
    if let Some(address) = before_port(text) {
        if !spelling.ports {
            return Err(RejectReason::Port);
        }
        return Ok(Reading { port: true, ..plain(Network::host(address)) });
    }
    Err(explain(text))
}

/// An address in the usual form. The std parser refuses leading zeros, short, hexadecimal and integer forms and
/// zone ids.
fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// An address, in brackets or not (E15), and whether brackets were there.
fn bracketed(text: &str) -> Option<(IpAddr, bool)> {
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => address(inner).map(|address| (address, true)),
        None => address(text).map(|address| (address, false)),
    }
}

/// The address in `192.0.2.1:443` or `[2001:db8::1]:443` (E12).
fn before_port(text: &str) -> Option<IpAddr> {
    let (host, port) = text.rsplit_once(':')?;
    number(port.as_bytes()).filter(|&port| port <= u32::from(u16::MAX))?;
    match bracketed(host)? {
        // Without brackets the last group of an IPv6 address cannot be told from a port.
        (IpAddr::V6(_), false) => None,
        (address, _) => Some(address),
    }
}

/// `base/text` (E07, E10), and whether host bits were masked.
fn prefix(base: IpAddr, text: &str, strict: bool) -> Result<(Network, bool), RejectReason> {
    let canonical = text.len() <= 3 && (text == "0" || !text.starts_with('0'));
    let len = number(text.as_bytes()).filter(|_| canonical).and_then(|n| u8::try_from(n).ok());
    let len = len.ok_or_else(|| explain_len(text))?;
    match Network::prefix(base, len) {
        Ok(network) => Ok((network, false)),
        Err(NetworkError::HostBits) if strict => Err(RejectReason::HostBits),
        Err(_) => match Network::prefix_masked(base, len) {
            Ok(network) => Ok((network, true)),
            Err(_) => Err(RejectReason::PrefixLength),
        },
    }
}

fn range(first: IpAddr, last: IpAddr) -> Result<Network, RejectReason> {
    Network::range(first, last).map_err(|e| match e {
        NetworkError::Reversed => RejectReason::ReversedRange,
        _ => RejectReason::MixedRange,
    })
}

/// Why `text`, which is not a network, is not one. Only words the message: nothing is accepted here.
fn explain(text: &str) -> RejectReason {
    let first_word = text.split(|c: char| c.is_ascii() && is_blank(c as u8)).next().unwrap_or_default();
    if !text.contains(char::is_alphanumeric) {
        RejectReason::Empty
    } else if text.starts_with(['!', '-']) || text.starts_with("@@") {
        RejectReason::Negated
    } else if first_word.len() < text.len() {
        let (base, _) = first_word.split_once(['/', '-']).unwrap_or((first_word, ""));
        if bracketed(base).is_some() { RejectReason::TrailingText } else { RejectReason::NotAnAddress }
    } else if text.contains('%') {
        RejectReason::ZoneId
    } else if digits_and(text, ".")
        && text.split('.').count() == 4
        && text.split('.').all(|octet| !octet.is_empty())
    {
        octets(text)
    } else if digits_and(text, "./") && text.split('.').count() > 4 {
        RejectReason::GluedLines
    } else if text.starts_with("0x") || text.starts_with("0X") {
        RejectReason::NumberForm
    } else if digits_and(text, "./-") {
        match text.split_once(['/', '-']) {
            // A whole address with a flaw, not a short one.
            Some((base, _)) if base.split('.').count() == 4 && base.split('.').all(|o| !o.is_empty()) => {
                octets(base)
            }
            _ => RejectReason::NumberForm,
        }
    } else if text.chars().all(|c| c.is_alphanumeric() || "._-*".contains(c)) {
        RejectReason::HostName
    } else {
        RejectReason::NotAnAddress
    }
}

/// What is wrong with four numbers in a token that is not a network.
fn octets(text: &str) -> RejectReason {
    if text.split('.').any(|octet| octet.len() > 1 && octet.starts_with('0')) {
        RejectReason::LeadingZero
    } else if text.parse::<Ipv4Addr>().is_ok() {
        // The flaw is elsewhere in the token.
        RejectReason::NotAnAddress
    } else {
        RejectReason::OctetRange
    }
}

/// What is wrong with the text behind a slash.
fn explain_len(text: &str) -> RejectReason {
    let netmask = text.parse::<Ipv4Addr>().is_ok();
    if text.bytes().any(is_blank) {
        RejectReason::TrailingText
    } else if !netmask && text.split('.').count() == 4 && digits_and(text, "./") {
        RejectReason::GluedLines
    } else {
        RejectReason::PrefixLength
    }
}

fn digits_and(text: &str, others: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit() || others.contains(c))
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_ascii() && is_blank(c as u8))
}

/// The IPv4 address at the start of `text` and what follows it. Agrees with the std parser; spares it, and the
/// check for UTF-8, on the lines that make up nearly all of nearly every list.
pub(super) fn leading_v4(text: &[u8]) -> Option<(u32, &[u8])> {
    let mut rest = text;
    let mut address = 0;
    for i in 0..4 {
        if i > 0 {
            rest = rest.strip_prefix(b".")?;
        }
        let len = rest.iter().take(3).take_while(|b| b.is_ascii_digit()).count();
        let (octet, behind) = rest.split_at_checked(len)?;
        let value = number(octet).filter(|&value| value <= 255)?;
        if len > 1 && octet.starts_with(b"0") {
            return None;
        }
        address = address << 8 | value;
        rest = behind;
    }
    // A fourth digit belongs to the octet, and a letter makes it something else; both are for the slow path.
    (!rest.first().is_some_and(u8::is_ascii_alphanumeric)).then_some((address, rest))
}

/// `text` as an IPv4 address or as a prefix without host bits, the common lines of a list. `None` does not mean
/// that it is bad, only that [`read`] has to look at it.
pub(super) fn common_v4(text: &[u8]) -> Option<Network> {
    let (address, rest) = leading_v4(text)?;
    match rest {
        [] => Some(Network::V4(Span::host(address))),
        [b'/', len @ ..] if (1..=2).contains(&len.len()) => {
            let (network, masked) =
                prefix(Ipv4Addr::from(address).into(), str::from_utf8(len).ok()?, true).ok()?;
            (!masked).then_some(network)
        }
        _ => None,
    }
}

/// A decimal number of at least one digit, or `None` also when it is too large.
pub(super) fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u32, |n, b| {
        let digit = b.checked_sub(b'0').filter(|&d| d < 10)?;
        n.checked_mul(10)?.checked_add(digit.into())
    })
}
