//! Feed formats: bytes of a fetched body to entries, one format per file.
//!
//! Formats are chosen by explicit name, never guessed. Every line becomes an entry, a comment or a reject that knows
//! its line number and reason; nothing is dropped silently.

/// The formats of the collector; names as in the configuration and `blackthorn formats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Addresses, prefixes and ranges, one per line (F01 to F03).
    Plain,
    /// Address, tab, score (F06).
    ScoreTsv,
    /// Prefix, `;`, reference (F20).
    SpamhausText,
    /// One JSON object per line (F21).
    SpamhausJson,
    /// Set with a machine-readable comment header (F22).
    Netset,
    /// Delimited columns, one of which holds the address (F13, F15).
    Csv,
}

/// Which CSV column holds the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// By its name in the header line.
    Name(String),
    /// By number from 1; the file has no header.
    Number(u16),
}

/// How one feed is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The format.
    pub format: Format,
    /// The address column, for [`Format::Csv`] only.
    pub column: Option<Column>,
    /// Entries with a lower score are left out and counted; 0 keeps all.
    pub min_score: u32,
    /// Widest IPv4 prefix taken from this feed, as a prefix length (E09).
    pub widest_v4: u8,
    /// Widest IPv6 prefix taken from this feed, as a prefix length (E09).
    pub widest_v6: u8,
    /// Reject host bits behind a prefix instead of masking them (E07).
    pub strict: bool,
    /// Keep special-use space instead of cutting it out (E16); for bogon lists.
    pub keep_special_use: bool,
    /// Most bytes of decoded text; a longer body is refused as a whole.
    pub max_bytes: u64,
}
