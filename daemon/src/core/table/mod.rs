//! The table: the compiled, immutable map address → payload (listing and policy class).
//!
//! Merge hands over sorted, disjoint segments; `builder` compiles them into the image that daemon and kernel program
//! read with the same code (`blackthorn_common::image`). `pieces` cuts segments at the borders of a node's slots, `leaves`
//! says what needs no node, `arena` gives everything its place. The image is the only copy of the addresses: `runs` reads
//! it back.

mod arena;
mod builder;
mod leaves;
mod pieces;
mod runs;
#[cfg(test)]
mod tests;

pub use runs::{Family, Runs};

use super::network::fold;
use super::segment::Segment;
use super::slab::{Bytes, Slab};
use super::span::Bits;
use arena::{Full, Line};
use blackthorn_common::image::{WordSlice, lookup_v4, lookup_v6};
use blackthorn_common::layout::{FIRST_NODE, MAX_WORDS, NODE_WORDS, checksum, header};
use blackthorn_common::payload::Payload;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use thiserror::Error;

/// Immutable map from address to payload. Cheap to read from many threads; built once per generation.
///
/// Two tables are equal when their images are: the same segments always compile to the same words.
#[derive(Clone)]
pub struct Table {
    lines: Slab<Line>,
}

/// Why segments cannot be compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TableError {
    /// The image would outgrow the format. Networks cost most when they are ranges far from prefix borders.
    #[error(
        "table of {v4} IPv4 and {v6} IPv6 segments needs more than the {limit_mib} MiB an image can hold, \
         disable a feed or list wider networks"
    )]
    TooLarge {
        /// IPv4 segments to compile.
        v4: usize,
        /// IPv6 segments to compile.
        v6: usize,
        /// Limit of the format in MiB.
        limit_mib: u32,
    },
    /// Two segments overlap or stand in the wrong order; a fault of the caller, not of the data.
    #[error(
        "segment at {at} overlaps or precedes the one before it, segments must be merged before compiling"
    )]
    Disordered {
        /// First address of the segment.
        at: IpAddr,
    },
}

/// Why bytes are not a table image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ImageError {
    /// Something else.
    #[error("there is no table image")]
    NoImage,
    /// Of another release.
    #[error("the table image has version {found}, this release reads version {}", header::VERSION)]
    Version {
        /// Its version.
        found: u32,
    },
    /// More or less than its header says, or than an image can have.
    #[error("the table image has the wrong size of {bytes} bytes")]
    Size {
        /// Bytes found.
        bytes: usize,
    },
    /// Outside the file, or not on a 64-byte boundary.
    #[error("the table image is in the wrong place")]
    Place,
}

impl Table {
    /// Compiles sorted, disjoint segments. They may be any ranges; gaps and [`Payload::NONE`] mean "not listed".
    ///
    /// Time and space are linear: at most 2 nodes of 64 bytes per end of an IPv4 segment and 14 per end of an IPv6 one,
    /// in practice 4 to 35 bytes for each segment plus 516 KiB.
    ///
    /// # Errors
    /// [`TableError::TooLarge`] above 1 GiB, [`TableError::Disordered`] when the segments are not sorted and disjoint.
    pub fn compile(v4: &[Segment<u32, Payload>], v6: &[Segment<u128, Payload>]) -> Result<Self, TableError> {
        check_order(v4)?;
        check_order(v6)?;
        let lines = builder::build(v4, v6, MAX_WORDS).map_err(|Full { limit }| TableError::TooLarge {
            v4: v4.len(),
            v6: v6.len(),
            limit_mib: limit >> 18,
        })?;
        Ok(Self { lines: lines.into() })
    }

