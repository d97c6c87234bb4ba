//! First step of a packet's way: frame → source address.
//!
//! Only the link header, up to two VLAN tags, a PPPoE session header and the fixed IP header are read. Options,
//! fragments, extension headers, payload and checksums never matter: the verdict depends on the source alone, and a
//! filter that looks further can be bypassed by exactly those.

/// Bounds-checked access to one frame: a slice on the host, `data..data_end` in the kernel.
pub trait Frame {
    /// The `N` bytes from `offset`, or `None` when the frame ends before them.
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]>;
}

impl Frame for [u8] {
    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        self.get(offset..)?.first_chunk()
    }
}

/// What a frame says about its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// IPv4 source, also the one inside an IPv4-mapped IPv6 source, so that both spellings get one verdict.
    V4(u32),
    /// IPv6 source.
    V6 {
        /// First 64 bits.
        hi: u64,
        /// Last 64 bits.
        lo: u64,
    },
    /// Not IP (ARP, LLC, LLDP, MPLS, PPP control, ...).
    Other,
    /// The frame ends inside a header that is needed.
    Short,
    /// The version is not the one the link header promised, or an IPv4 header length below 20 bytes.
    BadIp,
    /// More than two VLAN tags.
    DeepTag,
}

// EtherTypes, IEEE 802 numbers.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;
const OLD_QINQ: u16 = 0x9100;
const PPPOE_SESSION: u16 = 0x8864;

// PPP protocol numbers (RFC 1332, RFC 5072).
const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;

const ETHERNET_HEADER: usize = 14;
const TAG: usize = 4;
const MAX_TAGS: usize = 2;
const PPPOE_AND_PPP: usize = 8;

/// The source of an Ethernet frame.
#[inline(always)]
pub fn ethernet_source<F: Frame + ?Sized>(frame: &F) -> Source {
    let Some(header) = frame.bytes::<ETHERNET_HEADER>(0) else { return Source::Short };
    let mut ether_type = u16::from_be_bytes([header[12], header[13]]);
    let mut offset = ETHERNET_HEADER;

    // A tag is two bytes of VLAN id and the EtherType of what follows.
    let mut tags = 0;
    while matches!(ether_type, VLAN | SERVICE_VLAN | OLD_QINQ) {
        if tags == MAX_TAGS {
            return Source::DeepTag;
        }
        let Some(tag) = frame.bytes::<TAG>(offset) else { return Source::Short };
        ether_type = u16::from_be_bytes([tag[2], tag[3]]);
        offset += TAG;
        tags += 1;
    }

    match ether_type {
        IPV4 => ipv4_source(frame, offset),
        IPV6 => ipv6_source(frame, offset),
        PPPOE_SESSION => pppoe_source(frame, offset),
        _ => Source::Other,
    }
}

/// The source of a packet from a device without a link header (tun, WireGuard, PPP).
#[inline(always)]
pub fn ip_source<F: Frame + ?Sized>(packet: &F) -> Source {
    let Some(first) = packet.bytes::<1>(0) else { return Source::Short };
    match first[0] >> 4 {
        4 => ipv4_source(packet, 0),
        6 => ipv6_source(packet, 0),
        _ => Source::BadIp,
    }
}

/// PPPoE (RFC 2516): six bytes of session header, two of PPP protocol, then IP.
#[inline(always)]
fn pppoe_source<F: Frame + ?Sized>(frame: &F, offset: usize) -> Source {
    let Some(header) = frame.bytes::<PPPOE_AND_PPP>(offset) else { return Source::Short };
    match u16::from_be_bytes([header[6], header[7]]) {
        PPP_IPV4 => ipv4_source(frame, offset + PPPOE_AND_PPP),
        PPP_IPV6 => ipv6_source(frame, offset + PPPOE_AND_PPP),
        _ => Source::Other,
    }
}

/// Fixed IPv4 header (RFC 791): version and header length in byte 0, source in bytes 12 to 15.
#[inline(always)]
fn ipv4_source<F: Frame + ?Sized>(frame: &F, offset: usize) -> Source {
    let Some(header) = frame.bytes::<20>(offset) else { return Source::Short };
    if header[0] >> 4 != 4 || header[0] & 0x0f < 5 {
        return Source::BadIp;
    }
    Source::V4(u32::from_be_bytes([header[12], header[13], header[14], header[15]]))
}

/// Fixed IPv6 header (RFC 8200): version in byte 0, source in bytes 8 to 23.
#[inline(always)]
fn ipv6_source<F: Frame + ?Sized>(frame: &F, offset: usize) -> Source {
    let Some(header) = frame.bytes::<40>(offset) else { return Source::Short };
    if header[0] >> 4 != 6 {
        return Source::BadIp;
    }
    let hi = u64_at::<8>(header);
    let lo = u64_at::<16>(header);
    if hi == 0 && lo >> 32 == 0xffff {
        // ::ffff:0:0/96, the low half is the IPv4 address (RFC 4291 section 2.5.5.2).
        return Source::V4(lo as u32);
    }
    Source::V6 { hi, lo }
}

/// Eight bytes from `AT`, first byte highest. The offset is a constant so that no bounds check is left in the kernel.
#[inline(always)]
fn u64_at<const AT: usize>(h: &[u8; 40]) -> u64 {
    const { assert!(AT + 8 <= 40) };
    let bytes = [h[AT], h[AT + 1], h[AT + 2], h[AT + 3], h[AT + 4], h[AT + 5], h[AT + 6], h[AT + 7]];
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests;
