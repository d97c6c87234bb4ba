//! Problems: what is wrong in a configuration, where, and what would be right.
//!
//! Reading and checking never stop at the first problem. They put it into a [`Report`] and go on, so that one run
//! shows all of them.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Most errors kept from one file; further ones are counted. Bounds memory and what scrolls past the reader.
pub const MAX_ERRORS: usize = 100;

/// Most characters of the offending text that are repeated in a message.
const MAX_SHOWN: usize = 60;

/// Most characters of a hint; what is allowed takes the more, a name with a slip in it is at most 253.
const MAX_HINT: usize = 500;

/// One thing wrong, or odd, in a configuration file.
///
/// Displayed as `file:line: what: found; hint`; a syntax error has its column behind the line, a file that cannot be
/// read has neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named to [`super::Config::load`].
    pub file: PathBuf,
    /// Line from 1.
    pub line: Option<u32>,
    /// Column from 1, in characters; only for syntax errors.
    pub column: Option<u32>,
    /// What is wrong.
    pub what: String,
    /// The offending text, shortened, control characters escaped, secrets masked. Empty if there is none to show.
    pub found: String,
    /// What would be right.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        for number in [self.line, self.column].into_iter().flatten() {
            write!(f, "{number}:")?;
        }
        write!(f, " {}", self.what)?;
        if !self.found.is_empty() {
            write!(f, ": {}", self.found)?;
        }
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration, in the order of the file. Displayed as one line per problem.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct ConfigErrors {
    /// At least one, at most [`MAX_ERRORS`].
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub omitted: usize,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            let end = if i == 0 { "" } else { "\n" };
            write!(f, "{end}{problem}")?;
        }
        match self.omitted {
            0 => Ok(()),
            n => write!(f, "\nand {n} more errors"),
        }
    }
}

impl ConfigErrors {
    /// A problem with the file as a whole.
    pub(super) fn file(path: &Path, what: impl Into<String>, hint: impl Into<String>) -> Self {
        let (what, hint) = (what.into(), hint.into());
        let problem =
            Problem { file: path.into(), line: None, column: None, what, found: String::new(), hint };
        Self { problems: vec![problem], omitted: 0 }
    }
}

/// Bytes of the file something was read from.
pub(super) type Place = Range<usize>;

/// Collects the problems of one file.
pub(super) struct Report<'a> {
    file: &'a Path,
    text: &'a str,
    /// With the byte each one stands at.
    errors: Vec<(usize, Problem)>,
    omitted: usize,
    warnings: Vec<(usize, Problem)>,
}

impl<'a> Report<'a> {
    pub(super) fn new(file: &'a Path, text: &'a str) -> Self {
        Self { file, text, errors: Vec::new(), omitted: 0, warnings: Vec::new() }
    }

    /// Something that must be put right.
    pub(super) fn error(&mut self, at: Place, what: String, found: String, hint: &str) {
        if self.has_room() {
            self.errors.push((at.start, self.problem(at, what, found, hint)));
        } else {
            self.omitted += 1;
        }
    }

    /// A syntax error, which is shown with its column.
    pub(super) fn syntax(&mut self, at: Place, message: &str) {
        if self.has_room() {
            let column = Some(column(self.text, at.start));
            let problem = self.problem(at.clone(), format!("not TOML: {message}"), String::new(), "");
            self.errors.push((at.start, Problem { column, ..problem }));
        } else {
            self.omitted += 1;
        }
    }

    /// Something that is allowed but probably not meant. Past [`MAX_ERRORS`] there are no further ones.
    pub(super) fn warn(&mut self, at: Place, what: String, hint: &str) {
        if self.warnings.len() < MAX_ERRORS {
            self.warnings.push((at.start, self.problem(at, what, String::new(), hint)));
        }
    }

    /// Is there room for another error? What only serves its message need not be worked out otherwise.
    pub(super) fn has_room(&self) -> bool {
        self.errors.len() < MAX_ERRORS
    }

