//! The table: the compiled, immutable map address → payload (listing and policy class).

use super::network::fold;
use super::segment::{Segment, find};
use blackthorn_common::payload::Payload;
use std::net::IpAddr;

/// Immutable map from address to payload. Cheap to read from many threads; built once per generation.
#[derive(Clone, Debug, Default)]
pub struct Table {
    v4: Vec<Segment<u32, Payload>>,
    v6: Vec<Segment<u128, Payload>>,
}

impl Table {
    /// Compiles sorted, disjoint segments.
    pub fn compile(v4: Vec<Segment<u32, Payload>>, v6: Vec<Segment<u128, Payload>>) -> Self {
        Self { v4, v6 }
    }

    /// What is known of `address`; mapped IPv6 is looked up as IPv4.
    pub fn lookup(&self, address: IpAddr) -> Payload {
        match fold(address) {
            IpAddr::V4(a) => find(&self.v4, a.into()),
            IpAddr::V6(a) => find(&self.v6, a.into()),
        }
        .unwrap_or(Payload::NONE)
    }

    /// The IPv4 segments, sorted and disjoint, holes left out.
    pub fn v4(&self) -> &[Segment<u32, Payload>] {
        &self.v4
    }

    /// The IPv6 segments, sorted and disjoint, holes left out.
    pub fn v6(&self) -> &[Segment<u128, Payload>] {
        &self.v6
    }
}
