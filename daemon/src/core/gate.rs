//! The gate: checks a parsed feed must pass as a whole before it replaces its last good copy.
//!
//! What one body shows by itself is judged here: cut (G06), empty (G05), drifted from its format (G07). A failure
//! keeps the last good copy, and its message is what the operator reads in `status`.

use super::feed::{Counts, Declared, Parsed};
use std::fmt;
use thiserror::Error;

/// Rejects that do not fail a feed which has entries: a typo or two in a short hand-kept list is no drift of its format.
const FEW_REJECTS: u64 = 5;

/// What one feed must satisfy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Zero entries are fine (G05); off by default.
    pub may_be_empty: bool,
    /// Most rejected lines, in percent of all data lines (G07). Up to five are forgiven beside
    /// good entries, unless the limit is 0.
    pub max_rejects_percent: u8,
}

impl Default for Rules {
    fn default() -> Self {
        Self { may_be_empty: false, max_rejects_percent: 5 }
    }
}

/// Why a feed as a whole is not used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GateFailure {
    /// G06: the line that always opens or closes the format is not there.
    #[error(
        "incomplete: {expected} is missing; the copy was cut or the format is another one, fetch it again and check `format`"
    )]
    NotClosed {
        /// What was expected.
        expected: &'static str,
    },
    /// G06: the body states another number of rows than it has.
    #[error(
        "incomplete: the feed states {stated} rows and has {found}; the copy was cut or mixed, fetch it again"
    )]
    RowCount {
        /// Rows according to the body.
        stated: u64,
        /// Rows in the body.
        found: u64,
    },
    /// G05: nothing to list.
    #[error("no entries: {0}; set `may_be_empty` if this is normal for the feed")]
    Empty(Hollow),
    /// G07: too many rejected lines.
    #[error(
        "{rejected} of {rows} rows rejected, more than {limit} %, {example}; check `format` or raise `max_rejects`"
    )]
    Rejects {
        /// Rejected rows.
        rejected: u64,
        /// All rows.
        rows: u64,
        /// The limit, in percent.
        limit: u8,
        /// The most frequent reason and a line that shows it.
        example: Example,
    },
}

/// How a body comes to have no entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hollow {
    /// There is no line at all.
    NoLines,
    /// Comments and blank lines only: how publishers leave a list they have given up.
    Comments {
        /// Their number.
        lines: u64,
    },
    /// Every row was rejected.
    Rejected {
        /// Their number.
        rows: u64,
        /// The most frequent reason and a line that shows it.
        example: Example,
    },
    /// Every row names special-use space only (E16).
    SpecialUse {
        /// Their number.
        rows: u64,
    },
    /// Every row has a score below the least wanted.
    BelowMinScore {
        /// Their number.
        rows: u64,
    },
    /// No row names an address or domain, as in lists of AS numbers.
    NotApplicable {
        /// Their number.
        rows: u64,
    },
    /// Every row takes names out of others, and there are no others.
    Exclusions {
        /// Their number.
        rows: u64,
    },
    /// Several of these together.
    Mixed(Box<Counts>),
}

/// The most frequent reason for rejects, with the first kept line that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    reason: String,
    line: Option<(u32, String)>,
}

/// Passes or fails a parsed body.
///
/// # Errors
/// The first check that fails, in an order in which the cause comes before its consequences: a cut copy may look
/// empty, and a body in which every line is rejected is both empty and drifted.
pub fn judge(rules: &Rules, parsed: &Parsed) -> Result<(), GateFailure> {
    match parsed.declared {
        Declared::Missing { expected } => return Err(GateFailure::NotClosed { expected }),
        Declared::Rows { stated, found } if stated != found => {
            return Err(GateFailure::RowCount { stated, found });
        }
        Declared::Nothing | Declared::Complete | Declared::Rows { .. } => {}
    }
    if parsed.lists_nothing() && !rules.may_be_empty {
        return Err(GateFailure::Empty(hollow(parsed)));
    }
    let (rejected, rows) = (parsed.counts.rejected_total(), parsed.counts.rows());
    let limit = rules.max_rejects_percent;
    let forgiven = rejected <= FEW_REJECTS && limit > 0 && !parsed.lists_nothing();
    if !forgiven && rejected.saturating_mul(100) > rows.saturating_mul(limit.into()) {
        return Err(GateFailure::Rejects { rejected, rows, limit, example: example(parsed) });
    }
    Ok(())
}

