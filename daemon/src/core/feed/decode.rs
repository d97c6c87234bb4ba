//! Body to text: decompression, byte order marks, and the checks that tell a list from something else.

use super::reject::printable;
use flate2::bufread::MultiGzDecoder;
use std::borrow::Cow;
use std::io::{self, Read};
use thiserror::Error;

/// Why a body as a whole cannot be read; nothing of it is used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BodyError {
    /// G15.
    #[error(
        "the text is longer than the {limit} bytes this feed may have; raise its size limit if that is expected"
    )]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// G15.
    #[error("{packed} bytes of gzip expand more than {ratio}-fold, which no list does; check the source")]
    Bomb {
        /// Size of the compressed body.
        packed: usize,
        /// Largest expansion allowed.
        ratio: u64,
    },
    /// G06.
    #[error("the gzip body ends too early; it was cut on the way or is still being written, fetch it again")]
    GzipTruncated,
    /// F47: bad checksum, bad header or bytes behind the last member.
    #[error("the gzip body is damaged ({0}); fetch it again, and check the source if that does not help")]
    GzipDamaged(String),
    /// F26, F46, F47: recognised, but no format reads it.
    #[error("the body is {0}, which is not supported; point the feed at plain text or gzip")]
    Unsupported(&'static str),
    /// G04.
    #[error("the body is binary (NUL at byte {offset}); check that the source is a text list")]
    Nul {
        /// Where, in the decoded text.
        offset: usize,
    },
    /// G04.
    #[error(
        "{bad} of {len} bytes are neither UTF-8 nor UTF-16; check that the source is a text list, or save it as UTF-8"
    )]
    Undecodable {
        /// Bytes that could not be decoded.
        bad: usize,
        /// Bytes in all.
        len: usize,
    },
    /// G01: challenge and login pages are served with status 200.
    #[error(
        "the body is a web page or XML, not a list (it begins with `{0}`); open the source in a browser to see why"
    )]
    Markup(String),
    /// E23.
    #[error(
        "line {line} is longer than {limit} bytes; no list in this format has such lines, check source and format"
    )]
    LongLine {
        /// Line in the decoded text, from 1.
        line: u32,
        /// The limit, in bytes.
        limit: usize,
    },
    /// F13, F14: the header does not name the address column.
    #[error(
        "no column is called `{column}`; the header in line {line} reads `{header}`, set `column` to one of its names"
    )]
    NoSuchColumn {
        /// The wanted name.
        column: String,
        /// Line of what should be the header, from 1.
        line: u32,
        /// What is there.
        header: String,
    },
}

/// Most bytes of text per byte of gzip, once the text is longer than [`FREE_EXPANSION`]. Lists reach about 10.
const MAX_RATIO: u64 = 100;
/// Text below this size may come from any amount of gzip.
const FREE_EXPANSION: u64 = 1 << 20;

/// Magic bytes of what servers deliver in place of text, and its name.
const FOREIGN: [(&[u8], &str); 7] = [
    (b"PK\x03\x04", "a zip archive or workbook"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"BZh91AY&SY", "a bzip2 archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office workbook"),
    (b"\xff\xff\xff\xffP2B", "a binary P2B list"),
];

/// The text of a body: unpacked, without byte order mark, in UTF-8 but for at most 1 % stray bytes, and at most
/// `max_bytes` long.
///
/// # Errors
/// [`BodyError`] when the body is damaged, too large or something else than text.
pub(super) fn text(body: &[u8], max_bytes: u64) -> Result<Cow<'_, [u8]>, BodyError> {
    let unpacked = if body.starts_with(b"\x1f\x8b") {
        Cow::Owned(gunzip(body, max_bytes)?)
    } else {
        Cow::Borrowed(body)
    };
    limit(unpacked.len(), max_bytes)?;
    if let Some((_, name)) = FOREIGN.iter().find(|(magic, _)| unpacked.starts_with(magic)) {
        return Err(BodyError::Unsupported(name));
    }
    let text = match &*unpacked {
        [0xff, 0xfe, units @ ..] => Cow::Owned(utf16(units, u16::from_le_bytes)?),
        [0xfe, 0xff, units @ ..] => Cow::Owned(utf16(units, u16::from_be_bytes)?),
        [0xef, 0xbb, 0xbf, ..] => without_mark(unpacked),
        _ => unpacked,
    };
    limit(text.len(), max_bytes)?;
    check(&text)?;
    Ok(text)
}

