//! Disk: what can be told of the feeds without a running engine, from the state directory and from feeds that are
//! files.
//!
//! It loads as the engine does at its start and builds with the same code, so it says what a daemon started now would
//! say before its first fetch. It creates and changes nothing, and asks no network.

use super::exclude::ExcludeError;
use super::host::host_addresses;
use super::slot::Slot;
use super::status::FeedStatus;
use super::{exclusions, live_entries, publish, unix_now};
use crate::config::Config;
use crate::core::build::BuildError;
use crate::core::entry::FeedId;
use crate::core::feed::Reject;
use crate::core::generation::Generation;
use crate::core::live_set::LiveSet;
use crate::core::live_table::{LiveTable, LiveTableError};
use crate::core::merge::HeldBack;
use crate::core::protection::Reservations;
use crate::core::view::View;
use crate::store::Store;
use std::sync::Arc;

/// Everything the disk says about the feeds of a configuration.
pub struct Disk<'a> {
    config: &'a Config,
    slots: Vec<Slot>,
    /// The last one published from this state directory; 0 for none.
    serial: u32,
    live_entries: LiveSet,
    notes: Vec<String>,
}

impl<'a> Disk<'a> {
    /// Loads the stored copies, then feeds that are files, as they are now. A store that cannot be read is as good as an
    /// empty one, and said in [`Self::notes`].
    pub fn load(config: &'a Config) -> Self {
        let mut slots: Vec<Slot> = config.feeds.iter().cloned().map(Slot::new).collect();
        let (mut serial, mut live_entries, mut notes) = (0, LiveSet::default(), Vec::new());
        match Store::open_read_only(&config.state_dir) {
            Ok(store) => {
                for slot in &mut slots {
                    notes.extend(slot.recall(&store).err().map(|error| error.to_string()));
                }
                match live_entries::stored(&store, unix_now()) {
                    Ok(stored) => live_entries = stored,
                    Err(error) => notes.push(error.to_string()),
                }
                serial = store.published().ok().flatten().map_or(0, |(serial, _)| serial);
            }
            Err(error) => notes.push(format!("no stored copies: {error}")),
        }
        for slot in &mut slots {
            slot.read_file(unix_now());
        }
        Self { config, slots, serial, live_entries, notes }
    }