    /// The warnings, or all errors if there is any; in the order of the file.
    pub(super) fn finish(self) -> Result<Vec<Problem>, ConfigErrors> {
        if self.errors.is_empty() {
            Ok(in_order(self.warnings))
        } else {
            Err(ConfigErrors { problems: in_order(self.errors), omitted: self.omitted })
        }
    }

    fn problem(&self, at: Place, what: String, found: String, hint: &str) -> Problem {
        let line = Some(line(self.text.as_bytes(), at.start));
        // Hints can repeat what others made of a text, and they do not know where it is shown.
        let hint = printable(hint, MAX_HINT);
        Problem { file: self.file.into(), line, column: None, what, found, hint }
    }
}

fn in_order(mut problems: Vec<(usize, Problem)>) -> Vec<Problem> {
    problems.sort_by_key(|(at, _)| *at);
    problems.into_iter().map(|(_, problem)| problem).collect()
}

/// Line of a byte, from 1.
pub(super) fn line(text: &[u8], offset: usize) -> u32 {
    let before = text.get(..offset).unwrap_or(text);
    let breaks = before.iter().filter(|&&b| b == b'\n').count();
    u32::try_from(breaks).unwrap_or(u32::MAX).saturating_add(1)
}

fn column(text: &str, offset: usize) -> u32 {
    let before = text.get(..offset).unwrap_or(text);
    let characters = before.chars().rev().take_while(|&c| c != '\n').count();
    u32::try_from(characters).unwrap_or(u32::MAX).saturating_add(1)
}

/// A key or name as a message may repeat it.
pub(super) fn shown(text: &str) -> String {
    printable(text, MAX_SHOWN)
}

/// Shortens a text and makes sure that nothing in it can drive a terminal.
fn printable(text: &str, most: usize) -> String {
    let end = text.char_indices().nth(most).map(|(end, _)| end);
    let (head, rest) =
        (end.and_then(|end| text.get(..end)).unwrap_or(text), if end.is_some() { "..." } else { "" });
    let escaped: String = head.chars().flat_map(escape).collect();
    format!("{escaped}{rest}")
}

/// A string value as a message may repeat it: [`shown`], in quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text))
}

/// Escapes control and other invisible characters, but neither quotes and backslashes nor letters of any language.
fn escape(c: char) -> impl Iterator<Item = char> {
    let plain = matches!(c, '"' | '\'' | '\\');
    let escaped = c.escape_debug();
    plain.then_some(c).into_iter().chain(escaped.filter(move |_| !plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_hostile_text_harmlessly() {
        assert_eq!(shown("a\u{1b}[31m\u{202e}\n"), "a\\u{1b}[31m\\u{202e}\\n");
        assert_eq!(quoted("it's \"가\""), "\"it's \"가\"\"");
        assert_eq!(shown(&"é".repeat(61)), format!("{}...", "é".repeat(60)));
        assert_eq!(shown(&"é".repeat(60)), "é".repeat(60));
    }

    #[test]
    fn counts_what_it_does_not_keep() {
        let mut report = Report::new(Path::new("x.toml"), "a\nb\n");
        for _ in 0..MAX_ERRORS + 7 {
            report.error(2..3, "bad".into(), "b".into(), "");
        }
        let errors = report.finish().unwrap_err();
        assert_eq!((errors.problems.len(), errors.omitted), (MAX_ERRORS, 7));
        let text = errors.to_string();
        assert_eq!(text.lines().next(), Some("x.toml:2: bad: b"));
        assert_eq!(text.lines().last(), Some("and 7 more errors"));
    }

    #[test]
    fn lines_and_columns_start_at_one() {
        assert_eq!((line(b"ab\ncd", 0), line(b"ab\ncd", 2), line(b"ab\ncd", 3), line(b"", 9)), (1, 1, 2, 1));
        assert_eq!((column("ab\néd", 0), column("ab\néd", 3), column("ab\néd", 5)), (1, 1, 2));
    }
}
