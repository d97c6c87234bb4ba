//! Coverage: a set of addresses of both families, for exclusions and protections.

use super::network::{Network, fold};
use super::span::{Bits, Span};
use std::net::IpAddr;

/// Sorted, disjoint, joined spans of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    v4: Vec<Span<u32>>,
    v6: Vec<Span<u128>>,
}

impl Coverage {
    /// The union of `networks`, in any order.
    pub fn new(networks: impl IntoIterator<Item = Network>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network {
                Network::V4(span) => v4.push(span),
                Network::V6(span) => v6.push(span),
            }
        }
        Self { v4: join(v4), v6: join(v6) }
    }

    /// IPv4 part, sorted and disjoint.
    pub fn v4(&self) -> &[Span<u32>] {
        &self.v4
    }

    /// IPv6 part, sorted and disjoint.
    pub fn v6(&self) -> &[Span<u128>] {
        &self.v6
    }

    /// The span that holds `address`, if any; mapped IPv6 counts as IPv4.
    pub fn find(&self, address: IpAddr) -> Option<Network> {
        match fold(address) {
            IpAddr::V4(a) => find(&self.v4, a.into()).map(Network::V4),
            IpAddr::V6(a) => find(&self.v6, a.into()).map(Network::V6),
        }
    }

    /// Covers nothing?
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

fn join<A: Bits>(mut spans: Vec<Span<A>>) -> Vec<Span<A>> {
    spans.sort_unstable();
    let mut out: Vec<Span<A>> = Vec::with_capacity(spans.len());
    for span in spans {
        match out.last_mut() {
            // Touching or overlapping: the end before this start is at most one away.
            Some(open) if span.first.pred().is_none_or(|before| before <= open.last) => {
                open.last = open.last.max(span.last);
            }
            _ => out.push(span),
        }
    }
    out
}

fn find<A: Bits>(spans: &[Span<A>], address: A) -> Option<Span<A>> {
    let after = spans.partition_point(|s| s.first <= address);
    spans.get(after.checked_sub(1)?).copied().filter(|s| s.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coverage(texts: &[&str]) -> Coverage {
        Coverage::new(texts.iter().map(|t| t.parse::<Network>().unwrap()))
    }

    #[test]
    fn joins_what_touches_or_overlaps() {
        let set =
            coverage(&["192.0.2.128/25", "192.0.2.0/25", "192.0.2.7", "192.0.4.0/24", "::/0", "2001:db8::1"]);
        let v4: Vec<String> = set.v4().iter().map(|s| Network::V4(*s).to_string()).collect();
        assert_eq!(v4, ["192.0.2.0/24", "192.0.4.0/24"]);
        assert_eq!(set.v6(), [Span::ALL]);
    }

    #[test]
    fn finds_at_the_edges() {
        let set = coverage(&["192.0.2.0/24", "0.0.0.0", "255.255.255.255"]);
        for (address, found) in [
            ("192.0.1.255", false),
            ("192.0.2.0", true),
            ("192.0.2.255", true),
            ("192.0.3.0", false),
            ("0.0.0.0", true),
            ("0.0.0.1", false),
            ("255.255.255.255", true),
            ("::ffff:192.0.2.1", true),
            ("::1", false),
        ] {
            assert_eq!(set.find(address.parse().unwrap()).is_some(), found, "{address}");
        }
    }
}
