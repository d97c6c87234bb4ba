//! Expiry: when the data of a zone is too old to be answered from.
//!
//! A zone is as old as the feed of it that was confirmed longest ago: fetched, or found unchanged. Its oldest part decides,
//! because a list that is partly stale says "not listed" of what it no longer knows.

use super::slot::Slot;
use crate::core::name::DomainName;
use crate::core::view::Expiry;
use crate::core::zone::ZoneSpec;
use std::sync::Arc;

/// When zones expire that do, as far as is known: a feed that was never loaded has no age.
pub(super) fn expiries(zones: &[ZoneSpec], slots: &[Slot]) -> Arc<[Expiry]> {
    let expiry = |zone: &ZoneSpec| {
        let max_age = zone.max_age?;
        let confirmed = |slot: &Slot| slot.loaded.is_some().then_some(slot.confirmed_at).flatten();
        let feeds = zone.feeds.iter().filter_map(|member| slots.get(usize::from(member.feed.0)));
        let oldest = feeds.filter_map(confirmed).min()?;
        Some(Expiry { zone: DomainName::parse(&zone.name).ok()?, at: oldest.saturating_add(max_age.into()) })
    };
    zones.iter().filter_map(expiry).collect()
}
