//! The words of an image while it is built, and where the next node, slot array, list or record goes.

use crate::core::slab::Plain;
use blackthorn_common::layout::NODE_WORDS;

const LINE: usize = NODE_WORDS as usize;

/// 16 words on a cache line of their own.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line([u32; LINE]);

// SAFETY: an array of integers whose size is its alignment, so without padding.
unsafe impl Plain for Line {}

/// The words of lines, each node on a cache line of its own.
pub(super) fn words(lines: &[Line]) -> &[u32] {
    // SAFETY: a `Line` is 16 `u32` without padding, so the lines are that many initialised words in a row; the result
    // borrows from them.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * LINE) }
}

/// The same, to write.
pub(super) fn words_mut(lines: &mut [Line]) -> &mut [u32] {
    // SAFETY: as in `words`; any word is a valid `u32`, and the exclusive borrow of the lines carries over.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LINE) }
}

/// The image would grow beyond `limit` words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// The limit in words.
    pub(super) limit: u32,
}

/// Hands out places in a growing image.
///
/// Nodes take whole lines. Arrays of up to 16 words never cross a line, so that reading one costs one cache miss; what
/// an array leaves over of its last line is kept for a shorter one.
pub(super) struct Arena {
    lines: Vec<Line>,
    limit: u32,
    /// Word numbers of free ends of lines, by their length.
    spare: [Vec<u32>; LINE],
}

impl Arena {
    /// An image of `lines` zero lines that may grow to `limit` words.
    pub(super) fn new(lines: u32, limit: u32) -> Self {
        let lines = vec![Line([0; LINE]); lines as usize];
        Self { lines, limit, spare: Default::default() }
    }

    /// The words so far, to write.
    pub(super) fn words(&mut self) -> &mut [u32] {
        words_mut(&mut self.lines)
    }

    /// The finished image.
    pub(super) fn finish(self) -> Vec<Line> {
        self.lines
    }

    /// Number of a fresh node.
    pub(super) fn node(&mut self) -> Result<u32, Full> {
        self.fresh(1)
    }

    /// Word number of a fresh array of `len` words, 1 to 256.
    pub(super) fn array(&mut self, len: u32) -> Result<u32, Full> {
        let spare = (len..NODE_WORDS).find_map(|free| Some((self.spare[free as usize].pop()?, free)));
        let (at, free) = match spare {
            Some(place) => place,
            None => {
                let lines = len.div_ceil(NODE_WORDS);
                (self.fresh(lines)? * NODE_WORDS, lines * NODE_WORDS)
            }
        };
        if free > len {
            self.spare[(free - len) as usize].push(at + len);
        }
        Ok(at)
    }

    /// Stores `words`, at most 16, within a line and returns their word number.
    pub(super) fn store(&mut self, words: &[u32]) -> Result<u32, Full> {
        let at = self.array(words.len() as u32)?;
        self.words()[at as usize..][..words.len()].copy_from_slice(words);
        Ok(at)
    }

    /// Number of the first of `count` fresh lines.
    fn fresh(&mut self, count: u32) -> Result<u32, Full> {
        let first = self.lines.len();
        let after = first + count as usize;
        if after * LINE > self.limit as usize {
            return Err(Full { limit: self.limit });
        }
        self.lines.resize(after, Line([0; LINE]));
        // Below the limit, which is 32 bits of words.
        Ok(first as u32)
    }
}
