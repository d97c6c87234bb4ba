//! Content filter rules (F32). Only `||host^` names a host as a whole; all else is about parts of pages, and passed over.

use super::super::builder::{Builder, Extras};
use super::super::lines::{self, MAX_LINE, is_blank, trim};
use super::super::{BodyError, Declared, Parsed, RejectReason, Rules};
use super::names::scoped;
use super::{Row, settle};
use crate::core::domain::Scope;

/// Reads a decoded body.
///
/// # Errors
/// [`BodyError::LongLine`].
pub(in crate::core::feed) fn read(rules: &Rules, text: &[u8]) -> Result<Parsed, BodyError> {
    let mut builder = Builder::new(rules);
    for line in lines::split(text, MAX_LINE) {
        let line = line?;
        settle(&mut builder, line, row(line.text), Extras::default());
    }
    Ok(builder.finish(Declared::Nothing))
}

fn row(line: &[u8]) -> Result<Row, RejectReason> {
    // `! Title`, `[Adblock Plus 2.0]`, and `# note` as in hosts files; `##` hides elements.
    if matches!(line, [] | [b'!' | b'[', ..] | [b'#']) || matches!(line, [b'#', b, ..] if is_blank(*b)) {
        return Ok(Row::Comment);
    }
    let (excluded, rule) = line.strip_prefix(b"@@").map_or((false, line), |rule| (true, rule));
    let Some(rule) = rule.strip_prefix(b"||") else { return Ok(Row::NotApplicable) };
    let Some(end) = rule.iter().position(|&b| b == b'^') else { return Ok(Row::NotApplicable) };
    let (host, behind) = rule.split_at(end);
    let stripped = host.strip_prefix(b"*.").unwrap_or(host);
    if !covers_host(behind.get(1..).unwrap_or_default()) || stripped.iter().any(|b| b"*/?=&%,|~".contains(b))
    {
        return Ok(Row::NotApplicable);
    }
    let (host, scope) = scoped(host, Scope::Subtree)?;
    Ok(if excluded { Row::Exclusion(host, scope) } else { Row::Names(vec![host], scope) })
}

/// Is what follows the host nothing, or options under which the rule still means all of it?
fn covers_host(behind: &[u8]) -> bool {
    match behind.strip_prefix(b"$") {
        Some(options) => {
            options.split(|&b| b == b',').all(|option| matches!(trim(option), b"important" | b"all"))
        }
        None => behind.is_empty(),
    }
}
