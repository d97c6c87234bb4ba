//! The sizes of table maps, and the kernel object made for one of them. Pure.

use super::FilterError;
use blackthorn_common::abi::{CHUNK_BYTES, CHUNK_WORDS, CHUNKS_PLACEHOLDER};

/// Chunks of a table map. A program is loaded for one class and takes any table that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SizeClass(u32);

impl SizeClass {
    /// Smallest class: 4 MiB, enough for some hundred thousand hosts.
    pub(super) const SMALLEST: Self = Self(4);
    /// Largest class: 2 GiB, twice what references inside an image can reach.
    const LARGEST: u32 = 2048;

    /// The class for an image of `words` words: half as much again for growth, in steps that widen with size so that
    /// classes change rarely. `None` when no class is large enough.
    pub(super) fn for_words(words: usize) -> Option<Self> {
        let needed = u32::try_from(words.div_ceil(CHUNK_WORDS)).ok().filter(|n| *n <= Self::LARGEST)?;
        let roomy = (needed + needed.div_ceil(2)).max(Self::SMALLEST.0);
        let step = (roomy.next_power_of_two() / 4).max(4);
        Some(Self(roomy.next_multiple_of(step).min(Self::LARGEST)))
    }

    /// Does an image of `words` words fit?
    pub(super) fn fits(self, words: usize) -> bool {
        words.div_ceil(CHUNK_WORDS) <= self.0 as usize
    }

    /// Entries of the table map.
    pub(super) fn chunks(self) -> u32 {
        self.0
    }

    /// Bytes of the table map.
    pub(super) fn bytes(self) -> usize {
        self.0 as usize * CHUNK_BYTES
    }
}

/// A copy of the kernel object whose table map has `class.chunks()` entries.
///
/// The number is part of the map's BTF type, where the loader library offers no other way to set it for an inner map.
pub(super) struct SizedObject {
    bytes: Vec<u8>,
    start: usize,
}

impl SizedObject {
    /// Writes the size over the placeholder in `object`.
    ///
    /// # Errors
    /// [`FilterError::Object`] unless the placeholder occurs exactly once.
    pub(super) fn new(object: &[u8], class: SizeClass) -> Result<Self, FilterError> {
        let placeholder = CHUNKS_PLACEHOLDER.to_le_bytes();
        let mut places = object.windows(4).enumerate().filter(|(_, window)| *window == placeholder);
        let (Some((place, _)), None) = (places.next(), places.next()) else {
            return Err(FilterError::Object("the size of the table map is not marked in it".into()));
        };
        // The ELF reader wants headers at their natural alignment.
        let mut bytes: Vec<u8> = Vec::with_capacity(object.len() + 8);
        bytes.resize(bytes.as_ptr().align_offset(8).min(8), 0);
        let start = bytes.len();
        bytes.extend_from_slice(object);
        bytes[start + place..start + place + 4].copy_from_slice(&class.chunks().to_le_bytes());
        Ok(Self { bytes, start })
    }

    /// The object.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_are_made_for_and_room_to_grow() {
        for words in
            [0, 1, CHUNK_WORDS, 3 * CHUNK_WORDS, 3 * CHUNK_WORDS + 1, 29 << 18, 700 << 18, 1024 << 18]
        {
            let class = SizeClass::for_words(words).unwrap();
            assert!(class.fits(words), "{words}");
            assert!(class >= SizeClass::SMALLEST);
            assert!(class.chunks() as usize * CHUNK_WORDS * 2 >= words * 3, "{words}: {class:?}");
            assert!(class.bytes() <= 3 * words * 4 || class.chunks() <= 8, "{words}: {class:?}");
        }
    }

    #[test]
    fn classes_are_few() {
        let mut classes: Vec<u32> =
            (0..=1024).map(|mib| SizeClass::for_words(mib << 18).unwrap().chunks()).collect();
        assert!(classes.is_sorted());
        classes.dedup();
        assert_eq!(classes[..8], [4, 8, 12, 16, 24, 32, 48, 64]);
        assert!(classes.len() < 24, "{classes:?}");
    }

    #[test]
    fn an_image_beyond_every_class_has_none() {
        assert_eq!(SizeClass::for_words(usize::MAX), None);
        assert_eq!(SizeClass::for_words(4096 << 18), None);
    }

    #[test]
    fn fits_ends_at_the_last_word() {
        let words = SizeClass::SMALLEST.bytes() / 4;
        assert!(SizeClass::SMALLEST.fits(words));
        assert!(!SizeClass::SMALLEST.fits(words + 1));
    }

    #[test]
    fn the_size_is_written_once_and_nothing_else_changes() {
        let mut object = vec![7; 100];
        object[32..36].copy_from_slice(&CHUNKS_PLACEHOLDER.to_le_bytes());
        let sized = SizedObject::new(&object, SizeClass(48)).unwrap();
        object[32..36].copy_from_slice(&48u32.to_le_bytes());
        assert_eq!(sized.bytes(), object);
        assert_eq!(sized.bytes().as_ptr().align_offset(8), 0);
    }

    #[test]
    fn an_object_without_or_with_two_marks_is_refused() {
        let mark = CHUNKS_PLACEHOLDER.to_le_bytes();
        assert!(SizedObject::new(&[0; 100], SizeClass::SMALLEST).is_err());
        assert!(SizedObject::new(&[mark, mark].concat(), SizeClass::SMALLEST).is_err());
        assert!(SizedObject::new(&[], SizeClass::SMALLEST).is_err());
    }
}
