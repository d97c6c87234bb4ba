//! Plain domains (F30): one per line, `.name` with the names below it, `*.name` without the name itself.

use super::super::lines::is_blank;
use super::super::plain::COMMENTS;
use super::super::{BodyError, Parsed, RejectReason, Rules};
use super::token::{self, Host};
use super::{Row, read_rows};
use crate::core::domain::Scope;

/// Reads a decoded body.
///
/// # Errors
/// [`BodyError::LongLine`].
pub(in crate::core::feed) fn read(rules: &Rules, text: &[u8]) -> Result<Parsed, BodyError> {
    read_rows(rules, text, &COMMENTS, row)
}

fn row(data: &[u8]) -> Result<Row, RejectReason> {
    if data.is_empty() {
        return Ok(Row::Comment);
    }
    if data.iter().any(|&b| is_blank(b)) {
        return Err(RejectReason::TrailingText);
    }
    let (host, scope) = scoped(data, Scope::Exact)?;
    Ok(Row::Names(vec![host.no_address()?], scope))
}

/// A name with or without a mark in front; without one it means `bare`.
///
/// # Errors
/// The reason for the reject.
pub(super) fn scoped(token: &[u8], bare: Scope) -> Result<(Host, Scope), RejectReason> {
    let (name, scope) = mark(token, bare);
    if name.len() == token.len() {
        return Ok((token::host(token)?, scope));
    }
    if name.is_empty() {
        return Err(RejectReason::TopLevel);
    }
    Ok((token::host(name)?.no_address()?, scope))
}

/// The name behind `.` or `*.`, and what the mark means; `bare` without one.
pub(super) fn mark(token: &[u8], bare: Scope) -> (&[u8], Scope) {
    match (token.strip_prefix(b"*."), token.strip_prefix(b".")) {
        (Some(name), _) => (name, Scope::Below),
        (_, Some(name)) => (name, Scope::Subtree),
        _ => (token, bare),
    }
}
