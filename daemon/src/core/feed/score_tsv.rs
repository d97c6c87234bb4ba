//! Scored lists (F06): address, tab, score. The score becomes the entry's value.

use super::builder::{Builder, Extras};
use super::lines::{self, Comments, Line, MAX_LINE};
use super::{BodyError, Declared, Parsed, Rules, token};

const COMMENTS: Comments = Comments { signs: &["#"], after_blank: true };

/// E25: the score of an entry whose own cannot be read. The lowest that says anything: such scores count lists.
pub(super) const DEFAULT_SCORE: u32 = 1;

/// Reads a decoded body.
///
/// # Errors
/// [`BodyError::LongLine`].
pub(super) fn read(rules: &Rules, text: &[u8]) -> Result<Parsed, BodyError> {
    let mut builder = Builder::new(rules);
    for line in lines::split(text, MAX_LINE) {
        read_line(&mut builder, line?);
    }
    Ok(builder.finish(Declared::Nothing))
}

fn read_line(builder: &mut Builder<'_>, line: Line<'_>) {
    // The common line, spared the search for comments.
    if let Some(tab) = line.text.iter().position(|&b| b == b'\t')
        && let Some(network) = token::common_v4(&line.text[..tab])
        && let Some(value) = token::number(&line.text[tab + 1..])
    {
        return builder.network(line, network, Extras { value, ..Extras::default() });
    }
    let content = lines::content(line.text, &COMMENTS);
    if content.data.is_empty() {
        return builder.comment();
    }
    let mut cells = content.data.split(|&b| b == b'\t');
    let address = cells.next().unwrap_or_default();
    let score = cells.next().and_then(|cell| token::number(lines::trim(cell)));
    let extras = Extras {
        value: score.unwrap_or(DEFAULT_SCORE),
        note: content.comment.is_some(),
        repaired: content.repaired,
        default_score: score.is_none(),
    };
    builder.row(line, address, extras);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::feed::{Format, RejectReason};

    fn parsed(text: &str, min_score: u32) -> Parsed {
        read(&Rules { min_score, ..Rules::new(Format::ScoreTsv) }, text.as_bytes()).unwrap()
    }

    fn values(list: &Parsed) -> Vec<u32> {
        let v4 = list.entries.v4.iter().map(|e| e.value);
        v4.chain(list.entries.v6.iter().map(|e| e.value)).collect()
    }

    #[test]
    fn f06_scores_become_values() {
        let list = parsed(
            "# IP\tnumber of (black)lists\n#\n192.0.2.1\t10\r\n192.0.2.0/24\t 9 \n2001:db8::1\t8\n\
             192.0.2.1 - 192.0.2.9\t7\tmore\n192.0.2.9\t6 # note\n",
            0,
        );
        assert_eq!(values(&list), [10, 9, 7, 6, 8]);
        assert_eq!(list.rejects, []);
        assert_eq!((list.counts.comments, list.counts.notes, list.counts.scores_defaulted), (2, 1, 0));
    }

    #[test]
    fn low_scores_are_left_out_and_counted() {
        let list = parsed("192.0.2.1\t3\n192.0.2.2\t2\n2001:db8::1\t2\n10.0.0.1\t1\nbad.example\t1\n", 3);
        assert_eq!(values(&list), [3]);
        assert_eq!((list.counts.accepted, list.counts.below_min_score), (1, 3));
        assert_eq!(list.counts.rejected_total(), 1);
    }

    #[test]
    fn e25_unreadable_scores_get_the_default() {
        let list =
            parsed("192.0.2.1\n192.0.2.2\t\n192.0.2.3\tabc\n192.0.2.4\t-1\n192.0.2.5\t4294967296\n", 0);
        assert_eq!(values(&list), [DEFAULT_SCORE; 5]);
        assert_eq!((list.counts.accepted, list.counts.scores_defaulted), (5, 5));
        let strict = parsed("192.0.2.1\n192.0.2.2\t2\n", 2);
        assert_eq!(values(&strict), [2]);
        assert_eq!(strict.counts.below_min_score, 1);
    }

    #[test]
    fn only_a_tab_separates() {
        let list = parsed("192.0.2.1 10\n192.0.2.2;7\n", 0);
        let reasons: Vec<_> = list.rejects.iter().map(|r| (r.line, r.reason)).collect();
        assert_eq!(reasons, [(1, RejectReason::TrailingText), (2, RejectReason::NotAnAddress)]);
    }
}
