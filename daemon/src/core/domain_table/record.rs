//! The layout of the image: header, directory of buckets, records.
//!
//! | words | content |
//! |---|---|
//! | 0..16 | header: [`header`] |
//! | 16..16 + buckets + 1 | offset of each bucket's first record, in octets from the first record, and where the last ends |
//! | then | records, without gaps; the last word is filled up with zeros |
//!
//! A record, without alignment, numbers in the byte order of the machine that built the image:
//!
//! | octets | content |
//! |---|---|
//! | 1 | flags |
//! | 1 | octets of the label, 1 to 63 |
//! | 4 | offset of the parent's record, or [`ROOT`] |
//! | 0 or 4 | payload of the name, with [`NAME`] |
//! | 0 or 4 | payload of the names below, with [`BELOW`]; left out with [`SAME`] |
//! | 0 or 4 | branch number, with [`BRANCH`] |
//! | 1 to 63 | last label in lower case |

use crate::core::name::MAX_LABEL;
use blackthorn_common::payload::Payload;

/// Word numbers and values of the header. Words not named are zero.
pub(super) mod header {
    /// "BTDM" read as bytes on a little-endian machine.
    pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"BTDM");
    /// Changes whenever an older reader would misread the image.
    pub(crate) const VERSION: u32 = 1;
    /// Reads differently on a machine of the other byte order.
    pub(crate) const ENDIAN: u32 = 0x0102_0304;
    /// Most words of an image (1 GiB), so that every offset fits its field.
    pub(crate) const MAX_WORDS: usize = 1 << 28;

    /// Where [`MAGIC`] stands.
    pub(crate) const AT_MAGIC: usize = 0;
    /// Where [`VERSION`] stands.
    pub(crate) const AT_VERSION: usize = 1;
    /// Where [`ENDIAN`] stands.
    pub(crate) const AT_ENDIAN: usize = 2;
    /// Checksum over everything behind, low half first.
    pub(crate) const AT_CHECKSUM: usize = 4;
    /// First word the checksum covers.
    pub(crate) const SUMMED_FROM: usize = 6;
    /// Key of the hash, low half first.
    pub(crate) const AT_KEY: usize = 6;
    /// Number of buckets.
    pub(crate) const AT_BUCKETS: usize = 8;
    /// Octets of records.
    pub(crate) const AT_RECORD_OCTETS: usize = 9;
    /// Number of names with records below them, the zone included.
    pub(crate) const AT_BRANCHES: usize = 10;
    /// Words of the header.
    pub(crate) const WORDS: usize = 16;
}

/// In place of a parent's offset: the parent is the zone.
pub(super) const ROOT: u32 = u32::MAX;
/// Most records in one bucket.
pub(super) const MAX_BUCKET: u32 = 32;
/// Most octets in one bucket.
pub(super) const MAX_BUCKET_OCTETS: usize = MAX_BUCKET as usize * (18 + MAX_LABEL);

/// The name has a payload of its own.
const NAME: u8 = 1;
/// The names below have a payload.
const BELOW: u8 = 2;
/// It is that of the name.
const SAME: u8 = 4;
/// There are records below.
const BRANCH: u8 = 8;

