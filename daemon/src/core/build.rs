//! Build: flattened feeds and reservations become a generation. Pure; the engine decides when, and whether to publish.

use super::entry::{Entries, FeedId};
use super::flatten::{Flat, flatten};
use super::generation::{Generation, Lineage, Part, Size};
use super::listing::FeedIndex;
use super::merge::{MergeError, Merged, Sources, merge};
use super::network::Network;
use super::protection::Reservations;
use super::table::{Table, TableError};
use super::zone::{Zone, ZoneError, ZoneSpec, test_addresses};
use std::sync::Arc;
use thiserror::Error;

/// What a generation is made of.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// Every configured feed in order of [`FeedIndex`]; `None` where nothing was ever loaded.
    pub feeds: Vec<(FeedId, Option<Arc<Flat>>)>,
    /// Never listed.
    pub exclusions: Reservations,
    /// Never dropped.
    pub protections: Reservations,
    /// Zones as configured.
    pub zones: &'a [ZoneSpec],
    /// Feeds the packet filter acts on.
    pub filter_feeds: &'a [FeedIndex],
}

/// Why there is no new generation; the old one stays in force.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The listings do not fit.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// The table does not fit.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A zone cannot be served as configured.
    #[error(transparent)]
    Zone(#[from] ZoneError),
}

/// Merges and compiles. `serial` and `built_at` (seconds since 1970) are stamped on the result; lineage and the copies
/// of the feeds are for the caller to fill in.
///
/// # Errors
/// When listings or table would not fit their format. Nothing is ever built in part.
pub fn build(plan: &Plan<'_>, serial: u32, built_at: u64) -> Result<Generation, BuildError> {
    let test_entries = test_entries(plan.zones);
    let mut sources: Vec<(FeedIndex, &Flat)> = (0..)
        .map(FeedIndex)
        .zip(&plan.feeds)
        .filter_map(|(index, (_, flat))| Some((index, &**flat.as_ref()?)))
        .collect();
    sources.push((FeedIndex::TEST, &test_entries));

    let Merged { v4, v6, listings, held_back } = merge(&Sources {
        feeds: &sources,
        exclusions: plan.exclusions.coverage(),
        protected: plan.protections.coverage(),
        filter_feeds: plan.filter_feeds,
    })?;
    let table = Table::compile(&v4, &v6)?;
    let size = Size::of(&v4, &v6);
    // The image is the only copy from here on.
    drop((v4, v6));
    let zones = Zone::compile_all(plan.zones, &listings, &table)?;
    let parts = (0..).map(FeedIndex).zip(&plan.feeds).map(|(index, (id, flat))| Part {
        id: id.clone(),
        flat: flat.clone(),
        copy: None,
        held_back: held_back.get(&index).copied().unwrap_or_default(),
        filtered: plan.filter_feeds.contains(&index),
    });
    Ok(Generation {
        serial,
        built_at,
        table,
        listings,
        parts: parts.collect(),
        zones,
        exclusions: plan.exclusions.clone(),
        protections: plan.protections.clone(),
        lineage: Lineage::default(),
        size,
    })
}

/// The built-in feed behind [`FeedIndex::TEST`].
fn test_entries(zones: &[ZoneSpec]) -> Flat {
    let mut entries = Entries::default();
    for address in test_addresses(zones) {
        entries.push(Network::host(address.into()), 0, address.to_bits() & 0x00ff_ffff);
    }
    flatten(entries)
}
