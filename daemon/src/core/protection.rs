//! Exclusions and protections, each with the reason an operator is shown.

use super::coverage::Coverage;
use super::domain::{DomainEntry, Domains, Scope, pattern, speaks_for};
use super::domain_flat::FlatDomains;
use super::network::Network;
use super::span::Span;
use super::special;
use std::net::IpAddr;
use std::sync::Arc;

/// One network set apart, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// The addresses.
    pub network: Network,
    /// Where it comes from: `exclude.networks`, `lists/allow.txt:7`, `address of eth0`.
    pub reason: String,
}

/// One domain pattern set apart, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservedDomain {
    /// Labels in wire form and lower case, without the root.
    pub name: Vec<u8>,
    /// Which names are meant.
    pub scope: Scope,
    /// Where it comes from, as in [`Reserved`].
    pub reason: String,
}

impl ReservedDomain {
    /// As people write it.
    pub fn pattern(&self) -> String {
        pattern(&self.name, self.scope)
    }
}

/// Networks set apart for one purpose: an exclusion is never listed, a protection never dropped. Clones share them, for
/// a file of exclusions may hold millions and every generation has its own handle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reservations {
    list: Arc<[Reserved]>,
    coverage: Arc<Coverage>,
    domains: Arc<[ReservedDomain]>,
    flat_domains: Arc<FlatDomains>,
}

impl Reservations {
    /// Collects `list`; overlaps are fine.
    pub fn new(list: Vec<Reserved>) -> Self {
        let coverage = Coverage::new(list.iter().map(|reserved| reserved.network));
        Self { list: list.into(), coverage: Arc::new(coverage), ..Self::default() }
    }

    /// The same with domains beside the networks, instead of any there were.
    pub fn with_domains(self, domains: Vec<ReservedDomain>) -> Self {
        let mut names = Domains::default();
        for (ReservedDomain { name, scope, .. }, line) in domains.iter().zip(1..) {
            names.push(DomainEntry { name, scope: *scope, excluded: false, line });
        }
        let flat_domains = Arc::new(FlatDomains::new(&names));
        Self { domains: domains.into(), flat_domains, ..self }
    }

    /// The domains, in the order given.
    pub fn domains(&self) -> &[ReservedDomain] {
        &self.domains
    }

    /// The domains as a feed would list them.
    pub fn flat_domains(&self) -> &FlatDomains {
        &self.flat_domains
    }

    /// Every reserved domain that speaks for `name`, in wire form and lower case. Linear.
    pub fn domain_reasons(&self, name: &[u8]) -> impl Iterator<Item = &ReservedDomain> {
        self.domains.iter().filter(move |reserved| speaks_for(&reserved.name, reserved.scope, name))
    }

    /// The union of all networks.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// Every reservation that holds `address`, in the order given. Linear: for explanations, not for queries.
    pub fn reasons(&self, address: IpAddr) -> impl Iterator<Item = &Reserved> {
        self.list.iter().filter(move |reserved| reserved.network.contains(address))
    }

    /// The first reservation that shares an address with `network`. Linear.
    pub fn overlapping(&self, network: &Network) -> Option<&Reserved> {
        self.list.iter().find(|reserved| reserved.network.overlaps(network))
    }

    /// If all of `network` is reserved, why its first address is.
    pub fn covering(&self, network: &Network) -> Option<&Reserved> {
        let first = network.first();
        let whole = self.coverage.find(first).is_some_and(|span| span.covers(network));
        self.reasons(first).next().filter(|_| whole)
    }

    /// Every reservation, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &Reserved> {
        self.list.iter()
    }

    /// How many networks were given.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// None given?
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// What is excluded on every host: 127.0.0.1 listed would mean "this list lists the world" (RFC 5782 section 5).
pub fn built_in_exclusions() -> Vec<Reserved> {
    vec![Reserved {
        network: Network::V4(Span::host(0x7f00_0001)),
        reason: "never listed (RFC 5782)".to_owned(),
    }]
}

/// The same for domains: INVALID is how clients see that a list does not list everything.
pub fn built_in_domain_exclusions() -> Vec<ReservedDomain> {
    vec![ReservedDomain {
        name: b"\x07invalid".to_vec(),
        scope: Scope::Subtree,
        reason: "never listed (RFC 5782)".to_owned(),
    }]
}

/// What is protected on every host: special-use space, so that no feed can cut off the local network.
pub fn built_in_protections() -> Vec<Reserved> {
    let v4 = special::V4.iter().copied().map(Network::V4);
    let v6 = special::V6.iter().copied().map(Network::V6);
    v4.chain(v6).map(|network| Reserved { network, reason: "special-use address space".to_owned() }).collect()
}
