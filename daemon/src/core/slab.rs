//! Slabs: immutable arrays that are owned, or lie inside bytes owned by somebody else, such as a mapped file.
//!
//! Who reads a slab does not know the difference, so a generation is served from a file without being copied, and this
//! module and all around it stay free of files.

use super::span::Span;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

/// Bytes that stay where and what they are for as long as their owner lives.
///
/// # Safety
/// Every call of [`Self::bytes`] gives the same slice, moving the owner does not move it, and nothing writes to it
/// until the owner is dropped.
pub unsafe trait Bytes: Send + Sync {
    /// The bytes.
    fn bytes(&self) -> &[u8];
}

// SAFETY: the elements of a boxed slice are on the heap, and a shared reference gives no way to change them.
unsafe impl Bytes for Box<[u8]> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

/// Elements of which any bytes of the right number are a valid value.
///
/// # Safety
/// No padding, no invalid bit patterns, no interior mutability, nothing to drop.
pub unsafe trait Plain: Copy + Send + Sync + 'static {}

// SAFETY: an integer is all of these.
unsafe impl Plain for u32 {}
// SAFETY: two integers of the same type in declared order (`repr(C)`), so without padding. A span whose ends are
// reversed is a wrong value, but not an invalid one.
unsafe impl Plain for Span<u32> {}
// SAFETY: as for IPv4.
unsafe impl Plain for Span<u128> {}

/// An immutable array. Cloning shares it.
pub struct Slab<T> {
    start: NonNull<T>,
    len: usize,
    /// What `start` points into.
    _owner: Arc<dyn Owner>,
    elements: PhantomData<[T]>,
}

/// Keeps memory alive, and nothing else.
trait Owner: Send + Sync {}
impl<T: Send + Sync> Owner for Box<[T]> {}
/// Shared bytes, as an owner.
struct Shared {
    _bytes: Arc<dyn Bytes>,
}
impl Owner for Shared {}

// SAFETY: a slab gives out shared references to `T` only, as `Arc<[T]>` does, and `Plain` is `Send` and `Sync`; the
// owner is both as well.
unsafe impl<T: Plain> Send for Slab<T> {}
// SAFETY: as above.
unsafe impl<T: Plain> Sync for Slab<T> {}

impl<T: Plain> Slab<T> {
    /// Part of `owner`: `len` elements from the byte `offset` on. `None` when they are not all inside, or not aligned
    /// as `T` has to be.
    pub fn within(owner: &Arc<dyn Bytes>, offset: usize, len: usize) -> Option<Self> {
        let size = len.checked_mul(size_of::<T>())?;
        let part = owner.bytes().get(offset..offset.checked_add(size)?)?;
        let start = NonNull::from(part).cast::<T>();
        if !start.is_aligned() {
            return None;
        }
        let shared: Arc<dyn Owner> = Arc::new(Shared { _bytes: Arc::clone(owner) });
        Some(Self { start, len, _owner: shared, elements: PhantomData })
    }
}

impl<T: Plain> From<Vec<T>> for Slab<T> {
    fn from(elements: Vec<T>) -> Self {
        let owner: Box<[T]> = elements.into();
        let (start, len) = (NonNull::from(&*owner).cast::<T>(), owner.len());
        Self { start, len, _owner: Arc::new(owner), elements: PhantomData }
    }
}

impl<T: Plain> Deref for Slab<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: `start` is not null and aligned for `T` and `len` elements follow it: by construction from a slice of
        // `T`, or checked in `within`. They are initialised and valid, as any bytes are for `Plain`. They stay where
        // they are and unchanged while the owner lives (a boxed slice behind an `Arc`, or the contract of `Bytes`),
        // and the owner lives at least as long as `self`, from which the result borrows.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> Clone for Slab<T> {
    fn clone(&self) -> Self {
        Self { start: self.start, len: self.len, _owner: Arc::clone(&self._owner), elements: PhantomData }
    }
}

impl<T: Plain> Default for Slab<T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<T: Plain + PartialEq> PartialEq for Slab<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Plain + Eq> Eq for Slab<T> {}

impl<T: Plain + fmt::Debug> fmt::Debug for Slab<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The elements as bytes, in the order of this machine.
pub fn as_bytes<T: Plain>(elements: &[T]) -> &[u8] {
    // SAFETY: `Plain` has no padding, so every byte is initialised; `u8` has no alignment; the length is that of the
    // same memory, and the result borrows from `elements`.
    unsafe { std::slice::from_raw_parts(elements.as_ptr().cast(), size_of_val(elements)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that begin `skew` behind a 16-byte boundary.
    #[repr(C, align(16))]
    struct Aligned([u8; 64]);

    // SAFETY: behind an `Arc` the array has its place, and nothing changes it.
    unsafe impl Bytes for Aligned {
        fn bytes(&self) -> &[u8] {
            &self.0
        }
    }

    fn owner() -> Arc<dyn Bytes> {
        Arc::new(Aligned(std::array::from_fn(|i| i as u8)))
    }

    #[test]
    fn a_part_of_shared_bytes_is_read_in_place_and_kept_alive() {
        let owner = owner();
        let start = owner.bytes().as_ptr();
        let slab: Slab<u32> = Slab::within(&owner, 8, 3).unwrap();
        drop(owner);
        let copy = slab.clone();
        drop(slab);
        assert_eq!(*copy, [0x0b0a_0908u32, 0x0f0e_0d0c, 0x1312_1110].map(u32::from_le));
        assert_eq!(copy.as_ptr().cast::<u8>(), start.wrapping_add(8));
    }

    #[test]
    fn nothing_outside_and_nothing_crooked() {
        let owner = owner();
        assert!(Slab::<u32>::within(&owner, 0, 16).is_some());
        assert!(Slab::<u32>::within(&owner, 64, 0).is_some());
        for (offset, len) in [(0, 17), (64, 1), (68, 0), (4, 16), (usize::MAX, 1), (4, usize::MAX)] {
            assert!(Slab::<u32>::within(&owner, offset, len).is_none(), "{offset} {len}");
        }
        assert!(Slab::<u32>::within(&owner, 2, 1).is_none());
        assert!(Slab::<Span<u128>>::within(&owner, 16, 1).is_some());
        assert!(Slab::<Span<u128>>::within(&owner, 8, 1).is_none());
    }

    #[test]
    fn owned_elements_and_bytes_agree() {
        let spans = vec![Span { first: 1u32, last: 2 }, Span { first: 5, last: 9 }];
        let slab = Slab::from(spans.clone());
        assert_eq!(*slab, *spans);
        let words: Vec<u32> =
            as_bytes(&slab).as_chunks().0.iter().map(|bytes| u32::from_ne_bytes(*bytes)).collect();
        assert_eq!(words, [1, 2, 5, 9]);
        assert!(Slab::<u32>::default().is_empty());
    }
}
