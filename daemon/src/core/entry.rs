//! Entries: what parsing makes of the lines of a feed.

use super::network::Network;
use super::span::Span;
use std::fmt;
use std::sync::Arc;

/// Name of a feed: 1 to 64 of `a-z 0-9 . _ -`, starting with a letter or digit. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedId(Arc<str>);

impl FeedId {
    /// Checks the name.
    ///
    /// # Errors
    /// Says which characters are allowed.
    pub fn new(name: &str) -> Result<Self, &'static str> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        let starts_well = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if starts_well && name.len() <= 64 && name.bytes().all(legal) {
            Ok(Self(name.into()))
        } else {
            Err("a feed id is 1 to 64 of a-z 0-9 . _ - and starts with a letter or digit")
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One accepted line (or one of several networks on a line).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<A> {
    /// The addresses it names.
    pub span: Span<A>,
    /// Line in the decoded body, from 1. With the stored body it gives the entry as written.
    pub line: u32,
    /// The feed's own value for the entry, 0 where the format has none. For score formats: the score.
    pub value: u32,
}

/// Entries of both families, in file order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// IPv4, mapped IPv6 included.
    pub v4: Vec<Entry<u32>>,
    /// IPv6.
    pub v6: Vec<Entry<u128>>,
}

impl Entries {
    /// Appends one entry to its family.
    pub fn push(&mut self, network: Network, line: u32, value: u32) {
        match network {
            Network::V4(span) => self.v4.push(Entry { span, line, value }),
            Network::V6(span) => self.v6.push(Entry { span, line, value }),
        }
    }

    /// Number of entries of both families.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// No entry at all?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
