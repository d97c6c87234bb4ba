//! The 22-bit word a table lookup returns: policy class for the filter, listing number for everybody.

/// What the filter does with a listed source.
///
/// Classes 2 (mail ports only) and 3 (new inbound TCP only) are reserved in the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// Known to DNS, never dropped: no filter feed lists it, or it is protected.
    Answer = 0,
    /// Drop everything from this source.
    Drop = 1,
}

/// Result of a lookup. Zero: not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Payload(u32);

impl Payload {
    /// Not listed.
    pub const NONE: Self = Self(0);
    /// Highest listing number the image can hold.
    pub const MAX_LISTING: u32 = (1 << 20) - 1;
    /// Bits of an image word that hold a payload.
    pub const MASK: u32 = (1 << 22) - 1;

    /// Packs class and listing; `None` when the listing number does not fit. Listing 0 gives [`Self::NONE`].
    #[inline(always)]
    pub const fn new(class: Class, listing: u32) -> Option<Self> {
        match listing {
            0 => Some(Self::NONE),
            1..=Self::MAX_LISTING => Some(Self((class as u32) << 20 | listing)),
            _ => None,
        }
    }

    /// From the low 22 bits of an image word; the others are ignored.
    #[inline(always)]
    pub const fn from_bits(word: u32) -> Self {
        Self(word & Self::MASK)
    }

    /// The 22 bits.
    #[inline(always)]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Listing number, 0 when not listed.
    #[inline(always)]
    pub const fn listing(self) -> u32 {
        self.0 & Self::MAX_LISTING
    }

    /// Is the address on any list?
    #[inline(always)]
    pub const fn is_listed(self) -> bool {
        self.0 != 0
    }

    /// Does the policy class say drop? Unknown classes do not (fail open).
    #[inline(always)]
    pub const fn drops(self) -> bool {
        self.0 >> 20 == Class::Drop as u32
    }
}
