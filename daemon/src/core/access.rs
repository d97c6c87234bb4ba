//! Access: what is done with the queries of a client, by its address.
//!
//! The narrowest network that holds the client decides, of equally narrow ones the first; where none does, the default.
//! Networks are flattened once, so a lookup is one binary search that allocates nothing. Of `n` rules there are at most
//! `2 n` segments per family, of 12 octets for IPv4 and 48 for IPv6.

use super::entry::Entries;
use super::flatten::flatten;
use super::network::{Network, fold};
use super::segment::{Segment, find, push_joined};
use super::span::Bits;
use std::net::IpAddr;

/// What is done with the queries of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Action {
    /// They are answered.
    #[default]
    Allow,
    /// They get REFUSED.
    Refuse,
    /// They get nothing.
    Drop,
    /// They are answered as if nothing was listed.
    Empty,
    /// They are answered as if everything was listed, with one code for all.
    Code,
}

/// What is done with the queries of every client. Immutable; the default allows all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    v4: Vec<Segment<u32, Action>>,
    v6: Vec<Segment<u128, Action>>,
    otherwise: Action,
}

impl Access {
    /// The table of `rules`; clients in none of their networks get `otherwise`.
    pub fn new(rules: &[(Network, Action)], otherwise: Action) -> Self {
        let mut entries = Entries::default();
        // Flattening prefers the higher value: the rule that came first.
        for (rank, (network, _)) in (0..).zip(rules.iter().rev()) {
            entries.push(*network, 0, rank);
        }
        let action =
            |rank: u32| rules.iter().nth_back(rank as usize).map_or(otherwise, |(_, action)| *action);
        let flat = flatten(entries);
        Self { v4: labelled(&flat.v4, action), v6: labelled(&flat.v6, action), otherwise }
    }

    /// What is done with queries from `client`. Mapped addresses count as IPv4.
    pub fn action(&self, client: IpAddr) -> Action {
        let found = match fold(client) {
            IpAddr::V4(client) => find(&self.v4, client.into()),
            IpAddr::V6(client) => find(&self.v6, client.into()),
        };
        found.unwrap_or(self.otherwise)
    }
}