fn limit(len: usize, limit: u64) -> Result<(), BodyError> {
    if len as u64 > limit { Err(BodyError::TooLarge { limit }) } else { Ok(()) }
}

/// Unpacks every member of a gzip body (RFC 1952), checksums included.
fn gunzip(body: &[u8], max_bytes: u64) -> Result<Vec<u8>, BodyError> {
    let bomb = (body.len() as u64).saturating_mul(MAX_RATIO).max(FREE_EXPANSION);
    let cap = max_bytes.min(bomb);
    let mut text = Vec::new();
    MultiGzDecoder::new(body).take(cap.saturating_add(1)).read_to_end(&mut text).map_err(|e| {
        match e.kind() {
            io::ErrorKind::UnexpectedEof => BodyError::GzipTruncated,
            _ => BodyError::GzipDamaged(e.to_string()),
        }
    })?;
    match text.len() as u64 {
        len if len <= cap => Ok(text),
        _ if cap < max_bytes => Err(BodyError::Bomb { packed: body.len(), ratio: MAX_RATIO }),
        _ => Err(BodyError::TooLarge { limit: max_bytes }),
    }
}

fn without_mark(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(3..).unwrap_or_default()),
        Cow::Owned(mut bytes) => {
            bytes.drain(..3);
            Cow::Owned(bytes)
        }
    }
}

/// E01: spreadsheets save text as UTF-16. Lone surrogates and a cut last unit count as undecodable.
fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Vec<u8>, BodyError> {
    let (pairs, cut) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(bytes.len() / 2);
    let mut bad = cut.len();
    for decoded in char::decode_utf16(pairs.iter().copied().map(unit)) {
        bad += if decoded.is_err() { 2 } else { 0 };
        text.push(decoded.unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    decodable(bad, bytes.len())?;
    Ok(text.into_bytes())
}

/// Refuses binary data (G04) and markup (G01).
fn check(text: &[u8]) -> Result<(), BodyError> {
    if let Some(offset) = text.iter().position(|&b| b == 0) {
        return Err(BodyError::Nul { offset });
    }
    let bad = text.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    decodable(bad, text.len())?;
    let head = text.trim_ascii_start();
    let begins = |tag: &[u8]| head.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag));
    if begins(b"<!doctype") || begins(b"<html") || begins(b"<?xml") {
        return Err(BodyError::Markup(printable(&head[..head.len().min(40)])));
    }
    Ok(())
}

