//! Publishing: build a generation from the slots, put it into the kernel and then before the readers, or neither.
//!
//! In two steps, so that the engine can note the serial in between: a serial that anybody has seen must stand for the
//! same answers after a crash.

use super::generations::{Keeper, Resumed};
use super::hold::HoldError;
use super::host::{HostAddresses, host_addresses};
use super::live_entries::LiveEntries;
use super::packet_filter::PacketFilter;
use super::slot::Slot;
use super::status::GenerationStatus;
use super::unix_now;
use crate::config::Config;
use crate::core::build::{BuildError, Plan, build};
use crate::core::generation::{Generation, Lineage};
use crate::core::listing::FeedIndex;
use crate::core::live_table::LiveTableError;
use crate::core::protection::{Reservations, Reserved, built_in_protections};
use crate::core::view::{Expiry, View};
use crate::core::zone::ZoneSpec;
use crate::filter::FilterError;
use crate::generations::in_huge_pages;
use crate::store::Store;
use std::sync::Arc;
use std::time::Instant;

/// Owns the serial and the live generation.
pub(super) struct Publisher {
    live_entries: Arc<LiveEntries>,
    /// What should be live.
    current: Option<Arc<Generation>>,
    /// Last serial given out, before this process too.
    serial: u32,
    /// Digest of what that serial stood for.
    digest: String,
    host: HostAddresses,
    keeper: Keeper,
    took_ms: u64,
}

/// A generation that is built and not published yet.
pub(super) struct Next {
    generation: Generation,
    digest: String,
    started: Instant,
}

