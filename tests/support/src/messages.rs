//! DNS messages octet by octet: the examples of a DNSBL's wire protocol, decoded by hand and by other libraries.

/// A query and the one right reply.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// What it shows.
    pub case: &'static str,
    /// The query, for [`hex`].
    pub query: &'static str,
    /// The reply, for [`hex`].
    pub reply: &'static str,
}

/// Replies of the zone `bl.example` at serial 2026112001, with 127.0.0.2 listed for 600 seconds under the text "Listed,
/// see https://bl.example/?q=$", and the SOA `ns1.bl.example hostmaster.bl.example SERIAL 3600 600 604800 300`.
pub const EXAMPLES: [Example; 7] = [
    Example {
        case: "A: listed, with OPT",
        query:
            "1a 2b 00 00 00 01 00 00 00 00 00 01 01 32 01 30 01 30 03 31 32 37 02 62 6c 07 65 78 61 6d 70 6c
            65 00 00 01 00 01 00 00 29 04 d0 00 00 00 00 00 00",
        reply:
            "1a 2b 84 00 00 01 00 01 00 00 00 01 01 32 01 30 01 30 03 31 32 37 02 62 6c 07 65 78 61 6d 70 6c
            65 00 00 01 00 01 c0 0c 00 01 00 01 00 00 02 58 00 04 7f 00 00 02 00 00 29 04 d0 00 00 00 00 00
            00",
    },
    Example {
        case: "B: not listed",
        query:
            "1a 2c 00 00 00 01 00 00 00 00 00 00 01 31 01 30 01 30 03 31 32 37 02 62 6c 07 65 78 61 6d 70 6c
            65 00 00 01 00 01",
        reply:
            "1a 2c 84 03 00 01 00 00 00 01 00 00 01 31 01 30 01 30 03 31 32 37 02 62 6c 07 65 78 61 6d 70 6c
            65 00 00 01 00 01 c0 16 00 06 00 01 00 00 01 2c 00 27 03 6e 73 31 c0 16 0a 68 6f 73 74 6d 61 73
            74 65 72 c0 16 78 c4 04 01 00 00 0e 10 00 00 02 58 00 09 3a 80 00 00 01 2c",
    },
    Example {
        case: "C: empty non-terminal",
        query:
            "1a 2c 00 00 00 01 00 00 00 00 00 00 01 30 03 31 32 37 02 62 6c 07 65 78 61 6d 70 6c 65 00 00 01
            00 01",
        reply:
            "1a 2c 84 00 00 01 00 00 00 01 00 00 01 30 03 31 32 37 02 62 6c 07 65 78 61 6d 70 6c 65 00 00 01
            00 01 c0 12 00 06 00 01 00 00 01 2c 00 27 03 6e 73 31 c0 12 0a 68 6f 73 74 6d 61 73 74 65 72 c0
            12 78 c4 04 01 00 00 0e 10 00 00 02 58 00 09 3a 80 00 00 01 2c",
    },
    Example {
        case: "D: text",
        query:
            "1a 2d 00 00 00 01 00 00 00 00 00 00 01 32 01 30 01 30 03 31 32 37 02 62 6c 07 65 78 61 6d 70 6c
            65 00 00 10 00 01",
        reply:
            "1a 2d 84 00 00 01 00 01 00 00 00 00 01 32 01 30 01 30 03 31 32 37 02 62 6c 07 65 78 61 6d 70 6c
            65 00 00 10 00 01 c0 0c 00 10 00 01 00 00 02 58 00 2c 2b 4c 69 73 74 65 64 2c 20 73 65 65 20 68
            74 74 70 73 3a 2f 2f 62 6c 2e 65 78 61 6d 70 6c 65 2f 3f 71 3d 31 32 37 2e 30 2e 30 2e 32",
    },
    Example {
        case: "E: EDNS version 1",
        query:
            "1a 2e 00 00 00 01 00 00 00 00 00 01 01 32 01 30 01 30 03 31 32 37 02 62 6c 07 65 78 61 6d 70 6c
            65 00 00 01 00 01 00 00 29 04 d0 00 01 00 00 00 00",
        reply:
            "1a 2e 80 00 00 01 00 00 00 00 00 01 01 32 01 30 01 30 03 31 32 37 02 62 6c 07 65 78 61 6d 70 6c
            65 00 00 01 00 01 00 00 29 04 d0 01 00 00 00 00 00",
    },
    Example {
        case: "F: opcode 15, with every flag set",
        query: "1a 2f 7f f0 00 00 00 00 00 00 00 00",
        reply: "1a 2f f8 04 00 00 00 00 00 00 00 00",
    },
    Example {
        case: "G: two questions",
        query: "1a 30 01 00 00 02 00 00 00 00 00 00 00 00 01 00 01 00 00 01 00 01",
        reply: "1a 30 81 01 00 00 00 00 00 00 00 00",
    },
];

/// Octets written as hexadecimal digits; all else is passed over.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.as_chunks().0.iter().map(|[high, low]| high << 4 | low).collect()
}