fn decodable(bad: usize, len: usize) -> Result<(), BodyError> {
    if bad.saturating_mul(100) > len { Err(BodyError::Undecodable { bad, len }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    const MAX: u64 = 4 << 20;
    const LIST: &[u8] = b"192.0.2.1\n192.0.2.2\n";

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn f47_gzip_is_known_by_its_magic_and_may_have_many_members() {
        assert_eq!(*text(&gzip(LIST), MAX).unwrap(), *LIST);
        let members = [gzip(LIST), gzip(b""), gzip(b"192.0.2.3")].concat();
        assert_eq!(*text(&members, MAX).unwrap(), *b"192.0.2.1\n192.0.2.2\n192.0.2.3");
        assert_eq!(*text(LIST, MAX).unwrap(), *LIST);
    }

    #[test]
    fn g06_gzip_cut_anywhere_is_an_error() {
        let whole = [gzip(LIST), gzip(LIST)].concat();
        let first = gzip(LIST).len();
        for end in (2..whole.len()).filter(|&end| end != first) {
            assert_eq!(text(&whole[..end], MAX), Err(BodyError::GzipTruncated), "cut to {end} bytes");
        }
    }

    #[test]
    fn gzip_with_a_wrong_checksum_or_a_tail_is_an_error() {
        let mut bad = gzip(LIST);
        let crc = bad.len() - 8;
        bad[crc] ^= 1;
        assert!(matches!(text(&bad, MAX), Err(BodyError::GzipDamaged(_))));
        let tail = [gzip(LIST), b"something else".to_vec()].concat();
        assert!(matches!(text(&tail, MAX), Err(BodyError::GzipDamaged(_))));
    }

    #[test]
    fn g15_size_and_expansion_are_capped() {
        assert_eq!(text(LIST, 19), Err(BodyError::TooLarge { limit: 19 }));
        assert_eq!(text(&gzip(LIST), 19), Err(BodyError::TooLarge { limit: 19 }));
        assert!(text(&gzip(LIST), 20).is_ok());
        let bomb = gzip(&vec![b'\n'; 3 << 20]);
        assert_eq!(text(&bomb, MAX), Err(BodyError::Bomb { packed: bomb.len(), ratio: MAX_RATIO }));
        assert_eq!(text(&bomb, 1 << 20), Err(BodyError::TooLarge { limit: 1 << 20 }));
    }

    #[test]
    fn e01_byte_order_marks_are_taken_off_and_utf16_is_transcoded() {
        assert_eq!(*text(b"\xef\xbb\xbf192.0.2.1", MAX).unwrap(), *b"192.0.2.1");
        assert_eq!(*text(&gzip(b"\xef\xbb\xbf192.0.2.1"), MAX).unwrap(), *b"192.0.2.1");
        let units = "\u{feff}192.0.2.1 # \u{fc}\n".encode_utf16();
        let little: Vec<u8> = units.clone().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = units.flat_map(u16::to_be_bytes).collect();
        assert_eq!(*text(&little, MAX).unwrap(), *"192.0.2.1 # \u{fc}\n".as_bytes());
        assert_eq!(*text(&big, MAX).unwrap(), *"192.0.2.1 # \u{fc}\n".as_bytes());
        assert!(matches!(text(&little[..little.len() - 1], MAX), Err(BodyError::Undecodable { bad: 1, .. })));
        assert!(matches!(text(b"\xff\xfe\x00\xd8", MAX), Err(BodyError::Undecodable { bad: 2, len: 2 })));
    }

    #[test]
    fn g04_binary_is_refused() {
        assert_eq!(text(b"192.0.2.1\n\0", MAX), Err(BodyError::Nul { offset: 10 }));
        let mut noise = vec![b'x'; 1000];
        noise[..10].fill(0xff);
        assert!(text(&noise, MAX).is_ok(), "1 % is allowed");
        noise[10] = 0xff;
        assert_eq!(text(&noise, MAX), Err(BodyError::Undecodable { bad: 11, len: 1000 }));
    }

    #[test]
    fn f26_f46_f47_other_containers_are_refused_by_name() {
        for (body, name) in [
            (&b"PK\x03\x04rest"[..], "a zip archive or workbook"),
            (b"\xff\xff\xff\xffP2B\x03", "a binary P2B list"),
            (b"\xfd7zXZ\0rest", "an xz archive"),
        ] {
            assert_eq!(text(body, MAX), Err(BodyError::Unsupported(name)));
            assert_eq!(text(&gzip(body), MAX), Err(BodyError::Unsupported(name)));
        }
    }

    #[test]
    fn g01_markup_is_refused() {
        for page in
            ["<!DOCTYPE html>\n<p>", " \r\n<HTML lang=en>", "<?xml version='1.0'?>", "\u{feff}<!doctype x>"]
        {
            assert!(matches!(text(page.as_bytes(), MAX), Err(BodyError::Markup(_))), "{page}");
        }
        assert!(text(b"# <html> in a comment\n", MAX).is_ok());
        assert!(text(b"<htm", MAX).is_ok());
    }
}
