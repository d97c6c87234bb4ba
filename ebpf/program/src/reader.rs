//! The only reads of packet and table memory. Each is bounds-checked in the way the verifier follows.

use crate::maps::Table;
use aya_ebpf::programs::XdpContext;
use blackthorn_common::abi::{CHUNK_NODES_LOG2, CHUNK_WORDS_LOG2};
use blackthorn_common::image::Image;
use blackthorn_common::layout::Node;
use blackthorn_common::packet::Frame;
use core::arch::asm;

/// A value the compiler knows nothing about and has to compute at this very place. Two of its improvements are harmless on
/// other machines, but unacceptable to the verifier: comparing packet addresses in 32 bits, and adding to a pointer before
/// it has been compared with null.
#[inline(always)]
fn opaque(mut value: usize) -> usize {
    // SAFETY: moves a register to itself. Not empty, because each line of debug information needs an instruction.
    unsafe { asm!("{0} = {0}", inout(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// The frame under inspection; of a frame in several buffers the first one, which holds all headers.
pub(crate) struct Packet {
    start: usize,
    end: usize,
}

impl Packet {
    /// The frame of this run.
    #[inline(always)]
    pub(crate) fn new(ctx: &XdpContext) -> Self {
        Self { start: opaque(ctx.data()), end: opaque(ctx.data_end()) }
    }
}

impl Frame for Packet {
    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        let at = self.start + offset;
        if at + N > self.end {
            return None;
        }
        // SAFETY: `at..at + N` was just found to end before the frame does; an array of bytes has no alignment.
        Some(unsafe { &*(at as *const [u8; N]) })
    }
}

/// Bytes of a frame that lies in one buffer.
#[inline(always)]
pub(crate) fn buffer_len(ctx: &XdpContext) -> usize {
    // SAFETY: the context is that of this run. Volatile, so that the address is read here and none is kept while the frame
    // is parsed: the verifier would walk the lookup once for each way through the headers.
    let start = unsafe { (&raw const (*ctx.ctx).data).read_volatile() };
    // SAFETY: as above.
    let end = unsafe { (&raw const (*ctx.ctx).data_end).read_volatile() };
    opaque(end as usize) - opaque(start as usize)
}

/// A table in force. Taken from its slot once per packet, so that one packet never sees two generations.
pub(crate) struct Chunks<'a, const CHUNKS: usize>(pub(crate) &'a Table<CHUNKS>);

impl<const CHUNKS: usize> Image for Chunks<'_, CHUNKS> {
    #[inline(always)]
    fn word(&self, number: u32) -> Option<&u32> {
        let chunk = self.0.get_ptr(number >> CHUNK_WORDS_LOG2)?;
        let within = opaque(number as usize) & ((1 << CHUNK_WORDS_LOG2) - 1);
        // SAFETY: a chunk has 2^CHUNK_WORDS_LOG2 words and the mask keeps `within` below that. The map is frozen before
        // it gets here, so nobody writes to it.
        Some(unsafe { &*chunk.cast::<u32>().add(within) })
    }

    #[inline(always)]
    fn node(&self, number: u32) -> Option<&Node> {
        let chunk = self.0.get_ptr(number >> CHUNK_NODES_LOG2)?;
        let within = opaque(number as usize) & ((1 << CHUNK_NODES_LOG2) - 1);
        // SAFETY: a chunk has 2^CHUNK_NODES_LOG2 nodes of 16 words and the mask keeps `within` below that; `Node` is a
        // transparent array of words. The map is frozen before it gets here, so nobody writes to it.
        Some(unsafe { &*chunk.cast::<Node>().add(within) })
    }
}
