//! Feed formats: bytes of a fetched body to entries, one format per file.
//!
//! Formats are chosen by explicit name, never guessed. Every line becomes an entry, a comment or a reject that knows
//! its line number and reason; nothing is dropped silently.
//!
//! In flow order: `decode` turns the body into text, a format splits it with `lines`, `token` reads a word as a
//! network, `space` decides which of its addresses a feed may list, `builder` counts what became of the line.
//! `domain` holds the formats that list names.
//! The way back is `find`: from an address or domain to the lines that name it.
//!
//! Bounds: the decoded text is at most [`Rules::max_bytes`], work is linear in it, and the entries take at most about
//! 24 bytes of memory per byte of text (an IPv6 entry of 48 bytes, doubling growth, from lines of four bytes).

mod builder;
mod csv;
mod decode;
mod domain;
mod find;
mod format;
mod lines;
mod netset;
mod parsed;
mod plain;
mod reject;
mod score_tsv;
mod space;
mod spamhaus_json;
mod spamhaus_text;
#[cfg(test)]
mod tests;
mod token;

pub use decode::BodyError;
pub use domain::{domain_name, domain_pattern};
pub use find::{Found, MAX_LINES, SourceLine, find, find_domains};
pub use format::{FORMATS, Format, FormatInfo};
pub use parsed::{Counts, Declared, MAX_REJECTS, Parsed};
pub use reject::{Reject, RejectReason};

/// Which CSV column holds the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// By its name in the header line, upper or lower case.
    Name(String),
    /// By number from 1, 0 counting as 1; the file has no header.
    Number(u16),
}

/// How one feed is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The format.
    pub format: Format,
    /// The address column, for [`Format::Csv`] only; without it, the first.
    pub column: Option<Column>,
    /// Entries with a lower score are left out and counted; 0 keeps all. For [`Format::ScoreTsv`] only.
    pub min_score: u32,
    /// Widest IPv4 prefix taken from this feed, as a prefix length (E09). Below [`WIDEST_EVER`] counts as that.
    pub widest_v4: u8,
    /// Widest IPv6 prefix taken from this feed, as a prefix length (E09). Below [`WIDEST_EVER`] counts as that.
    pub widest_v6: u8,
    /// Reject host bits behind a prefix instead of masking them (E07).
    pub strict: bool,
    /// Keep special-use space instead of cutting it out (E16); for bogon lists.
    pub keep_special_use: bool,
    /// Most bytes of decoded text; a longer body is refused as a whole.
    pub max_bytes: u64,
}

/// No feed lists a wider prefix than this, of either family, whatever its rules say (E09).
pub const WIDEST_EVER: u8 = 8;
/// Widest IPv4 prefix unless a feed says otherwise; real hosting lists hold a /9.
pub const DEFAULT_WIDEST_V4: u8 = 8;
/// Widest IPv6 prefix unless a feed says otherwise (E09).
pub const DEFAULT_WIDEST_V6: u8 = 19;
/// Most bytes of decoded text unless a feed says otherwise: some ten million lines.
pub const DEFAULT_MAX_BYTES: u64 = 256 << 20;

impl Rules {
    /// The rules of a feed that sets nothing but its format.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            column: None,
            min_score: 0,
            widest_v4: DEFAULT_WIDEST_V4,
            widest_v6: DEFAULT_WIDEST_V6,
            strict: false,
            keep_special_use: false,
            max_bytes: DEFAULT_MAX_BYTES,
        }
    }
}

/// Reads a body as fetched, compressed or not.
///
/// # Errors
/// [`BodyError`] when the body as a whole is not a list in this format; single bad lines are rejects instead.
pub fn parse(rules: &Rules, body: &[u8]) -> Result<Parsed, BodyError> {
    read(rules, &decode::text(body, rules.max_bytes)?)
}

/// Reads a decoded body.
fn read(rules: &Rules, text: &[u8]) -> Result<Parsed, BodyError> {
    let read = match rules.format {
        Format::Plain => plain::read,
        Format::ScoreTsv => score_tsv::read,
        Format::SpamhausText => spamhaus_text::read,
        Format::SpamhausJson => spamhaus_json::read,
        Format::Netset => netset::read,
        Format::Csv => csv::read,
        Format::Hosts => domain::hosts::read,
        Format::Domains => domain::names::read,
        Format::Resolver => domain::resolver::read,
        Format::Adblock => domain::adblock::read,
        Format::Urls => domain::urls::read,
    };
    read(rules, text)
}
