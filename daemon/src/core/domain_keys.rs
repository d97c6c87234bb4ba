//! Domain keys: names turned round, so that sorting them puts each name in front of all below it.
//!
//! A key is the labels of a name with their length octets, the highest first, in lower case. The key of a name begins
//! with those of all names above it, and with no other key that ends where a label does.

use super::domain;
use std::ops::Range;

/// Keys of names, by number.
#[derive(Debug, Default)]
pub(super) struct Keys {
    octets: Vec<u8>,
    /// Where the key of each name lies.
    places: Vec<(usize, u8)>,
}

impl Keys {
    /// Room for this many names of this many octets in all.
    pub(super) fn with_capacity(names: usize, octets: usize) -> Self {
        Self { octets: Vec::with_capacity(octets), places: Vec::with_capacity(names) }
    }

    /// Adds the key of a name in wire form without the root, of any case; `None`, and nothing added, when it is no name.
    pub(super) fn push(&mut self, name: &[u8]) -> Option<()> {
        let _ = domain::labels(name)?;
        let (start, len) = (self.octets.len(), u8::try_from(name.len()).ok()?);
        // From the back, the labels as they come: the deepest is the last of the key.
        self.octets.resize(start + name.len(), 0);
        let mut rest = self.octets.get_mut(start..).unwrap_or_default();
        for label in domain::labels(name).into_iter().flatten() {
            let (front, place) = rest.split_at_mut_checked(rest.len().checked_sub(label.len() + 1)?)?;
            let (first, place) = place.split_first_mut()?;
            *first = label.len() as u8;
            place.iter_mut().zip(label).for_each(|(to, from)| *to = from.to_ascii_lowercase());
            rest = front;
        }
        self.places.push((start, len));
        Some(())
    }

    /// The key of a name; empty for numbers there are not.
    pub(super) fn key(&self, number: u32) -> &[u8] {
        self.octets.get(self.range(number)).unwrap_or_default()
    }

    fn range(&self, number: u32) -> Range<usize> {
        self.places.get(number as usize).map_or(0..0, |&(start, len)| start..start + usize::from(len))
    }

    /// The numbers of the names in the order of their keys; names that come several times in the order they came.
    ///
    /// The first 16 octets decide most comparisons without a look elsewhere.
    pub(super) fn order(&self) -> Vec<u32> {
        let head = |key: &[u8]| {
            let mut head = [0; 16];
            head.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
            u128::from_be_bytes(head)
        };
        let numbers = 0..u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        let mut order: Vec<(u128, u32)> = numbers.map(|number| (head(self.key(number)), number)).collect();
        order.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| self.key(a.1).cmp(self.key(b.1))).then(a.1.cmp(&b.1))
        });
        order.into_iter().map(|(_, number)| number).collect()
    }
}

/// The name of a key, in wire form without the root.
pub(super) fn name_of(key: &[u8]) -> Vec<u8> {
    let mut labels: Vec<&[u8]> = domain::labels(key).into_iter().flatten().collect();
    labels.reverse();
    labels.iter().flat_map(|label| [&[label.len() as u8], *label].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&[u8]]) -> Keys {
        let mut keys = Keys::default();
        for name in names {
            keys.push(name).unwrap();
        }
        keys
    }

    #[test]
    fn names_are_turned_round_and_back() {
        let keys = keys(&[b"\x03wWw\x07EXAMPLE\x03com", b"\x03com"]);
        assert_eq!(keys.key(0), b"\x03com\x07example\x03www");
        assert_eq!(name_of(keys.key(0)), b"\x03www\x07example\x03com");
        assert_eq!((keys.key(1), keys.key(2)), (&b"\x03com"[..], &b""[..]));
        let mut keys = keys;
        assert_eq!([keys.push(b""), keys.push(b"\x02a"), keys.push(b"\0")], [None; 3]);
        assert_eq!(keys.order(), [1, 0]);
    }

    #[test]
    fn parents_come_right_before_those_below() {
        let long = [&[40][..], &[b'x'; 40], b"\x03com"].concat();
        let longer = [b"\x01a", &long[..]].concat();
        let keys =
            keys(&[&longer, b"\x02co", b"\x01a\x03com", &long, b"\x03com", b"\x01b\x01a\x03com", b"\x03com"]);
        assert_eq!(keys.order(), [1, 4, 6, 2, 5, 3, 0]);
    }
}
