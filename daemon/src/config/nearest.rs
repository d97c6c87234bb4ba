//! The name someone probably meant.

/// Longest name compared, in bytes; keys and feed ids are shorter.
const MAX_LEN: usize = 64;

/// Most names compared with. Bounds the work: this many times `MAX_LEN` squared.
const MAX_NAMES: usize = 1_000;

/// The name of `names` closest to `word`, unless all are more than a third of it away.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = word.len().div_ceil(3);
    names
        .into_iter()
        .take(MAX_NAMES)
        .filter(|name| name.len().abs_diff(word.len()) <= limit && name.len().max(word.len()) <= MAX_LEN)
        .map(|name| (distance(word.as_bytes(), name.as_bytes()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// Fewest insertions, deletions, replacements and swaps of neighbours from `a` to `b` (optimal string alignment).
fn distance(a: &[u8], b: &[u8]) -> usize {
    // Rows of the table for the prefixes of `a` two, one and no byte shorter than the current one.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_nothing_else() {
        let keys = ["id", "source", "format", "refresh", "min_score", "may_be_empty"];
        for (word, meant) in [
            ("refesh", Some("refresh")),
            ("refersh", Some("refresh")),
            ("sources", Some("source")),
            ("min-score", Some("min_score")),
            ("Id", Some("id")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), meant, "{word}");
        }
        assert_eq!(nearest(&"a".repeat(65), ["a".repeat(65).as_str()]), None);
    }

    #[test]
    fn counts_edits() {
        for (a, b, edits) in
            [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("abc", "acb", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), edits, "{a} {b}");
        }
    }
}
