//! The table: the compiled, immutable map address → payload (listing and policy class).
//!
//! Merge hands over sorted, disjoint segments; `builder` compiles them into the image that daemon and kernel program
//! read with the same code (`blackthorn_common::image`). `pieces` cuts segments at the borders of a node's slots, `leaves`
//! says what needs no node, `arena` gives everything its place.

mod arena;
mod builder;
mod leaves;
mod pieces;
#[cfg(test)]
mod tests;

use super::network::fold;
use super::segment::Segment;
use super::span::Bits;
use arena::Words;
use blackthorn_common::image::{WordSlice, lookup_v4, lookup_v6};
use blackthorn_common::layout::{MAX_WORDS, header};
use blackthorn_common::payload::Payload;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use thiserror::Error;

/// Immutable map from address to payload. Cheap to read from many threads; built once per generation.
///
/// Two tables are equal when their images are: the same segments always compile to the same words.
#[derive(Clone)]
pub struct Table {
    words: Words,
    v4: Vec<Segment<u32, Payload>>,
    v6: Vec<Segment<u128, Payload>>,
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

impl Table {
    /// Compiles sorted, disjoint segments. They may be any ranges; gaps and [`Payload::NONE`] mean "not listed".
    ///
    /// Time and space are linear: at most 2 nodes of 64 bytes per end of an IPv4 segment and 14 per end of an IPv6 one,
    /// in practice 10 to 30 bytes for each segment plus 516 KiB.
    ///
    /// # Errors
    /// [`TableError::TooLarge`] above 1 GiB, [`TableError::Disordered`] when the segments are not sorted and disjoint.
    pub fn compile(
        v4: Vec<Segment<u32, Payload>>,
        v6: Vec<Segment<u128, Payload>>,
    ) -> Result<Self, TableError> {
        check_order(&v4)?;
        check_order(&v6)?;
        let words = builder::build(&v4, &v6, MAX_WORDS).map_err(|arena::Full { limit }| {
            TableError::TooLarge { v4: v4.len(), v6: v6.len(), limit_mib: limit >> 18 }
        })?;
        Ok(Self { words, v4, v6 })
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
    pub fn words(&self) -> &[u32] {
        self.words.as_slice()
    }

    /// The IPv4 segments, sorted and disjoint, holes left out.
    pub fn v4(&self) -> &[Segment<u32, Payload>] {
        &self.v4
    }

    /// The IPv6 segments, sorted and disjoint, holes left out.
    pub fn v6(&self) -> &[Segment<u128, Payload>] {
        &self.v6
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
        Self { words: builder::empty(), v4: Vec::new(), v6: Vec::new() }
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
        f.debug_struct("Table")
            .field("v4", &self.v4.len())
            .field("v6", &self.v6.len())
            .field("words", &self.words().len())
            .finish()
    }
}
