//! One configured feed and what is loaded of it.

use super::status::{FeedCounts, FeedState, FeedStatus};
use crate::collector::read_file;
use crate::config::{Feed, Source};
use crate::core::domain_flat::FlatDomains;
use crate::core::feed::{self, BodyError, Reject};
use crate::core::flatten::{Flat, flatten};
use crate::core::gate::{self, GateFailure};
use crate::core::generation::FeedCopy;
use crate::core::merge::HeldBack;
use crate::store::{Event, LastGood, Outcome, Store, StoreError};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use thiserror::Error;

/// How many outcomes are looked through for the last good one.
const REMEMBERED: u32 = 1000;

/// A feed with its last good data and the outcome of the last attempt.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) feed: Feed,
    pub(super) loaded: Option<Loaded>,
    state: FeedState,
    checked_at: Option<u64>,
    /// When the data in use was last what the source had, in seconds since 1970.
    pub(super) confirmed_at: Option<u64>,
    last_error: Option<String>,
    /// Of the last body seen, good or not.
    rejects: Arc<[Reject]>,
}

/// A body that passed the gate, ready to merge.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) flat: Arc<Flat>,
    pub(super) sha256: String,
    pub(super) fetched_at: u64,
    pub(super) counts: FeedCounts,
    rejects: Arc<[Reject]>,
    /// Is the body in the store? What is not must be offered to it again.
    saved: bool,
}

/// Why a body is not used.
#[derive(Debug, Error)]
pub(super) enum Refused {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("{failure}")]
    Gate { failure: GateFailure, rejects: Arc<[Reject]> },
}

/// Parses, judges and flattens a body.
pub(super) fn judge(feed: &Feed, body: &[u8], fetched_at: u64) -> Result<Loaded, Refused> {
    let parsed = feed::parse(&feed.rules, body)?;
    let rejects: Arc<[Reject]> = parsed.rejects.as_slice().into();
    if let Err(failure) = gate::judge(&feed.gate, &parsed) {
        return Err(Refused::Gate { failure, rejects });
    }
    let (entries_v4, entries_v6) = (parsed.entries.v4.len() as u64, parsed.entries.v6.len() as u64);
    let flat = Flat { domains: FlatDomains::new(&parsed.domains), ..flatten(parsed.entries) };
    let (v4, v6) = flat.addresses();
    let counts = FeedCounts {
        entries_v4,
        entries_v6,
        addresses_v4: u64::try_from(v4).unwrap_or(u64::MAX),
        addresses_v6: v6 as f64,
        domains: parsed.domains.listed() as u64,
        duplicates: flat.duplicates + flat.domains.duplicates,
        nested: flat.nested + flat.domains.nested,
        lines: parsed.counts,
        ..FeedCounts::default()
    };
    Ok(Loaded { flat: Arc::new(flat), sha256: sha256(body), fetched_at, counts, rejects, saved: false })
}

