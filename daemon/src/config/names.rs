//! Names as people write them, in the form the rest of the program uses. Each check says in its error what would be
//! right.

use crate::core::name::DomainName;
use crate::core::zone::{ZoneError, check_code, check_nesting, check_zone_name};
use std::collections::HashSet;
use std::net::Ipv4Addr;

/// Longest name as text, in characters (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 253;

/// Most characters a server says of itself.
const MAX_SAID: usize = 100;

/// The name of a zone in the form of `ZoneSpec`: lower case, without the final dot.
pub(super) fn zone_name(text: &str) -> Result<String, String> {
    let name = host_name(text)?;
    check_zone_name(&name).map_err(|error| error.to_string())?;
    Ok(name)
}

/// A DNS name: lower case, without the final dot.
pub(super) fn host_name(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.len() > MAX_NAME {
        return Err(format!("a name has at most {MAX_NAME} characters"));
    }
    DomainName::parse(&name).map_err(|error| error.to_string())?;
    Ok(name)
}

/// Checks that a zone hides no addresses of the zones it lies in, which are among `zones`.
pub(super) fn nesting(name: &str, zones: &HashSet<String>) -> Result<(), String> {
    // A name has at most 127 labels, so this is bounded for each zone, however many there are.
    let parents = name.match_indices('.').filter_map(|(dot, _)| name.get(dot + 1..));
    for outer in parents.filter(|parent| zones.contains(*parent)) {
        check_nesting(name, outer).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// A mail address, or its form in a SOA record (RFC 1035 section 8), as the latter. Names here are plain labels, so a
/// local part with a dot, which would have to be escaped, is refused.
pub(super) fn contact(text: &str) -> Result<String, &'static str> {
    let hint = "write a mail address without a dot before the @, such as hostmaster@bl.example";
    let name = match text.split_once('@') {
        Some((local, domain)) if local.contains('.') || domain.is_empty() => return Err(hint),
        Some((local, domain)) => format!("{local}.{domain}"),
        None => text.to_owned(),
    };
    host_name(&name).map_err(|_| hint)
}

/// An A record of a listing.
pub(super) fn code(text: &str) -> Result<Ipv4Addr, String> {
    let code = text.parse().map_err(|_| "a code is an address in 127.0.0.0/8, such as 127.0.0.2")?;
    check_code(code).map_err(|error| error.to_string())?;
    Ok(code)
}

/// What clients without access hear: as [`code`], but the codes that mean an error are right here.
pub(super) fn denial_code(text: &str) -> Result<Ipv4Addr, String> {
    let code = text.parse().map_err(|_| "a code is an address in 127.0.0.0/8, such as 127.255.255.254")?;
    match check_code(code) {
        Ok(()) | Err(ZoneError::CodeReserved(_)) => Ok(code),
        Err(error) => Err(error.to_string()),
    }
}

/// What the server says of itself: one line of printable ASCII.
pub(super) fn said_of_itself(text: &str) -> Result<String, &'static str> {
    let fits = (1..=MAX_SAID).contains(&text.len()) && text.bytes().all(|b| matches!(b, b' '..=b'~'));
    if fits { Ok(text.to_owned()) } else { Err("write 1 to 100 characters of printable ASCII") }
}

/// The text of a feed that was given none.
pub(super) fn default_text(feed: &str, zone: &str) -> String {
    format!("Address $ is listed by feed {feed} in {zone}")
}

/// The same for a feed of domains, among which there may be addresses.
pub(super) fn default_domain_text(feed: &str, zone: &str) -> String {
    format!("$ is listed by feed {feed} in {zone}")
}

/// The name of a network interface, as the kernel takes it.
pub(super) fn interface(text: &str) -> Result<String, &'static str> {
    let legal = |c: char| !matches!(c, '/' | ':' | '\0') && !c.is_whitespace();
    if (1..=15).contains(&text.len()) && !matches!(text, "." | "..") && text.chars().all(legal) {
        Ok(text.to_owned())
    } else {
        Err("an interface name has 1 to 15 bytes without blanks, / and :, such as eth0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_names() {
        assert_eq!(zone_name("BL.Example."), Ok("bl.example".into()));
        for bad in ["", ".", "a..b", "-\u{e9}.example", "a b.example", &"a".repeat(64), &"a.".repeat(130)] {
            assert!(zone_name(bad).is_err(), "{bad}");
        }
        let long = |n: usize| format!("{}.{}", ["a".repeat(60).as_str(); 3].join("."), "b".repeat(n));
        assert!(zone_name(&long(6)).is_ok(), "189 characters leave room for 32 nibbles");
        assert!(zone_name(&long(7)).is_err());
        assert!(host_name(&long(7)).is_ok());
    }

    #[test]
    fn zones_may_nest_if_no_address_is_hidden() {
        let zones =
            ["bl.example", "7.bl.example", "x.7.bl.example", "spam.bl.example"].map(String::from).into();
        assert_eq!(nesting("bl.example", &zones), Ok(()));
        assert_eq!(nesting("spam.bl.example", &zones), Ok(()));
        assert!(nesting("7.bl.example", &zones).is_err());
        assert!(nesting("x.7.bl.example", &zones).is_err());
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
        for bad in ["127.0.0.1", "127.255.255.1", "128.0.0.1", "127.0.0", "::1", ""] {
            assert!(code(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn denials_may_be_errors_but_never_loopback() {
        for good in ["127.255.255.254", "127.0.0.9"] {
            assert_eq!(denial_code(good), Ok(good.parse().unwrap()));
        }
        for bad in ["127.0.0.1", "192.0.2.1", "x"] {
            assert!(denial_code(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_server_says_one_short_line_of_itself() {
        assert_eq!(said_of_itself("ns1"), Ok("ns1".into()));
        for bad in ["", "a\nb", "\u{e9}", &"x".repeat(101)] {
            assert!(said_of_itself(bad).is_err(), "{bad}");
        }
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
