//! The domain table: the compiled, immutable map domain → payload, read in place from memory or from a mapped file.
//!
//! **What wins.** The most specific entry decides, and an exclusion is an entry whose payload is [`Payload::NONE`]. For
//! a name, most specific is an entry for exactly this name; then the entry for the names below its parent, then for
//! those below its grandparent, and so on to the zone. The first one found decides, listed or excluded: a listing under
//! an exclusion lists again. [`Scope::Subtree`] is both kinds at once. Of several entries for the same name and kind an
//! exclusion wins, and of listings the lowest payload, so that the order of the rules means nothing; whoever merges
//! feeds settles both before. Case of ASCII letters does not count (RFC 4343), other octets are compared as they are.
//!
//! **Layout.** One record for each name with something to say, and for each name above one. Records lie in buckets,
//! chosen by a keyed hash of the labels from the top down; a directory says where each bucket begins, and in a small
//! filter which names cannot be in it. A record names its parent's record and its own last label, so a lookup walks
//! down from the zone, one bucket a label, until a name has no record or nothing below it. Buckets are small, so a step
//! is two cache misses, nearly always one where there is no record, and the space is hardly more than the labels. No
//! pointer of the image is followed while looking up, so on damaged bytes the answer is wrong, and nothing worse: work
//! is bounded by labels times the size of a bucket.
//!
//! `record` is the layout, `rules` sorts what is to be said, `builder` compiles it, `names` reads it back, `presence`
//! says which names exist without records of their own.

mod builder;
mod names;
mod presence;
mod record;
mod rules;
#[cfg(test)]
mod tests;

pub use names::TableName;
pub use presence::DomainPresence;
pub use rules::SortedRules;

use super::domain::Scope;
use super::name::{MAX_LABEL, QuestionName};
use super::slab::{Bytes, Slab, as_bytes};
use blackthorn_common::layout::checksum;
use blackthorn_common::payload::Payload;
use record::header;
use std::fmt;
use std::hint::black_box;
use std::sync::Arc;
use thiserror::Error;

/// Immutable map from domain to payload. Equal rules, in any order, compile to equal words.
#[derive(Clone)]
pub struct DomainTable {
    words: Slab<u32>,
    shape: Shape,
}

/// What the header says, checked against the length of the image.
#[derive(Clone, Copy, Debug)]
struct Shape {
    key: u64,
    buckets: u32,
    /// Word number of the first record.
    records_at: usize,
    /// Octets of records.
    record_octets: usize,
    branches: u32,
}

/// One rule to compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainRule<'a> {
    /// Labels in wire form without the root, as [`super::domain::labels`] takes them; any case.
    pub name: &'a [u8],
    /// Which names it speaks for.
    pub scope: Scope,
    /// What it says of them; [`Payload::NONE`] excludes them.
    pub payload: Payload,
}

/// What the table knows of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Of the name itself.
    pub payload: Payload,
    /// Of names below it, at any depth, for which there is no more specific entry.
    pub below: Payload,
    /// Its number among the names that have entries below them.
    branch: Option<u32>,
}

/// Why rules cannot be compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DomainTableError {
    /// The image would outgrow the format.
    #[error(
        "table of {rules} domains needs more than the {} MiB an image can hold, disable a feed",
        header::MAX_WORDS >> 18
    )]
    TooLarge {
        /// Rules to compile.
        rules: usize,
    },
    /// Not labels in wire form; a fault of the caller, not of the data.
    #[error("rule {number} has no domain in wire form")]
    NotAName {
        /// Place of the rule, from 0.
        number: usize,
    },
    /// No key spreads the names well enough.
    #[error("the {rules} domains cannot be spread over buckets with any of {keys} keys")]
    Crowded {
        /// Rules to compile.
        rules: usize,
        /// Keys tried.
        keys: u32,
    },
}

/// Why bytes are not a domain table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DomainImageError {
    /// Something else.
    #[error("there is no domain table")]
    NoImage,
    /// Of another release.
    #[error("the domain table has version {found}, this release reads version {}", header::VERSION)]
    Version {
        /// Its version.
        found: u32,
    },
    /// More or less than its header says, or than an image can have.
    #[error("the domain table has the wrong size of {bytes} bytes")]
    Size {
        /// Bytes found.
        bytes: usize,
    },
    /// Outside the file, or not on a 4-byte boundary.
    #[error("the domain table is in the wrong place")]
    Place,
}

