//! Expiry: when the data of a zone is too old to be answered from.
//!
//! A zone is as old as the feed of it that was confirmed longest ago: fetched, or found unchanged. Its oldest part decides,
//! because a list that is partly stale says "not listed" of what it no longer knows. What counts is what is served: while
//! something waits to be published, because it cannot be or is kept back by a pin, nothing gets younger.
//!
//! After a start the ages are known with the first report, once the database was read; until then nothing expires.

use super::slot::Slot;
use crate::core::generation::{Generation, Part};
use crate::core::view::Expiry;
use crate::core::zone::Zone;
use std::sync::Arc;

/// When zones expire that do, as far as is known: a feed that was never loaded has no age. `current`: is what the slots
/// hold also what is served?
pub(super) fn expiries(served: &Generation, slots: &[Slot], current: bool) -> Arc<[Expiry]> {
    let confirmed = |part: &Part| {
        let slot = slots.iter().find(|slot| current && slot.feed.id == part.id);
        let fetched_at = || part.copy.as_ref().map(|copy| copy.fetched_at);
        slot.and_then(|slot| slot.confirmed_at).or_else(fetched_at)
    };
    let expiry = |zone: &Zone| {
        let max_age = zone.spec().max_age?;
        let feeds = zone.spec().feeds.iter().filter_map(|member| served.part(member.feed));
        let oldest = feeds.filter_map(confirmed).min()?;
        Some(Expiry { zone: zone.name().clone(), at: oldest.saturating_add(max_age.into()) })
    };
    served.zones.iter().filter_map(expiry).collect()
}
