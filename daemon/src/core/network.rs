//! A network as people write it: address, prefix or range, of either family.
//!
//! This is the strict reading used for configuration and commands. Feeds are read by `core::feed`, which repairs and
//! rejects by its own table of cases.

use super::span::{Bits, Span};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use thiserror::Error;

/// A run of IPv4 or IPv6 addresses. IPv4-mapped IPv6 is folded to IPv4 wherever it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Network {
    /// IPv4 addresses.
    V4(Span<u32>),
    /// IPv6 addresses.
    V6(Span<u128>),
}

/// Why a text is not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NetworkError {
    /// Not an address in the usual form.
    #[error("not an IPv4 or IPv6 address")]
    Address,
    /// The part after `/` is not a number from 0 to the width of the family.
    #[error("prefix length must be 0 to {0}")]
    PrefixLength(u8),
    /// Address bits are set behind the prefix.
    #[error("address bits are set behind the prefix")]
    HostBits,
    /// A range whose end lies before its start.
    #[error("range ends before it starts")]
    Reversed,
    /// A range from one family to the other.
    #[error("range mixes IPv4 and IPv6")]
    Mixed,
}

/// `::ffff:0:0/96`, where IPv4 lives inside IPv6 (RFC 4291 section 2.5.5.2).
pub const MAPPED: Span<u128> = Span { first: 0xffff_0000_0000, last: 0xffff_ffff_ffff };

/// Folds IPv4-mapped IPv6 to IPv4, so that both spellings get one verdict.
pub fn fold(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

impl Network {
    /// The network of one address; mapped addresses are folded.
    pub fn host(address: IpAddr) -> Self {
        match fold(address) {
            IpAddr::V4(a) => Self::V4(Span::host(a.into())),
            IpAddr::V6(a) => Self::V6(Span::host(a.into())),
        }
    }

    /// The prefix `address/len`. Host bits are refused; a mapped prefix of 96 bits and more becomes IPv4.
    ///
    /// # Errors
    /// [`NetworkError::PrefixLength`] when `len` is too large, [`NetworkError::HostBits`] when bits are set behind it.
    pub fn prefix(address: IpAddr, len: u8) -> Result<Self, NetworkError> {
        let network = Self::prefix_masked(address, len)?;
        let first = match network {
            Self::V4(span) => span.first.to_ip(),
            Self::V6(span) => span.first.to_ip(),
        };
        if first == fold(address) { Ok(network) } else { Err(NetworkError::HostBits) }
    }

    /// As [`Self::prefix`], but host bits are masked off.
    ///
    /// # Errors
    /// [`NetworkError::PrefixLength`] when `len` is too large for the family.
    pub fn prefix_masked(address: IpAddr, len: u8) -> Result<Self, NetworkError> {
        match address {
            IpAddr::V4(_) if len > 32 => Err(NetworkError::PrefixLength(32)),
            IpAddr::V4(a) => Ok(Self::V4(Span::prefix(a.into(), len))),
            IpAddr::V6(_) if len > 128 => Err(NetworkError::PrefixLength(128)),
            IpAddr::V6(a) => Ok(match a.to_ipv4_mapped() {
                Some(v4) if len >= 96 => Self::V4(Span::prefix(v4.into(), len - 96)),
                _ => Self::V6(Span::prefix(a.into(), len)),
            }),
        }
    }

    /// The range from `first` to `last`, both included.
    ///
    /// # Errors
    /// [`NetworkError::Mixed`] and [`NetworkError::Reversed`].
    pub fn range(first: IpAddr, last: IpAddr) -> Result<Self, NetworkError> {
        match (fold(first), fold(last)) {
            (IpAddr::V4(a), IpAddr::V4(b)) => Span::new(a.into(), b.into()).map(Self::V4),
            (IpAddr::V6(a), IpAddr::V6(b)) => Span::new(a.into(), b.into()).map(Self::V6),
            _ => return Err(NetworkError::Mixed),
        }
        .ok_or(NetworkError::Reversed)
    }

    /// Is `address` inside? Mapped addresses count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self, fold(address)) {
            (Self::V4(span), IpAddr::V4(a)) => span.contains(a.into()),
            (Self::V6(span), IpAddr::V6(a)) => span.contains(a.into()),
            _ => false,
        }
    }

    /// The lowest address.
    pub fn first(&self) -> IpAddr {
        match self {
            Self::V4(span) => span.first.to_ip(),
            Self::V6(span) => span.first.to_ip(),
        }
    }

    /// The prefix length, if the network is exactly one prefix.
    pub fn prefix_len(&self) -> Option<u8> {
        match self {
            Self::V4(span) => span.prefix_len(),
            Self::V6(span) => span.prefix_len(),
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// Reads `address`, `address/len` or `first-last`; blanks around `-` are allowed, host bits are not.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let address = |s: &str| s.trim().parse::<IpAddr>().map_err(|_| NetworkError::Address);
        if let Some((base, len)) = text.split_once('/') {
            let base = address(base)?;
            let widest = if base.is_ipv4() { 32 } else { 128 };
            let digits = !len.is_empty() && len.bytes().all(|b| b.is_ascii_digit());
            let len = len.parse().ok().filter(|_| digits).ok_or(NetworkError::PrefixLength(widest))?;
            return Self::prefix(base, len);
        }
        if let Some((first, last)) = text.split_once('-') {
            return Self::range(address(first)?, address(last)?);
        }
        Ok(Self::host(address(text)?))
    }
}