impl DomainTable {
    /// Compiles rules in any order. What changes no answer, such as an entry below one that says the same, takes no space.
    ///
    /// Time is that of sorting. Space is some 29 octets for each registered domain; while compiling, some 150.
    ///
    /// # Errors
    /// [`DomainTableError::TooLarge`] above 1 GiB, [`DomainTableError::NotAName`] when a name is none, and
    /// [`DomainTableError::Crowded`] when the hash is beaten, for which one would have to foresee a key that depends on
    /// every name of the set.
    pub fn compile(rules: &[DomainRule<'_>]) -> Result<Self, DomainTableError> {
        Self::compile_sorted(&SortedRules::new(rules)?)
    }

    /// The same for rules that are sorted already.
    ///
    /// # Errors
    /// As for [`Self::compile`].
    pub fn compile_sorted(rules: &SortedRules) -> Result<Self, DomainTableError> {
        let words = builder::build(rules)?;
        Self::of(words.into()).map_err(|_| DomainTableError::TooLarge { rules: rules.len() })
    }

    /// The image that lies in `owner` from the byte `offset` on, `len` bytes, read in place. Whether it is undamaged is
    /// for the caller to know: a damaged one answers wrongly, but nothing worse.
    ///
    /// # Errors
    /// When it is no image of this format, or not on a 4-byte boundary.
    pub fn within(owner: &Arc<dyn Bytes>, offset: usize, len: usize) -> Result<Self, DomainImageError> {
        if !len.is_multiple_of(size_of::<u32>()) {
            return Err(DomainImageError::Size { bytes: len });
        }
        Self::of(Slab::within(owner, offset, len / size_of::<u32>()).ok_or(DomainImageError::Place)?)
    }

    fn of(words: Slab<u32>) -> Result<Self, DomainImageError> {
        let head = |at: usize| words.get(at).copied().unwrap_or(0);
        let bytes = words.len().saturating_mul(size_of::<u32>());
        if head(header::AT_MAGIC) != header::MAGIC || head(header::AT_ENDIAN) != header::ENDIAN {
            return Err(DomainImageError::NoImage);
        }
        if head(header::AT_VERSION) != header::VERSION {
            return Err(DomainImageError::Version { found: head(header::AT_VERSION) });
        }
        let shape = Shape {
            key: u64::from(head(header::AT_KEY)) | u64::from(head(header::AT_KEY + 1)) << 32,
            buckets: head(header::AT_BUCKETS),
            // One more entry than buckets: where the last one ends.
            records_at: (head(header::AT_BUCKETS) as usize)
                .saturating_add(1)
                .saturating_mul(header::DIRECTORY_WORDS)
                .saturating_add(header::WORDS),
            record_octets: head(header::AT_RECORD_OCTETS) as usize,
            branches: head(header::AT_BRANCHES),
        };
        let wanted = shape.records_at.saturating_add(shape.record_octets.div_ceil(size_of::<u32>()));
        if words.len() != wanted || words.len() > header::MAX_WORDS || shape.branches as usize > words.len() {
            return Err(DomainImageError::Size { bytes });
        }
        Ok(Self { words, shape })
    }

    /// What is known of the name made of the first `count` labels of `name`, those in front of the zone.
    ///
    /// Where a name is in no cache, time is that of waiting for memory. So the entries of the directory for the highest
    /// labels are all asked for before the first is looked at, and then both ends of their buckets.
    #[inline]
    pub fn find(&self, name: &QuestionName<'_>, count: usize) -> Found {
        let label = |level: usize| name.label(count - 1 - level);
        let mut hash = self.shape.key;
        let mut ahead = [Entry::default(); AHEAD];
        for (level, entry) in ahead.iter_mut().enumerate().take(count) {
            hash = record::hash(hash, label(level));
            *entry = self.entry(hash);
        }
        let records = self.records();
        let ends = |entry: &Entry| {
            let at = |at: u32| records.get(at as usize).copied().unwrap_or(0);
            if entry.may_hold() { at(entry.start) ^ at(entry.end.wrapping_sub(1)) } else { 0 }
        };
        black_box(ahead.iter().fold(0, |all, entry| all ^ ends(entry)));

        let mut walk = Walk::at_zone();
        for level in 0..count {
            let label = label(level);
            let entry = ahead.get(level).copied().unwrap_or_else(|| {
                hash = record::hash(hash, label);
                self.entry(hash)
            });
            if !walk.enter(records, label, &entry) {
                break;
            }
        }
        walk.found
    }

    /// What is known of a name, given by its labels from the highest down to the deepest; no labels are the zone itself.
    /// Labels of no or of over 63 octets are in no table.
    #[inline]
    pub fn find_labels<'l, L: IntoIterator<Item = &'l [u8]>>(&self, labels: L) -> Found {
        self.walk(labels).0.found
    }

    /// The way down, and whether the last name has a record.
    #[inline]
    fn walk<'l, L: IntoIterator<Item = &'l [u8]>>(&self, labels: L) -> (Walk, bool) {
        let (mut hash, mut walk) = (self.shape.key, Walk::at_zone());
        for label in labels {
            let usable = (1..=MAX_LABEL).contains(&label.len());
            hash = if usable { record::hash(hash, label) } else { hash };
            let entry = if usable { self.entry(hash) } else { Entry::default() };
            if !walk.enter(self.records(), label, &entry) {
                return (walk, false);
            }
        }
        (walk, true)
    }

    /// Is something said of exactly this name, or of those below it, rather than of its parents?
    pub fn has_word<'l, L: IntoIterator<Item = &'l [u8]>>(&self, labels: L) -> bool {
        let (walk, to_the_end) = self.walk(labels);
        to_the_end && walk.has_word
    }

    /// The image: everything there is, in the byte order of this machine.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Are the words still those that were compiled, going by the checksum among them? Reads the whole image.
    pub fn is_intact(&self) -> bool {
        let sum = self.words.get(header::SUMMED_FROM..).map(checksum);
        let stored = self.words.get(header::AT_CHECKSUM..).and_then(<[u32]>::first_chunk::<2>);
        sum == stored.map(|[low, high]| u64::from(*low) | u64::from(*high) << 32)
    }

    /// What the directory says of the bucket of a hash.
    #[inline]
    fn entry(&self, hash: u64) -> Entry {
        let entry = || {
            let at = header::WORDS + record::bucket(hash, self.shape.buckets)? * header::DIRECTORY_WORDS;
            let &[start, filter, end] = self.words.get(at..)?.first_chunk()?;
            Some(Entry { start, end, filter, marks: record::marks(hash) })
        };
        entry().unwrap_or_default()
    }

    /// All records, bucket by bucket.
    #[inline]
    fn records(&self) -> &[u8] {
        let octets = self.words.get(self.shape.records_at..).map(as_bytes).unwrap_or_default();
        octets.get(..self.shape.record_octets).unwrap_or_default()
    }
}

/// Levels of a name that are asked for at once: those of nearly all listed names.
const AHEAD: usize = 4;

/// An entry of the directory, as one name sees it.
#[derive(Clone, Copy, Default)]
struct Entry {
    /// Where the bucket begins and ends, in octets from the first record.
    start: u32,
    end: u32,
    /// The filter of the bucket, and the bits of the name in it.
    filter: u32,
    marks: u32,
}

impl Entry {
    /// May the bucket have a record of the name?
    #[inline]
    fn may_hold(&self) -> bool {
        self.marks != 0 && self.filter & self.marks == self.marks
    }

