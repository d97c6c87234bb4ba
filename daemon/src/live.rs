//! Live: the published generation, for lock-free readers, and a watch that ticks with each new one.

use crate::core::generation::Generation;
use arc_swap::{ArcSwapOption, Guard};
use std::sync::Arc;
use tokio::sync::watch;

/// Handle on the published generation. Clones share it.
///
/// A reader calls [`Self::load`] once per question and keeps what it got until the question is answered, so that no
/// answer mixes two generations; an old generation is freed when its last reader lets go.
#[derive(Clone, Debug)]
pub struct Live {
    current: Arc<ArcSwapOption<Generation>>,
    serial: watch::Sender<Option<u32>>,
}

impl Default for Live {
    /// Nothing published yet.
    fn default() -> Self {
        Self { current: Arc::default(), serial: watch::Sender::new(None) }
    }
}

impl Live {
    /// The published generation without a lock or a reference count; `None` before the first one. Short-lived use
    /// only: see [`Self::get`] for keeping it.
    pub fn load(&self) -> Guard<Option<Arc<Generation>>> {
        self.current.load()
    }

    /// The published generation, to keep.
    pub fn get(&self) -> Option<Arc<Generation>> {
        self.current.load_full()
    }

    /// Replaces the generation. Readers that began with the old one finish with it.
    pub fn publish(&self, generation: Arc<Generation>) {
        let serial = generation.serial;
        self.current.store(Some(generation));
        self.serial.send_replace(Some(serial));
    }

    /// Serial of the published generation, and notice of every [`Self::publish`]; `None` before the first.
    pub fn serials(&self) -> watch::Receiver<Option<u32>> {
        self.serial.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(serial: u32) -> Arc<Generation> {
        Arc::new(Generation::empty(serial))
    }

    #[tokio::test]
    async fn publishing_reaches_every_clone_and_watch() {
        let live = Live::default();
        let (reader, mut serials) = (live.clone(), live.serials());
        assert!(reader.load().is_none());
        live.publish(generation(7));
        serials.changed().await.unwrap();
        assert_eq!(*serials.borrow_and_update(), Some(7));
        assert_eq!(reader.load().as_ref().map(|g| g.serial), Some(7));
    }

    #[test]
    fn a_reader_keeps_its_generation() {
        let live = Live::default();
        live.publish(generation(1));
        let (guard, kept) = (live.load(), live.get());
        live.publish(generation(2));
        assert_eq!(guard.as_ref().map(|g| g.serial), Some(1));
        assert_eq!(kept.map(|g| g.serial), Some(1));
        assert_eq!(live.get().map(|g| g.serial), Some(2));
    }
}
