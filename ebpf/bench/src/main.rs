//! One lookup per run, of the next of a million addresses: in the table image through the accessors of the shipped
//! program, in LPM_TRIE, and none at all, which tells what a run costs besides.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

#[path = "../../program/src/maps.rs"]
#[expect(dead_code, reason = "the settings and counters of the shipped program")]
mod maps;
#[path = "../../program/src/reader.rs"]
#[expect(dead_code, reason = "the packets of the shipped program")]
mod reader;

use aya_ebpf::bindings::xdp_action::XDP_PASS;
use aya_ebpf::btf_maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::{btf_map, xdp};
use aya_ebpf::programs::XdpContext;
use blackthorn_common::image::{lookup_v4, lookup_v6};
use core::arch::asm;
use maps::TABLES;
use reader::Chunks;

/// An address as in a packet; IPv4 in the first word.
type Address = [u32; 4];

/// Addresses per map value, as a power of two; 16 values.
const BLOCK_LOG2: u32 = 16;
const BLOCKS: u32 = 16;
/// Addresses one after another. Not an array of arrays: the kernel refuses the type description of those.
type Block = [u32; 4 << BLOCK_LOG2];

/// Which address comes next, and the sum of what was found, so that nothing is optimised away.
#[repr(C)]
pub struct State {
    next: u32,
    found: u32,
}

#[btf_map]
static ADDRESSES: Array<Block, { BLOCKS as usize }> = Array::new();
#[btf_map]
static STATE: Array<State, 1> = Array::new();
#[btf_map]
static TRIE_V4: LpmTrie<[u8; 4], u32, 2_000_000> = LpmTrie::new();
#[btf_map]
static TRIE_V6: LpmTrie<[u8; 16], u32, 2_000_000> = LpmTrie::new();

#[xdp]
fn none_v4(_: XdpContext) -> u32 {
    measure(|address| Some(address[0]))
}

#[xdp]
fn none_v6(_: XdpContext) -> u32 {
    measure(|address| Some(address[0] ^ address[1] ^ address[2] ^ address[3]))
}

#[xdp]
fn image_v4(_: XdpContext) -> u32 {
    measure(|address| Some(lookup_v4(&Chunks(TABLES.get(0)?), u32::from_be(address[0])).bits()))
}

#[xdp]
fn image_v6(_: XdpContext) -> u32 {
    measure(|address| {
        let half = |at: usize| u64::from(u32::from_be(address[at])) << 32 | u64::from(u32::from_be(address[at + 1]));
        Some(lookup_v6(&Chunks(TABLES.get(0)?), half(0), half(2)).bits())
    })
}

#[xdp]
fn trie_v4(_: XdpContext) -> u32 {
    measure(|address| TRIE_V4.get(&Key::new(32, address[0].to_ne_bytes())).copied())
}

#[xdp]
fn trie_v6(_: XdpContext) -> u32 {
    measure(|address| {
        let [a, b, c, d] = address.map(u32::to_ne_bytes);
        let bytes = [
            a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3],
        ];
        TRIE_V6.get(&Key::new(128, bytes)).copied()
    })
}

/// Looks up the next address and adds up what is found.
#[inline(always)]
fn measure(lookup: impl FnOnce(Address) -> Option<u32>) -> u32 {
    let Some(state) = STATE.get_ptr_mut(0) else { return XDP_PASS };
    // SAFETY: the one value of the map; only one test run at a time uses it.
    let state = unsafe { &mut *state };
    let number = state.next;
    state.next = number.wrapping_add(1);
    let Some(block) = ADDRESSES.get_ptr(number >> BLOCK_LOG2 & (BLOCKS - 1)) else { return XDP_PASS };
    let mut within = number as usize;
    // SAFETY: moves a register to itself, so that the mask below is applied where the verifier looks for it.
    unsafe { asm!("{0} = {0}", inout(reg) within, options(nomem, nostack, preserves_flags)) };
    // SAFETY: a block has 2^BLOCK_LOG2 addresses and the mask keeps the index below that.
    let address = unsafe { *block.cast::<Address>().add(within & ((1 << BLOCK_LOG2) - 1)) };
    state.found = state.found.wrapping_add(lookup(address).unwrap_or(0));
    XDP_PASS
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

// Some helpers are only for programs under a GPL-compatible licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
