//! Disk: what can be told of the feeds without a running engine, from the state directory and from feeds that are
//! files.
//!
//! It loads as the engine does at its start and builds with the same code, so it says what a daemon started now would
//! say before its first fetch. It creates and changes nothing, and asks no network.

use super::exclude::ExcludeError;
use super::host::host_addresses;
use super::slot::Slot;
use super::status::FeedStatus;
use super::{exclusions, publish, unix_now};
use crate::config::Config;
use crate::core::build::BuildError;
use crate::core::entry::FeedId;
use crate::core::feed::Reject;
use crate::core::generation::Generation;
use crate::core::merge::HeldBack;
use crate::core::protection::Reservations;
use crate::store::Store;
use std::sync::Arc;

/// Everything the disk says about the feeds of a configuration.
pub struct Disk<'a> {
    config: &'a Config,
    slots: Vec<Slot>,
    /// The last one published from this state directory; 0 for none.
    serial: u32,
    notes: Vec<String>,
}

impl<'a> Disk<'a> {
    /// Loads the stored copies; feeds that are files are read themselves where there is none. A store that cannot be
    /// read is as good as an empty one, and said in [`Self::notes`].
    pub fn load(config: &'a Config) -> Self {
        let mut slots: Vec<Slot> = config.feeds.iter().cloned().map(Slot::new).collect();
        let (mut serial, mut notes) = (0, Vec::new());
        match Store::open_read_only(&config.state_dir) {
            Ok(store) => {
                for slot in &mut slots {
                    notes.extend(slot.recall(&store).err().map(|error| error.to_string()));
                }
                serial = store.published().ok().flatten().map_or(0, |(serial, _)| serial);
            }
            Err(error) => notes.push(format!("no stored copies: {error}")),
        }
        for slot in slots.iter_mut().filter(|slot| slot.loaded.is_none()) {
            slot.read_file(unix_now());
        }
        Self { config, slots, serial, notes }
    }

    /// Reads only feeds that are files; the state directory is left alone.
    pub fn files_only(config: &'a Config) -> Self {
        let mut slots: Vec<Slot> = config.feeds.iter().cloned().map(Slot::new).collect();
        for slot in &mut slots {
            slot.read_file(unix_now());
        }
        Self { config, slots, serial: 0, notes: Vec::new() }
    }

    /// The generation these feeds make, under the serial last published.
    ///
    /// # Errors
    /// When exclusion files cannot be used, or the feeds do not fit one generation.
    pub fn generation(&self) -> Result<Generation, DiskError> {
        let exclusions: Reservations = exclusions(self.config)?;
        let stamp = (self.serial, unix_now());
        Ok(publish::generation(self.config, &self.slots, &exclusions, &host_addresses(), stamp)?)
    }

    /// Every feed, in configuration order.
    pub fn feeds(&self) -> Vec<FeedStatus> {
        self.slots.iter().map(|slot| slot.status(HeldBack::default())).collect()
    }

    /// Rejected lines of the copy that was read; `None` for a feed nobody configured.
    pub fn rejects(&self, feed: &FeedId) -> Option<Arc<[Reject]>> {
        self.slots.iter().find(|slot| slot.feed.id == *feed).map(Slot::rejects)
    }

    /// What could not be read.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// Why there is no generation.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Exclusions.
    #[error(transparent)]
    Exclude(#[from] ExcludeError),
    /// Feeds.
    #[error(transparent)]
    Build(#[from] BuildError),
}