fn hollow(parsed: &Parsed) -> Hollow {
    let counts = &parsed.counts;
    let rows = counts.rows();
    match rows {
        0 if counts.lines == 0 => Hollow::NoLines,
        0 => Hollow::Comments { lines: counts.lines },
        _ if rows == counts.rejected_total() => Hollow::Rejected { rows, example: example(parsed) },
        _ if rows == counts.special_use => Hollow::SpecialUse { rows },
        _ if rows == counts.below_min_score => Hollow::BelowMinScore { rows },
        _ if rows == counts.not_applicable => Hollow::NotApplicable { rows },
        _ if rows == counts.accepted => Hollow::Exclusions { rows },
        _ => Hollow::Mixed(Box::new(counts.clone())),
    }
}

/// Call only with at least one reject.
fn example(parsed: &Parsed) -> Example {
    let most = parsed.counts.rejected.iter().max_by_key(|(_, count)| **count).map(|(reason, _)| *reason);
    let shown = parsed.rejects.iter().find(|reject| Some(reject.reason) == most);
    Example {
        reason: most.map(|reason| reason.to_string()).unwrap_or_default(),
        line: shown.map(|reject| (reject.line, reject.text.clone())),
    }
}

impl fmt::Display for Hollow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLines => f.write_str("the body is empty"),
            Self::Comments { lines } => {
                write!(
                    f,
                    "hollow, all {lines} lines are comments or blank, the publisher may have given the list up"
                )
            }
            Self::Rejected { rows, example } => {
                write!(f, "all {rows} rows were rejected, {example}, check `format`")
            }
            Self::SpecialUse { rows } => {
                write!(f, "all {rows} rows name special-use space only, which is kept for bogon lists alone")
            }
            Self::BelowMinScore { rows } => write!(f, "all {rows} rows have a score below `min_score`"),
            Self::NotApplicable { rows } => write!(f, "none of {rows} rows names an address or domain"),
            Self::Exclusions { rows } => write!(f, "all {rows} rows are exceptions, from nothing"),
            Self::Mixed(counts) => write!(
                f,
                "of {} rows {} were rejected, {} name special-use space only, {} have a score below `min_score` \
                 and {} name no address or domain",
                counts.rows(),
                counts.rejected_total(),
                counts.special_use,
                counts.below_min_score,
                counts.not_applicable,
            ),
        }
    }
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mostly because: {}", self.reason)?;
        match &self.line {
            Some((line, text)) => write!(f, " (line {line}: `{text}`)"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::feed::{self, Format};

    const DEFAULT: Rules = Rules { may_be_empty: false, max_rejects_percent: 5 };
    const MAY_BE_EMPTY: Rules = Rules { may_be_empty: true, ..DEFAULT };

    fn parsed(format: Format, text: &str) -> Parsed {
        feed::parse(&feed::Rules { min_score: 3, ..feed::Rules::new(format) }, text.as_bytes()).unwrap()
    }

    /// The message for the operator.
    fn failure(format: Format, text: &str) -> String {
        judge(&DEFAULT, &parsed(format, text)).unwrap_err().to_string()
    }

    #[test]
    fn sound_feeds_pass() {
        for info in &feed::FORMATS {
            let mut rules = feed::Rules::new(info.format);
            rules.column = Some(feed::Column::Name("dst_ip".into()));
            let parsed = feed::parse(&rules, info.example.as_bytes()).unwrap();
            assert_eq!(judge(&DEFAULT, &parsed), Ok(()), "{}", info.name);
        }
        assert_eq!(DEFAULT, Rules::default());
    }

    #[test]
    fn g05_empty_feeds_fail_and_say_how_they_are_empty() {
        for (format, text, said) in [
            (Format::Plain, "", "no entries: the body is empty; set `may_be_empty`"),
            (Format::Plain, "# gone\n\n", "hollow, all 2 lines are comments or blank"),
            (Format::Plain, "404: Not Found", "all 1 rows were rejected, mostly because: not an address"),
            (Format::Plain, "10.0.0.1\n::1\n", "all 2 rows name special-use space only"),
            (Format::ScoreTsv, "192.0.2.1\t2\n", "all 1 rows have a score below `min_score`"),
            (
                Format::SpamhausJson,
                "{\"asn\":1}\n{\"type\":\"metadata\",\"records\":1}\n",
                "none of 1 rows names an address or domain",
            ),
            (Format::ScoreTsv, "192.0.2.1\t2\nx\t3\n", "of 2 rows 1 were rejected, 0 name special-use"),
            (Format::Domains, "# gone\n", "hollow, all 1 lines are comments or blank"),
            (
                Format::Domains,
                "com\n",
                "all 1 rows were rejected, mostly because: the root, a top-level domain",
            ),
            (Format::Hosts, "127.0.0.1 localhost\n", "none of 1 rows names an address or domain"),
            (Format::Adblock, "@@||good.example^\n", "all 1 rows are exceptions, from nothing"),
        ] {
            let message = failure(format, text);
            assert!(message.contains(said), "{text:?} gave: {message}");
            assert!(message.starts_with("no entries: "), "{message}");
        }
    }

    #[test]
    fn g05_feeds_that_may_be_empty_pass_unless_their_lines_are_bad() {
        for text in ["", "# nothing today\n", "10.0.0.1\n"] {
            assert_eq!(judge(&MAY_BE_EMPTY, &parsed(Format::Plain, text)), Ok(()), "{text:?}");
        }
        let page = judge(&MAY_BE_EMPTY, &parsed(Format::Plain, "404: Not Found")).unwrap_err();
        assert!(matches!(page, GateFailure::Rejects { rejected: 1, rows: 1, .. }));
    }

    #[test]
    fn g06_cut_feeds_fail() {
        let text = failure(Format::SpamhausText, "192.0.2.0/24 ; REF\n");
        assert!(text.contains("incomplete: the closing line `; EOF` is missing"), "{text}");
        let counted = failure(Format::Netset, "# Entries : 3 subnets, 3 unique IPs\n192.0.2.1\n10.0.0.1\n");
        assert!(counted.contains("the feed states 3 rows and has 2"), "{counted}");
        let json = failure(Format::SpamhausJson, "{\"cidr\":\"192.0.2.0/24\"}\n");
        assert!(json.contains("the closing metadata line with `records` is missing"), "{json}");
        let csv = failure(Format::Csv, "192.0.2.1\n# END 2 entries\n");
        assert!(csv.contains("states 2 rows and has 1"), "{csv}");
        // A feed that may be empty may still not be cut.
        let cut = judge(&MAY_BE_EMPTY, &parsed(Format::SpamhausText, "; list\n"));
        assert!(matches!(cut, Err(GateFailure::NotClosed { .. })));
    }

    #[test]
    fn g07_the_limit_of_rejects_is_exact() {
        let bad = "010.0.0.1\nbad.example\n010.0.0.2\n010.0.0.3\n010.0.0.4\n010.0.0.5\n";
        let with = |good: usize| format!("{bad}{}", "192.0.2.1\n".repeat(good));
        assert_eq!(judge(&DEFAULT, &parsed(Format::Plain, &with(114))), Ok(()), "6 of 120 are 5 %");
        let message = failure(Format::Plain, &with(113));
        assert!(
            message.starts_with(
                "6 of 119 rows rejected, more than 5 %, mostly because: a number with leading zeros"
            ),
            "{message}"
        );
        assert!(message.contains("(line 1: `010.0.0.1`)"), "{message}");
        let lenient = Rules { max_rejects_percent: 100, ..DEFAULT };
        assert_eq!(judge(&lenient, &parsed(Format::Plain, &with(1))), Ok(()));
        let exact = Rules { max_rejects_percent: 0, ..DEFAULT };
        assert!(judge(&exact, &parsed(Format::Plain, &with(10_000))).is_err());
    }

    #[test]
    fn g07_a_few_typos_do_not_fail_a_short_list() {
        let typos = "010.0.0.1\nbad.example\n010.0.0.2\n010.0.0.3\n010.0.0.4\n192.0.2.1\n";
        assert_eq!(judge(&DEFAULT, &parsed(Format::Plain, typos)), Ok(()));
        let exact = Rules { max_rejects_percent: 0, ..DEFAULT };
        assert!(judge(&exact, &parsed(Format::Plain, typos)).is_err());
    }

    #[test]
    fn g07_rows_left_out_on_purpose_are_sound_rows() {
        let mut text = "192.0.2.1\t1\n".repeat(99);
        text.push_str("192.0.2.2\t9\nbad.example\t9\n");
        assert_eq!(judge(&DEFAULT, &parsed(Format::ScoreTsv, &text)), Ok(()));
    }
}
