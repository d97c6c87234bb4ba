//! URLs (F33), defanged or not, of which the host is listed. Addresses go to the entries of addresses.

use super::super::builder::{Builder, Extras};
use super::super::lines::{self, MAX_LINE, is_blank, repair, trim};
use super::super::{BodyError, Declared, Parsed, RejectReason, Rules};
use super::token;
use super::{Row, settle};
use crate::core::domain::Scope;

/// How a scheme ends, as it should be and as written to keep people from following it.
const SCHEME_ENDS: [&[u8]; 3] = [b"://", b"[:]//", b"[://]"];

/// Reads a decoded body.
///
/// # Errors
/// [`BodyError::LongLine`].
pub(in crate::core::feed) fn read(rules: &Rules, text: &[u8]) -> Result<Parsed, BodyError> {
    let mut builder = Builder::new(rules);
    for line in lines::split(text, MAX_LINE) {
        let line = line?;
        // A `#` further on begins a fragment.
        if line.text.is_empty() || line.text.starts_with(b"#") {
            builder.comment();
            continue;
        }
        let repaired = repair(authority(line.text).unwrap_or_default());
        let extras = Extras { repaired: repaired.is_some(), ..Extras::default() };
        let row = match &repaired {
            Some(text) => row(Some(trim(text.as_bytes()))),
            None => row(authority(line.text)),
        };
        settle(&mut builder, line, row, extras);
    }
    Ok(builder.finish(Declared::Nothing))
}

/// What stands between scheme and path.
fn authority(line: &[u8]) -> Option<&[u8]> {
    let scheme = line.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
    let (scheme, rest) = line.split_at(scheme);
    let rest = SCHEME_ENDS.iter().find_map(|end| rest.strip_prefix(*end)).filter(|_| !scheme.is_empty())?;
    let end = rest.iter().position(|b| b"/?#\\".contains(b)).unwrap_or(rest.len());
    rest.get(..end)
}

fn row(authority: Option<&[u8]>) -> Result<Row, RejectReason> {
    let authority = authority.filter(|text| !text.is_empty()).ok_or(RejectReason::NotAUrl)?;
    if authority.iter().any(|&b| is_blank(b)) {
        return Err(RejectReason::TrailingText);
    }
    // The last `@` ends what is said of the user.
    let host = authority.rsplit(|&b| b == b'@').next().unwrap_or_default();
    Ok(Row::Names(vec![token::host(&refanged(without_port(host)))?], Scope::Exact))
}

fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|&b| b == b':') {
        Some(colon) if host.iter().skip(colon + 1).all(u8::is_ascii_digit) => {
            let (front, _) = host.split_at(colon);
            // Inside brackets the colon belongs to the address.
            if front.contains(&b'[') && !front.contains(&b']') { host } else { front }
        }
        _ => host,
    }
}

/// `bad[.]example` and `bad(.)example` with plain dots.
fn refanged(host: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(host.len());
    let mut rest = host;
    while let Some((&first, behind)) = rest.split_first() {
        let dot = rest.strip_prefix(b"[.]").or_else(|| rest.strip_prefix(b"(.)"));
        out.push(if dot.is_some() { b'.' } else { first });
        rest = dot.unwrap_or(behind);
    }
    out
}