fn labelled<A: Bits>(ranked: &[Segment<A, u32>], action: impl Fn(u32) -> Action) -> Vec<Segment<A, Action>> {
    let mut out = Vec::with_capacity(ranked.len());
    for segment in ranked {
        push_joined(&mut out, segment.span, action(segment.label));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::span::Span;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    const CODE: Action = Action::Code;

    fn access(rules: &[(&str, Action)], otherwise: Action) -> Access {
        let rules: Vec<_> = rules.iter().map(|(text, action)| (text.parse().unwrap(), *action)).collect();
        Access::new(&rules, otherwise)
    }

    #[test]
    fn the_narrowest_network_decides_whatever_the_order() {
        let rules = [
            ("192.0.2.0/24", Action::Refuse),
            ("192.0.2.64/26", Action::Allow),
            ("192.0.2.70", Action::Drop),
            ("0.0.0.0/0", Action::Empty),
            ("198.51.100.10-198.51.100.20", CODE),
            ("2001:db8::/32", Action::Refuse),
            ("2001:db8:1::/48", Action::Allow),
        ];
        let mut reversed = rules;
        reversed.reverse();
        for access in [access(&rules, Action::Drop), access(&reversed, Action::Drop)] {
            for (client, action) in [
                ("192.0.2.63", Action::Refuse),
                ("192.0.2.64", Action::Allow),
                ("192.0.2.70", Action::Drop),
                ("192.0.2.127", Action::Allow),
                ("192.0.2.128", Action::Refuse),
                ("192.0.3.0", Action::Empty),
                ("198.51.100.9", Action::Empty),
                ("198.51.100.10", CODE),
                ("198.51.100.20", CODE),
                ("198.51.100.21", Action::Empty),
                ("0.0.0.0", Action::Empty),
                ("255.255.255.255", Action::Empty),
                ("2001:db8::1", Action::Refuse),
                ("2001:db8:1::1", Action::Allow),
                ("2001:db9::", Action::Drop),
                ("::", Action::Drop),
            ] {
                assert_eq!(access.action(client.parse().unwrap()), action, "{client}");
            }
        }
    }

    #[test]
    fn of_equal_networks_the_first_decides() {
        let access = access(
            &[("192.0.2.0/24", Action::Refuse), ("192.0.2.0/24", Action::Allow), ("192.0.2.0/24", CODE)],
            Action::Empty,
        );
        assert_eq!(access.action([192, 0, 2, 1].into()), Action::Refuse);
    }

    #[test]
    fn mapped_clients_and_networks_are_ipv4() {
        let access = access(
            &[
                ("192.0.2.0/24", Action::Refuse),
                ("::ffff:198.51.100.0/120", Action::Drop),
                ("::/0", Action::Empty),
            ],
            Action::Allow,
        );
        for (client, action) in [
            ("::ffff:192.0.2.1", Action::Refuse),
            ("198.51.100.1", Action::Drop),
            ("::ffff:198.51.100.1", Action::Drop),
            ("::ffff:203.0.113.1", Action::Allow),
            ("::192.0.2.1", Action::Empty),
        ] {
            assert_eq!(access.action(client.parse().unwrap()), action, "{client}");
        }
    }

    #[test]
    fn without_rules_the_default_decides() {
        for client in ["192.0.2.1", "2001:db8::1"] {
            let client = client.parse().unwrap();
            assert_eq!(Access::default().action(client), Action::Allow);
            assert_eq!(Access::new(&[], Action::Refuse).action(client), Action::Refuse);
        }
    }

    #[test]
    fn memory_is_what_it_says() {
        assert_eq!((size_of::<Segment<u32, Action>>(), size_of::<Segment<u128, Action>>()), (12, 48));
        // Nested hosts in one network: the most segments that rules can make.
        let mut rules: Vec<_> =
            (0..100u32).map(|n| (Network::V4(Span::host(2 * n + 1)), Action::Drop)).collect();
        rules.push((Network::V4(Span::ALL), Action::Refuse));
        assert_eq!(Access::new(&rules, Action::Allow).v4.len(), 2 * rules.len() - 1);
    }

    fn any_action() -> impl Strategy<Value = Action> {
        prop_oneof![
            Just(Action::Allow),
            Just(Action::Refuse),
            Just(Action::Drop),
            Just(Action::Empty),
            Just(Action::Code),
        ]
    }

    /// Networks of both families near one another, and of every length.
    fn any_network() -> impl Strategy<Value = Network> {
        let v4 =
            (0u32..16, 0u8..=32).prop_map(|(low, len)| Network::V4(Span::prefix(0xc000_0200 | low, len)));
        let range = (0u32..16, 0u32..16).prop_map(|(a, b)| {
            Network::V4(Span { first: 0xc000_0200 | a.min(b), last: 0xc000_0200 | a.max(b) })
        });
        let v6 = (0u128..16, 0u8..=128)
            .prop_map(|(low, len)| Network::V6(Span::prefix(0x2001_0db8 << 96 | low, len)));
        prop_oneof![v4, range, v6]
    }

    proptest! {
        /// The oracle: of all rules that hold the client the narrowest, of those the first.
        #[test]
        fn agrees_with_a_linear_scan(
            rules in prop::collection::vec((any_network(), any_action()), 0..40),
            otherwise in any_action(),
            far: IpAddr,
        ) {
            let access = Access::new(&rules, otherwise);
            let near = (0..18u32).flat_map(|low| {
                let v4 = Ipv4Addr::from(0xc000_01ff + low);
                let v6 = ((0x2001_0db8u128 << 96) + u128::from(low)).to_ip();
                [v4.into(), v4.to_ipv6_mapped().into(), v6]
            });
            for client in near.chain([far]) {
                let holding = rules.iter().filter(|(network, _)| network.contains(client));
                let narrowest = holding.min_by_key(|(network, _)| network.size());
                prop_assert_eq!(access.action(client), narrowest.map_or(otherwise, |rule| rule.1), "{}", client);
            }
        }
    }
}
