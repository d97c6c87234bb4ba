//! Hosts files (F29): a sink address, then one or more names, each of which is listed alone.

use super::super::lines::{Comments, is_blank};
use super::super::{BodyError, Parsed, RejectReason, Rules};
use super::token::{self, Host};
use super::{Row, read_rows};
use crate::core::domain::Scope;
use std::net::IpAddr;

const COMMENTS: Comments = Comments { signs: &["#"], after_blank: false };
/// Names every hosts file gives to its own machine or network, beside those that begin with `ip6-`.
const OWN: [&[u8]; 4] = [b"localhost", b"localhost.localdomain", b"local", b"broadcasthost"];

/// Reads a decoded body.
///
/// # Errors
/// [`BodyError::LongLine`].
pub(in crate::core::feed) fn read(rules: &Rules, text: &[u8]) -> Result<Parsed, BodyError> {
    read_rows(rules, text, &COMMENTS, row)
}

fn row(data: &[u8]) -> Result<Row, RejectReason> {
    let mut words = data.split(|&b| is_blank(b)).filter(|word| !word.is_empty());
    let Some(sink) = words.next() else { return Ok(Row::Comment) };
    let sink = address(sink).ok_or(RejectReason::HostsForm)?;
    let mut words = words.peekable();
    words.peek().ok_or(RejectReason::HostsForm)?;
    let mut hosts: Vec<Host> = Vec::new();
    for word in words.filter(|word| !is_own(word) && address(word) != Some(sink)) {
        hosts.push(token::host(word)?.no_address()?);
    }
    Ok(if hosts.is_empty() { Row::NotApplicable } else { Row::Names(hosts, Scope::Exact) })
}

/// An address, the zone id of a link-local one left out: it names no entry here.
fn address(word: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(word).ok()?;
    text.split_once('%').map_or(text, |(address, _)| address).parse().ok()
}

fn is_own(word: &[u8]) -> bool {
    let ip6 = word.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"ip6-"));
    ip6 || OWN.iter().any(|own| word.eq_ignore_ascii_case(own))
}
