//! Report: what the engine says of itself and of its data, after everything it does.

use super::status::{EngineStatus, ZoneStatus};
use super::{Engine, expiry, publish};
use crate::core::entry::FeedId;
use crate::core::generation::Generation;
use crate::core::listing::FeedIndex;
use crate::core::name::DomainName;
use crate::core::view::{Expiry, View};
use crate::core::zone::{Zone, ZoneSpec};
use std::sync::Arc;

impl Engine {
    /// Publishes the status, and how old the data may get.
    pub(super) fn report(&self) {
        self.tell_ages();
        let parts = self.publisher.live();
        let held_back = |id: &FeedId| {
            let part =
                parts.as_ref().and_then(|generation| generation.parts.iter().find(|part| part.id == *id));
            part.map(|part| part.held_back).unwrap_or_default()
        };
        let mut warnings: Vec<String> = self.config.warnings.iter().map(ToString::to_string).collect();
        warnings.extend(self.hold_warnings());
        warnings.extend(self.save_problem.iter().map(|problem| format!("state directory: {problem}")));
        warnings.extend(self.publisher.problems());
        warnings.extend(self.verifier.warnings());
        warnings.extend(parts.iter().flat_map(|generation| &generation.zones).filter_map(texts_left_out));
        self.status.send_replace(Arc::new(EngineStatus {
            generation: self.publisher.status(),
            hold: self.hold.clone(),
            feeds: self.slots.iter().map(|slot| slot.status(held_back(&slot.feed.id))).collect(),
            zones: self.zones(parts.as_deref()),
            filter: self.filter.status(&self.config.filter),
            verifier: self.verifier.status(),
            warnings,
        }));
    }

    /// Publishes when zones expire, unless that is known and something else waits to be published.
    fn tell_ages(&self) {
        let Some(View { generation, expiries, .. }) = self.publisher.view() else { return };
        let current = !self.dirty && !self.is_held();
        if current || expiries.is_empty() {
            self.publisher.expire(expiry::expiries(&generation, &self.slots, current));
        }
    }

    /// The zones as configured; while a generation is held, as it has them.
    fn zones(&self, live: Option<&Generation>) -> Vec<ZoneStatus> {
        let expiries = self.publisher.view().map(|view| view.expiries).unwrap_or_default();
        if let Some(live) = live.filter(|_| self.is_held()) {
            let name = |feed: FeedIndex| Some(live.part(feed)?.id.to_string());
            let status = |zone: &Zone| zone_status(zone.spec(), zone.loaded, &expiries, name);
            return live.zones.iter().map(status).collect();
        }
        let name = |feed| Some(self.config.feed_id(feed)?.to_string());
        let status = |spec| zone_status(spec, publish::zone_loaded(spec, &self.slots), &expiries, name);
        self.config.zones.iter().map(status).collect()
    }
}

fn zone_status(
    spec: &ZoneSpec,
    loaded: bool,
    expiries: &[Expiry],
    name: impl Fn(FeedIndex) -> Option<String>,
) -> ZoneStatus {
    let expiry = DomainName::parse(&spec.name)
        .ok()
        .and_then(|zone| expiries.iter().find(|expiry| expiry.zone == zone));
    ZoneStatus {
        name: spec.name.clone(),
        loaded,
        feeds: spec.feeds.iter().filter_map(|feed| name(feed.feed)).collect(),
        expires_at: expiry.map(|expiry| expiry.at),
        retired: spec.retired.is_some(),
    }
}

/// What a zone cannot say in full.
fn texts_left_out(zone: &Zone) -> Option<String> {
    let (name, count) = (&zone.spec().name, zone.texts_left_out());
    (count > 0).then(|| {
        format!("zone {name}: {count} listings have more texts than fit a reply; some are left out, shorten the texts")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fixture;

    #[test]
    fn texts_that_do_not_fit_are_warned_of() {
        let long = |c: &str| c.repeat(250);
        let fits = fixture::zone("a.example", &[(0, "127.0.0.2", &long("a")), (1, "127.0.0.3", "short")]);
        let cut = fixture::zone("b.example", &[(0, "127.0.0.2", &long("a")), (1, "127.0.0.3", &long("b"))]);
        let entries = [(0, "192.0.2.1"), (1, "192.0.2.0/24")];
        let generation = fixture::generation(&[fits, cut], &entries);
        let warnings: Vec<String> = generation.zones.iter().filter_map(texts_left_out).collect();
        let expected = "zone b.example: 1 listings have more texts than fit a reply; some are left out, shorten the texts";
        assert_eq!(warnings, [expected]);
    }
}
