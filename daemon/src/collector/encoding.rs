//! Undoes the compression a server applied for the transfer (RFC 9110 section 8.4).
//!
//! Done here and not by the HTTP library, so that the cap holds for what comes out and a cut stream is a failure.
//! A list that itself is a .gz file comes without Content-Encoding and is passed on untouched.

use super::error::Cause;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::io::Read;

/// What we ask for.
pub(super) const ACCEPTED: &str = "gzip, deflate";

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Not at all.
    Identity,
    /// gzip (RFC 1952), in one or more members.
    Gzip,
    /// zlib (RFC 1950), or the bare deflate (RFC 1951) that some servers send under the same name.
    Deflate,
}

impl Encoding {
    /// Reads the value of a Content-Encoding header.
    pub(super) fn from_header(value: &str) -> Result<Self, Cause> {
        match value.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            // Shown to people: only its beginning.
            other => Err(Cause::UnknownEncoding(other.chars().take(40).collect())),
        }
    }

    /// Decodes a whole body to at most `max_bytes`.
    pub(super) fn decode(self, body: Vec<u8>, max_bytes: u64) -> Result<Vec<u8>, Cause> {
        match self {
            Self::Identity => Ok(body),
            Self::Gzip => capped(MultiGzDecoder::new(&*body), max_bytes),
            Self::Deflate if is_zlib(&body) => capped(ZlibDecoder::new(&*body), max_bytes),
            Self::Deflate => capped(DeflateDecoder::new(&*body), max_bytes),
        }
    }
}

fn capped(decoder: impl Read, max_bytes: u64) -> Result<Vec<u8>, Cause> {
    let mut decoded = Vec::new();
    decoder.take(max_bytes.saturating_add(1)).read_to_end(&mut decoded).map_err(Cause::Damaged)?;
    if decoded.len() as u64 > max_bytes { Err(Cause::TooLarge(max_bytes)) } else { Ok(decoded) }
}

/// Does the body start with a zlib header: method 8, and a multiple of 31 (RFC 1950 section 2.2)?
fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [method, flags, ..] if method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;
    use std::io::Write;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(plain: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn raw_deflate(plain: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn header_values() {
        let read = |value| Encoding::from_header(value).ok();
        assert_eq!(read(""), Some(Encoding::Identity));
        assert_eq!(read("identity"), Some(Encoding::Identity));
        assert_eq!(read(" GZip "), Some(Encoding::Gzip));
        assert_eq!(read("x-gzip"), Some(Encoding::Gzip));
        assert_eq!(read("deflate"), Some(Encoding::Deflate));
        assert_eq!(read("br"), None);
        assert_eq!(read("gzip, gzip"), None);
    }

    #[test]
    fn several_members_are_one_body() {
        let body = [gzip(b"192.0.2.1\n"), gzip(b"192.0.2.2\n")].concat();
        assert_eq!(Encoding::Gzip.decode(body, 100).unwrap(), b"192.0.2.1\n192.0.2.2\n");
    }

    #[test]
    fn a_bomb_stops_at_the_cap() {
        let bomb = gzip(&vec![b'#'; 1 << 20]);
        assert!(bomb.len() < 2048);
        assert!(matches!(Encoding::Gzip.decode(bomb.clone(), 4096), Err(Cause::TooLarge(4096))));
        assert!(matches!(Encoding::Gzip.decode(bomb.clone(), (1 << 20) - 1), Err(Cause::TooLarge(_))));
        assert_eq!(Encoding::Gzip.decode(bomb, 1 << 20).unwrap().len(), 1 << 20);
    }

    #[test]
    fn every_cut_is_noticed() {
        let plain = b"192.0.2.1\n192.0.2.2\n198.51.100.0/24\n";
        for (encoding, body) in [
            (Encoding::Gzip, gzip(plain)),
            (Encoding::Deflate, zlib(plain)),
            (Encoding::Deflate, raw_deflate(plain)),
        ] {
            assert_eq!(encoding.decode(body.clone(), 1000).unwrap(), plain);
            for len in 0..body.len() {
                let cut = body.get(..len).unwrap().to_vec();
                assert!(
                    matches!(encoding.decode(cut, 1000), Err(Cause::Damaged(_))),
                    "{encoding:?} at {len}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn decodes_what_was_encoded(plain: Vec<u8>) {
            prop_assert_eq!(&Encoding::Gzip.decode(gzip(&plain), 1 << 20).unwrap(), &plain);
            prop_assert_eq!(&Encoding::Deflate.decode(zlib(&plain), 1 << 20).unwrap(), &plain);
            prop_assert_eq!(&Encoding::Deflate.decode(raw_deflate(&plain), 1 << 20).unwrap(), &plain);
        }

        #[test]
        fn survives_anything(body: Vec<u8>) {
            for encoding in [Encoding::Gzip, Encoding::Deflate] {
                if let Ok(decoded) = encoding.decode(body.clone(), 4096) {
                    prop_assert!(decoded.len() <= 4096);
                }
            }
        }
    }
}