    /// Reads only feeds that are files; the state directory is left alone.
    pub fn files_only(config: &'a Config) -> Self {
        let mut slots: Vec<Slot> = config.feeds.iter().cloned().map(Slot::new).collect();
        for slot in &mut slots {
            slot.read_file(unix_now());
        }
        Self { config, slots, serial: 0, live_entries: LiveSet::default(), notes: Vec::new() }
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

    /// That generation with the stored live entries over it.
    ///
    /// # Errors
    /// As for [`Self::generation`], and when the live entries do not fit.
    pub fn view(&self) -> Result<View, DiskError> {
        let generation = self.generation()?;
        let entries = self.live_entries.entries().cloned().collect();
        let overlay = LiveTable::compile(entries, &generation.exclusions, &generation.protections)?;
        Ok(View { overlay: Arc::new(overlay), ..View::bare(Arc::new(generation)) })
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
    /// Live entries.
    #[error(transparent)]
    LiveEntries(#[from] LiveTableError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use crate::core::explain::explain;
    use crate::core::validators::Validators;
    use crate::engine::status::FeedState;
    use crate::engine::written::fill_lines;
    use crate::store::LastGood;
    use std::fs;
    use std::path::Path;

    const CONFIG: &str = "\
state_dir = \"state\"
[[feed]]
id = \"remote\"
source = \"https://feeds.example/list\"
format = \"plain\"
[[feed]]
id = \"file\"
source = \"file.txt\"
format = \"plain\"
[[feed]]
id = \"never\"
source = \"https://feeds.example/never\"
format = \"plain\"
";

    fn config(dir: &Path) -> Config {
        fs::write(dir.join("file.txt"), "192.0.2.1\nbad\n".to_owned() + &"192.0.2.2\n".repeat(20)).unwrap();
        Config::parse(CONFIG, Path::new("b.toml"), dir).unwrap()
    }

    fn remote(config: &Config) -> (FeedId, &Source) {
        (config.feeds[0].id.clone(), &config.feeds[0].source)
    }

    fn states(disk: &Disk<'_>) -> Vec<(FeedState, bool, Option<String>)> {
        disk.feeds().into_iter().map(|feed| (feed.state, feed.loaded, feed.last_error)).collect()
    }

    #[test]
    fn stored_copies_speak_for_a_daemon_that_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let mut store = Store::open(&config.state_dir).unwrap().store;
        let (id, source) = remote(&config);
        let body = b"# list\n192.0.2.0/28\n".to_vec();
        let good = LastGood::new(source, body, Validators::default(), 1_000, String::new());
        store.accept(&id, &good).unwrap();
        store.record_failure(&id, 2_000, "cannot connect").unwrap();
        store.record_published(77, "digest").unwrap();
        drop(store);

        let disk = Disk::load(&config);
        assert_eq!(disk.notes(), [] as [String; 0]);
        assert_eq!(
            states(&disk),
            [
                (FeedState::Failing, true, Some("cannot connect".to_owned())),
                (FeedState::Ok, true, None),
                (FeedState::Waiting, false, None),
            ]
        );
        let feed = &disk.feeds()[0];
        assert_eq!((feed.fetched_at, feed.checked_at), (Some(1_000), Some(2_000)));
        let rejects = disk.rejects(&FeedId::new("file").unwrap()).unwrap();
        assert_eq!(rejects.iter().map(|reject| reject.line).collect::<Vec<_>>(), [2]);
        assert_eq!(disk.rejects(&FeedId::new("other").unwrap()), None);

        let view = disk.view().unwrap();
        assert_eq!(view.generation.serial, 77);
        let mut explained = [explain(&view.generation, &view.overlay, "192.0.2.1".parse().unwrap())];
        assert_eq!(fill_lines(&config, &mut explained, &mut []), [] as [String; 0]);
        let lines =
            explained[0].feeds.iter().flat_map(|f| f.lines.iter().map(|l| (&*f.feed, l.line, &*l.text)));
        assert_eq!(lines.collect::<Vec<_>>(), [("remote", 2, "192.0.2.0/28"), ("file", 1, "192.0.2.1")]);
    }

    #[test]
    fn a_file_counts_as_it_is_now_unless_it_is_spoilt() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let mut store = Store::open(&config.state_dir).unwrap().store;
        let (id, source) = (config.feeds[1].id.clone(), &config.feeds[1].source);
        let body = b"192.0.2.9\n".to_vec();
        let good = LastGood::new(source, body, Validators::default(), 1_000, String::new());
        store.accept(&id, &good).unwrap();
        drop(store);
        let listed = |address: &str| {
            let generation = Disk::load(&config).generation().unwrap();
            let mut explained = [explain(&generation, &LiveTable::default(), address.parse().unwrap())];
            assert_eq!(fill_lines(&config, &mut explained, &mut []), [] as [String; 0]);
            explained[0].feeds.iter().flat_map(|feed| &feed.lines).map(|line| line.line).collect::<Vec<_>>()
        };
        assert_eq!((listed("192.0.2.1"), listed("192.0.2.9")), (vec![1], vec![]));
        fs::write(dir.path().join("file.txt"), "<html>").unwrap();
        assert_eq!((listed("192.0.2.1"), listed("192.0.2.9")), (vec![], vec![1]));
    }

    #[test]
    fn a_copy_that_passes_no_more_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let mut store = Store::open(&config.state_dir).unwrap().store;
        let (id, source) = remote(&config);
        let good = LastGood::new(source, b"<html>".to_vec(), Validators::default(), 1_000, String::new());
        store.accept(&id, &good).unwrap();
        drop(store);
        let (state, loaded, error) = states(&Disk::load(&config)).remove(0);
        assert_eq!((state, loaded), (FeedState::Quarantined, false));
        assert!(error.unwrap().starts_with("the stored copy does not pass any more: "));
    }

    #[test]
    fn without_a_store_files_still_count() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let disk = Disk::load(&config);
        assert!(disk.notes()[0].starts_with("no stored copies: "), "{:?}", disk.notes());
        assert_eq!(disk.feeds()[1].counts.entries_v4, 21);
        assert!(disk.generation().unwrap().table.lookup("192.0.2.1".parse().unwrap()).is_listed());
        assert!(!config.state_dir.exists());
    }
}