impl fmt::Display for Network {
    /// A host as the bare address, a prefix as `address/len`, everything else as `first-last`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(span) => write_span(f, *span),
            Self::V6(span) => write_span(f, *span),
        }
    }
}

fn write_span<A: Bits>(f: &mut fmt::Formatter<'_>, span: Span<A>) -> fmt::Result {
    let (first, last) = (span.first.to_ip(), span.last.to_ip());
    match span.prefix_len() {
        Some(len) if len == A::WIDTH => write!(f, "{first}"),
        Some(len) => write!(f, "{first}/{len}"),
        None => write!(f, "{first}-{last}"),
    }
}

/// The IPv4-mapped IPv6 form of an IPv4 address, as a number.
pub fn mapped(v4: u32) -> u128 {
    std::net::Ipv4Addr::from(v4).to_ipv6_mapped().to_bits()
}

/// The IPv4 address inside an IPv4-mapped IPv6 number.
pub fn unmapped(v6: u128) -> Option<u32> {
    Ipv6Addr::from(v6).to_ipv4_mapped().map(u32::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_every_form() {
        for text in [
            "192.0.2.1",
            "192.0.2.0/24",
            "198.51.100.0-198.51.100.37",
            "2001:db8::/32",
            "2001:db8::1-2001:db8::ff",
            "0.0.0.0/0",
            "::/0",
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        assert_eq!("192.0.2.0 - 192.0.2.255".parse::<Network>().unwrap().to_string(), "192.0.2.0/24");
    }

    #[test]
    fn folds_mapped_addresses() {
        assert_eq!("::ffff:192.0.2.1".parse::<Network>().unwrap().to_string(), "192.0.2.1");
        assert_eq!("::ffff:192.0.2.0/120".parse::<Network>().unwrap().to_string(), "192.0.2.0/24");
        assert!("192.0.2.0/24".parse::<Network>().unwrap().contains("::ffff:192.0.2.9".parse().unwrap()));
    }

    #[test]
    fn refuses_what_is_not_a_network() {
        use NetworkError::*;
        for (text, error) in [
            ("", Address),
            ("192.0.2", Address),
            ("010.0.0.1", Address),
            ("192.0.2.1/33", PrefixLength(32)),
            ("192.0.2.1/", PrefixLength(32)),
            ("192.0.2.1/+8", PrefixLength(32)),
            ("2001:db8::/129", PrefixLength(128)),
            ("192.0.2.1/24", HostBits),
            ("::ffff:192.0.2.1/120", HostBits),
            ("192.0.2.9-192.0.2.1", Reversed),
            ("192.0.2.9-2001:db8::", Mixed),
        ] {
            assert_eq!(text.parse::<Network>(), Err(error), "{text}");
        }
    }
}
