//! Preview: what the next cycle would change, without changing anything.
//!
//! It runs beside the engine, on copies of what the engine knows: feeds are asked again with the validators at hand, judged
//! and merged, and the result is compared with the live generation. Nothing of it reaches store, validators, status or
//! schedule.
//!
//! Bounds: one preview at a time; [`HOSTS_AT_ONCE`] hosts are asked at a time, each for one feed after the other, within
//! [`FETCH_TIME`] in all; beside the live generation one more is in memory until the answer is given.

use super::host::host_addresses;
use super::slot::{Loaded, Refused, Slot, judge};
use super::{limits, publish, unix_now};
use crate::collector::{Fetched, Fetcher};
use crate::config::{Config, Source};
use crate::core::delta::{Change, Counts, Example, FamilyCounts, delta};
use crate::core::entry::FeedId;
use crate::core::generation::Generation;
use crate::core::protection::Reservations;
use crate::core::segment::Segment;
use crate::core::span::Bits;
use crate::core::validators::Validators;
use blackthorn_common::payload::Payload;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, timeout_at};

/// Hosts that are asked at the same time.
const HOSTS_AT_ONCE: usize = 4;
/// Longest wait for all feeds together. For one that has not come by then, its last good copy stands in.
const FETCH_TIME: Duration = Duration::from_secs(40);

/// Most prefixes shown of each kind and family.
pub const WIDEST: usize = 20;
/// The widest changes of any kind, per family, among which those prefixes are looked for.
const EXAMPLES: usize = 1000;

/// What would change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preview {
    /// The live generation.
    pub serial: u32,
    /// Would there be a new generation?
    pub changed: bool,
    /// Every feed, in configuration order.
    pub feeds: Vec<FeedPreview>,
    /// Addresses listed now.
    pub before: Addresses,
    /// Addresses that would be listed.
    pub after: Addresses,
    /// Those that only the next generation lists.
    pub added: Addresses,
    /// Those that only the live generation lists.
    pub removed: Addresses,
    /// Those that both list, for other reasons or with another verdict of the filter.
    pub altered: Addresses,
    /// Names listed now.
    #[serde(default)]
    pub names_before: u64,
    /// Names that would be listed.
    #[serde(default)]
    pub names_after: u64,
    /// How many names would come, go, and be listed for other reasons.
    #[serde(default)]
    pub names: Names,
    /// The widest prefixes that would be listed: at most [`WIDEST`] of each family, IPv4 first.
    pub widest_added: Vec<Prefix>,
    /// The widest prefixes that would not be listed any more: as many.
    pub widest_removed: Vec<Prefix>,
    /// Names that would be listed, those with the fewest labels: at most [`WIDEST`].
    #[serde(default)]
    pub names_added: Vec<Prefix>,
    /// Names that would not be listed any more: as many.
    #[serde(default)]
    pub names_removed: Vec<Prefix>,
}

/// Numbers of names that change. One that changes together with those below it is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// Listed only then.
    pub added: u64,
    /// Listed only now.
    pub removed: u64,
    /// Listed now and then, for other reasons.
    pub altered: u64,
}

impl Names {
    fn of(counts: &FamilyCounts) -> Self {
        // No table has as many as 2^64.
        let number = |count: u128| u64::try_from(count).unwrap_or(u64::MAX);
        let Counts { added, removed, changed } = counts.names;
        Self { added: number(added), removed: number(removed), altered: number(changed) }
    }
}

/// Numbers of addresses. IPv6 is a float because it outgrows every integer JSON can carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Addresses {
    /// IPv4.
    pub v4: u64,
    /// IPv6.
    pub v6: f64,
}

impl Addresses {
    fn new(v4: u128, v6: u128) -> Self {
        // At most 2^32.
        Self { v4: u64::try_from(v4).unwrap_or(u64::MAX), v6: v6 as f64 }
    }

    /// None of either family?
    pub fn is_zero(&self) -> bool {
        self.v4 == 0 && self.v6 == 0.0
    }

    fn of(counts: &FamilyCounts, which: fn(&Counts) -> u128) -> Self {
        Self::new(which(&counts.v4), which(&counts.v6))
    }
}

/// A prefix that would change, and who lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefix {
    /// The prefix, or the pattern of names.
    pub network: String,
    /// Feeds that would list it, or list it now if it is removed.
    pub feeds: Vec<String>,
}

