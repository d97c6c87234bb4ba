//! Frames for the packet filter: one battery, run against the parser on the host and the program in the kernel.

use std::net::{Ipv4Addr, Ipv6Addr};

/// What the device puts before the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// An Ethernet header.
    Ethernet,
    /// Nothing (tun, WireGuard, PPP).
    Raw,
}

/// What a parser must find in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// This IPv4 source.
    V4(Ipv4Addr),
    /// This IPv6 source.
    V6(Ipv6Addr),
    /// Not IP.
    Other,
    /// Cut inside a header.
    Short,
    /// Impossible IP header.
    BadIp,
    /// Too many VLAN tags.
    DeepTag,
}

/// One frame with what is in it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is special about it.
    pub name: String,
    /// Which entry takes it.
    pub link: Link,
    /// All bytes, link header included.
    pub frame: Vec<u8>,
    /// What a parser must find.
    pub found: Found,
}

// EtherTypes.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const PPPOE: u16 = 0x8864;

/// Every frame a source address can hide in, with these two as sources, and the frames that have none.
pub fn battery(v4: Ipv4Addr, v6: Ipv6Addr) -> Vec<Case> {
    let mut cases = ipv4_cases(v4);
    cases.extend(ipv6_cases(v6));
    cases.extend(link_cases(v4, v6));
    cases.extend(mapped_cases(v4));
    cases.extend(broken_cases(v4, v6));
    cases.extend(not_ip_cases());
    cases
}

/// An Ethernet frame around `payload`, between two made-up stations.
pub fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2];
    frame.extend(ether_type.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A whole IPv4 packet without options, header checksum right.
pub fn ipv4(source: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_with(source, protocol, 0, 0, payload)
}

/// A whole IPv6 packet.
pub fn ipv6(source: Ipv6Addr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next_header, 64]);
    packet.extend(source.octets());
    packet.extend("2001:db8:ffff::1".parse::<Ipv6Addr>().map_or([0; 16], |a| a.octets()));
    packet.extend(payload);
    packet
}