/// What the image holds about one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// Offset of the parent's record.
    pub(super) parent: u32,
    /// For the name; `None` when that is up to its parents.
    pub(super) name: Option<Payload>,
    /// For the names below; `None` when that is up to its parents.
    pub(super) below: Option<Payload>,
    /// Number among the names with records below them, if it is one. 0 is the zone.
    pub(super) branch: Option<u32>,
    /// The last label.
    pub(super) label: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record at the front of `octets`, and what follows; `None` when it is cut off.
    #[inline]
    pub(super) fn read(octets: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[flags, len], mut rest) = octets.split_first_chunk()?;
        let mut word = || {
            let (word, behind) = rest.split_first_chunk()?;
            rest = behind;
            Some(u32::from_ne_bytes(*word))
        };
        let parent = word()?;
        let name = if flags & NAME == 0 { None } else { Some(Payload::from_bits(word()?)) };
        let below = match flags & (BELOW | SAME) {
            0 | SAME => None,
            BELOW => Some(Payload::from_bits(word()?)),
            _ => name,
        };
        let branch = if flags & BRANCH == 0 { None } else { Some(word()?) };
        let (label, behind) = rest.split_at_checked(len.into())?;
        Some((Self { parent, name, below, branch, label }, behind))
    }

    /// Octets it takes.
    pub(super) fn size(&self) -> usize {
        let words = 1
            + usize::from(self.name.is_some())
            + usize::from(self.below.is_some() && self.below != self.name)
            + usize::from(self.branch.is_some());
        2 + words * size_of::<u32>() + self.label.len()
    }

    /// Appends it. The label is at most [`MAX_LABEL`] octets long.
    pub(super) fn write(&self, octets: &mut Vec<u8>) {
        let same = self.name.is_some() && self.below == self.name;
        let flag = |flag: u8, set: bool| if set { flag } else { 0 };
        let flags = flag(NAME, self.name.is_some())
            | flag(BELOW, self.below.is_some())
            | flag(SAME, same)
            | flag(BRANCH, self.branch.is_some());
        octets.extend([flags, self.label.len() as u8]);
        octets.extend(self.parent.to_ne_bytes());
        let below = self.below.filter(|_| !same);
        for word in
            [self.name.map(Payload::bits), below.map(Payload::bits), self.branch].into_iter().flatten()
        {
            octets.extend(word.to_ne_bytes());
        }
        octets.extend_from_slice(self.label);
    }
}

/// Hash of a name from that of its parent (the key, for the zone) and its last label in lower case.
///
/// Each step mixes eight octets by a multiplication whose halves are folded; without the key nobody can say which names
/// meet in a bucket.
#[inline]
pub(super) fn hash(parent: u64, label: &[u8]) -> u64 {
    let (chunks, rest) = label.as_chunks::<8>();
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let start = parent ^ (label.len() as u64) << 56;
    let state = chunks.iter().fold(start, |state, chunk| mix(state ^ u64::from_le_bytes(*chunk)));
    mix(state ^ u64::from_le_bytes(last))
}

#[inline]
fn mix(word: u64) -> u64 {
    let product = u128::from(word ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    product as u64 ^ (product >> 64) as u64
}

/// Bucket of a hash, `None` when there are none.
#[inline]
pub(super) fn bucket(hash: u64, buckets: u32) -> Option<usize> {
    let bucket = (u128::from(hash) * u128::from(buckets)) >> 64;
    (buckets > 0).then_some(bucket as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use blackthorn_common::payload::Class;

    #[test]
    fn records_are_read_as_written() {
        let payloads = [None, Some(Payload::NONE), Payload::new(Class::Drop, 77)];
        for name in payloads {
            for below in payloads {
                for branch in [None, Some(0), Some(u32::MAX)] {
                    for label in [&b"a"[..], &[255; MAX_LABEL]] {
                        let record = Record { parent: 0x0102_0304, name, below, branch, label };
                        let mut octets = Vec::new();
                        record.write(&mut octets);
                        assert_eq!(octets.len(), record.size());
                        for cut in 0..octets.len() {
                            assert_eq!(Record::read(&octets[..cut]), None);
                        }
                        octets.push(9);
                        assert_eq!(Record::read(&octets), Some((record, &[9][..])));
                    }
                }
            }
        }
    }

    #[test]
    fn the_key_and_every_octet_count() {
        let label: [u8; 17] = std::array::from_fn(|i| i as u8 + 1);
        let first = hash(1, &label);
        assert_ne!(first, hash(2, &label));
        for i in 0..label.len() {
            let mut other = label;
            other[i] ^= 1;
            assert_ne!(first, hash(1, &other), "{i}");
        }
        assert_ne!(hash(1, b"a"), hash(1, b"a\0"));
    }
}
