//! Builder: settles each line as entry, comment or reject, and counts it exactly once.

use super::lines::{self, Comments, Line};
use super::parsed::{Declared, MAX_REJECTS, Parsed};
use super::reject::{Reject, RejectReason, printable};
use super::space::{self, Admitted};
use super::token::{self, Reading, Spelling};
use super::{Format, Rules};
use crate::core::domain::DomainEntry;
use crate::core::network::Network;
use std::borrow::Cow;

/// A body being read. Each line is given to exactly one of the methods.
pub(super) struct Builder<'a> {
    rules: &'a Rules,
    spelling: Spelling,
    parsed: Parsed,
}

/// What a line says beside its network.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extras {
    /// The feed's own value, see [`crate::core::entry::Entry::value`].
    pub(super) value: u32,
    /// A comment or reference stands behind the entry.
    pub(super) note: bool,
    /// The line was repaired before the token was cut out of it (E04).
    pub(super) repaired: bool,
    /// The value stands in for a score that cannot be read (E25).
    pub(super) default_score: bool,
}

impl<'a> Builder<'a> {
    /// An empty body.
    pub(super) fn new(rules: &'a Rules) -> Self {
        let spelling = Spelling { strict: rules.strict, ports: rules.format == Format::Csv };
        Self { rules, spelling, parsed: Parsed::default() }
    }

    /// A blank line, comment, header or trailer.
    pub(super) fn comment(&mut self) {
        self.parsed.counts.comments += 1;
    }

    /// A well-formed row that names no address by design.
    pub(super) fn not_applicable(&mut self) {
        self.parsed.counts.not_applicable += 1;
    }

    /// A line that cannot be read.
    pub(super) fn reject(&mut self, line: Line<'_>, reason: RejectReason) {
        *self.parsed.counts.rejected.entry(reason).or_default() += 1;
        if self.parsed.rejects.len() < MAX_REJECTS {
            let text = printable(line.text);
            self.parsed.rejects.push(Reject { line: line.number, text, reason });
        }
    }

    /// A row whose token is still text.
    pub(super) fn row(&mut self, line: Line<'_>, token: &[u8], extras: Extras) {
        match token::read(token, self.spelling) {
            Ok(reading) => self.settle(line, reading, extras),
            Err(reason) => self.reject(line, reason),
        }
    }

    /// A row that has been read to a network as it stands.
    pub(super) fn network(&mut self, line: Line<'_>, network: Network, extras: Extras) {
        self.settle(line, Reading { network, repaired: false, port: false }, extras);
    }

    /// A row of names that have been read, `None` in place of those that never reach the DNS.
    pub(super) fn domains<'n, N: Iterator<Item = Option<DomainEntry<'n>>>>(
        &mut self,
        line: Line<'_>,
        names: N,
        extras: Extras,
    ) {
        let Parsed { domains, counts, .. } = &mut self.parsed;
        let (mut kept, mut special) = (false, false);
        for name in names {
            match name {
                None => special = true,
                Some(entry) if domains.push(entry) => kept = true,
                Some(_) => return self.reject(line, RejectReason::LabelLength),
            }
        }
        if !kept {
            counts.special_use += 1;
            return;
        }
        counts.cut += u64::from(special);
        self.accept(extras);
    }

    /// A line of the list formats: at most one token, perhaps a comment. Gives the comment of a line without data.
    pub(super) fn list_line<'l>(&mut self, line: Line<'l>, comments: &Comments) -> Option<Cow<'l, [u8]>> {
        if let Some(network) = token::common_v4(line.text) {
            self.network(line, network, Extras::default());
            return None;
        }
        let content = lines::content(line.text, comments);
        if content.data.is_empty() {
            self.comment();
            return content.comment;
        }
        let extras =
            Extras { note: content.comment.is_some(), repaired: content.repaired, ..Extras::default() };
        self.row(line, &content.data, extras);
        None
    }

    fn settle(&mut self, line: Line<'_>, reading: Reading, extras: Extras) {
        let Parsed { entries, counts, .. } = &mut self.parsed;
        // Only score formats have values to compare.
        if self.rules.format == Format::ScoreTsv && extras.value < self.rules.min_score {
            counts.below_min_score += 1;
            return;
        }
        let keep = |network| entries.push(network, line.number, extras.value);
        match space::admit(reading.network, self.rules, keep) {
            Err(reason) => return self.reject(line, reason),
            Ok(Admitted::Special) => {
                counts.special_use += 1;
                return;
            }
            Ok(Admitted::Cut) => counts.cut += 1,
            Ok(Admitted::Whole) => {}
        }
        counts.ports += u64::from(reading.port);
        self.accept(Extras { repaired: reading.repaired || extras.repaired, ..extras });
    }

    /// Counts a line that gave entries.
    fn accept(&mut self, extras: Extras) {
        let counts = &mut self.parsed.counts;
        counts.accepted += 1;
        counts.repaired += u64::from(extras.repaired);
        counts.notes += u64::from(extras.note);
        counts.scores_defaulted += u64::from(extras.default_score);
    }

    /// The body is at its end and states no number of rows.
    pub(super) fn finish(mut self, declared: Declared) -> Parsed {
        let counts = &mut self.parsed.counts;
        counts.lines = counts.comments + counts.rows();
        self.parsed.declared = declared;
        self.parsed
    }

    /// The body is at its end and states its number of rows.
    pub(super) fn finish_counted(self, stated: u64) -> Parsed {
        let found = self.parsed.counts.rows();
        self.finish(Declared::Rows { stated, found })
    }
}
