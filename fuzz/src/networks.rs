//! Networks from input, as rules of the oracle and as segments to compile.

use crate::Input;
use blackthorn::core::segment::Segment;
use blackthorn::core::span::Span;
use blackthorn_common::payload::Payload;
use blackthorn_testkit::oracle::{Oracle, Rule};
use blackthorn_testkit::prefixes;

/// Most networks of one input: the oracle takes the square of their number.
const MOST: usize = 64;

/// Rules of both families.
#[derive(Debug, Default)]
pub struct Rules {
    /// IPv4.
    pub v4: Vec<Rule<u32>>,
    /// IPv6.
    pub v6: Vec<Rule<u128>>,
}

impl Rules {
    /// Reads a number of networks, then each: kind, value, length, address.
    ///
    /// Bits of the kind: 1 IPv6; 2 a range instead of a prefix; 4 and 8 near the one before, which takes fewer bytes of
    /// input and gives neighbours, nested networks and holes.
    pub fn read(input: &mut Input<'_>) -> Self {
        let mut rules = Self::default();
        let (mut v4, mut v6) = (0xc000_0200u32, 0x2001_0db8u128 << 96);
        let count = usize::from(input.byte()).min(MOST);
        for _ in 0..count {
            let [kind, value, len] = input.array();
            let value = payload(value);
            let near = kind >> 2 & 3;
            if kind & 1 == 0 {
                v4 = match near {
                    0 => u32::from_be_bytes(input.array()),
                    shift => v4 ^ u32::from(input.byte()) << (8 * (shift - 1)),
                };
                rules.v4.push(match kind & 2 {
                    0 => prefixes::v4(v4, u32::from(len) % 33, value),
                    _ => Rule { first: v4, last: v4.saturating_add(input.word() >> (len % 32)), value },
                });
            } else {
                v6 = match near {
                    0 => u128::from_be_bytes(input.array()),
                    _ => v6 ^ u128::from(input.byte()) << (input.byte() % 121),
                };
                rules.v6.push(match kind & 2 {
                    0 => prefixes::v6(v6, u32::from(len) % 129, value),
                    _ => {
                        let size = u128::from(input.word()) << 96 >> (len % 128);
                        Rule { first: v6, last: v6.saturating_add(size), value }
                    }
                });
            }
        }
        rules
    }
}

/// A payload that fits: 0 is a hole, the highest bit is the class, the others the listing.
fn payload(value: u8) -> u32 {
    match value & 0x7f {
        0 => 0,
        listing => u32::from(value >> 7) << 20 | u32::from(listing),
    }
}

/// What the oracle makes of its rules, ready to be compiled.
pub fn segments<A: Copy + Ord + Into<u128> + TryFrom<u128>>(oracle: &Oracle<A>) -> Vec<Segment<A, Payload>> {
    let segment = |run: Rule<A>| Segment {
        span: Span { first: run.first, last: run.last },
        label: Payload::from_bits(run.value),
    };
    oracle.flatten().into_iter().map(segment).collect()
}
