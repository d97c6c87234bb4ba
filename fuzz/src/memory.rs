//! Memory on a 64-byte boundary, as a mapped file has it.

use blackthorn::core::slab::{Bytes, Plain, as_bytes};
use std::sync::Arc;

const ALIGN: usize = 64;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Block([u8; ALIGN]);

// SAFETY: an array of bytes.
unsafe impl Plain for Block {}

/// Blocks, and how many of their bytes count.
struct Memory(Vec<Block>, usize);

// SAFETY: the blocks are on the heap, and a shared reference gives no way to change them.
unsafe impl Bytes for Memory {
    fn bytes(&self) -> &[u8] {
        &as_bytes(&self.0)[..self.1]
    }
}

/// A copy of `bytes`, aligned.
pub fn memory(bytes: &[u8]) -> Arc<dyn Bytes> {
    let block = |chunk: &[u8]| {
        let mut block = Block([0; ALIGN]);
        block.0[..chunk.len()].copy_from_slice(chunk);
        block
    };
    Arc::new(Memory(bytes.chunks(ALIGN).map(block).collect(), bytes.len()))
}
