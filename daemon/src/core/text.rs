//! TXT templates: the text a rejected sender reads, with the queried address filled in.

use super::name::{DomainName, NameError};
use std::net::IpAddr;
use thiserror::Error;

/// Longest text form of an address: eight groups of four hex digits.
pub const LONGEST_ADDRESS: usize = 39;
/// Octets of one string in TXT RDATA (RFC 1035 section 3.3).
pub const MAX_STRING: usize = 255;
/// Name, type, class, TTL and length in front of the RDATA, the name being a pointer.
pub(super) const RECORD_HEAD: usize = 12;

/// A checked template: `$` stands for the queried address or domain (see [`super::subject`]), `$$` for a dollar sign.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Template {
    /// The literal text between the addresses; one more than there are addresses.
    literals: Box<[Box<str>]>,
}

/// Why a text cannot be a TXT template.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TextError {
    /// Not printable ASCII on one line.
    #[error("text holds {0:?}; only printable ASCII on one line reaches every mail log intact")]
    Character(char),
    /// With the longest address filled in, the reply would not fit into 512 octets.
    #[error("text takes up to {len} octets with an address filled in, at most {max} fit a reply of 512")]
    TooLong {
        /// Octets of RDATA with the longest address in every place.
        len: usize,
        /// Octets of RDATA left in the reply.
        max: usize,
    },
    /// The zone is at fault.
    #[error(transparent)]
    Zone(#[from] NameError),
}

/// Checks a template for a zone: printable ASCII, and short enough that no TXT reply is ever truncated.
///
/// # Errors
/// [`TextError::Character`], [`TextError::TooLong`], and [`TextError::Zone`] when the name is not one.
pub fn check_text(zone: &str, text: &str) -> Result<(), TextError> {
    let zone = DomainName::parse(zone)?;
    let len = Template::parse(text)?.longest_rdata();
    let max = text_room(&zone).saturating_sub(RECORD_HEAD);
    if len <= max { Ok(()) } else { Err(TextError::TooLong { len, max }) }
}

/// Octets of TXT records that fit a reply without EDNS to the longest question of the zone: 512 less header and a
/// question of 32 nibbles.
pub(super) fn text_room(zone: &DomainName) -> usize {
    (512 - 12 - 64 - 4usize).saturating_sub(zone.wire().len())
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TextError::Character`].
    pub fn parse(text: &str) -> Result<Self, TextError> {
        if let Some(c) = text.chars().find(|c| !matches!(c, ' '..='~')) {
            return Err(TextError::Character(c));
        }
        let mut literals = Vec::new();
        let mut literal = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '$' if chars.next_if_eq(&'$').is_none() => literals.push(std::mem::take(&mut literal).into()),
                c => literal.push(c),
            }
        }
        literals.push(literal.into());
        Ok(Self { literals: literals.into() })
    }

    /// The pieces of the text for one address, given as text, and the octets they have together: at most what
    /// [`Self::longest_rdata`] says.
    pub fn pieces<'t>(&'t self, address: &'t str) -> (usize, impl Iterator<Item = &'t str>) {
        let len = self.len_with(address.len());
        let first = self.literals.iter().take(1).map(|text| &**text);
        let others = self.literals.iter().skip(1).flat_map(move |text| [address, text]);
        (len, first.chain(others))
    }

    /// The text for one address. It is never longer than [`Self::longest_rdata`] says.
    pub fn expand(&self, address: IpAddr) -> String {
        self.literals.join(&address.to_string())
    }

    /// Is there no text at all?
    pub fn is_empty(&self) -> bool {
        matches!(&*self.literals, [only] if only.is_empty())
    }

    /// RDATA octets with the longest address in every place, the length octets of the strings included.
    pub(super) fn longest_rdata(&self) -> usize {
        rdata_len(self.len_with(LONGEST_ADDRESS))
    }

    /// Octets of the text with so many in every place of the address.
    pub(super) fn len_with(&self, address: usize) -> usize {
        let literals: usize = self.literals.iter().map(|text| text.len()).sum();
        literals + (self.literals.len() - 1) * address
    }
}

/// Octets of RDATA for a text, the length octets of its strings included.
pub(super) fn rdata_len(text: usize) -> usize {
    text + text.div_ceil(MAX_STRING).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str, address: &str) -> String {
        let template = Template::parse(text).unwrap();
        let expanded = template.expand(address.parse().unwrap());
        let (len, pieces) = template.pieces(address);
        assert_eq!((pieces.collect::<String>().as_str(), len), (&*expanded, expanded.len()));
        expanded
    }

    #[test]
    fn fills_in_the_address() {
        assert_eq!(expand("see ?q=$", "127.0.0.2"), "see ?q=127.0.0.2");
        assert_eq!(expand("$ is $", "2001:db8::1"), "2001:db8::1 is 2001:db8::1");
        assert_eq!(expand("costs $$5, $$$", "192.0.2.1"), "costs $5, $192.0.2.1");
        assert_eq!(expand("plain", "192.0.2.1"), "plain");
        assert!(Template::parse("").unwrap().is_empty());
        assert!(!Template::parse("$").unwrap().is_empty());
    }

    #[test]
    fn refuses_what_is_not_printable_ascii() {
        for (text, c) in [("two\nlines", '\n'), ("caf\u{e9}", '\u{e9}'), ("nul\0", '\0'), ("\x7f", '\x7f')] {
            assert_eq!(check_text("bl.example", text), Err(TextError::Character(c)));
        }
    }

    #[test]
    fn the_longest_text_is_bounded_by_the_longest_question() {
        // 512 less header 12, question 64 + 12 + 4, record head 12; two strings take two length octets.
        assert_eq!(check_text("bl.example", &"x".repeat(406)), Ok(()));
        let over = TextError::TooLong { len: 409, max: 408 };
        assert_eq!(check_text("bl.example", &"x".repeat(407)), Err(over));
        assert_eq!(check_text("bl.example", &format!("{}$", "x".repeat(367))), Ok(()));
        assert!(check_text("bl.example", &format!("{}$", "x".repeat(368))).is_err());
        assert!(matches!(check_text("bl..example", "x"), Err(TextError::Zone(_))));
    }

    #[test]
    fn no_address_is_longer_than_assumed() {
        assert_eq!(expand("$", "2001:1db8:1111:2222:3333:4444:5555:6666").len(), LONGEST_ADDRESS);
    }
}