/// SHA-256 in hex.
fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Slot {
    /// A feed nothing is known of yet.
    pub(super) fn new(feed: Feed) -> Self {
        Self {
            feed,
            loaded: None,
            state: FeedState::Waiting,
            checked_at: None,
            confirmed_at: None,
            last_error: None,
            rejects: Arc::new([]),
        }
    }

    /// Takes what the store knows: the last good copy, if it still passes under today's rules, and what came of the
    /// last attempt.
    ///
    /// # Errors
    /// When any of it cannot be read; the rest is taken.
    pub(super) fn recall(&mut self, store: &Store) -> Result<(), StoreError> {
        let (stored, outcomes) = (store.last_good(&self.feed.id), store.outcomes(&self.feed.id, REMEMBERED));
        let good = |outcome: &&Outcome| matches!(outcome.event, Event::Accepted | Event::Unchanged);
        let confirmed = outcomes.iter().flatten().find(good).map(|outcome| outcome.at);
        if let Ok([outcome, ..]) = outcomes.as_deref() {
            self.checked_at = Some(outcome.at);
            match &outcome.event {
                Event::Accepted | Event::Unchanged => self.state = FeedState::Ok,
                Event::Failed(why) => self.settle(FeedState::Failing, outcome.at, Some(why.clone())),
            }
        }
        if let Ok(Some(stored)) = &stored {
            self.restore(stored);
            self.confirmed_at = confirmed.or(Some(stored.fetched_at));
        }
        if self.loaded.is_none() && self.state == FeedState::Ok {
            self.state = FeedState::Waiting;
        }
        stored?;
        outcomes.map(drop)
    }

    fn restore(&mut self, stored: &LastGood) {
        match judge(&self.feed, &stored.body, stored.fetched_at) {
            Ok(loaded) => {
                self.rejects = Arc::clone(&loaded.rejects);
                self.loaded = Some(Loaded { saved: true, ..loaded });
            }
            Err(refused) => {
                tracing::warn!(feed = %self.feed.id, "the stored copy does not pass any more: {refused}");
                self.state = FeedState::Quarantined;
                self.last_error = Some(format!("the stored copy does not pass any more: {refused}"));
            }
        }
    }

    /// Takes what a generation lists of the feed, where the copy itself is gone. It is not saved, so it is fetched again
    /// soon, and not known in full: what was excluded then is missing, and so are counts of lines.
    pub(super) fn recover(&mut self, flat: Flat, copy: &FeedCopy) {
        let (v4, v6) = flat.addresses();
        let counts = FeedCounts {
            entries_v4: copy.entries_v4,
            entries_v6: copy.entries_v6,
            addresses_v4: u64::try_from(v4).unwrap_or(u64::MAX),
            addresses_v6: v6 as f64,
            domains: copy.domains,
            ..FeedCounts::default()
        };
        self.confirmed_at = Some(copy.fetched_at);
        self.loaded = Some(Loaded {
            flat: Arc::new(flat),
            sha256: copy.sha256.clone(),
            fetched_at: copy.fetched_at,
            counts,
            rejects: Arc::new([]),
            saved: false,
        });
    }

    /// The copy in use, as a generation remembers it.
    pub(super) fn copy(&self) -> Option<FeedCopy> {
        self.loaded.as_ref().map(|loaded| FeedCopy {
            sha256: loaded.sha256.clone(),
            fetched_at: loaded.fetched_at,
            entries_v4: loaded.counts.entries_v4,
            entries_v6: loaded.counts.entries_v6,
            domains: loaded.counts.domains,
        })
    }

    /// Reads the feed from its file, on this thread and past the store. Does nothing for a feed that is no file.
    pub(super) fn read_file(&mut self, at: u64) {
        let Source::Path(path) = &self.feed.source else { return };
        match read_file(path, self.feed.rules.max_bytes) {
            Err(error) => self.failed(error.to_string(), at),
            Ok(body) => match judge(&self.feed, &body, at) {
                Ok(loaded) => drop(self.accept(loaded, at)),
                Err(refused) => self.quarantine(&refused, at),
            },
        }
    }

    /// A body passed. Says whether the data differs from what was loaded.
    pub(super) fn accept(&mut self, loaded: Loaded, at: u64) -> bool {
        let changed = self.loaded.as_ref().is_none_or(|old| old.flat != loaded.flat);
        self.rejects = Arc::clone(&loaded.rejects);
        self.loaded = Some(loaded);
        self.settle(FeedState::Ok, at, None);
        changed
    }

    /// Would this feed make the same of the same body of the same source?
    pub(super) fn reads_like(&self, feed: &Feed) -> bool {
        let Feed { id, source, rules, gate, refresh: _, timeout: _ } = &self.feed;
        (id, source, rules, gate) == (&feed.id, &feed.source, &feed.rules, &feed.gate)
    }

    /// The same data, fetched in another way from now on.
    pub(super) fn fetched_as(self, feed: &Feed) -> Self {
        Self { feed: feed.clone(), ..self }
    }

    /// Is this the very body that is loaded and stored?
    pub(super) fn holds(&self, body: &[u8]) -> bool {
        self.loaded.as_ref().is_some_and(|loaded| loaded.saved && loaded.sha256 == sha256(body))
    }

    /// Is something loaded that is not in the store?
    pub(super) fn is_unsaved(&self) -> bool {
        self.loaded.as_ref().is_some_and(|loaded| !loaded.saved)
    }

    /// The loaded body is in the store now.
    pub(super) fn saved(&mut self) {
        if let Some(loaded) = &mut self.loaded {
            loaded.saved = true;
        }
    }

    /// Did the last attempt succeed?
    pub(super) fn is_ok(&self) -> bool {
        self.state == FeedState::Ok
    }

    /// What a failed attempt means for the service.
    pub(super) fn consequence(&self) -> &'static str {
        if self.loaded.is_some() { "the last good copy stays in use" } else { "it has no data yet" }
    }

    /// The source still has the copy that is loaded.
    pub(super) fn unchanged(&mut self, at: u64) {
        self.settle(FeedState::Ok, at, None);
    }

    /// The fetch failed.
    pub(super) fn failed(&mut self, error: String, at: u64) {
        self.settle(FeedState::Failing, at, Some(error));
    }

    /// The body did not pass.
    pub(super) fn quarantine(&mut self, refused: &Refused, at: u64) {
        if let Refused::Gate { rejects, .. } = refused {
            self.rejects = Arc::clone(rejects);
        }
        self.settle(FeedState::Quarantined, at, Some(refused.to_string()));
    }

    fn settle(&mut self, state: FeedState, at: u64, error: Option<String>) {
        self.state = state;
        self.checked_at = Some(at);
        if state == FeedState::Ok {
            self.confirmed_at = Some(at);
        }
        self.last_error = error;
    }

    /// Rejected lines of the last body seen.
    pub(super) fn rejects(&self) -> Arc<[Reject]> {
        Arc::clone(&self.rejects)
    }

    /// What to tell the operator; `held_back` comes from the live generation.
    pub(super) fn status(&self, held_back: HeldBack) -> FeedStatus {
        let mut counts = self.loaded.as_ref().map(|loaded| loaded.counts.clone()).unwrap_or_default();
        counts.excluded = held_back.excluded as f64;
        counts.protected = held_back.protected as f64;
        counts.excluded_domains = held_back.domains;
        FeedStatus {
            id: self.feed.id.to_string(),
            source: self.feed.source.to_string(),
            format: self.feed.rules.format.name().to_owned(),
            state: self.state,
            loaded: self.loaded.is_some(),
            fetched_at: self.loaded.as_ref().map(|loaded| loaded.fetched_at),
            checked_at: self.checked_at,
            last_error: self.last_error.clone(),
            sha256: self.loaded.as_ref().map(|loaded| loaded.sha256.clone()),
            counts,
        }
    }
}
