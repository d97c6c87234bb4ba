//! Spamhaus text lists (F20): `192.0.2.0/24 ; REF1`, closed by `; EOF`.

use super::builder::Builder;
use super::lines::{self, Comments, MAX_LINE};
use super::{BodyError, Declared, Parsed, Rules};

const COMMENTS: Comments = Comments { signs: &[";"], after_blank: false };

/// Reads a decoded body.
///
/// # Errors
/// [`BodyError::LongLine`].
pub(super) fn read(rules: &Rules, text: &[u8]) -> Result<Parsed, BodyError> {
    let mut builder = Builder::new(rules);
    let mut closed = false;
    for line in lines::split(text, MAX_LINE) {
        let line = line?;
        match builder.list_line(line, &COMMENTS) {
            Some(comment) => closed |= comment.eq_ignore_ascii_case(b"EOF"),
            // Rows behind the end are the start of another, perhaps cut, copy.
            None => closed &= line.text.is_empty(),
        }
    }
    Ok(builder.finish(if closed {
        Declared::Complete
    } else {
        Declared::Missing { expected: "the closing line `; EOF`" }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::feed::Format;

    fn parsed(text: &str) -> Parsed {
        read(&Rules::new(Format::SpamhausText), text.as_bytes()).unwrap()
    }

    #[test]
    fn f20_the_reference_is_a_note_and_the_end_is_marked() {
        let list = parsed(
            "; Example List 2026/02/08\n198.51.100.0/24 ; REF1\n192.0.2.0/25;REF2\n2001:db8::/32\n; EOF\n\n",
        );
        assert_eq!((list.counts.accepted, list.counts.notes, list.counts.comments), (3, 2, 3));
        assert_eq!(list.rejects, []);
        assert_eq!(list.declared, Declared::Complete);
    }

    #[test]
    fn g06_without_the_end_mark_the_list_is_incomplete() {
        for text in
            ["", "192.0.2.0/24 ; REF\n", "; EOF\n192.0.2.0/24 ; REF\n", "192.0.2.0/24 ; EOF\n", "; EO"]
        {
            assert!(matches!(parsed(text).declared, Declared::Missing { .. }), "{text}");
        }
    }
}
