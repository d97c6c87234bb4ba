//! What parsing makes of a body: entries, rejects and counts that add up.

use super::reject::{Reject, RejectReason};
use crate::core::domain::Domains;
use crate::core::entry::Entries;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A parsed body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// What the feed lists, in file order. Duplicates are still in (E19), special-use space is not (E16).
    pub entries: Entries,
    /// What it lists by name, in file order. Always empty for formats of addresses.
    pub domains: Domains,
    /// The first [`MAX_REJECTS`] refused lines; [`Counts::rejected`] counts all of them.
    pub rejects: Vec<Reject>,
    /// What became of the lines.
    pub counts: Counts,
    /// What the body says about its own completeness (G06).
    pub declared: Declared,
}

/// Refused lines kept with their text: bounds what a hostile feed can make the daemon hold and print.
pub const MAX_REJECTS: usize = 1000;

/// What became of the lines of a body. Every line is counted in exactly one of `comments`, `accepted`, `rejected`,
/// `special_use`, `below_min_score` and `not_applicable`, which together make up `lines`; the others describe
/// accepted lines further.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Lines of the decoded body; a final line end does not begin another line.
    pub lines: u64,
    /// Blank lines, comments, headers and trailers.
    pub comments: u64,
    /// Lines that gave entries.
    pub accepted: u64,
    /// Refused lines by reason.
    pub rejected: BTreeMap<RejectReason, u64>,
    /// Lines removed because they name special-use space only (E16), or names that never reach the DNS.
    pub special_use: u64,
    /// Lines left out for their score.
    pub below_min_score: u64,
    /// Well-formed rows that name no address or domain by design, such as AS numbers (F21).
    pub not_applicable: u64,
    /// Accepted lines that were read after a repair: odd blanks or dashes (E04), host bits (E07), brackets (E15).
    pub repaired: u64,
    /// Accepted lines that lost a special-use part (E16).
    pub cut: u64,
    /// Accepted lines with a port, which is dropped (E12).
    pub ports: u64,
    /// Accepted lines with a comment or reference behind the entry.
    pub notes: u64,
    /// Accepted lines whose score was missing or out of range and got the default (E25).
    pub scores_defaulted: u64,
}

impl Parsed {
    /// Is nothing listed: no address, and no name but those taken out of others?
    pub fn lists_nothing(&self) -> bool {
        self.entries.is_empty() && self.domains.listed() == 0
    }
}

impl Counts {
    /// Refused lines of every reason.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Data lines: all but blank lines, comments, headers and trailers.
    pub fn rows(&self) -> u64 {
        self.accepted + self.rejected_total() + self.special_use + self.below_min_score + self.not_applicable
    }
}

/// What a body says about its own completeness (G06).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Declared {
    /// Nothing: a cut copy cannot be told from a short one.
    #[default]
    Nothing,
    /// The line that always opens or closes this format is not there.
    Missing {
        /// What was expected.
        expected: &'static str,
    },
    /// The closing line is there and states no number.
    Complete,
    /// The body states its number of rows.
    Rows {
        /// Rows according to the body.
        stated: u64,
        /// Rows in the body ([`Counts::rows`]).
        found: u64,
    },
}
