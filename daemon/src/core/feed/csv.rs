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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::feed::Format;
    use proptest::prelude::*;

    fn parsed(column: Column, text: &str) -> Result<Parsed, BodyError> {
        read(&Rules { column: Some(column), ..Rules::new(Format::Csv) }, text.as_bytes())
    }

    fn named(name: &str, text: &str) -> Parsed {
        parsed(Column::Name(name.into()), text).unwrap()
    }

    fn row(text: &str) -> Vec<Result<&str, BadQuote>> {
        fields(text.as_bytes()).map(|f| f.map(|f| str::from_utf8(f).unwrap())).collect()
    }

    #[test]
    fn f13_the_column_is_found_in_the_header_and_the_trailer_counts() {
        let text = "# Example tracker\n# Terms: see our, pages\n#\n\
            \"first_seen_utc\",\"dst_ip\",\"dst_port\",\"malware\"\r\n\
            \"2022-06-04 21:24:53\",\"192.0.2.246\",\"8080\",\"A, B\"\r\n\
            \"2025-12-30 13:56:31\",\"2001:db8::1\",\"443\",\"C\"\r\n\
            # END 2 entries\r\n";
        let list = named("DST_IP", text);
        assert_eq!((list.entries.v4.len(), list.entries.v6.len()), (1, 1));
        assert_eq!(list.entries.v6[0].line, 6);
        assert_eq!((list.counts.comments, list.counts.rejected_total()), (5, 0));
        assert_eq!(list.declared, Declared::Rows { stated: 2, found: 2 });
    }

    #[test]
    fn f14_the_header_may_be_a_comment_and_blanks_may_follow_commas() {
        let text = "# ThreatExample, all rights reserved\n#\n\
            # \"first_seen_utc\",\"ioc_id\",\"ioc_value\",\"ioc_type\",\"tags\"\r\n\
            \"2026-08-30 01:39:33\", \"1891291\", \"192.0.2.77:443\", \"ip:port\", \"a,b\"\r\n\
            \"2026-08-30 01:39:33\", \"with, comma\", \"192.0.2.78:80\", \"ip:port\", \"None\"\r\n";
        let list = named("ioc_value", text);
        assert_eq!((list.counts.accepted, list.counts.ports, list.counts.comments), (2, 2, 3));
        assert_eq!(list.rejects, []);
        assert_eq!(list.declared, Declared::Nothing);
    }

    #[test]
    fn a_real_header_wins_over_one_in_a_comment() {
        let list = named("ip", "# columns are: a, ip\nip,a\n192.0.2.1,x\n");
        assert_eq!((list.counts.accepted, list.counts.comments), (1, 2));
    }

    #[test]
    fn f15_by_number_from_one_without_header() {
        let list =
            parsed(Column::Number(2), "2021-01-19 08:46:12,192.0.2.80,443\n\n2021,2001:db8::1\n2021\n")
                .unwrap();
        assert_eq!((list.counts.accepted, list.counts.comments), (2, 1));
        assert_eq!((list.rejects[0].line, list.rejects[0].reason), (4, RejectReason::ShortRow));
    }

    #[test]
    fn a_missing_column_refuses_the_body() {
        let error = parsed(Column::Name("ip".into()), "# note\naddress,tags\n192.0.2.1,x\n").unwrap_err();
        let wanted = BodyError::NoSuchColumn { column: "ip".into(), line: 2, header: "address,tags".into() };
        assert_eq!(error, wanted);
        assert_eq!(named("ip", "# nothing\n\n").counts.comments, 2);
    }

    #[test]
    fn a_stray_quote_costs_its_own_line_only() {
        let text = "192.0.2.1,\"a\n192.0.2.2,\"b\"\n192.0.2.3,\"c\"d\n\"192.0.2.4\n192.0.2.5,e\"f\n";
        let list = parsed(Column::Number(1), text).unwrap();
        assert_eq!(list.counts.accepted, 2);
        assert_eq!(list.counts.rejected[&RejectReason::BadQuote], 3);
    }

    #[test]
    fn f13_trailers_are_read_exactly() {
        assert_eq!(rows_stated(b" END 2 entries"), Some(2));
        assert_eq!(rows_stated(b"end 20 Entries "), Some(20));
        for other in
            ["END", "END of list", "END 2", "END -2 entries", "2 entries", "THE END 2 entries", "\u{fffd}"]
        {
            assert_eq!(rows_stated(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn rows_are_split_at_commas_outside_quotes() {
        assert_eq!(
            row("a, b ,,\"c,d\" , \"e\"\"f\",g\"h"),
            [Ok("a"), Ok("b"), Ok(""), Ok("c,d"), Ok("e\"\"f"), Ok("g\"h")]
        );
        assert_eq!(row(""), [Ok("")]);
        assert_eq!(row("a,"), [Ok("a"), Ok("")]);
        assert_eq!(row("\"\""), [Ok("")]);
        assert_eq!(row("a,\"b,c"), [Ok("a"), Err(BadQuote)]);
        assert_eq!(row("\"a\" b,c"), [Err(BadQuote)]);
        assert_eq!(row("\"a\"\"\""), [Ok("a\"\"")]);
    }

    proptest! {
        /// Whatever a general CSV writer writes on one line is split as it was meant.
        #[test]
        fn rows_agree_with_a_csv_writer(cells in proptest::collection::vec("[a-c\", .:0-9]{0,6}", 1..6)) {
            let mut writer = ::csv::WriterBuilder::new().from_writer(Vec::new());
            writer.write_record(&cells).unwrap();
            let line = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            let found: Vec<String> = row(line.trim_end_matches('\n'))
                .into_iter()
                .map(|field| field.unwrap().replace("\"\"", "\""))
                .collect();
            let wanted: Vec<&str> = cells.iter().map(|cell| cell.trim()).collect();
            prop_assert_eq!(found, wanted);
        }
    }
}
