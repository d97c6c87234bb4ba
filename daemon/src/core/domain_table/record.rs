//! The layout of the image: header, directory of buckets, records.
//!
//! | words | content |
//! |---|---|
//! | 0..16 | header: [`header`] |
//! | 16.. | for each bucket the offset of its first record, in octets from the first record, and its filter: [`marks`]; \
//! then the same for where the last one ends |
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
    pub(crate) const VERSION: u32 = 2;
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
    /// Words of an entry of the directory.
    pub(crate) const DIRECTORY_WORDS: usize = 2;
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

/// The record of the child `label`, of any case, of the record at `parent` among the records in `bucket`, and where in
/// the bucket it lies. All others are stepped over by the two numbers that differ for nearly all of them.
#[inline]
pub(super) fn search<'a>(bucket: &'a [u8], parent: u32, label: &[u8]) -> Option<(usize, Record<'a>)> {
    let mut rest = bucket;
    loop {
        let &[flags, len, a, b, c, d] = rest.first_chunk()?;
        let (len, head) =
            (usize::from(len), usize::from(HEADS[usize::from(flags & (HEADS.len() as u8 - 1))]));
        let (this, behind) = rest.split_at_checked(head + len)?;
        let same_numbers = (u32::from_ne_bytes([a, b, c, d]) == parent) & (len == label.len());
        if same_numbers && this.get(head..)?.eq_ignore_ascii_case(label) {
            return Some((bucket.len() - rest.len(), Record::read(this)?.0));
        }
        rest = behind;
    }
}

/// Octets in front of the label, by flags.
const HEADS: [u8; 16] = {
    let mut heads = [6; 16];
    let mut flags = 0;
    while flags < heads.len() as u8 {
        let own = flags & NAME != 0;
        let below = flags & (BELOW | SAME) == BELOW;
        let branch = flags & BRANCH != 0;
        heads[flags as usize] += 4 * (own as u8 + below as u8 + branch as u8);
        flags += 1;
    }
    heads
};

/// Hash of a name from that of its parent (the key, for the zone) and its last label, at most 255 octets of any case.
///
/// Each step mixes eight octets by a multiplication whose halves are folded; without the key nobody can say which names
/// meet in a bucket. The last octets may overlap those before, which their number makes clear.
#[inline]
pub(super) fn hash(parent: u64, label: &[u8]) -> u64 {
    let start = parent ^ (label.len() as u64) << 56;
    let half = |octets: &[u8; 4]| u64::from(u32::from_le_bytes(*octets));
    if let (Some(first), Some(last)) = (label.first_chunk::<8>(), label.last_chunk::<8>()) {
        // The first are for the mixing even when they are also the last.
        let (chunks, _) = label.get(8..).unwrap_or_default().as_chunks::<8>();
        let step = |state, octets: &[u8; 8]| mix(state ^ lower(u64::from_le_bytes(*octets)));
        step(chunks.iter().fold(step(start, first), step), last)
    } else if let (Some(first), Some(last)) = (label.first_chunk::<4>(), label.last_chunk::<4>()) {
        mix(start ^ lower(half(first) | half(last) << 32))
    } else if let (Some(&first), Some(&middle), Some(&last)) =
        (label.first(), label.get(label.len() / 2), label.last())
    {
        mix(start ^ lower(u64::from_le_bytes([first, middle, last, 0, 0, 0, 0, 0])))
    } else {
        mix(start)
    }
}

/// Eight octets with ASCII letters in lower case, the others as they are.
#[inline]
fn lower(octets: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let low = octets & (EACH * 0x7f);
    // The high bit of each octet: from `A` on, and beyond `Z`.
    let from_a = low + EACH * u64::from(0x80 - b'A');
    let beyond_z = low + EACH * u64::from(0x7f - b'Z');
    let upper = from_a & !beyond_z & !octets & (EACH * 0x80);
    octets | upper >> 2
}

#[inline]
fn mix(word: u64) -> u64 {
    let product = u128::from(word ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    product as u64 ^ (product >> 64) as u64
}

/// The bits of a hash in the filter of its bucket: two of 32. A name has no record unless both are set, which keeps nearly
/// all names without one away from the records.
#[inline]
pub(super) fn marks(hash: u64) -> u32 {
    // The bucket is made of the high bits.
    1u32 << (hash & 31) | 1u32 << (hash >> 5 & 31)
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
                        let twice = octets[..octets.len() - 1].repeat(2);
                        assert_eq!(search(&twice, 0x0102_0304, label), Some((0, record)));
                        assert_eq!(search(&twice, 0x0102_0305, label), None);
                        assert_eq!(search(&twice, 0x0102_0304, b"b"), None);
                    }
                }
            }
        }
    }

    #[test]
    fn letters_are_folded_and_nothing_else() {
        for octet in 0..=u8::MAX {
            let folded = lower(u64::from_le_bytes([octet, b'Z', octet, 0xff, b'@', b'[', 0x80, octet]));
            let one = octet.to_ascii_lowercase();
            assert_eq!(folded.to_le_bytes(), [one, b'z', one, 0xff, b'@', b'[', 0x80, one]);
        }
    }

    #[test]
    fn the_key_and_every_octet_count() {
        for len in 1..=MAX_LABEL {
            let label: Vec<u8> = (0..len as u8).collect();
            let first = hash(1, &label);
            assert_ne!(first, hash(2, &label));
            assert_eq!(first, hash(1, &label.to_ascii_uppercase()));
            for i in 0..len {
                let mut other = label.clone();
                other[i] ^= 0x80;
                assert_ne!(first, hash(1, &other), "{i} of {len}");
            }
        }
        assert_ne!(hash(1, b"a"), hash(1, b"a\0"));
    }
}