    /// The image that lies in `owner` from the byte `offset` on, `len` bytes, read in place. Whether it is undamaged is
    /// for the caller to know: a damaged one answers wrongly, but nothing worse.
    ///
    /// # Errors
    /// When it is no image of this format, or not on a 64-byte boundary.
    pub fn within(owner: &Arc<dyn Bytes>, offset: usize, len: usize) -> Result<Self, ImageError> {
        if !len.is_multiple_of(size_of::<Line>()) || len / size_of::<u32>() > MAX_WORDS as usize {
            return Err(ImageError::Size { bytes: len });
        }
        let lines = Slab::within(owner, offset, len / size_of::<Line>()).ok_or(ImageError::Place)?;
        let words = arena::words(&lines);
        let head = |at: u32| words.get(at as usize).copied().unwrap_or(0);
        if head(header::AT_MAGIC) != header::MAGIC || head(header::AT_ENDIAN) != header::ENDIAN {
            return Err(ImageError::NoImage);
        }
        if head(header::AT_VERSION) != header::VERSION {
            return Err(ImageError::Version { found: head(header::AT_VERSION) });
        }
        if words.len() < (FIRST_NODE * NODE_WORDS) as usize || head(header::AT_WORDS) as usize != words.len()
        {
            return Err(ImageError::Size { bytes: len });
        }
        Ok(Self { lines })
    }

    /// What is known of `address`; mapped IPv6 is looked up as IPv4.
    #[inline]
    pub fn lookup(&self, address: IpAddr) -> Payload {
        let image = WordSlice(self.words());
        match fold(address) {
            IpAddr::V4(a) => lookup_v4(&image, a.into()),
            IpAddr::V6(a) => {
                let bits = u128::from(a);
                lookup_v6(&image, (bits >> 64) as u64, bits as u64)
            }
        }
    }

    /// The image, as the kernel program reads it: a multiple of 16 words on a 64-byte boundary.
    #[inline]
    pub fn words(&self) -> &[u32] {
        arena::words(&self.lines)
    }

    /// Are the words still those that were compiled, going by the checksum among them? Reads the whole image.
    pub fn is_intact(&self) -> bool {
        let (words, at) = (self.words(), header::AT_CHECKSUM as usize);
        let sum = words.get(header::SUMMED_FROM as usize..).map(checksum);
        let stored = words.get(at..at + 2).and_then(<[u32]>::first_chunk::<2>);
        sum == stored.map(|[low, high]| u64::from(*low) | u64::from(*high) << 32)
    }

    /// The listed IPv4 addresses in order: disjoint, joined runs.
    pub fn runs_v4(&self) -> Runs<'_, u32> {
        Runs::new(self.words())
    }

    /// The listed IPv6 addresses in order: disjoint, joined runs.
    pub fn runs_v6(&self) -> Runs<'_, u128> {
        Runs::new(self.words())
    }
}

#[cfg(test)]
impl Table {
    /// The same table with one bit of its image flipped.
    pub(crate) fn damaged(&self) -> Self {
        let mut lines = self.lines.to_vec();
        let words = arena::words_mut(&mut lines);
        words[words.len() / 2] ^= 1;
        Self { lines: lines.into() }
    }
}

fn check_order<A: Bits, L>(segments: &[Segment<A, L>]) -> Result<(), TableError> {
    let mut after = Some(A::ZERO);
    for segment in segments {
        let in_order = after.is_some_and(|a| a <= segment.span.first);
        if !in_order || segment.span.last < segment.span.first {
            return Err(TableError::Disordered { at: segment.span.first.to_ip() });
        }
        after = segment.span.last.succ();
    }
    Ok(())
}

impl Default for Table {
    /// The table that lists nothing.
    fn default() -> Self {
        Self { lines: builder::empty().into() }
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.words() == other.words()
    }
}

impl Eq for Table {}

impl Hash for Table {
    /// Hashes the checksum the builder put into the header, so that it costs nothing.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let at = header::AT_CHECKSUM as usize;
        self.words()[at..at + 2].hash(state);
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("words", &self.words().len()).finish()
    }
}
