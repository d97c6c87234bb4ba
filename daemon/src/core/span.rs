//! Spans: inclusive runs of addresses of one family, the currency of merge and table.
//!
//! Everything that works on addresses is written once over [`Bits`] and runs for IPv4 (`u32`) and IPv6 (`u128`).

use std::fmt::Debug;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address as a number: `u32` for IPv4, `u128` for IPv6, most significant bit first.
pub trait Bits: Copy + Ord + Hash + Debug + Send + Sync + 'static {
    /// Number of bits of an address: 32 or 128.
    const WIDTH: u8;
    /// The lowest address.
    const ZERO: Self;
    /// The highest address.
    const MAX: Self;

    /// The next address, or `None` after the highest.
    fn succ(self) -> Option<Self>;
    /// The address before, or `None` before the lowest.
    fn pred(self) -> Option<Self>;
    /// Host mask of a prefix of `len` bits: the low `WIDTH - len` bits set. `len` above `WIDTH` counts as `WIDTH`.
    fn host_mask(len: u8) -> Self;
    /// Bits set in `self` or `other`.
    fn or(self, other: Self) -> Self;
    /// Bits set in `self` but not in `other`.
    fn and_not(self, other: Self) -> Self;
    /// Number of zero bits below the lowest set bit; `WIDTH` for zero.
    fn low_zeros(self) -> u8;
    /// `self - other` as a count; `other` must not be greater.
    fn distance(self, other: Self) -> u128;
    /// The address in text form.
    fn to_ip(self) -> IpAddr;
}

macro_rules! bits {
    ($int:ty, $addr:ty, $width:literal) => {
        impl Bits for $int {
            const WIDTH: u8 = $width;
            const ZERO: Self = 0;
            const MAX: Self = <$int>::MAX;

            fn succ(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn pred(self) -> Option<Self> {
                self.checked_sub(1)
            }
            fn host_mask(len: u8) -> Self {
                Self::MAX.checked_shr(u32::from(len)).unwrap_or(0)
            }
            fn or(self, other: Self) -> Self {
                self | other
            }
            fn and_not(self, other: Self) -> Self {
                self & !other
            }
            fn low_zeros(self) -> u8 {
                // At most 128, so it always fits.
                self.trailing_zeros() as u8
            }
            fn distance(self, other: Self) -> u128 {
                (self - other).into()
            }
            fn to_ip(self) -> IpAddr {
                <$addr>::from(self).into()
            }
        }
    };
}

bits!(u32, Ipv4Addr, 32);
bits!(u128, Ipv6Addr, 128);

/// An inclusive run of addresses, `first <= last`. Its layout is that of two addresses, as generation files have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct Span<A> {
    /// Lowest address.
    pub first: A,
    /// Highest address, part of the run.
    pub last: A,
}

impl<A: Bits> Span<A> {
    /// All addresses of the family.
    pub const ALL: Self = Self { first: A::ZERO, last: A::MAX };

    /// A run from `first` to `last`, or `None` when the ends are reversed.
    pub fn new(first: A, last: A) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// One address.
    pub fn host(address: A) -> Self {
        Self { first: address, last: address }
    }

    /// The prefix `address/len`; host bits of `address` are masked off, `len` above the width counts as the width.
    pub fn prefix(address: A, len: u8) -> Self {
        let hosts = A::host_mask(len);
        Self { first: address.and_not(hosts), last: address.or(hosts) }
    }

    /// Is `address` inside?
    pub fn contains(&self, address: A) -> bool {
        self.first <= address && address <= self.last
    }

    /// Do the two share an address?
    pub fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Is all of `other` inside `self`?
    pub fn covers(&self, other: &Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// Number of addresses, saturating for the whole of IPv6.
    pub fn size(&self) -> u128 {
        self.last.distance(self.first).saturating_add(1)
    }

    /// The prefix length, if the span is exactly one prefix.
    pub fn prefix_len(&self) -> Option<u8> {
        let mut whole = self.prefixes();
        match (whole.next(), whole.next()) {
            (Some((_, len)), None) => Some(len),
            _ => None,
        }
    }

    /// The fewest prefixes that make up the span, in address order.
    pub fn prefixes(&self) -> Prefixes<A> {
        Prefixes { rest: Some(*self) }
    }
}

/// Iterator over the prefixes of a span, as (first address, prefix length).
#[derive(Clone, Debug)]
pub struct Prefixes<A> {
    rest: Option<Span<A>>,
}

impl<A: Bits> Iterator for Prefixes<A> {
    type Item = (A, u8);

    fn next(&mut self) -> Option<(A, u8)> {
        let span = self.rest?;
        // The widest prefix that starts here: as aligned as the first address, no longer than the rest.
        let mut len = A::WIDTH - span.first.low_zeros().min(A::WIDTH);
        while Span::prefix(span.first, len).last > span.last {
            len += 1;
        }
        let end = Span::prefix(span.first, len).last;
        self.rest = end.succ().and_then(|first| Span::new(first, span.last));
        Some((span.first, len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_family_is_one_prefix() {
        assert_eq!(Span::<u32>::ALL.prefixes().collect::<Vec<_>>(), [(0, 0)]);
        assert_eq!(Span::<u128>::ALL.prefixes().collect::<Vec<_>>(), [(0, 0)]);
        assert_eq!(Span::<u128>::ALL.size(), u128::MAX);
    }

    #[test]
    fn a_range_is_cut_at_its_alignments() {
        let span = Span::new(0xc633_6400u32, 0xc633_6425).unwrap();
        let lens: Vec<u8> = span.prefixes().map(|(_, len)| len).collect();
        assert_eq!(lens, [27, 30, 31]);
        assert_eq!(span.prefix_len(), None);
        assert_eq!(Span::prefix(0xc633_6425u32, 24).prefix_len(), Some(24));
    }

    #[test]
    fn prefixes_cover_exactly_the_span() {
        for (first, last) in [(0u32, 0), (1, 6), (0xffff_fff0, u32::MAX), (5, 5), (0x7fff_ffff, 0x8000_0000)]
        {
            let span = Span::new(first, last).unwrap();
            let mut next = Some(first);
            for (address, len) in span.prefixes() {
                assert_eq!(Some(address), next);
                assert_eq!(Span::prefix(address, len).first, address);
                next = Span::prefix(address, len).last.succ();
            }
            assert_eq!(next, last.succ());
        }
    }

    #[test]
    fn edges_of_prefix_lengths() {
        assert_eq!(Span::prefix(7u32, 0), Span::ALL);
        assert_eq!(Span::prefix(7u32, 32), Span::host(7));
        assert_eq!(Span::prefix(7u128, 200), Span::host(7));
    }
}
