//! The only reads of packet and table memory. Each is bounds-checked in the way the verifier follows.

use crate::maps::{Chunk, Table};
use aya_ebpf::programs::XdpContext;
use blackthorn_common::abi::{CHUNK_NODES_LOG2, CHUNK_WORDS_LOG2};
use blackthorn_common::image::Image;
use blackthorn_common::layout::Node;
use blackthorn_common::packet::Frame;

/// The frame under inspection; of a frame in several buffers the first one, which holds all headers.
pub(crate) struct Packet<'a>(pub(crate) &'a XdpContext);

impl Frame for Packet<'_> {
    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        let at = self.0.data() + offset;
        if at + N > self.0.data_end() {
            return None;
        }
        // SAFETY: `at..at + N` was just found to end before `data_end`; an array of bytes has no alignment.
        Some(unsafe { &*(at as *const [u8; N]) })
    }
}

/// The table in force. Taken from the slot once per packet, so that one packet never sees two generations.
pub(crate) struct Chunks<'a>(pub(crate) &'a Table);

impl Chunks<'_> {
    /// Chunk `number` as raw memory, or `None` behind the last.
    #[inline(always)]
    fn chunk(&self, number: u32) -> Option<*const Chunk> {
        self.0.get_ptr(number)
    }
}

impl Image for Chunks<'_> {
    #[inline(always)]
    fn word(&self, number: u32) -> Option<&u32> {
        let chunk = self.chunk(number >> CHUNK_WORDS_LOG2)?;
        let within = number & ((1 << CHUNK_WORDS_LOG2) - 1);
        // SAFETY: a chunk has 2^CHUNK_WORDS_LOG2 words and the mask keeps `within` below that. The map is frozen before
        // it gets here, so nobody writes to it.
        Some(unsafe { &*chunk.cast::<u32>().add(within as usize) })
    }

    #[inline(always)]
    fn node(&self, number: u32) -> Option<&Node> {
        let chunk = self.chunk(number >> CHUNK_NODES_LOG2)?;
        let within = number & ((1 << CHUNK_NODES_LOG2) - 1);
        // SAFETY: a chunk has 2^CHUNK_NODES_LOG2 nodes of 16 words and the mask keeps `within` below that; `Node` is a
        // transparent array of words. The map is frozen before it gets here, so nobody writes to it.
        Some(unsafe { &*chunk.cast::<Node>().add(within as usize) })
    }
}
