//! The engine's dealings with generation files: the newest is served at start, before the database is opened; every new
//! one is written before it is live; old ones are removed.

use super::exclude::ExcludeError;
use super::exclusions;
use super::host::host_addresses;
use super::packet_filter::PacketFilter;
use super::slot::Slot;
use crate::config::Config;
use crate::core::flatten::Flat;
use crate::core::generation::Generation;
use crate::core::listing::FeedIndex;
use crate::core::protection::{Reservations, Reserved};
use crate::generations::{Generations, Newest, OpenError, Retention, WriteError};
use crate::live::Live;
use std::sync::Arc;
use std::time::SystemTime;

/// What a start took from the generation files. The engine goes on from here.
pub struct Resumed {
    pub(super) files: Generations,
    pub(super) exclusions: Reservations,
    /// The generation that is served until the engine has built its own; `None` if no file fits.
    pub(super) served: Option<Arc<Generation>>,
    /// Serial and digest of the newest undamaged file, fitting or not.
    pub(super) newest: (u32, String),
    /// Highest serial of any file.
    pub(super) highest: u32,
    pub(super) filter: PacketFilter,
}

impl Resumed {
    /// Publishes the newest undamaged generation to `live`, if it was built for these settings. Neither database nor
    /// network is touched, and the kernel only by [`Self::start_filter`].
    ///
    /// # Errors
    /// When an exclusion file cannot be used: without it the wrong hosts could be listed.
    pub fn serve_newest(config: &Config, live: &Live) -> Result<Self, ExcludeError> {
        let exclusions = exclusions(config)?;
        let files = Generations::new(&config.state_dir);
        let Newest { generation, skipped, highest } = files.newest();
        for problem in skipped {
            tracing::warn!("generation skipped: {problem}");
        }
        let newest = generation.as_ref().map(|g| (g.serial, g.lineage.digest.clone())).unwrap_or_default();
        let served = generation.filter(|generation| match misfit(generation, config, &exclusions) {
            None => true,
            Some(why) => {
                tracing::info!(serial = generation.serial, "built anew before anything is answered: {why}");
                false
            }
        });
        let served = served.map(Arc::new);
        if let Some(generation) = &served {
            live.publish(Arc::clone(generation));
            tracing::info!(serial = generation.serial, "serving the generation from its file");
        }
        Ok(Self { files, exclusions, served, newest, highest, filter: PacketFilter::Unused })
    }

    /// Is anything served?
    pub fn serves(&self) -> bool {
        self.served.is_some()
    }

    /// Loads the packet filter, and puts the served generation into force there too; `live` then has it with the table
    /// that both share.
    pub fn start_filter(&mut self, config: &Config, live: &Live) {
        self.filter = PacketFilter::open(&config.filter);
        let Some(generation) = self.served.as_ref().filter(|_| self.filter.is_on()) else { return };
        match self.filter.publish(&generation.table) {
            Ok(table) => {
                let shared = Arc::new(Generation { table, ..Generation::clone(generation) });
                live.publish(Arc::clone(&shared));
                self.served = Some(shared);
            }
            Err(error) => {
                tracing::error!(serial = generation.serial, "not in the packet filter: {error}");
            }
        }
    }

    /// Gives a feed whose copy is gone from the database back what the served generation lists of it.
    pub(super) fn recover(&self, index: FeedIndex, slot: &mut Slot) {
        let Some(generation) = &self.served else { return };
        let Some(copy) = generation.part(index).and_then(|part| part.copy.as_ref()) else { return };
        let flat = Flat {
            v4: generation.feed_v4(index),
            v6: generation.feed_v6(index),
            domains: generation.feed_domains(index),
            ..Flat::default()
        };
        tracing::warn!(
            feed = %slot.feed.id,
            "there is no stored copy; what generation {} lists of it stays in use",
            generation.serial
        );
        slot.recover(flat, copy);
    }
}

/// Why a generation cannot stand in for one of this configuration on this host.
fn misfit(generation: &Generation, config: &Config, exclusions: &Reservations) -> Option<&'static str> {
    // Own addresses, gateways and resolvers are single addresses.
    let drops = |reserved: &Reserved| generation.table.lookup(reserved.network.first()).drops();
    if generation.lineage.settings != config.generation_digest() {
        Some("the last generation was built for other settings")
    } else if generation.exclusions != *exclusions {
        Some("the exclusions have changed")
    } else if host_addresses().reserved.iter().any(drops) {
        Some("the last generation would drop an address of this host")
    } else {
        None
    }
}

/// Writes generations and removes old ones.
pub(super) struct Keeper {
    files: Generations,
    /// Serial of the newest generation that is on disk as it was built.
    written: u32,
    /// Why the last one is not.
    problem: Option<String>,
}

impl Keeper {
    /// `written` is the serial of the newest undamaged file.
    pub(super) fn new(files: Generations, written: u32) -> Self {
        Self { files, written, problem: None }
    }

    /// An earlier generation.
    pub(super) fn generation(&self, serial: u32) -> Result<Generation, OpenError> {
        self.files.generation(serial)
    }

    /// Writes a generation that is about to be published after `before`, unless its file is there and fits the next
    /// start as well. A failure is said once and shown until it is over: the service goes on from memory.
    pub(super) fn write(&mut self, generation: &Generation, before: Option<&Generation>) {
        let fits = |before: &Generation| {
            before.serial == generation.serial
                && before.lineage.settings == generation.lineage.settings
                && before.exclusions == generation.exclusions
        };
        if self.written == generation.serial && before.is_some_and(fits) {
            return;
        }
        match self.files.write(generation) {
            // With the removal of old ones the problem is over.
            Ok(()) => self.written = generation.serial,
            Err(error) => {
                self.written = 0;
                self.failed(&error);
            }
        }
    }

    /// Tries again what failed, with the live generation.
    pub(super) fn retry(&mut self, live: &Generation) {
        if self.problem.is_some() {
            self.write(live, None);
            self.retain(live.serial);
        }
    }

    /// A generation was refused after all: the next start must not serve it.
    pub(super) fn withdraw(&mut self, serial: u32) {
        if self.written != serial {
            return;
        }
        self.written = 0;
        if let Err(error) = self.files.remove(serial) {
            self.failed(&error);
        }
    }

    /// Removes what is too old, never the live generation.
    pub(super) fn retain(&mut self, live: u32) {
        match self.files.retain(Retention::default(), &[live], SystemTime::now()) {
            Ok(removed) => {
                if !removed.is_empty() {
                    tracing::debug!(?removed, "old generations removed");
                }
                if self.written == live {
                    self.problem = None;
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &WriteError) {
        if self.problem.is_none() {
            tracing::warn!("generation files: {error}; a restart may serve an older generation first");
        }
        self.problem = Some(error.to_string());
    }

    /// What needs somebody's attention.
    pub(super) fn problem(&self) -> Option<String> {
        self.problem.as_ref().map(|problem| format!("generation files: {problem}"))
    }
}
