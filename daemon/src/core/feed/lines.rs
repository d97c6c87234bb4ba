//! Text to lines: line numbers, the length limit, blanks, repairs and comments.

use super::decode::BodyError;
use std::borrow::Cow;

/// Longest line, in bytes, of formats that hold one entry per line (E23).
pub(super) const MAX_LINE: usize = 64 << 10;

/// One line, without its line end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// From 1; stays at the highest number behind it.
    pub(super) number: u32,
    /// The bytes, trimmed of blanks.
    pub(super) text: &'a [u8],
}

/// The lines of `text`, trimmed. A final line end does not begin another line.
pub(super) fn split(text: &[u8], longest: usize) -> impl Iterator<Item = Result<Line<'_>, BodyError>> {
    let text = text.strip_suffix(b"\n").or((!text.is_empty()).then_some(text));
    let mut number = 0u32;
    text.into_iter().flat_map(|text| text.split(|&b| b == b'\n')).map(move |line| {
        number = number.saturating_add(1);
        if line.len() > longest {
            return Err(BodyError::LongLine { line: number, limit: longest });
        }
        Ok(Line { number, text: trim(line) })
    })
}

/// E02: space and tab, and CR, VT and FF, which are blanks and never line ends.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c)
}

/// `text` without the blanks around it.
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_blank(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_blank(*last)
    {
        text = rest;
    }
    text
}

/// E04: `text` with Unicode blanks as spaces and Unicode dashes as `-`, or `None` when there are none.
pub(super) fn repair(text: &[u8]) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let plain = |c: char| match c {
        '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' | '\u{180e}' => ' ',
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => '-',
        c if !c.is_ascii() && c.is_whitespace() => ' ',
        c => c,
    };
    text.chars().any(|c| plain(c) != c).then(|| text.chars().map(plain).collect())
}

/// How a format writes comments (E03).
pub(super) struct Comments {
    /// What begins a comment.
    pub(super) signs: &'static [&'static str],
    /// Does a sign need a blank before it, unless it begins the line?
    pub(super) after_blank: bool,
}

/// A line in its parts.
pub(super) struct Content<'a> {
    /// What stands before the comment, trimmed. Empty for comment and blank lines.
    pub(super) data: Cow<'a, [u8]>,
    /// What follows the comment sign.
    pub(super) comment: Option<Cow<'a, [u8]>>,
    /// Were Unicode blanks or dashes replaced (E04)?
    pub(super) repaired: bool,
}

/// Takes a trimmed line apart. Only the data is repaired, and a repair can bring a comment sign to light.
pub(super) fn content<'a>(line: &'a [u8], comments: &Comments) -> Content<'a> {
    let (data, comment) = split_comment(line, comments);
    let comment = comment.map(Cow::Borrowed);
    let Some(repaired) = repair(data) else {
        return Content { data: Cow::Borrowed(data), comment, repaired: false };
    };
    let (data, hidden) = split_comment(trim(repaired.as_bytes()), comments);
    let hidden = hidden.map(|text| Cow::Owned(text.to_vec()));
    Content { data: Cow::Owned(data.to_vec()), comment: hidden.or(comment), repaired: true }
}

fn split_comment<'a>(line: &'a [u8], comments: &Comments) -> (&'a [u8], Option<&'a [u8]>) {
    let mut before = b' ';
    for (i, &byte) in line.iter().enumerate() {
        if is_blank(before) || !comments.after_blank {
            let rest = &line[i..];
            if let Some(sign) = comments.signs.iter().find(|sign| rest.starts_with(sign.as_bytes())) {
                return (trim(&line[..i]), Some(trim(&rest[sign.len()..])));
            }
        }
        before = byte;
    }
    (line, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(u32, &str)> {
        split(text.as_bytes(), 10)
            .map(|line| line.map(|l| (l.number, std::str::from_utf8(l.text).unwrap())).unwrap())
            .collect()
    }

    #[test]
    fn lines_end_at_lf_only() {
        assert_eq!(lines(""), []);
        assert_eq!(lines("\n"), [(1, "")]);
        assert_eq!(lines("a"), [(1, "a")]);
        assert_eq!(lines("a\n\nb"), [(1, "a"), (2, ""), (3, "b")]);
        assert_eq!(lines(" a\r\n\tb\x0b\x0c\n"), [(1, "a"), (2, "b")]);
        assert_eq!(lines("a\rb"), [(1, "a\rb")]);
    }

    #[test]
    fn e23_a_long_line_refuses_the_body() {
        let text = b"1\n12345678901\n";
        let error = split(text, 10).find_map(Result::err).unwrap();
        assert_eq!(error, BodyError::LongLine { line: 2, limit: 10 });
    }

    #[test]
    fn e03_comment_signs_need_a_blank_before_them() {
        let plain = Comments { signs: &["#", "//"], after_blank: true };
        let glued = Comments { signs: &[";"], after_blank: false };
        for (line, comments, data, comment) in [
            ("a # b # c", &plain, "a", Some("b # c")),
            ("a#b", &plain, "a#b", None),
            ("# b", &plain, "", Some("b")),
            ("a\t//b", &plain, "a", Some("b")),
            ("a ; b", &plain, "a ; b", None),
            ("a;b", &glued, "a", Some("b")),
            ("", &glued, "", None),
            // The blank before the sign is a no-break space.
            ("a\u{a0}# b", &plain, "a", Some("b")),
            ("\u{feff}# b", &plain, "", Some("b")),
        ] {
            let found = content(line.as_bytes(), comments);
            assert_eq!(&*found.data, data.as_bytes(), "{line}");
            assert_eq!(found.comment.as_deref(), comment.map(str::as_bytes), "{line}");
        }
        assert!(!content("a # \u{2013}".as_bytes(), &plain).repaired, "comments are not repaired");
    }
}
