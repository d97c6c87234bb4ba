//! Exclusions and protections, each with the reason an operator is shown.

use super::coverage::Coverage;
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

/// Networks set apart for one purpose: an exclusion is never listed, a protection never dropped. Clones share them, for
/// a file of exclusions may hold millions and every generation has its own handle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reservations {
    list: Arc<[Reserved]>,
    coverage: Arc<Coverage>,
}

impl Reservations {
    /// Collects `list`; overlaps are fine.
    pub fn new(list: Vec<Reserved>) -> Self {
        let coverage = Coverage::new(list.iter().map(|reserved| reserved.network));
        Self { list: list.into(), coverage: Arc::new(coverage) }
    }

    /// The union of all networks.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// Every reservation that holds `address`, in the order given. Linear: for explanations, not for queries.
    pub fn reasons(&self, address: IpAddr) -> impl Iterator<Item = &Reserved> {
        self.list.iter().filter(move |reserved| reserved.network.contains(address))
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

/// What is protected on every host: special-use space, so that no feed can cut off the local network.
pub fn built_in_protections() -> Vec<Reserved> {
    let v4 = special::V4.iter().copied().map(Network::V4);
    let v6 = special::V6.iter().copied().map(Network::V6);
    v4.chain(v6).map(|network| Reserved { network, reason: "special-use address space".to_owned() }).collect()
}