    /// Its records; none of a damaged one.
    #[inline]
    fn bucket<'r>(&self, records: &'r [u8]) -> Option<&'r [u8]> {
        let len = self.end.checked_sub(self.start)? as usize;
        let range = self.start as usize..self.end as usize;
        if len > record::MAX_BUCKET_OCTETS { None } else { records.get(range) }
    }
}

/// A lookup on its way down.
struct Walk {
    /// Where the record of the last name lies.
    at: u32,
    /// What is known of that name.
    found: Found,
    /// Its record says something.
    has_word: bool,
}

impl Walk {
    #[inline]
    fn at_zone() -> Self {
        let found = Found { payload: Payload::NONE, below: Payload::NONE, branch: Some(0) };
        Self { at: record::ROOT, found, has_word: false }
    }

    /// Goes down to the child `label`, to be found in the bucket of `entry`. False when nothing more can be found.
    #[inline]
    fn enter(&mut self, records: &[u8], label: &[u8], entry: &Entry) -> bool {
        let Found { below, branch, .. } = self.found;
        self.found = Found { payload: below, below, branch: None };
        let found = || {
            branch.filter(|_| entry.may_hold())?;
            record::search(entry.bucket(records)?, self.at, label)
        };
        let Some((place, record)) = found() else { return false };
        // Within the bucket, whose end is 32 bits.
        self.at = entry.start + place as u32;
        self.has_word = record.name.is_some() || record.below.is_some();
        self.found = Found {
            payload: record.name.unwrap_or(below),
            below: record.below.unwrap_or(below),
            branch: record.branch,
        };
        true
    }
}

impl Default for DomainTable {
    /// The table that lists nothing.
    fn default() -> Self {
        let shape =
            Shape { key: 0, buckets: 0, records_at: header::WORDS + 2, record_octets: 0, branches: 1 };
        Self { words: builder::empty().into(), shape }
    }
}

impl PartialEq for DomainTable {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words
    }
}

impl Eq for DomainTable {}

impl fmt::Debug for DomainTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DomainTable").field("words", &self.words.len()).finish()
    }
}