/// IPv4 with `option_words` times four bytes of no-op options and this flags-and-offset field.
fn ipv4_with(source: Ipv4Addr, protocol: u8, option_words: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let header_len = 20 + 4 * usize::from(option_words);
    let mut packet = vec![0x45 + option_words, 0];
    packet.extend(((header_len + payload.len()) as u16).to_be_bytes());
    packet.extend([0x12, 0x34]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(source.octets());
    packet.extend([198, 51, 100, 1]);
    packet.resize(header_len, 1);
    let checksum = internet_checksum(&packet);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(payload);
    packet
}

/// RFC 1071.
fn internet_checksum(header: &[u8]) -> u16 {
    let mut sum: u32 =
        header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Ports 40000 to 25, then what a TCP SYN has; good enough for UDP and SCTP too, nobody looks.
const SYN: [u8; 20] = [0x9c, 0x40, 0, 25, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0];

fn ipv4_cases(v4: Ipv4Addr) -> Vec<Case> {
    let protocols = [
        ("tcp syn", 6),
        ("udp", 17),
        ("icmp", 1),
        ("gre", 47),
        ("esp", 50),
        ("sctp", 132),
        ("ipip", 4),
        ("protocol 253", 253),
    ];
    let plain = protocols.map(|(name, protocol)| (name, ipv4(v4, protocol, &SYN)));
    let mut wrong_length = ipv4(v4, 6, &SYN);
    wrong_length[2..4].copy_from_slice(&[0xff, 0xff]);
    let mut wrong_checksum = ipv4(v4, 6, &SYN);
    wrong_checksum[10] ^= 0xff;
    let odd = [
        ("40 bytes of options", ipv4_with(v4, 6, 10, 0, &SYN)),
        ("options cut off", ipv4_with(v4, 6, 10, 0, &SYN)[..20].to_vec()),
        ("first fragment", ipv4_with(v4, 6, 0, 0x2000, &SYN)),
        ("middle fragment", ipv4_with(v4, 6, 0, 0x2010, &SYN)),
        ("last fragment", ipv4_with(v4, 6, 0, 0x0020, &SYN)),
        ("total length wrong", wrong_length),
        ("checksum wrong", wrong_checksum),
        ("jumbo", ipv4(v4, 17, &[0; 7980])),
        ("header only", ipv4(v4, 59, &[])),
    ];
    plain
        .into_iter()
        .chain(odd)
        .flat_map(|(name, packet)| both_links(&format!("ipv4 {name}"), IPV4, &packet, Found::V4(v4)))
        .collect()
}

fn ipv6_cases(v6: Ipv6Addr) -> Vec<Case> {
    /// An extension header of 8 bytes that says what comes next.
    fn extension(next: u8) -> [u8; 8] {
        [next, 0, 1, 4, 0, 0, 0, 0]
    }
    let behind = |first: u8, header: [u8; 8]| ipv6(v6, first, &[&header[..], &SYN].concat());
    let nine: Vec<u8> = [60; 8].into_iter().chain([6]).flat_map(extension).chain(SYN).collect();
    [
        ("tcp syn", ipv6(v6, 6, &SYN)),
        ("udp", ipv6(v6, 17, &SYN)),
        ("icmpv6 echo", ipv6(v6, 58, &[128, 0, 0, 0, 0, 1, 0, 1])),
        ("no next header", ipv6(v6, 59, &[])),
        ("hop by hop", behind(0, extension(6))),
        ("routing", behind(43, extension(6))),
        ("destination options", behind(60, extension(6))),
        ("first fragment", behind(44, [6, 0, 0, 1, 0, 0, 0, 9])),
        ("later fragment", behind(44, [6, 0, 1, 0, 0, 0, 0, 9])),
        ("ah", behind(51, extension(6))),
        ("esp", ipv6(v6, 50, &SYN)),
        ("9 extension headers", ipv6(v6, 60, &nine)),
        ("truncated chain", ipv6(v6, 0, &[60])),
        ("jumbo", ipv6(v6, 17, &[0; 7960])),
    ]
    .into_iter()
    .flat_map(|(name, packet)| both_links(&format!("ipv6 {name}"), IPV6, &packet, Found::V6(v6)))
    .collect()
}

/// VLAN tags and PPPoE around an ordinary packet of each family.
fn link_cases(v4: Ipv4Addr, v6: Ipv6Addr) -> Vec<Case> {
    let families = [
        ("ipv4", IPV4, 0x0021, ipv4(v4, 6, &SYN), Found::V4(v4)),
        ("ipv6", IPV6, 0x0057, ipv6(v6, 6, &SYN), Found::V6(v6)),
    ];
    let mut cases = Vec::new();
    for (family, ether_type, ppp, packet, found) in families {
        let mut push = |name: &str, tags: &[u16], vlan: u16, ether_type: u16, packet: &[u8], found: Found| {
            let frame = tagged(tags, vlan, ether_type, packet);
            cases.push(Case { name: format!("{family} {name}"), link: Link::Ethernet, frame, found });
        };
        push("802.1Q", &[0x8100], 42, ether_type, &packet, found);
        push("802.1ad and 802.1Q", &[0x88a8, 0x8100], 42, ether_type, &packet, found);
        push("old QinQ", &[0x9100, 0x8100], 42, ether_type, &packet, found);
        push("priority tag", &[0x8100], 0xe000, ether_type, &packet, found);
        push("three tags", &[0x88a8, 0x8100, 0x8100], 42, ether_type, &packet, Found::DeepTag);
        push("PPPoE", &[], 0, PPPOE, &pppoe(ppp, &packet), found);
        push("PPPoE behind two tags", &[0x88a8, 0x8100], 42, PPPOE, &pppoe(ppp, &packet), found);
        push("PPPoE cut", &[], 0, PPPOE, &pppoe(ppp, &packet)[..7], Found::Short);
        push("PPPoE with LCP", &[], 0, PPPOE, &pppoe(0xc021, &packet), Found::Other);
        push("tag cut", &[0x8100], 42, ether_type, &[], Found::Short);
    }
    cases
}

fn mapped_cases(v4: Ipv4Addr) -> Vec<Case> {
    let packet = ipv6(v4.to_ipv6_mapped(), 6, &SYN);
    both_links("ipv4-mapped ipv6", IPV6, &packet, Found::V4(v4))
}

fn broken_cases(v4: Ipv4Addr, v6: Ipv6Addr) -> Vec<Case> {
    let (good4, good6) = (ipv4(v4, 6, &SYN), ipv6(v6, 6, &SYN));
    let with_first = |packet: &[u8], first: u8| [&[first], &packet[1..]].concat();
    let ether = |name: &str, ether_type: u16, packet: &[u8], found: Found| Case {
        name: name.to_owned(),
        link: Link::Ethernet,
        frame: ethernet(ether_type, packet),
        found,
    };
    let raw = |name: &str, frame: Vec<u8>, found: Found| Case {
        name: name.to_owned(),
        link: Link::Raw,
        frame,
        found,
    };
    vec![
        ether("14 bytes", IPV4, &[], Found::Short),
        ether("15 bytes", IPV4, &good4[..1], Found::Short),
        ether("33 bytes", IPV4, &good4[..19], Found::Short),
        ether("ipv6 header cut at 39", IPV6, &good6[..39], Found::Short),
        ether("version 6 in an ipv4 frame", IPV4, &with_first(&good4, 0x65), Found::BadIp),
        ether("header length 16", IPV4, &with_first(&good4, 0x44), Found::BadIp),
        ether("header length 0", IPV4, &with_first(&good4, 0x40), Found::BadIp),
        ether("version 4 in an ipv6 frame", IPV6, &with_first(&good6, 0x45), Found::BadIp),
        raw("raw ipv4 header cut at 19", good4[..19].to_vec(), Found::Short),
        raw("raw ipv6 header cut at 39", good6[..39].to_vec(), Found::Short),
        raw("raw version 5", with_first(&good4, 0x55), Found::BadIp),
        raw("raw header length 16", with_first(&good4, 0x44), Found::BadIp),
    ]
}

fn not_ip_cases() -> Vec<Case> {
    [
        ("arp", 0x0806),
        ("lldp", 0x88cc),
        ("stp with an 802.3 length", 38),
        ("mpls", 0x8847),
        ("pppoe discovery", 0x8863),
        ("unknown ethertype", 0x1234),
    ]
    .map(|(name, ether_type)| Case {
        name: name.to_owned(),
        link: Link::Ethernet,
        frame: ethernet(ether_type, &[0x45; 46]),
        found: Found::Other,
    })
    .into()
}

fn both_links(name: &str, ether_type: u16, packet: &[u8], found: Found) -> Vec<Case> {
    vec![
        Case { name: name.to_owned(), link: Link::Ethernet, frame: ethernet(ether_type, packet), found },
        Case { name: format!("raw {name}"), link: Link::Raw, frame: packet.to_vec(), found },
    ]
}

/// An Ethernet frame with these tag types, outermost first, each with the VLAN field `vlan`. An empty payload gives a
/// frame that ends inside the last tag.
fn tagged(tags: &[u16], vlan: u16, ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut types = tags.iter().copied().chain([ether_type]);
    let mut frame = ethernet(types.next().unwrap_or(ether_type), &[]);
    for inner in types {
        frame.extend(vlan.to_be_bytes());
        if !payload.is_empty() {
            frame.extend(inner.to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}

/// PPPoE session header (RFC 2516) and PPP protocol.
fn pppoe(protocol: u16, packet: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x11, 0, 0, 7];
    bytes.extend((packet.len() as u16 + 2).to_be_bytes());
    bytes.extend(protocol.to_be_bytes());
    bytes.extend(packet);
    bytes
}
