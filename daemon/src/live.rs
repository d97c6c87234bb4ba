//! Live: the published generation and the live entries over it, for lock-free readers, and a watch that ticks with each
//! new generation.

use crate::core::generation::Generation;
use crate::core::live_table::LiveTable;
use crate::core::view::{Expiry, View};
use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use std::sync::Arc;
use tokio::sync::watch;

/// Handle on what is published. Clones share it.
///
/// A reader calls [`Self::load`] once per question and keeps what it got until the question is answered, so that no
/// answer mixes two generations; an old one is freed when its last reader lets go.
#[derive(Clone, Debug)]
pub struct Live {
    current: Arc<ArcSwapOption<View>>,
    serial: watch::Sender<Option<u32>>,
}

impl Default for Live {
    /// Nothing published yet.
    fn default() -> Self {
        Self { current: Arc::default(), serial: watch::Sender::new(None) }
    }
}

impl Live {
    /// What is published, without a lock or a reference count; `None` before the first generation. Short-lived use
    /// only: see [`Self::view`] for keeping it.
    pub fn load(&self) -> Guard<Option<Arc<View>>> {
        self.current.load()
    }

    /// What is published, to keep.
    pub fn view(&self) -> Option<Arc<View>> {
        self.current.load_full()
    }

    /// The published generation, to keep.
    pub fn get(&self) -> Option<Arc<Generation>> {
        self.load().as_ref().map(|view| Arc::clone(&view.generation))
    }

    /// Replaces the generation and leaves the live entries as they are. Readers that began with the old one finish
    /// with it.
    pub fn publish(&self, generation: Arc<Generation>) {
        let view = match self.view() {
            Some(view) => View { generation, ..View::clone(&view) },
            None => View::bare(generation),
        };
        self.publish_view(view);
    }

    /// Replaces all of it. One caller at a time: what is published last stays.
    pub fn publish_view(&self, view: View) {
        let serial = view.generation.serial;
        self.current.store(Some(Arc::new(view)));
        self.serial.send_replace(Some(serial));
    }

    /// Replaces the live entries and leaves the rest as it is; nothing happens before the first generation.
    pub fn publish_overlay(&self, overlay: Arc<LiveTable>) {
        if let Some(view) = self.view() {
            self.current.store(Some(Arc::new(View { overlay, ..View::clone(&view) })));
        }
    }

    /// Replaces the times at which zones expire and leaves the rest as it is, if there is a change.
    pub fn publish_expiries(&self, expiries: Arc<[Expiry]>) {
        if let Some(view) = self.view().filter(|view| view.expiries != expiries) {
            self.current.store(Some(Arc::new(View { expiries, ..View::clone(&view) })));
        }
    }

    /// Serial of the published generation, and notice of every new one; `None` before the first.
    pub fn serials(&self) -> watch::Receiver<Option<u32>> {
        self.serial.subscribe()
    }
}

/// Something that is replaced as a whole, for lock-free readers.
#[derive(Debug, Default)]
pub struct Latest<T>(ArcSwap<T>);

impl<T> Latest<T> {
    /// What was published last. Short-lived use only: see [`Self::get`] for keeping it.
    pub fn load(&self) -> Guard<Arc<T>> {
        self.0.load()
    }

    /// What was published last, to keep.
    pub fn get(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Replaces it. Readers that began with the old one finish with it.
    pub fn publish(&self, value: Arc<T>) {
        self.0.store(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::live_set::{Action, entry};
    use crate::core::protection::Reservations;

    fn generation(serial: u32) -> Arc<Generation> {
        Arc::new(Generation::empty(serial))
    }

    fn overlay(network: &str) -> Arc<LiveTable> {
        let entries = vec![Arc::new(entry(Action::Block, network, None))];
        let none = Reservations::default();
        Arc::new(LiveTable::compile(entries, &none, &none).unwrap())
    }

    #[tokio::test]
    async fn publishing_reaches_every_clone_and_watch() {
        let live = Live::default();
        let (reader, mut serials) = (live.clone(), live.serials());
        assert!(reader.load().is_none());
        live.publish(generation(7));
        serials.changed().await.unwrap();
        assert_eq!(*serials.borrow_and_update(), Some(7));
        assert_eq!(reader.get().map(|g| g.serial), Some(7));
    }

    #[test]
    fn a_reader_keeps_its_generation() {
        let live = Live::default();
        live.publish(generation(1));
        let (guard, kept) = (live.load(), live.get());
        live.publish(generation(2));
        assert_eq!(guard.as_ref().map(|view| view.generation.serial), Some(1));
        assert_eq!(kept.map(|g| g.serial), Some(1));
        assert_eq!(live.get().map(|g| g.serial), Some(2));
    }

    #[test]
    fn generation_and_live_entries_replace_each_other_one_at_a_time() {
        let live = Live::default();
        let seen = |live: &Live| {
            let view = live.view().unwrap();
            (view.generation.serial, view.overlay.entries().len())
        };
        live.publish_overlay(overlay("192.0.2.1"));
        assert!(live.view().is_none(), "without a generation there is nothing to answer from");
        live.publish(generation(1));
        live.publish_overlay(overlay("192.0.2.1"));
        let serials = live.serials();
        assert_eq!(seen(&live), (1, 1));
        assert!(!serials.has_changed().unwrap());
        live.publish(generation(2));
        assert_eq!(seen(&live), (2, 1));
        live.publish_view(View::bare(generation(3)));
        assert_eq!(seen(&live), (3, 0));
    }
}
