//! Bodies as they lie in the database: compressed when that is worth it.

use flate2::Compression;
use flate2::read::{GzDecoder, GzEncoder};
use std::borrow::Cow;
use std::io::{self, Read};

/// Smaller bodies fit on a page or two as they are.
const WORTH_PACKING: usize = 4096;

/// A stored body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packed<'a> {
    /// Are the bytes gzip?
    pub(super) gzip: bool,
    /// The bytes.
    pub(super) bytes: Cow<'a, [u8]>,
}

impl<'a> Packed<'a> {
    /// Compresses the body if it is large and gets smaller that way.
    pub(super) fn new(body: &'a [u8]) -> Self {
        if body.len() >= WORTH_PACKING {
            let mut packed = Vec::new();
            let done = GzEncoder::new(body, Compression::fast()).read_to_end(&mut packed);
            if done.is_ok() && packed.len() < body.len() {
                return Self { gzip: true, bytes: packed.into() };
            }
        }
        Self { gzip: false, bytes: body.into() }
    }

    /// The body again, which had `size` bytes. Never unpacks more than that, whatever the disk made of it.
    pub(super) fn unpack(self, size: u64) -> io::Result<Vec<u8>> {
        let body = if self.gzip {
            let mut body = Vec::new();
            GzDecoder::new(&*self.bytes).take(size.saturating_add(1)).read_to_end(&mut body)?;
            body
        } else {
            self.bytes.into_owned()
        };
        if body.len() as u64 == size { Ok(body) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_shrinks_is_packed() {
        assert!(!Packed::new(&[b'#'; 100]).gzip);
        let list = b"192.0.2.1\n".repeat(1000);
        let packed = Packed::new(&list);
        assert!(packed.gzip && packed.bytes.len() < 1000);
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(20_000)
        .collect();
        assert!(!Packed::new(&noise).gzip);
    }

    #[test]
    fn a_wrong_size_is_damage() {
        let list = b"192.0.2.1\n".repeat(1000);
        for size in [0, 9_999, 10_001, u64::MAX] {
            assert!(Packed::new(&list).unpack(size).is_err(), "{size}");
        }
        assert!(Packed::new(b"x").unpack(2).is_err());
    }

    proptest! {
        #[test]
        fn comes_back_as_it_was(body in proptest::collection::vec(any::<u8>(), 0..10_000)) {
            prop_assert_eq!(Packed::new(&body).unpack(body.len() as u64).unwrap(), body);
        }
    }
}
