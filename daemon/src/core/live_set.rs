//! Live entries: what operators block and allow by hand, each for a time or for good. The set of them, changed one at a
//! time; [`super::live_table`] makes of it what readers use.

use super::network::Network;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use thiserror::Error;

/// Most live entries at a time. More belong into a feed.
pub const MAX_ENTRIES: usize = 65_536;
/// Longest reason that is kept, in characters.
pub const MAX_REASON: usize = 200;

/// What a live entry does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Listed in every zone that shows live entries, and dropped by the packet filter.
    Block,
    /// Listed in no zone and never dropped, whatever feeds say.
    Allow,
}

impl Action {
    /// As written in commands and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Allow => "allow",
        }
    }
}

/// One live entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveEntry {
    /// What it is about.
    pub network: Network,
    /// What is done.
    pub action: Action,
    /// Why, in the words of who asked for it: see [`clean_reason`].
    pub reason: String,
    /// User id of who asked for it.
    pub by: u32,
    /// When, in seconds since 1970.
    pub added_at: u64,
    /// First second in which it is not in force any more, since 1970; `None`: for good.
    pub expires_at: Option<u64>,
}

/// More entries than are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "there are {have} live entries, and with {more} more there would be over {MAX_ENTRIES}; put long-lived ones into a \
     feed, or unblock some"
)]
pub struct Full {
    /// Entries there are.
    pub have: usize,
    /// New ones asked for.
    pub more: usize,
}

/// What people write as reason, fit to be kept and shown: one line, at most [`MAX_REASON`] characters.
pub fn clean_reason(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.trim().chars().map(shown).take(MAX_REASON).collect()
}

/// The live entries in force, at most one for each network and [`MAX_ENTRIES`] in all. Clones share the entries.
#[derive(Clone, Debug, Default)]
pub struct LiveSet {
    /// By the order in which they came.
    entries: BTreeMap<u64, Arc<LiveEntry>>,
    order: BTreeMap<Network, u64>,
    expiry: BTreeSet<(u64, u64)>,
    next: u64,
}

impl LiveSet {
    /// Puts entries into force, all or none. Those before for the same networks go.
    ///
    /// # Errors
    /// [`Full`]; then nothing changes.
    pub fn set(&mut self, entries: impl IntoIterator<Item = Arc<LiveEntry>>) -> Result<(), Full> {
        let entries: Vec<Arc<LiveEntry>> = entries.into_iter().collect();
        let new =
            entries.iter().map(|entry| entry.network).filter(|network| !self.order.contains_key(network));
        let (have, more) = (self.entries.len(), new.collect::<BTreeSet<_>>().len());
        if have + more > MAX_ENTRIES {
            return Err(Full { have, more });
        }
        for entry in entries {
            self.remove(&entry.network);
            let number = self.next;
            self.next += 1;
            self.order.insert(entry.network, number);
            self.expiry.extend(entry.expires_at.map(|at| (at, number)));
            self.entries.insert(number, entry);
        }
        Ok(())
    }

    /// Removes the entry for exactly this network.
    pub fn remove(&mut self, network: &Network) -> Option<Arc<LiveEntry>> {
        let number = self.order.remove(network)?;
        let entry = self.entries.remove(&number)?;
        if let Some(at) = entry.expires_at {
            self.expiry.remove(&(at, number));
        }
        Some(entry)
    }

    /// Removes what is over at `now`, in seconds since 1970.
    pub fn expire(&mut self, now: u64) -> Vec<Arc<LiveEntry>> {
        let mut over = Vec::new();
        while let Some(&(at, number)) = self.expiry.first()
            && at <= now
        {
            self.expiry.pop_first();
            if let Some(entry) = self.entries.remove(&number) {
                self.order.remove(&entry.network);
                over.push(entry);
            }
        }
        over
    }

    /// When the next entry is over, in seconds since 1970.
    pub fn next_expiry(&self) -> Option<u64> {
        self.expiry.first().map(|&(at, _)| at)
    }

    /// Every entry, in the order they came.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Arc<LiveEntry>> {
        self.entries.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
pub(crate) fn entry(action: Action, network: &str, expires_at: Option<u64>) -> LiveEntry {
    let network = network.parse().unwrap();
    LiveEntry { network, action, reason: "test".to_owned(), by: 0, added_at: 0, expires_at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::span::Span;

    #[test]
    fn a_network_has_one_entry_the_last() {
        let mut set = LiveSet::default();
        for (action, expires_at) in
            [(Action::Block, Some(5)), (Action::Allow, None), (Action::Block, Some(9))]
        {
            set.set([Arc::new(entry(action, "192.0.2.0/24", expires_at))]).unwrap();
        }
        assert_eq!((set.len(), set.next_expiry()), (1, Some(9)));
        assert_eq!(set.expire(8), []);
        assert_eq!(set.remove(&"192.0.2.0/24".parse().unwrap()).unwrap().expires_at, Some(9));
        assert_eq!((set.is_empty(), set.next_expiry()), (true, None));
        assert_eq!(set.remove(&"192.0.2.0/24".parse().unwrap()), None);
    }

    #[test]
    fn entries_are_over_in_their_second_and_not_before() {
        let mut set = LiveSet::default();
        for (network, at) in [("192.0.2.1", Some(10)), ("192.0.2.2", Some(11)), ("192.0.2.3", None)] {
            set.set([Arc::new(entry(Action::Block, network, at))]).unwrap();
        }
        assert_eq!(set.expire(9), []);
        assert_eq!(set.expire(10).len(), 1);
        assert_eq!(set.next_expiry(), Some(11));
        assert_eq!(set.expire(u64::MAX).len(), 1);
        assert_eq!((set.len(), set.next_expiry()), (1, None));
    }

    #[test]
    fn a_full_set_takes_only_what_it_has() {
        let mut set = LiveSet::default();
        let host = |n: u32| {
            let network = Network::V4(Span::host(n));
            Arc::new(LiveEntry { network, ..entry(Action::Block, "::", None) })
        };
        set.set((0..u32::try_from(MAX_ENTRIES).unwrap()).map(host)).unwrap();
        let full = set.set([host(8), host(u32::MAX), host(u32::MAX)]).unwrap_err();
        assert_eq!(full, Full { have: MAX_ENTRIES, more: 1 });
        assert!(full.to_string().contains("65536"), "{full}");
        assert_eq!(set.set([host(7), host(7)]), Ok(()));
        assert_eq!(set.len(), MAX_ENTRIES);
    }

    #[test]
    fn reasons_are_short_and_harmless() {
        assert_eq!(clean_reason(" too\u{1b}[2J\r\nloud "), "too\u{fffd}[2J\u{fffd}\u{fffd}loud");
        assert_eq!(clean_reason(&"ü".repeat(500)).chars().count(), MAX_REASON);
    }
}
