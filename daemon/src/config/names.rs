//! Checks of names and answers: pure, each says in its error what would be right.

use crate::core::feed::Format;
use std::net::Ipv4Addr;

/// Longest name of a zone, in characters: a question for an IPv6 address puts 64 octets before it, and a name has at
/// most 255 octets on the wire (RFC 1035 section 2.3.4), two more than in text.
const MAX_ZONE: usize = 255 - 64 - 2;

/// Longest other name, in characters.
const MAX_NAME: usize = 253;

/// Longest text form of an address, an uncompressed IPv6 address.
const MAX_ADDRESS: usize = 39;

/// Formats by the names of `blackthorn formats`.
pub(super) const FORMATS: [(&str, Format); 6] = [
    ("plain", Format::Plain),
    ("score-tsv", Format::ScoreTsv),
    ("spamhaus-text", Format::SpamhausText),
    ("spamhaus-json", Format::SpamhausJson),
    ("netset", Format::Netset),
    ("csv", Format::Csv),
];

pub(super) fn format_name(format: Format) -> &'static str {
    FORMATS.iter().find(|(_, other)| *other == format).map_or("", |(name, _)| name)
}

/// Do entries of this format come with a score?
pub(super) fn has_scores(format: Format) -> bool {
    format == Format::ScoreTsv
}

/// The name of a zone in the form of `ZoneSpec`: lower case, without the final dot.
pub(super) fn zone_name(text: &str) -> Result<String, String> {
    let name = host_name(text)?;
    if name.len() > MAX_ZONE {
        return Err(format!(
            "a zone name has at most {MAX_ZONE} characters, so that IPv6 questions fit in front"
        ));
    }
    Ok(name)
}

/// A DNS name: lower case, without the final dot.
pub(super) fn host_name(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(legal);
    if name.len() > MAX_NAME || !name.split('.').all(label) {
        return Err(
            "a name is labels of 1 to 63 letters, digits, - or _, joined by dots, such as bl.example".into(),
        );
    }
    Ok(name)
}

/// A mail address, or its form in a SOA record (RFC 1035 section 8), as the latter. Names here are plain labels, so a
/// local part with a dot, which would have to be escaped, is refused.
pub(super) fn contact(text: &str) -> Result<String, &'static str> {
    let hint = "write a mail address without a dot before the @, such as hostmaster@bl.example";
    let name = match text.split_once('@') {
        Some((local, _)) if local.contains('.') => return Err(hint),
        Some((local, domain)) => format!("{local}.{domain}"),
        None => text.to_owned(),
    };
    host_name(&name).map_err(|_| hint)
}

/// An A record of a listing (RFC 5782 section 2.1).
pub(super) fn code(text: &str) -> Result<Ipv4Addr, &'static str> {
    let hint = "a code is an address in 127.0.0.0/8, such as 127.0.0.2";
    let code: Ipv4Addr = text.parse().map_err(|_| hint)?;
    match code.octets() {
        [127, 0, 0, 1] => Err("127.0.0.1 must never be listed (RFC 5782); use 127.0.0.2 or above"),
        [127, 255, 255, _] => Err("mail servers take 127.255.255.0/24 for an error; use 127.0.0.2 or above"),
        [127, ..] => Ok(code),
        _ => Err(hint),
    }
}

/// A TXT template: must fit a plain 512 octet reply for every address, so that clients without EDNS are never sent
/// to TCP for it.
pub(super) fn answer_text(text: &str, zone: &str) -> Result<String, String> {
    if !text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return Err("a text is one line of printable ASCII".into());
    }
    // Header; question with 64 octets of nibbles, the zone and 4 octets of type and class; head of the record.
    let room = 512usize.saturating_sub(12 + 64 + zone.len() + 2 + 4 + 12);
    let placeholders = text.replace("$$", "").matches('$').count();
    let longest = text.len() + placeholders * (MAX_ADDRESS - 1);
    // Every 255 octets need one octet of length.
    let octets = longest + longest.div_ceil(255);
    if octets > room {
        return Err(format!(
            "{octets} octets with an IPv6 address; {room} fit an answer of this zone, shorten it"
        ));
    }
    Ok(text.to_owned())
}

/// The text of a feed that was given none.
pub(super) fn default_text(feed: &str, zone: &str) -> String {
    format!("Address $ is listed by feed {feed} in {zone}")
}

/// The name of a network interface, as the kernel takes it.
pub(super) fn interface(text: &str) -> Result<String, &'static str> {
    let legal = |c: char| !matches!(c, '/' | ':' | '\0') && !c.is_whitespace();
    if (1..=15).contains(&text.len()) && !matches!(text, "." | "..") && text.chars().all(legal) {
        Ok(text.to_owned())
    } else {
        Err("an interface name has 1 to 15 characters without blanks, / and :, such as eth0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_names() {
        assert_eq!(zone_name("BL.Example."), Ok("bl.example".into()));
        for bad in ["", ".", "a..b", "-\u{e9}.example", "a b.example", &"a".repeat(64)] {
            assert!(zone_name(bad).is_err(), "{bad}");
        }
        let long = |n: usize| format!("{}.{}", ["a".repeat(60).as_str(); 3].join("."), "b".repeat(n));
        assert!(zone_name(&long(6)).is_ok(), "189 characters");
        assert!(zone_name(&long(7)).unwrap_err().contains("189"));
        assert!(host_name(&long(7)).is_ok());
    }

    #[test]
    fn turns_mail_addresses_to_names() {
        assert_eq!(contact("Hostmaster@bl.example"), Ok("hostmaster.bl.example".into()));
        assert_eq!(contact("hostmaster.bl.example."), Ok("hostmaster.bl.example".into()));
        for bad in ["@bl.example", "a@", "a b@c", "a@b@c", "a.b@c"] {
            assert!(contact(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn refuses_codes_that_are_no_listing() {
        assert_eq!(code("127.0.0.2"), Ok(Ipv4Addr::new(127, 0, 0, 2)));
        assert_eq!(code("127.255.254.1"), Ok(Ipv4Addr::new(127, 255, 254, 1)));
        for bad in ["127.0.0.1", "127.255.255.1", "128.0.0.1", "192.0.2.1", "127.0.0", "::1", ""] {
            assert!(code(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn texts_fit_a_plain_reply() {
        // 408 octets remain under a zone of 12 octets, two of them for the lengths of two strings.
        assert_eq!(answer_text(&"x".repeat(406), "bl.example"), Ok("x".repeat(406)));
        assert!(answer_text(&"x".repeat(407), "bl.example").is_err());
        assert!(answer_text(&format!("{}$", "x".repeat(367)), "bl.example").is_ok());
        assert!(answer_text(&format!("{}$", "x".repeat(368)), "bl.example").is_err());
        assert!(answer_text(&format!("{}$$", "x".repeat(404)), "bl.example").is_ok());
        assert!(answer_text("é", "bl.example").is_err());
        assert!(answer_text("a\nb", "bl.example").is_err());
    }

    #[test]
    fn interfaces_are_what_the_kernel_takes() {
        for good in ["eth0", "veth-test.100", "enp0s31f6", "абвгд"] {
            assert!(interface(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "eth0:1", "sixteen-bytes-xx"] {
            assert!(interface(bad).is_err(), "{bad}");
        }
    }
}
