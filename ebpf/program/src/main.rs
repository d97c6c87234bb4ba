//! The kernel program: frame → source → table → verdict → counter. Every rule is in `blackthorn_common`; this crate only
//! connects it to maps and packet memory.
//!
//! Four entries share everything. The loader picks by link header (Ethernet or none) and by what the kernel can do
//! (packets of several buffers, or of one). A fifth, never attached, only tells what the table holds.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod maps;
mod reader;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::helpers::bpf_xdp_get_buff_len;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use blackthorn_common::abi::Enforcement;
use blackthorn_common::packet::{Source, ethernet_source, ip_source};
use blackthorn_common::verdict::{Reason, judge, probe};
use maps::{CONF, COUNT, OVERLAYS, TABLES};
use reader::{Chunks, Packet, buffer_len};

#[xdp(frags)]
fn bt_ether(ctx: XdpContext) -> u32 {
    finish(ethernet_source(&Packet::new(&ctx)), buffers_len(&ctx))
}

#[xdp(frags)]
fn bt_ip(ctx: XdpContext) -> u32 {
    finish(ip_source(&Packet::new(&ctx)), buffers_len(&ctx))
}

#[xdp]
fn bt_ether_single(ctx: XdpContext) -> u32 {
    finish(ethernet_source(&Packet::new(&ctx)), buffer_len(&ctx))
}

#[xdp]
fn bt_ip_single(ctx: XdpContext) -> u32 {
    finish(ip_source(&Packet::new(&ctx)), buffer_len(&ctx))
}

#[xdp]
fn bt_probe(ctx: XdpContext) -> u32 {
    let table = TABLES.get(0).map(Chunks);
    probe(ip_source(&Packet::new(&ctx)), table.as_ref())
}

/// Bytes of the frame over all its buffers.
#[inline(always)]
fn buffers_len(ctx: &XdpContext) -> usize {
    // SAFETY: the helper only reads the context it is given, which is that of this run.
    unsafe { bpf_xdp_get_buff_len(ctx.ctx) as usize }
}

/// Judges, counts and says what to do. The settings are read after the lookup: what is known before it multiplies the
/// states in which the verifier walks through it.
#[inline(always)]
fn finish(source: Source, len: usize) -> u32 {
    let overlay = OVERLAYS.get(0).map(Chunks);
    let table = TABLES.get(0).map(Chunks);
    let reason = judge(source, enforcement, overlay.as_ref(), table.as_ref());
    count(reason, len);
    if reason.drops() { XDP_DROP } else { XDP_PASS }
}

/// What user space wants to happen to listed sources.
#[inline(always)]
fn enforcement() -> Enforcement {
    match CONF.get_ptr(0) {
        // SAFETY: the pointer is the map's one value. User space writes it while we read; volatile makes this one load
        // of one aligned word.
        Some(conf) => Enforcement::from_word(unsafe { (&raw const (*conf).enforcement).read_volatile() }),
        None => Enforcement::Off,
    }
}

#[inline(always)]
fn count(reason: Reason, len: usize) {
    let Some(count) = COUNT.get_ptr_mut(reason as u32) else { return };
    // SAFETY: the pointer is this CPU's slot of the map, and an XDP program is not interrupted by another on its CPU.
    unsafe {
        (*count).packets += 1;
        (*count).bytes += len as u64;
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

// Some helpers are only for programs under a GPL-compatible licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
