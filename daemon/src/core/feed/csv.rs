//! Delimited columns (F13 to F15), one of which holds the address.
//!
//! Each line is a row of its own. A quoted field that goes on in the next line is rejected, because the alternative
//! lets one stray quote swallow the rest of a list in silence. Blanks around quotes are allowed, which is what keeps
//! this from being left to a general CSV reader: published lists write `"a", "b"` (F14).

use super::builder::{Builder, Extras};
use super::lines::{self, Line, MAX_LINE, trim};
use super::reject::{RejectReason, printable};
use super::{BodyError, Column, Declared, Parsed, Rules};

/// Reads a decoded body.
///
/// # Errors
/// [`BodyError::LongLine`], and [`BodyError::NoSuchColumn`] when there are rows but no header names the column.
pub(super) fn read(rules: &Rules, text: &[u8]) -> Result<Parsed, BodyError> {
    let mut builder = Builder::new(rules);
    let mut place = Place::of(rules.column.as_ref());
    let mut stated = None;
    for line in lines::split(text, MAX_LINE) {
        let line = line?;
        if line.text.is_empty() {
            builder.comment();
        } else if let Some(comment) = line.text.strip_prefix(b"#") {
            place.see_comment(trim(comment));
            stated = rows_stated(comment).or(stated);
            builder.comment();
        } else {
            match place.column_of(line)? {
                None => builder.comment(),
                Some(index) => match field(line.text, index) {
                    Ok(Some(cell)) => builder.row(line, cell, Extras::default()),
                    Ok(None) => builder.reject(line, RejectReason::ShortRow),
                    Err(BadQuote) => builder.reject(line, RejectReason::BadQuote),
                },
            }
        }
    }
    Ok(match stated {
        Some(stated) => builder.finish_counted(stated),
        None => builder.finish(Declared::Nothing),
    })
}

/// Where the address column is, as far as is known by now.
enum Place<'a> {
    /// At this index, from 0.
    Known(usize),
    /// To be found by name in the first line that is no comment, or else in a comment before it (F14).
    Named { name: &'a str, in_comment: Option<usize> },
}

impl<'a> Place<'a> {
    fn of(column: Option<&'a Column>) -> Self {
        match column {
            None => Self::Known(0),
            Some(Column::Number(number)) => Self::Known(usize::from(number.saturating_sub(1))),
            Some(Column::Name(name)) => Self::Named { name, in_comment: None },
        }
    }

    /// A comment may be the header; the one closest to the data counts. A single word is prose, not a header.
    fn see_comment(&mut self, comment: &[u8]) {
        if let Self::Named { name, in_comment } = self
            && fields(comment).nth(1).is_some()
            && let Some(index) = position(comment, name)
        {
            *in_comment = Some(index);
        }
    }

    /// Index of the address column in `line`, or `None` when the line is the header.
    fn column_of(&mut self, line: Line<'_>) -> Result<Option<usize>, BodyError> {
        let (name, in_comment) = match self {
            Self::Known(index) => return Ok(Some(*index)),
            Self::Named { name, in_comment } => (*name, *in_comment),
        };
        if let Some(index) = position(line.text, name) {
            *self = Self::Known(index);
            return Ok(None);
        }
        let index = in_comment.ok_or_else(|| BodyError::NoSuchColumn {
            column: name.to_owned(),
            line: line.number,
            header: printable(line.text),
        })?;
        *self = Self::Known(index);
        Ok(Some(index))
    }
}

fn position(line: &[u8], name: &str) -> Option<usize> {
    fields(line).position(|field| field.is_ok_and(|field| field.eq_ignore_ascii_case(name.trim().as_bytes())))
}

/// The number in the trailer `# END 123 entries` (F13).
fn rows_stated(comment: &[u8]) -> Option<u64> {
    let mut words = str::from_utf8(comment).ok()?.split_whitespace();
    let end = words.next()?.eq_ignore_ascii_case("end");
    let number = words.next()?.parse().ok()?;
    (end && words.next()?.eq_ignore_ascii_case("entries")).then_some(number)
}

/// A quote that is not closed on its line, or is followed by something else than a comma.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BadQuote;

/// Field `index` of a row, if there are so many. The whole row must be sound: a row cut in its last field is not.
fn field(line: &[u8], index: usize) -> Result<Option<&[u8]>, BadQuote> {
    let mut wanted = None;
    for (i, field) in fields(line).enumerate() {
        let field = field?;
        if i == index {
            wanted = Some(field);
        }
    }
    Ok(wanted)
}

/// The fields of a row, trimmed and without their quotes. Doubled quotes stay doubled: no address holds one.
fn fields(line: &[u8]) -> impl Iterator<Item = Result<&[u8], BadQuote>> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let (field, behind) = match split_field(rest?) {
            Ok(split) => split,
            Err(error) => {
                rest = None;
                return Some(Err(error));
            }
        };
        rest = behind;
        Some(Ok(field))
    })
}

/// The first field of `text`, and what follows the comma behind it.
fn split_field(text: &[u8]) -> Result<(&[u8], Option<&[u8]>), BadQuote> {
    let text = trim(text);
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|&b| b == b',');
        let (field, behind) = text.split_at(end.unwrap_or(text.len()));
        return Ok((trim(field), behind.strip_prefix(b",")));
    };
    let mut from = 0;
    loop {
        let quote = quoted[from..].iter().position(|&b| b == b'"').ok_or(BadQuote)? + from;
        let behind = &quoted[quote + 1..];
        if behind.starts_with(b"\"") {
            from = quote + 2;
            continue;
        }
        return match trim(behind) {
            [] => Ok((trim(&quoted[..quote]), None)),
            [b',', behind @ ..] => Ok((trim(&quoted[..quote]), Some(behind))),
            _ => Err(BadQuote),
        };
    }
}
