//! What the text renderers share: aligned columns under labels, numbers and ages as people read them.

/// Width of the labels at the left.
const LABEL: usize = 12;

/// Lines under a label, indented by two; `none` for none.
pub(super) fn section(label: &str, lines: &[String]) -> String {
    let mut text = String::new();
    let lines = lines.iter().flat_map(|line| line.lines());
    for line in if lines.clone().next().is_none() { vec!["none"] } else { lines.collect() } {
        let label = if text.is_empty() { label } else { "" };
        text += format!("  {label:LABEL$}{line}").trim_end();
        text.push('\n');
    }
    text
}

/// Rows as lines with aligned columns, two blanks between them. `right` names the columns of numbers, from 0.
pub(super) fn columns<const N: usize>(rows: &[[String; N]], right: &[usize]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if right.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// With thousands separators: `1,234,567`.
pub(super) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count of addresses that may outgrow every integer: exact below a thousand million, else `1.2e24`.
pub(super) fn magnitude(n: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range, and not negative")]
    if (0.0..1e9).contains(&n) { number(n as u64) } else { format!("{n:.1e}") }
}

/// A number of things: `1 feed`, `2 feeds`.
pub(super) fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(n), if n == 1 { one } else { many })
}

/// A duration in its largest unit: `42s`, `3m`, `5h`, `12d`.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", number(seconds / 86_400)),
    }
}

/// How long ago `at` was, both in seconds since 1970. A time to come, on a clock set back, is just now.
pub(super) fn ago(now: u64, at: u64) -> String {
    match now.saturating_sub(at) {
        0 => "just now".to_owned(),
        seconds => format!("{} ago", age(seconds)),
    }
}

/// A size: `518.5 KiB`.
pub(super) fn bytes(n: u64) -> String {
    let mut units = ["KiB", "MiB", "GiB", "TiB"].into_iter();
    let (mut size, mut unit) = (n as f64, "bytes");
    while size >= 1024.0
        && let Some(next) = units.next()
    {
        (size, unit) = (size / 1024.0, next);
    }
    if unit == "bytes" { counted(n, "byte", "bytes") } else { format!("{size:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let numbers: Vec<String> = [0, 999, 1_000, 12_345, 1_234_567, u64::MAX].map(number).into();
        assert_eq!(numbers, ["0", "999", "1,000", "12,345", "1,234,567", "18,446,744,073,709,551,615"]);
        assert_eq!([magnitude(0.0), magnitude(1234.0), magnitude(1.2136e24)], ["0", "1,234", "1.2e24"]);
        assert_eq!(
            [counted(1, "entry", "entries"), counted(0, "entry", "entries")],
            ["1 entry", "0 entries"]
        );
        assert_eq!(
            [0, 1, 1023, 1024, 530_944, 1 << 40].map(bytes),
            ["0 bytes", "1 byte", "1,023 bytes", "1.0 KiB", "518.5 KiB", "1.0 TiB"]
        );
    }

    #[test]
    fn ages_read_well() {
        assert_eq!(
            [0, 59, 60, 3_599, 3_600, 172_799, 172_800].map(age),
            ["0s", "59s", "1m", "59m", "1h", "47h", "2d"]
        );
        assert_eq!([ago(100, 100), ago(100, 200), ago(280, 100)], ["just now", "just now", "3m ago"]);
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [["a", "1,000", "x y"], ["bcd", "7", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(&rows, &[1]), ["a    1,000  x y", "bcd      7"]);
    }

    #[test]
    fn sections_indent_every_line() {
        let lines = ["one".to_owned(), "two\nthree".to_owned()];
        assert_eq!(section("label", &lines), "  label       one\n              two\n              three\n");
        assert_eq!(section("zones", &[]), "  zones       none\n");
    }
}
