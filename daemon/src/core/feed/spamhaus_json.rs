//! Spamhaus JSON lines (F21): one object with `cidr` per line, closed by a metadata object with `records`.
//!
//! Lines of AS numbers (`asn` in place of `cidr`) name no address and are counted as not applicable.

use super::builder::{Builder, Extras};
use super::reject::RejectReason;
use super::{BodyError, Declared, Parsed, Rules, lines};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The keys that matter, of both kinds of line. A repeated key is an error.
#[derive(Deserialize)]
struct Object {
    cidr: Option<String>,
    sblid: Option<IgnoredAny>,
    asn: Option<IgnoredAny>,
    #[serde(rename = "type")]
    kind: Option<String>,
    records: Option<u64>,
}

/// Reads a decoded body. Lines may be as long as the body (E23).
///
/// # Errors
/// None of its own.
pub(super) fn read(rules: &Rules, text: &[u8]) -> Result<Parsed, BodyError> {
    let mut builder = Builder::new(rules);
    let mut stated = None;
    for line in lines::split(text, usize::MAX) {
        let line = line?;
        if line.text.is_empty() {
            builder.comment();
            continue;
        }
        match serde_json::from_slice(line.text) {
            Ok(Object { cidr: Some(cidr), sblid, .. }) => {
                builder.row(line, cidr.as_bytes(), Extras { note: sblid.is_some(), ..Extras::default() });
            }
            Ok(Object { kind: Some(kind), records, .. }) if kind == "metadata" => {
                // The last one counts: two glued copies do not add up, and fail the gate.
                stated = records;
                builder.comment();
            }
            Ok(Object { asn: Some(_), .. }) => builder.not_applicable(),
            Ok(_) | Err(_) => builder.reject(line, RejectReason::BadJson),
        }
    }
    Ok(match stated {
        Some(stated) => builder.finish_counted(stated),
        None => builder.finish(Declared::Missing { expected: "the closing metadata line with `records`" }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::feed::Format;

    fn parsed(text: &str) -> Parsed {
        read(&Rules::new(Format::SpamhausJson), text.as_bytes()).unwrap()
    }

    const META: &str = r#"{"type":"metadata","timestamp":1738000000,"size":94512,"records":2,"terms":"..."}"#;

    #[test]
    fn f21_rows_are_read_and_the_metadata_line_states_their_number() {
        let list = parsed(&format!(
            "{}\n\n{}\n{META}\n",
            r#"{"cidr":"198.51.100.0/24","sblid":"REF1","rir":"example"}"#,
            r#"{"rir":"example", "cidr":"2001:db8::\/32", "extra":[{"deep":null}]}"#,
        ));
        assert_eq!(list.declared, Declared::Rows { stated: 2, found: 2 });
        assert_eq!((list.entries.v4.len(), list.entries.v6.len()), (1, 1));
        assert_eq!((list.counts.accepted, list.counts.notes, list.counts.comments), (2, 1, 2));
    }

    #[test]
    fn f21_as_numbers_are_not_applicable() {
        let asn = r#"{"asn":64500,"rir":"example","domain":"example.net","cc":"ZZ","asname":"EXAMPLE"}"#;
        let list = parsed(&format!("{asn}\n{asn}\n{META}"));
        assert_eq!(list.counts.not_applicable, 2);
        assert_eq!(list.declared, Declared::Rows { stated: 2, found: 2 });
        assert!(list.entries.is_empty() && list.rejects.is_empty());
    }

    #[test]
    fn lines_of_another_kind_are_rejected() {
        for line in [
            "192.0.2.1",
            "[]",
            "{}",
            r#"{"cidr":7}"#,
            r#"{"cidr":"192.0.2.0/24""#,
            r#"{"cidr":"192.0.2.0/24","cidr":"198.51.100.0/24"}"#,
            r#"{"ip":"192.0.2.1"}"#,
            r#"{"type":"other"}"#,
        ] {
            let list = parsed(line);
            assert_eq!(list.rejects.len(), 1, "{line}");
            assert_eq!(list.rejects[0].reason, RejectReason::BadJson, "{line}");
        }
        assert_eq!(parsed(r#"{"cidr":"192.0.2.0/33"}"#).rejects[0].reason, RejectReason::PrefixLength);
        let deep = format!("{{\"x\":{}", "[".repeat(1_000_000));
        assert_eq!(parsed(&deep).rejects[0].reason, RejectReason::BadJson);
    }

    #[test]
    fn g06_without_metadata_the_list_is_incomplete() {
        let row = r#"{"cidr":"192.0.2.0/24"}"#;
        assert!(matches!(parsed(row).declared, Declared::Missing { .. }));
        assert!(matches!(parsed(r#"{"type":"metadata"}"#).declared, Declared::Missing { .. }));
        assert_eq!(parsed(&format!("{row}\n{META}")).declared, Declared::Rows { stated: 2, found: 1 });
        let glued = format!("{row}\n{row}\n{META}\n{row}\n{row}\n{META}");
        assert_eq!(parsed(&glued).declared, Declared::Rows { stated: 2, found: 4 });
    }
}
