//! Resolver rules (F31): `address=`, `server=` and `local=` of dnsmasq, `local-zone:` of unbound. Each is about a domain
//! and everything below it.

use super::super::lines::{Comments, is_blank, trim};
use super::super::{BodyError, Parsed, RejectReason, Rules};
use super::names::scoped;
use super::{Row, read_rows};
use crate::core::domain::Scope;

const COMMENTS: Comments = Comments { signs: &["#"], after_blank: true };
/// Kinds of unbound zones under which names resolve as usual.
const OPEN_ZONES: [&[u8]; 5] =
    [b"transparent", b"typetransparent", b"always_transparent", b"nodefault", b"inform"];
/// Kinds under which they do not.
const CLOSED_ZONES: [&[u8]; 10] = [
    b"always_deny",
    b"always_nodata",
    b"always_null",
    b"always_nxdomain",
    b"always_refuse",
    b"deny",
    b"inform_deny",
    b"redirect",
    b"refuse",
    b"static",
];

/// Reads a decoded body.
///
/// # Errors
/// [`BodyError::LongLine`].
pub(in crate::core::feed) fn read(rules: &Rules, text: &[u8]) -> Result<Parsed, BodyError> {
    read_rows(rules, text, &COMMENTS, row)
}

fn row(data: &[u8]) -> Result<Row, RejectReason> {
    if data.is_empty() || data == b"server:" {
        return Ok(Row::Comment);
    }
    if let Some(rule) = data.strip_prefix(b"address=/") {
        let (names, _sink) = names_and_target(rule)?;
        return listed(names);
    }
    if let Some(rule) = data.strip_prefix(b"server=/").or_else(|| data.strip_prefix(b"local=/")) {
        let (names, target) = names_and_target(rule)?;
        // With a target the names are asked for elsewhere, not refused.
        return if target.is_empty() { listed(names) } else { Ok(Row::NotApplicable) };
    }
    if let Some(zone) = data.strip_prefix(b"local-zone:") {
        return local_zone(trim(zone));
    }
    if data.starts_with(b"local-data:") || data.starts_with(b"local-data-ptr:") {
        return Ok(Row::NotApplicable);
    }
    Err(RejectReason::UnknownRule)
}

/// `a.example/b.example/0.0.0.0`: the names in front of the last slash, and what follows it.
fn names_and_target(rule: &[u8]) -> Result<(&[u8], &[u8]), RejectReason> {
    let slash = rule.iter().rposition(|&b| b == b'/').ok_or(RejectReason::UnknownRule)?;
    let (names, target) = rule.split_at(slash);
    Ok((names, target.strip_prefix(b"/").unwrap_or_default()))
}

fn listed(names: &[u8]) -> Result<Row, RejectReason> {
    let (mut hosts, mut first) = (Vec::new(), None);
    for name in names.split(|&b| b == b'/') {
        // `/#/` is every name there is.
        let everything = matches!(name, b"" | b"#");
        let (host, scope) =
            if everything { Err(RejectReason::TopLevel) } else { scoped(name, Scope::Subtree) }?;
        if *first.get_or_insert(scope) != scope {
            return Err(RejectReason::UnknownRule);
        }
        hosts.push(host.no_address()?);
    }
    Ok(Row::Names(hosts, first.unwrap_or(Scope::Subtree)))
}

/// `"bad.example" always_nxdomain`, the quotes being optional.
fn local_zone(rule: &[u8]) -> Result<Row, RejectReason> {
    let blank = rule.iter().position(|&b| is_blank(b)).ok_or(RejectReason::UnknownRule)?;
    let (name, kind) = rule.split_at(blank);
    let kind = trim(kind);
    let quoted = name.strip_prefix(b"\"").map(|rest| rest.strip_suffix(b"\"").ok_or(RejectReason::BadQuote));
    if OPEN_ZONES.contains(&kind) {
        return Ok(Row::NotApplicable);
    }
    if !CLOSED_ZONES.contains(&kind) {
        return Err(RejectReason::UnknownRule);
    }
    listed_one(quoted.unwrap_or(Ok(name))?)
}

fn listed_one(name: &[u8]) -> Result<Row, RejectReason> {
    let (host, scope) = scoped(name, Scope::Subtree)?;
    Ok(Row::Names(vec![host.no_address()?], scope))
}
