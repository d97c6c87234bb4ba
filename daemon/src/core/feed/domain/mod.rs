//! Formats that list domains (F29 to F33), one per file.
//!
//! They are read as the address formats are: every line becomes an entry, a comment or a reject. Addresses among the
//! names go to the entries of addresses where the format has a place for them. `token` reads a name; no format lists the
//! root, a top-level domain, a public suffix or a bare `*`. `pattern` reads what is no line of a feed.
//! Scores and columns have no meaning here; the rules for addresses hold for the addresses among the names.

pub(super) mod adblock;
pub(super) mod hosts;
pub(super) mod names;
mod pattern;
pub(super) mod resolver;
mod suffix;
#[cfg(test)]
mod tests;
mod token;
pub(super) mod urls;

pub use pattern::{domain_name, domain_pattern};

use super::builder::{Builder, Extras};
use super::lines::{self, Comments, Line, MAX_LINE};
use super::reject::RejectReason;
use super::{BodyError, Declared, Parsed, Rules};
use crate::core::domain::{DomainEntry, Scope};
use crate::core::network::{Network, fold};
use token::Host;

/// What a line names.
enum Row {
    /// Nothing: a blank line, comment or header.
    Comment,
    /// Nothing, by design: a well-formed row of another kind.
    NotApplicable,
    /// One or more domains, all meant in the same way.
    Names(Vec<Host>, Scope),
    /// Domains taken out of wider entries of this feed (E24).
    Exclusion(Host, Scope),
}

/// Reads a body of which every line, without its comment, is a row.
///
/// # Errors
/// [`BodyError::LongLine`].
fn read_rows(
    rules: &Rules,
    text: &[u8],
    comments: &Comments,
    row: impl Fn(&[u8]) -> Result<Row, RejectReason>,
) -> Result<Parsed, BodyError> {
    let mut builder = Builder::new(rules);
    for line in lines::split(text, MAX_LINE) {
        let line = line?;
        let content = lines::content(line.text, comments);
        let extras =
            Extras { note: content.comment.is_some(), repaired: content.repaired, ..Extras::default() };
        settle(&mut builder, line, row(&content.data), extras);
    }
    Ok(builder.finish(Declared::Nothing))
}

/// Counts a line and keeps what it names; a bad name refuses the line as a whole.
fn settle(builder: &mut Builder<'_>, line: Line<'_>, row: Result<Row, RejectReason>, extras: Extras) {
    let (hosts, scope, excluded) = match row {
        Err(reason) => return builder.reject(line, reason),
        Ok(Row::Comment) => return builder.comment(),
        Ok(Row::NotApplicable) => return builder.not_applicable(),
        Ok(Row::Names(hosts, scope)) => (hosts, scope, false),
        Ok(Row::Exclusion(host, scope)) => (vec![host], scope, true),
    };
    if let [Host::Address(address)] = hosts[..] {
        if excluded {
            // Entries of addresses know no exclusions; it must not be taken for a listing.
            return builder.not_applicable();
        }
        return builder.network(line, Network::host(fold(address)), extras);
    }
    let public = |host: &Host| matches!(host, Host::Name(name) if suffix::is_public(name));
    if !excluded && hosts.iter().any(public) {
        return builder.reject(line, RejectReason::PublicSuffix);
    }
    let names = hosts.iter().map(|host| match host {
        Host::Name(name) => Some(DomainEntry { name, scope, excluded, line: line.number }),
        Host::Special | Host::Address(_) => None,
    });
    builder.domains(line, names, extras);
}
