//! Sets with a machine-readable comment header (F22): `# Entries : 2 subnets, 257 unique IPs`.
//!
//! The number of subnets, or of addresses in a set of hosts, is the number of rows that must follow.

use super::builder::Builder;
use super::lines::{self, Comments, MAX_LINE};
use super::{BodyError, Declared, Parsed, Rules};

const COMMENTS: Comments = Comments { signs: &["#"], after_blank: true };

/// Reads a decoded body.
///
/// # Errors
/// [`BodyError::LongLine`].
pub(super) fn read(rules: &Rules, text: &[u8]) -> Result<Parsed, BodyError> {
    let mut builder = Builder::new(rules);
    let mut stated = None;
    for line in lines::split(text, MAX_LINE) {
        let header = builder.list_line(line?, &COMMENTS);
        stated = stated.or_else(|| entries(&header?));
    }
    Ok(match stated {
        Some(stated) => builder.finish_counted(stated),
        None => {
            builder.finish(Declared::Missing { expected: "the header line `# Entries : <number> subnets`" })
        }
    })
}

/// The number in `Entries : 2 subnets, ...` or `Entries : 2 unique IPs`.
fn entries(comment: &[u8]) -> Option<u64> {
    let (key, value) = str::from_utf8(comment).ok()?.split_once(':')?;
    let mut words = value.split_whitespace();
    let number = words.next()?.parse().ok()?;
    let unit = words.next()?;
    (key.trim().eq_ignore_ascii_case("entries") && (unit.starts_with("subnet") || unit == "unique"))
        .then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::feed::Format;

    fn declared(text: &str) -> Declared {
        read(&Rules::new(Format::Netset), text.as_bytes()).unwrap().declared
    }

    #[test]
    fn f22_the_header_states_the_rows() {
        let subnets = "#\n# Category        : attacks\n# Entries         : 2 subnets, 257 unique IPs\n#\n";
        assert_eq!(
            declared(&format!("{subnets}192.0.2.0/24\n10.0.0.1\n")),
            Declared::Rows { stated: 2, found: 2 }
        );
        assert_eq!(declared(&format!("{subnets}192.0.2.0/24\n")), Declared::Rows { stated: 2, found: 1 });
        let hosts = "# Entries         : 1 unique IPs\n";
        assert_eq!(declared(&format!("{hosts}192.0.2.1\r\n\n")), Declared::Rows { stated: 1, found: 1 });
    }

    #[test]
    fn other_lines_are_no_header() {
        for text in [
            "",
            "192.0.2.1 # Entries : 1 subnets",
            "# Entries",
            "# Entries : many subnets",
            "# Entries : 1",
            "# Entries : 1 week",
            "# List Entries : 1 subnets",
        ] {
            assert!(matches!(declared(text), Declared::Missing { .. }), "{text}");
        }
    }
}