/// What would become of one feed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeedPreview {
    /// Feed id.
    pub id: String,
    /// What came of asking it.
    pub outcome: FetchOutcome,
    /// Why it fails or would be quarantined.
    pub problem: Option<String>,
    /// Entries in use now.
    pub entries_before: u64,
    /// Entries that would be in use.
    pub entries_after: u64,
    /// Addresses that it would list, and does not now; those held back by exclusions do not count.
    pub added: Addresses,
    /// Addresses that it lists now, and would not.
    pub removed: Addresses,
    /// Names of it that would come and go.
    #[serde(default)]
    pub names: Names,
    /// Addresses of it that exclusions hold back now.
    pub excluded_before: f64,
    /// Addresses of it that exclusions would hold back.
    pub excluded_after: f64,
    /// Addresses of it that are protected from the filter now.
    pub protected_before: f64,
    /// Addresses of it that would be protected from the filter.
    pub protected_after: f64,
}

/// What came of asking a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FetchOutcome {
    /// The source has the copy that is in use.
    Unchanged,
    /// There is a new copy, and it passes.
    Changed,
    /// It cannot be had; the last good copy would stay in use.
    Failing,
    /// What came does not pass; the last good copy would stay in use.
    Quarantined,
}

/// Why there is no preview.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PreviewError {
    /// One at a time.
    #[error("another preview is under way; wait for it")]
    Busy,
    /// Nothing to compare with.
    #[error("no generation is published yet; see `blackthorn status`")]
    NothingLive,
    /// There would be no new generation.
    #[error("there would be no new generation: {0}")]
    Build(String),
    /// A defect.
    #[error("the preview was lost: {0}; this is a defect, see the log")]
    Lost(String),
}

/// Copies of what the engine knows.
pub(super) struct Known {
    pub(super) config: Arc<Config>,
    pub(super) slots: Vec<Slot>,
    /// By slot.
    pub(super) validators: Vec<Option<Validators>>,
    pub(super) exclusions: Reservations,
    pub(super) live: Option<Arc<Generation>>,
    pub(super) fetcher: Arc<Fetcher>,
    /// Held while a preview is made.
    pub(super) one_at_a_time: Arc<Semaphore>,
}

/// Makes a preview.
pub(super) async fn preview(known: Known) -> Result<Preview, PreviewError> {
    let Ok(_permit) = known.one_at_a_time.clone().try_acquire_owned() else { return Err(PreviewError::Busy) };
    let Some(live) = known.live.clone() else { return Err(PreviewError::NothingLive) };
    let outcomes = ask_all(&known).await?;
    let work = move || merge_and_compare(&known, &live, outcomes);
    spawn_blocking(work).await.map_err(|lost| PreviewError::Lost(lost.to_string()))?
}

/// What came of one feed.
enum Answer {
    Same,
    New(Box<Loaded>),
    Failed(String),
    Refused(String),
}

