//! Durations and sizes as people write them: `90s`, `1h30m`, `256MiB`.

use std::time::Duration;
use thiserror::Error;

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a duration is numbers with d, h, m or s in this order, such as \"24h\", \"90s\" or \"1h30m\"")]
pub struct DurationError;

/// Why a text is not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a size is a number with B, KB, MB, GB, KiB, MiB or GiB, such as \"64KiB\" or \"10MB\"")]
pub struct SizeError;

const DURATION_UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Reads whole seconds: `90s`, `10m`, `24h`, `2d`, or several units from large to small, `1h30m`.
///
/// # Errors
/// [`DurationError`] for everything else, numbers past 64 bits included.
pub fn duration(text: &str) -> Result<Duration, DurationError> {
    let (mut rest, mut total) = (text, 0u64);
    let mut units = DURATION_UNITS.iter();
    while !rest.is_empty() {
        let (number, after) = number(rest).ok_or(DurationError)?;
        let unit = after.chars().next().ok_or(DurationError)?;
        // The iterator goes on behind the last unit, so that each comes once and in order.
        let (_, seconds) = units.find(|(name, _)| *name == unit).ok_or(DurationError)?;
        total = number.checked_mul(*seconds).and_then(|n| total.checked_add(n)).ok_or(DurationError)?;
        rest = after.get(unit.len_utf8()..).unwrap_or_default();
    }
    if text.is_empty() { Err(DurationError) } else { Ok(Duration::from_secs(total)) }
}

/// Writes whole seconds in the form [`duration`] reads.
pub fn format_duration(duration: Duration) -> String {
    let (mut rest, mut text) = (duration.as_secs(), String::new());
    for (unit, seconds) in DURATION_UNITS {
        if rest >= seconds {
            text += &format!("{}{unit}", rest / seconds);
            rest %= seconds;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// Reads a number of bytes: `64KiB`, `10MB`.
///
/// # Errors
/// [`SizeError`] for everything else, numbers past 64 bits included.
pub fn size(text: &str) -> Result<u64, SizeError> {
    let (number, unit) = number(text).ok_or(SizeError)?;
    let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or(SizeError)?;
    number.checked_mul(*bytes).ok_or(SizeError)
}

/// The decimal number at the start of a text, and what follows it.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_durations() {
        for (text, seconds) in [
            ("90s", 90),
            ("10m", 600),
            ("24h", 86_400),
            ("2d", 172_800),
            ("1h30m", 5_400),
            ("0s", 0),
            ("1d1s", 86_401),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "5", "m", "1.5h", "-1s", "+1s", " 1s", "1h 30m", "30m1h", "1h1h", "1w", "1H", "1sé", "1é"]
        {
            assert_eq!(duration(text), Err(DurationError), "{text}");
        }
        assert_eq!(duration("99999999999999999999s"), Err(DurationError));
        assert_eq!(duration("999999999999999999d"), Err(DurationError));
    }

    #[test]
    fn reads_sizes() {
        for (text, bytes) in
            [("64KiB", 65_536), ("10MB", 10_000_000), ("256MiB", 268_435_456), ("1B", 1), ("2GiB", 2 << 30)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in
            ["", "5", "MB", "1.5MB", "-1B", "1 MB", "1mb", "1TB", "99999999999999999999B", "99999999999GiB"]
        {
            assert_eq!(size(text), Err(SizeError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(seconds: u64) {
            let value = Duration::from_secs(seconds);
            prop_assert_eq!(duration(&format_duration(value)), Ok(value));
        }

        #[test]
        fn any_text_is_safe(text in ".*") {
            let _ = (duration(&text), size(&text));
        }
    }
}
