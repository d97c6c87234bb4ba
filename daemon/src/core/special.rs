//! Special-use address space that no ordinary feed may list and no filter may drop.
//!
//! The set is that of E16 in the feed cases: loopback, private, link-local, shared (RFC 6598), "this network",
//! multicast and reserved. Documentation networks (RFC 5737, RFC 3849) are not in it: they never appear on the
//! internet, so listing them harms nobody, and every example and test can use them.

use super::span::Span;

/// IPv4 special-use prefixes, sorted.
pub const V4: [Span<u32>; 8] = [
    v4(0, 0, 8),      // this network, RFC 791
    v4(10, 0, 8),     // private, RFC 1918
    v4(100, 64, 10),  // shared by carriers, RFC 6598
    v4(127, 0, 8),    // loopback, RFC 1122
    v4(169, 254, 16), // link-local, RFC 3927
    v4(172, 16, 12),  // private, RFC 1918
    v4(192, 168, 16), // private, RFC 1918
    v4(224, 0, 3),    // multicast, RFC 5771, and reserved, RFC 1112
];

/// IPv6 special-use prefixes, sorted.
pub const V6: [Span<u128>; 4] = [
    Span { first: 0, last: 1 }, // unspecified and loopback, RFC 4291
    v6(0xfc00, 7),              // unique local, RFC 4193
    v6(0xfe80, 10),             // link-local, RFC 4291
    v6(0xff00, 8),              // multicast, RFC 4291
];

const fn v4(a: u32, b: u32, len: u32) -> Span<u32> {
    let first = a << 24 | b << 16;
    Span { first, last: first | u32::MAX >> len }
}

const fn v6(word: u128, len: u32) -> Span<u128> {
    let first = word << 112;
    Span { first, last: first | u128::MAX >> len }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::network::Network;

    #[test]
    fn names_are_what_the_comments_say() {
        let v4: Vec<String> = V4.iter().map(|s| Network::V4(*s).to_string()).collect();
        assert_eq!(
            v4.join(" "),
            "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.168.0.0/16 224.0.0.0/3"
        );
        let v6: Vec<String> = V6.iter().map(|s| Network::V6(*s).to_string()).collect();
        assert_eq!(v6.join(" "), "::/127 fc00::/7 fe80::/10 ff00::/8");
    }
}