async fn ask_all(known: &Known) -> Result<Vec<Answer>, PreviewError> {
    let deadline = Instant::now() + FETCH_TIME;
    let hosts = Arc::new(Semaphore::new(HOSTS_AT_ONCE));
    let mut by_host: BTreeMap<String, Vec<(usize, Slot, Option<Validators>)>> = BTreeMap::new();
    for (index, (slot, validators)) in known.slots.iter().zip(&known.validators).enumerate() {
        let host = match &slot.feed.source {
            Source::Path(_) => String::new(),
            Source::Url(url) => url.host_str().unwrap_or_default().to_owned(),
        };
        by_host.entry(host).or_default().push((index, slot.clone(), validators.clone()));
    }
    let mut asking = JoinSet::new();
    for feeds in by_host.into_values() {
        let (hosts, fetcher) = (Arc::clone(&hosts), Arc::clone(&known.fetcher));
        asking.spawn(async move {
            // Never closed.
            let _turn = hosts.acquire_owned().await;
            let mut answers = Vec::new();
            for (index, slot, validators) in feeds {
                answers.push((index, ask(&fetcher, slot, validators, deadline).await));
            }
            answers
        });
    }
    let mut answers: Vec<(usize, Answer)> = Vec::new();
    while let Some(some) = asking.join_next().await {
        answers.extend(some.map_err(|lost| PreviewError::Lost(lost.to_string()))?);
    }
    answers.sort_by_key(|(index, _)| *index);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

async fn ask(fetcher: &Fetcher, slot: Slot, validators: Option<Validators>, deadline: Instant) -> Answer {
    let limits = limits(&slot);
    let fetching = fetcher.fetch(&slot.feed.source, &limits, validators.as_ref());
    let bytes = match timeout_at(deadline, fetching).await {
        Err(_) => return Answer::Failed(format!("not asked to the end within {} s", FETCH_TIME.as_secs())),
        Ok(Err(error)) => return Answer::Failed(error.to_string()),
        Ok(Ok(Fetched::NotModified)) => return Answer::Same,
        Ok(Ok(Fetched::Body { bytes, .. })) => bytes,
    };
    let judging = spawn_blocking(move || match judge(&slot.feed, &bytes, unix_now()) {
        Ok(loaded) if slot.loaded.as_ref().is_some_and(|old| old.sha256 == loaded.sha256) => Answer::Same,
        Ok(loaded) => Answer::New(Box::new(loaded)),
        Err(refused @ (Refused::Body(_) | Refused::Gate { .. })) => Answer::Refused(refused.to_string()),
    });
    judging.await.unwrap_or_else(|lost| Answer::Failed(lost.to_string()))
}

fn merge_and_compare(
    known: &Known,
    live: &Generation,
    answers: Vec<Answer>,
) -> Result<Preview, PreviewError> {
    let mut next = known.slots.clone();
    let mut feeds = Vec::new();
    for (slot, answer) in next.iter_mut().zip(answers) {
        let entries = |slot: &Slot| slot.loaded.as_ref().map_or(0, |loaded| loaded.counts.entries());
        let entries_before = entries(slot);
        let (outcome, problem) = match answer {
            Answer::Same => (FetchOutcome::Unchanged, None),
            Answer::New(loaded) => {
                slot.loaded = Some(*loaded);
                (FetchOutcome::Changed, None)
            }
            Answer::Failed(why) => (FetchOutcome::Failing, Some(why)),
            Answer::Refused(why) => (FetchOutcome::Quarantined, Some(why)),
        };
        feeds.push(FeedPreview {
            id: slot.feed.id.to_string(),
            outcome,
            problem,
            entries_before,
            entries_after: entries(slot),
            added: Addresses::default(),
            removed: Addresses::default(),
            names: Names::default(),
            excluded_before: 0.0,
            excluded_after: 0.0,
            protected_before: 0.0,
            protected_after: 0.0,
        });
    }
    let stamp = (live.serial, unix_now());
    let new = publish::generation(&known.config, &next, &known.exclusions, &host_addresses(), stamp)
        .map_err(|error| PreviewError::Build(error.to_string()))?;
    let ids = |generation: &Generation| -> Vec<FeedId> {
        generation.parts.iter().map(|part| part.id.clone()).collect()
    };
    let (old_ids, new_ids) = (ids(live), ids(&new));
    let delta = delta(live.side(&old_ids), new.side(&new_ids), EXAMPLES);
    for feed in &mut feeds {
        let held_back = |generation: &Generation| {
            let part = generation.parts.iter().find(|part| part.id.as_str() == feed.id);
            part.map(|part| part.held_back).unwrap_or_default()
        };
        let (before, after) = (held_back(live), held_back(&new));
        (feed.excluded_before, feed.excluded_after) = (before.excluded as f64, after.excluded as f64);
        (feed.protected_before, feed.protected_after) = (before.protected as f64, after.protected as f64);
        if let Some(counts) = delta.feeds.get(&feed.id) {
            feed.added = Addresses::of(counts, |counts| counts.added);
            feed.removed = Addresses::of(counts, |counts| counts.removed);
            feed.names = Names::of(counts);
        }
    }
    let shown = |examples: &[Example], change: Change| -> Vec<Prefix> {
        let examples = examples.iter().filter(|example| example.change == change).take(WIDEST);
        examples.map(|e| Prefix { network: e.network.clone(), feeds: e.feeds.clone() }).collect()
    };
    let widest = |change| [shown(&delta.widest_v4, change), shown(&delta.widest_v6, change)].concat();
    Ok(Preview {
        serial: live.serial,
        changed: new.digest() != live.digest(),
        feeds,
        before: covered(live),
        after: covered(&new),
        added: Addresses::of(&delta.addresses, |counts| counts.added),
        removed: Addresses::of(&delta.addresses, |counts| counts.removed),
        altered: Addresses::of(&delta.addresses, |counts| counts.changed),
        names_before: live.size.domains,
        names_after: new.size.domains,
        names: Names::of(&delta.addresses),
        widest_added: widest(Change::Added),
        widest_removed: widest(Change::Removed),
        names_added: shown(&delta.names, Change::Added),
        names_removed: shown(&delta.names, Change::Removed),
    })
}

/// Addresses that a generation lists.
fn covered(generation: &Generation) -> Addresses {
    fn total<A: Bits>(runs: impl Iterator<Item = Segment<A, Payload>>) -> u128 {
        runs.fold(0, |sum, run| sum.saturating_add(run.span.size()))
    }
    Addresses::new(total(generation.table.runs_v4()), total(generation.table.runs_v6()))
}
