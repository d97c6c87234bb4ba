//! Domains as an operator writes them, in exclusions and questions: read as those of feeds, but top-level domains and names
//! that never reach the DNS are fine.

use super::names::mark;
use super::token;
use crate::core::domain::Scope;
use crate::core::feed::reject::RejectReason;

/// Reads `example.com`, `.example.com` or `*.example.com` to labels in wire form and lower case, without the root. A
/// top-level domain needs a mark in front, so that a word cannot be taken for one.
///
/// # Errors
/// Why it is no such pattern.
pub fn domain_pattern(text: &str) -> Result<(Vec<u8>, Scope), RejectReason> {
    let (name, scope) = mark(text.as_bytes(), Scope::Exact);
    let name = read(name)?;
    if name.labels < 2 && scope == Scope::Exact {
        Err(RejectReason::TopLevel)
    } else {
        Ok((name.wire, scope))
    }
}

/// Reads a name of any number of labels to wire form and lower case, without the root.
///
/// # Errors
/// Why it is none.
pub fn domain_name(text: &str) -> Result<Vec<u8>, RejectReason> {
    read(text.as_bytes()).map(|name| name.wire)
}

fn read(name: &[u8]) -> Result<token::Name, RejectReason> {
    // Nothing, or the root.
    if matches!(name, b"" | b"." | b"*") { Err(RejectReason::TopLevel) } else { token::name(name) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::domain::dotted;

    #[test]
    fn patterns_of_operators() {
        for (text, name, scope) in [
            ("Mail.Example.", "mail.example", Scope::Exact),
            (".b\u{fc}cher.example", "xn--bcher-kva.example", Scope::Subtree),
            ("*.example.com", "example.com", Scope::Below),
            (".gov", "gov", Scope::Subtree),
            (".local", "local", Scope::Subtree),
            (".co.kr", "co.kr", Scope::Subtree),
        ] {
            let (wire, found) = domain_pattern(text).unwrap();
            assert_eq!((dotted(&wire).as_str(), found), (name, scope), "{text}");
        }
        for (text, reason) in [
            ("office", RejectReason::TopLevel),
            (".", RejectReason::TopLevel),
            ("*", RejectReason::TopLevel),
            ("*.", RejectReason::TopLevel),
            ("", RejectReason::TopLevel),
            ("192.0.2.300", RejectReason::AddressName),
            ("a..b", RejectReason::LabelLength),
            ("a/b.example", RejectReason::NameCharacter),
            ("*.*.example", RejectReason::NameCharacter),
        ] {
            assert_eq!(domain_pattern(text), Err(reason), "{text}");
        }
    }

    #[test]
    fn names_of_questions() {
        assert_eq!(domain_name("test").unwrap(), b"\x04test");
        assert_eq!(domain_name("A.Invalid.").unwrap(), b"\x01a\x07invalid");
        assert_eq!(domain_name("*.example"), Err(RejectReason::NameCharacter));
        assert_eq!(domain_name("10.1"), Err(RejectReason::AddressName));
    }
}