/// Why a generation is not in force; the one before is.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublishError {
    /// The live entries do not fit over it.
    #[error(transparent)]
    LiveEntries(#[from] LiveTableError),
    /// The kernel refused its table.
    #[error(transparent)]
    Filter(#[from] FilterError),
}

impl Next {
    /// What to remember of it: serial and digest.
    pub(super) fn mark(&self) -> (u32, &str) {
        (self.generation.serial, &self.digest)
    }
}

impl Publisher {
    /// Goes on from the highest serial in store and generation files. A serial of which only the name is known stands
    /// for nothing that could be built again, so its digest is none.
    pub(super) fn new(live_entries: Arc<LiveEntries>, store: &Store, resumed: &Resumed) -> Self {
        let stored = store
            .published()
            .unwrap_or_else(|error| {
                tracing::error!("the last serial is unknown: {error}; counting from the clock");
                None
            })
            .unwrap_or_default();
        let known = [stored, resumed.newest.clone(), (resumed.highest, String::new())];
        // Of equal serials the first.
        let (serial, digest) = known.into_iter().rev().max_by_key(|(serial, _)| *serial).unwrap_or_default();
        let keeper = Keeper::new(resumed.files.clone(), resumed.newest.0);
        let current = resumed.served.clone();
        Self { live_entries, current, serial, digest, host: HostAddresses::default(), keeper, took_ms: 0 }
    }

    /// Builds the next generation. Its serial rises only when an answer or a verdict changes.
    pub(super) fn build(
        &mut self,
        config: &Config,
        slots: &[Slot],
        exclusions: &Reservations,
    ) -> Result<Next, BuildError> {
        let started = Instant::now();
        self.host = host_addresses();
        let now = unix_now();
        let mut generation = generation(config, slots, exclusions, &self.host, (self.serial, now))?;
        let digest = generation.digest();
        let before = self.current.clone();
        generation.lineage = match before.as_ref() {
            Some(before) if before.serial == self.serial && digest == self.digest => before.lineage.clone(),
            _ => Lineage::default(),
        };
        if digest != self.digest || self.serial == 0 {
            generation.serial = next_serial(self.serial, now);
            generation.lineage.parents = before.iter().map(|before| before.serial).collect();
        }
        generation.lineage.settings = config.generation_digest();
        generation.lineage.digest.clone_from(&digest);
        Ok(Next { generation, digest, started })
    }

    /// Would publishing it change nothing?
    pub(super) fn says_the_same(&self, next: &Next) -> bool {
        self.current.as_ref().is_some_and(|current| current.lineage.digest == next.digest)
    }

    /// An earlier generation under a new serial, to be published; `None` if what is live says the same.
    ///
    /// # Errors
    /// When it cannot be had, or would lock us out.
    pub(super) fn recall(&self, serial: u32) -> Result<Option<Next>, HoldError> {
        let started = Instant::now();
        let mut generation = self.earlier(serial)?;
        let digest = generation.digest();
        if self.current.as_ref().is_some_and(|current| current.serial == self.serial) && digest == self.digest
        {
            return Ok(None);
        }
        generation.serial = next_serial(self.serial, unix_now());
        let live = self.current.iter().map(|current| current.serial);
        generation.lineage.parents = live.chain([serial]).collect();
        generation.lineage.digest.clone_from(&digest);
        Ok(Some(Next { generation, digest, started }))
    }

    /// Puts a generation from its file into force, under the serial it has.
    ///
    /// # Errors
    /// Then nothing has changed.
    pub(super) fn restore(&mut self, serial: u32, filter: &mut PacketFilter) -> Result<(), HoldError> {
        let mut generation = self.earlier(serial)?;
        self.live_entries.check(&generation)?;
        generation.table = filter.publish(&generation.table)?;
        self.serve(generation, filter);
        Ok(())
    }

    /// A generation from its file, if it may be served on this host.
    fn earlier(&self, serial: u32) -> Result<Generation, HoldError> {
        let generation = self.keeper.generation(serial)?;
        match host_addresses().reserved.iter().find(|own| drops(&generation, own)) {
            Some(Reserved { network, reason }) => {
                Err(HoldError::LocksOut { serial, address: network.to_string(), reason: reason.clone() })
            }
            None => Ok(generation),
        }
    }

    /// Puts a generation into force, or leaves the one before in force everywhere.
    pub(super) fn publish(&mut self, next: Next, filter: &mut PacketFilter) -> Result<(), PublishError> {
        let Next { mut generation, digest, started } = next;
        self.live_entries.check(&generation)?;
        let serial = generation.serial;
        // On disk first, so that what anybody has seen is served again after a crash.
        self.keeper.write(&generation, self.live().as_deref());
        // The kernel next: if it refuses, the readers keep the old generation too.
        match filter.publish(&generation.table) {
            // With this goes the image in our own memory, if there is another now.
            Ok(table) => generation.table = table,
            Err(error) => {
                if serial != self.serial {
                    self.keeper.withdraw(serial);
                }
                return Err(error.into());
            }
        }
        self.serve(generation, filter);
        self.took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if serial != self.serial {
            tracing::info!(serial, took_ms = self.took_ms, "generation published");
        }
        (self.serial, self.digest) = (serial, digest);
        self.keeper.retain(serial);
        Ok(())
    }

    /// Puts what should be live into force once more, in the kernel and before the readers. The kernel's pages may be
    /// the only copy of its image in memory: one that is damaged is not copied, but read again from the generation file.
    ///
    /// # Errors
    /// Then nothing has changed.
    pub(super) fn republish(&mut self, filter: &mut PacketFilter) -> Result<(), HoldError> {
        let Some(current) = &self.current else { return Ok(()) };
        if !current.table.is_intact() {
            return self.restore(current.serial, filter);
        }
        let table = filter.publish(&current.table)?;
        let generation = Generation { table, ..Generation::clone(current) };
        self.serve(generation, filter);
        Ok(())
    }

    /// Puts what the kernel has already before the readers, live entries over it.
    fn serve(&mut self, mut generation: Generation, filter: &PacketFilter) {
        match in_huge_pages(&generation.domains) {
            Ok(Some(moved)) => generation.domains = moved,
            Ok(None) => {}
            Err(error) => tracing::debug!("the table of domains stays where it is: {error}"),
        }
        let generation = Arc::new(generation);
        self.live_entries.publish(Arc::clone(&generation), filter.overlay());
        self.current = Some(generation);
    }

    /// Flips a bit in the image of what should be live.
    #[cfg(test)]
    pub(super) fn damage(&mut self) {
        let mut damaged = Generation::clone(self.current.as_ref().unwrap());
        damaged.table = damaged.table.damaged();
        self.current = Some(Arc::new(damaged));
    }

    /// Tries again to write the live generation, if that failed.
    pub(super) fn retry_file(&mut self) {
        if let Some(live) = &self.current {
            self.keeper.retry(live);
        }
    }

    /// Have own addresses, gateways or resolvers changed since the last publication?
    pub(super) fn host_changed(&self) -> bool {
        host_addresses().reserved != self.host.reserved
    }

    /// Own addresses, gateways and resolvers of today that the published generation would have the filter drop. Only a
    /// generation that is held can be that old.
    pub(super) fn endangered(&self) -> Vec<String> {
        let Some(current) = &self.current else { return Vec::new() };
        let own = host_addresses().reserved.into_iter().filter(|own| drops(current, own));
        own.map(|Reserved { network, reason }| {
            format!(
                "{network} ({reason}) is not protected in the held generation, the packet filter may drop it; \
                 end the hold with `blackthorn resume`"
            )
        })
        .collect()
    }

    /// The published generation, and the live entries over it.
    pub(super) fn view(&self) -> Option<View> {
        let generation = self.live()?;
        Some(match self.live_entries.live().view() {
            Some(view) => View { generation, ..View::clone(&view) },
            None => View::bare(generation),
        })
    }

    /// Publishes when zones expire.
    pub(super) fn expire(&self, expiries: Arc<[Expiry]>) {
        self.live_entries.publish_expiries(expiries);
    }

    /// The published generation.
    pub(super) fn live(&self) -> Option<Arc<Generation>> {
        self.current.clone()
    }

    /// Holes in the lock-out guard, what is wrong with the generation files, and live entries that are not where they
    /// should be.
    pub(super) fn problems(&self) -> impl Iterator<Item = String> {
        let guard = self.host.problems.iter().map(|problem| format!("lock-out guard: {problem}"));
        guard.chain(self.keeper.problem()).chain(self.live_entries.problem())
    }

    /// The published generation in numbers.
    pub(super) fn status(&self) -> GenerationStatus {
        let Some(generation) = &self.current else { return GenerationStatus::default() };
        GenerationStatus {
            serial: generation.serial,
            built_at: generation.built_at,
            took_ms: self.took_ms,
            segments_v4: generation.size.runs_v4,
            segments_v6: generation.size.runs_v6,
            addresses_v4: generation.size.addresses_v4,
            domains: generation.size.domains,
            domain_bytes: size_of_val(generation.domains.words()) as u64,
            listings: generation.listings.len() as u64,
            table_bytes: size_of_val(generation.table.words()) as u64,
            exclusions: (generation.exclusions.len() + generation.exclusions.domains().len()) as u64,
            protections: generation.protections.len() as u64,
        }
    }
}

/// Would the packet filter drop an address of this host, its gateway or its resolver? They are single addresses.
fn drops(generation: &Generation, own: &Reserved) -> bool {
    generation.table.lookup(own.network.first()).drops()
}

/// Builds a generation from the slots. `stamp` is its serial and when it is built.
pub(super) fn generation(
    config: &Config,
    slots: &[Slot],
    exclusions: &Reservations,
    host: &HostAddresses,
    (serial, built_at): (u32, u64),
) -> Result<Generation, BuildError> {
    let mut protections = built_in_protections();
    protections.extend(host.reserved.iter().cloned());
    let flat =
        |slot: &Slot| (slot.feed.id.clone(), slot.loaded.as_ref().map(|loaded| Arc::clone(&loaded.flat)));
    let plan = Plan {
        feeds: slots.iter().map(flat).collect(),
        exclusions: exclusions.clone(),
        protections: Reservations::new(protections),
        zones: &config.zones,
        filter_feeds: &config.filter.feeds,
    };
    let mut generation = build(&plan, serial, built_at)?;
    for (part, slot) in generation.parts.iter_mut().zip(slots) {
        part.copy = slot.copy();
    }
    for zone in &mut generation.zones {
        zone.loaded = zone_loaded(zone.spec(), slots);
    }
    Ok(generation)
}

/// Seconds since 1970 if that is a step forward, else one more: a serial only rises (RFC 1982).
fn next_serial(last: u32, now: u64) -> u32 {
    let clock = u32::try_from(now).unwrap_or(0);
    if clock > last { clock } else { last.wrapping_add(1).max(1) }
}

/// A zone has data when one of its feeds ever loaded, or none was asked for.
pub(super) fn zone_loaded(spec: &ZoneSpec, slots: &[Slot]) -> bool {
    let loaded = |feed: FeedIndex| slots.get(usize::from(feed.0)).is_some_and(|slot| slot.loaded.is_some());
    spec.feeds.is_empty() || spec.feeds.iter().any(|part| loaded(part.feed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_only_rise() {
        assert_eq!(next_serial(0, 1_795_000_000), 1_795_000_000);
        assert_eq!(next_serial(1_795_000_000, 1_795_000_000), 1_795_000_001);
        assert_eq!(next_serial(1_795_000_009, 1_795_000_000), 1_795_000_010);
        assert_eq!(next_serial(7, 0), 8);
        assert_eq!(next_serial(u32::MAX, 7), 1);
    }
}
