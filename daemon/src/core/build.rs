//! Build: flattened feeds and reservations become a generation. Pure; the engine decides when, and whether to publish.

use super::domain::{DomainEntry, Domains, Scope};
use super::domain_flat::FlatDomains;
use super::domain_merge::{DomainSources, merge_domains};
use super::domain_table::{DomainTable, DomainTableError};
use super::entry::{Entries, FeedId};
use super::flatten::{Flat, flatten};
use super::generation::{Generation, Lineage, Part, Size};
use super::listing::{FeedIndex, Member};
use super::merge::{MergeError, Merged, Sources, merge};
use super::network::Network;
use super::protection::Reservations;
use super::table::{Table, TableError};
use super::verify::{self, Mismatch};
use super::zone::{TEST_CODE, Tables, Zone, ZoneError, ZoneSpec, test_addresses};
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
    /// The table of domains does not fit.
    #[error(transparent)]
    Domains(#[from] DomainTableError),
    /// A zone cannot be served as configured.
    #[error(transparent)]
    Zone(#[from] ZoneError),
    /// The table does not say what was merged.
    #[error("{0}; this is a defect or damaged memory, the table is not used")]
    Wrong(Mismatch),
}

/// Merges and compiles. `serial` and `built_at` (seconds since 1970) are stamped on the result; lineage and the copies
/// of the feeds are for the caller to fill in.
///
/// # Errors
/// When listings or table would not fit their format, or the table came out wrong. Nothing is ever built in part.
pub fn build(plan: &Plan<'_>, serial: u32, built_at: u64) -> Result<Generation, BuildError> {
    let test_entries = test_entries(plan.zones);
    let mut sources: Vec<(FeedIndex, &Flat)> = (0..)
        .map(FeedIndex)
        .zip(&plan.feeds)
        .filter_map(|(index, (_, flat))| Some((index, &**flat.as_ref()?)))
        .collect();
    sources.push((FeedIndex::TEST, &test_entries));

    let Merged { v4, v6, mut listings, mut held_back } = merge(&Sources {
        feeds: &sources,
        exclusions: plan.exclusions.coverage(),
        protected: plan.protections.coverage(),
        filter_feeds: plan.filter_feeds,
    })?;
    // Before the segments go into the table; another part of them in each build.
    let probes = verify::from_segments(&v4, &v6, built_at ^ u64::from(serial) << 32);
    let table = Table::compile(&v4, &v6)?;
    let mismatch = verify::first_mismatch(&probes, "the compiled table", |address| table.lookup(address));
    if let Some(mismatch) = mismatch {
        return Err(BuildError::Wrong(mismatch));
    }
    let size = Size::of(&v4, &v6);
    // The image is the only copy from here on.
    drop((v4, v6));
    let mut names: Vec<(Member, &FlatDomains)> =
        sources.iter().map(|&(feed, flat)| (Member { feed, value: 0 }, &flat.domains)).collect();
    // The test entry of names says what 127.0.0.2 says.
    if let Some((test, _)) = names.last_mut() {
        test.value = TEST_CODE.to_bits() & 0x00ff_ffff;
    }
    let names = DomainSources { feeds: &names, exclusions: plan.exclusions.flat_domains() };
    let names = merge_domains(&names, &mut listings, &mut held_back)?;
    let domains = DomainTable::compile_sorted(&names)?;
    if let Some(mismatch) = verify::first_wrong_name(&names, &domains, built_at) {
        return Err(BuildError::Wrong(mismatch));
    }
    // The test entry is none of them.
    let size = Size { domains: names.listed().saturating_sub(1) as u64, ..size };
    drop(names);
    let tables = Tables { addresses: &table, domains: &domains };
    let zones = Zone::compile_all(plan.zones, &listings, tables)?;
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
        domains,
        listings,
        parts: parts.collect(),
        zones,
        exclusions: plan.exclusions.clone(),
        protections: plan.protections.clone(),
        lineage: Lineage::default(),
        size,
    })
}

/// What every list of names lists (RFC 5782 section 5).
const TEST_NAME: &[u8] = b"\x04test";

/// The built-in feed behind [`FeedIndex::TEST`].
fn test_entries(zones: &[ZoneSpec]) -> Flat {
    let mut entries = Entries::default();
    for address in test_addresses(zones) {
        entries.push(Network::host(address.into()), 0, address.to_bits() & 0x00ff_ffff);
    }
    let mut domains = Domains::default();
    domains.push(DomainEntry { name: TEST_NAME, scope: Scope::Exact, excluded: false, line: 0 });
    Flat { domains: FlatDomains::new(&domains), ..flatten(entries) }
}
