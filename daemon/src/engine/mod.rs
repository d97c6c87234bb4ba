//! The engine: one cycle after another, from delivered feeds to a published generation.
//!
//! It owns what only one may own: the feeds' loaded data, the store, the packet filter and the next serial. Deliveries
//! and commands reach it one at a time; everybody else reads what it publishes. In flow order: `slot` parses and judges
//! one feed, [`exclude`] and [`host`] say what must not be listed or dropped, `publish` builds and publishes,
//! `generations` serves the last one at start and keeps each new one on disk, [`live_entries`] is what operators put over
//! it by hand, `verifier` compares what is served with it, [`hold`] keeps it in force, [`status`] is what the engine says
//! of itself, by `report`. [`preview`], [`disk`], [`written`] and [`why_not`] read the same things beside the engine, for commands and
//! lookups.
//!
//! Memory: per feed the flattened segments (12 bytes a segment for IPv4, 48 for IPv6), held once and shared with the
//! generation; while building, a second generation beside the live one. With a packet filter, the table of a published
//! generation is in the kernel's map only, where both read it.

pub mod disk;
pub mod exclude;
mod expiry;
pub mod hold;
pub mod host;
pub mod live_entries;
pub mod preview;
pub mod status;
pub mod why_not;
pub mod written;

mod generations;
mod packet_filter;
mod publish;
mod report;
mod slot;
mod verifier;

pub use exclude::ExcludeError;
pub use generations::Resumed;

use crate::collector::runner::{Delivery, FeedJob, FirstAttempt, Runner};
use crate::collector::{FetchLimits, Fetched, Fetcher};
use crate::config::{Config, Source};
use crate::core::entry::FeedId;
use crate::core::feed::Reject;
use crate::core::listing::FeedIndex;
use crate::core::protection::{
    Reservations, Reserved, ReservedDomain, built_in_domain_exclusions, built_in_exclusions,
};
use crate::stats::Stats;
use crate::store::{LastGood, Store};
use hold::{Held, HoldChange, HoldError};
use live_entries::LiveEntries;
use packet_filter::PacketFilter;
use preview::{Known, Preview, PreviewError};
use publish::Publisher;
use slot::Slot;
use status::{EngineStatus, HoldStatus};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use verifier::{Repair, Step, Verifier};

/// How often own addresses and interfaces are looked at again.
const HOUSEKEEPING: Duration = Duration::from_secs(10);
/// How long the copy of a feed is kept that is not configured any more: an operator may change their mind.
const FORGET_AFTER: Duration = Duration::from_secs(90 * 86_400);
/// Deliveries that may wait while the engine is busy; every feed holds its own body until then.
const WAITING_DELIVERIES: usize = 16;

/// What others may ask of the engine.
#[derive(Debug)]
pub enum Command {
    /// Take a new configuration into force and read all feeds again. Answered when local feeds are in.
    Reload {
        /// The checked configuration.
        config: Arc<Config>,
        /// Its [`exclusions`], read by the one who asks: nothing is left here that could refuse.
        exclusions: Reservations,
        /// Told when done.
        done: oneshot::Sender<()>,
    },
    /// Publish a fresh [`EngineStatus`]: counters move between events too.
    Report {
        /// Told when it is published.
        done: oneshot::Sender<()>,
    },
    /// Rejected lines of a feed's last body; `None` for a feed nobody configured.
    Rejects {
        /// Which feed.
        feed: FeedId,
        /// Where to send them.
        answer: oneshot::Sender<Option<Arc<[Reject]>>>,
    },
    /// Hold the live generation or an earlier one, or end that.
    Hold {
        /// Which of these.
        change: HoldChange,
        /// Where to say what came of it.
        answer: oneshot::Sender<Result<Held, HoldError>>,
    },
    /// Find out what the next cycle would change. Made beside the engine; given up when nobody waits any more.
    Preview {
        /// Where to send it.
        answer: oneshot::Sender<Result<Preview, PreviewError>>,
    },
}

/// The engine, before it runs.
pub struct Engine {
    config: Arc<Config>,
    slots: Vec<Slot>,
    store: Store,
    fetcher: Arc<Fetcher>,
    exclusions: Reservations,
    filter: PacketFilter,
    publisher: Publisher,
    verifier: Verifier,
    status: watch::Sender<Arc<EngineStatus>>,
    /// Why something that should be saved is not.
    save_problem: Option<String>,
    /// Set while nothing new may be published.
    hold: Option<HoldStatus>,
    /// Keeps previews apart.
    one_preview: Arc<Semaphore>,
    /// The data changed since the last publication.
    dirty: bool,
}

/// Exclusions of a configuration: built-in, listed and from files.
///
/// # Errors
/// When an exclusion file cannot be read or has a bad line.
pub fn exclusions(config: &Config) -> Result<Reservations, ExcludeError> {
    let mut list = built_in_exclusions();
    let reason = || "exclude.networks".to_owned();
    list.extend(config.exclude.networks.iter().map(|&network| Reserved { network, reason: reason() }));
    let mut domains = built_in_domain_exclusions();
    let named = config.exclude.domains.iter().cloned();
    domains.extend(named.map(|(name, scope)| ReservedDomain {
        name,
        scope,
        reason: "exclude.domains".to_owned(),
    }));
    for path in &config.exclude.files {
        let (networks, names) = exclude::read(path)?;
        list.extend(networks);
        domains.extend(names);
    }
    Ok(Reservations::new(list).with_domains(domains))
}

impl Engine {
    /// Prepares everything and loads the last good copies from the store, or what the generation served since the start
    /// has of them. Nothing is published yet.
    pub fn new(
        config: Arc<Config>,
        store: Store,
        fetcher: Arc<Fetcher>,
        live_entries: Arc<LiveEntries>,
        resumed: Resumed,
    ) -> Self {
        // The generation from the file is served already; what was blocked and allowed by hand comes over it now.
        if let Some(generation) = live_entries.live().get() {
            live_entries.publish(generation, resumed.filter.overlay());
        }
        let mut slots: Vec<Slot> = config.feeds.iter().cloned().map(Slot::new).collect();
        let mut save_problem = None;
        for (index, slot) in (0..).map(FeedIndex).zip(&mut slots) {
            if let Err(error) = slot.recall(&store) {
                save_problem = Some(error.to_string());
            }
            if slot.loaded.is_none() {
                resumed.recover(index, slot);
            }
        }
        let mut engine = Self {
            slots,
            publisher: Publisher::new(live_entries, &store, &resumed),
            exclusions: resumed.exclusions,
            filter: resumed.filter,
            verifier: Verifier::new(watch::Sender::new(Vec::new()).subscribe(), None, Arc::default()),
            status: watch::Sender::new(Arc::default()),
            store,
            fetcher,
            config,
            save_problem,
            hold: None,
            one_preview: Arc::new(Semaphore::new(1)),
            dirty: true,
        };
        engine.recall_hold();
        engine
    }

    /// What the engine says of itself, now and later.
    pub fn status(&self) -> watch::Receiver<Arc<EngineStatus>> {
        self.status.subscribe()
    }

    /// Lets the verifier ask DNS at these addresses, as they are at the time, with the pass of that server, and count in
    /// `stats`.
    pub fn verify_with(
        &mut self,
        listening: watch::Receiver<Vec<SocketAddr>>,
        pass: [u8; 16],
        stats: Arc<Stats>,
    ) {
        self.verifier = Verifier::new(listening, Some(pass), stats);
    }

    /// Reads the feeds that are files and publishes the first generation. No network is touched.
    pub async fn first_cycle(&mut self) {
        self.restore_held();
        self.read_local_feeds().await;
        self.publish();
    }

    /// Forgets stored copies of feeds that have not been configured for a long time.
    fn prune(&mut self) {
        let keep: Vec<FeedId> = self.slots.iter().map(|slot| slot.feed.id.clone()).collect();
        let older_than = unix_now().saturating_sub(FORGET_AFTER.as_secs());
        self.save(|store| store.prune(&keep, older_than).map(drop));
    }

    /// Runs until `commands` is closed. The packet filter is detached when the engine is dropped.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        self.prune();
        let (mut runner, mut deliveries) = self.start_runner(false);
        let mut housekeeping = Instant::now() + HOUSEKEEPING;
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    None => break,
                    Some(Command::Reload { config, exclusions, done }) => {
                        self.reload(config, exclusions).await;
                        runner.stop().await;
                        (runner, deliveries) = self.start_runner(true);
                        // The one who asked may have gone.
                        let _ = done.send(());
                    }
                    Some(Command::Report { done }) => {
                        self.report();
                        let _ = done.send(());
                    }
                    Some(Command::Rejects { feed, answer }) => {
                        let slot = self.slots.iter().find(|slot| slot.feed.id == feed);
                        let _ = answer.send(slot.map(Slot::rejects));
                    }
                    Some(Command::Preview { answer }) => self.begin_preview(answer),
                    Some(Command::Hold { change, answer }) => {
                        let _ = answer.send(self.change_hold(change));
                    }
                },
                Some(delivery) = deliveries.recv() => {
                    self.take(delivery);
                    // What came in the meantime goes into the same generation.
                    while let Ok(delivery) = deliveries.try_recv() {
                        self.take(delivery);
                    }
                    if self.dirty {
                        self.publish();
                    }
                    self.report();
                }
                step = self.verifier.next() => self.verify(step),
                () = sleep_until(housekeeping) => {
                    housekeeping = Instant::now() + HOUSEKEEPING;
                    self.housekeeping();
                }
            }
        }
        runner.stop().await;
    }

    /// Local addresses and interfaces come and go; a refused publication is tried again.
    fn housekeeping(&mut self) {
        if self.dirty || !self.is_held() && self.publisher.host_changed() {
            self.publish();
        }
        self.publisher.retry_file();
        // A table that was refused keeps the settings it was to come with waiting too.
        if !self.dirty && self.filter_may_follow() {
            self.filter.refresh(&self.config.filter);
        }
        self.report();
    }

    /// Makes a preview on copies, in a task of its own.
    fn begin_preview(&self, mut answer: oneshot::Sender<Result<Preview, PreviewError>>) {
        let validators = |slot: &Slot| match slot.feed.source {
            // As in every cycle, files are read whole.
            Source::Path(_) => None,
            Source::Url(_) => self.store.validators(&slot.feed.id, &slot.feed.source).unwrap_or_default(),
        };
        let known = Known {
            config: Arc::clone(&self.config),
            validators: self.slots.iter().map(validators).collect(),
            slots: self.slots.clone(),
            exclusions: self.exclusions.clone(),
            live: self.publisher.live(),
            fetcher: Arc::clone(&self.fetcher),
            one_at_a_time: Arc::clone(&self.one_preview),
        };
        tokio::spawn(async move {
            tokio::select! {
                preview = preview::preview(known) => {
                    let _ = answer.send(preview);
                }
                () = answer.closed() => {}
            }
        });
    }

    /// One step of the verifier, and the repair if something is wrong.
    fn verify(&mut self, step: Step) {
        let current = self.publisher.view();
        let round = match step {
            Step::Due => return self.verifier.begin(current),
            Step::Asked(round) => round,
        };
        match self.verifier.finish(round, current.as_ref(), &self.filter) {
            Repair::None => {}
            Repair::Republish => match self.publisher.republish(&mut self.filter) {
                Ok(()) => tracing::warn!("published the same generation again to repair it"),
                Err(error) => tracing::error!("cannot repair: {error}"),
            },
            Repair::Rebuild if self.is_held() => self.restore_damaged(),
            Repair::Rebuild => {
                self.publish();
                if self.dirty {
                    self.restore_damaged();
                }
            }
        }
        self.report();
    }

    async fn reload(&mut self, config: Arc<Config>, exclusions: Reservations) {
        self.exclusions = exclusions;
        let mut old: HashMap<FeedId, Slot> =
            std::mem::take(&mut self.slots).into_iter().map(|slot| (slot.feed.id.clone(), slot)).collect();
        for feed in &config.feeds {
            let slot = match old.remove(&feed.id) {
                Some(slot) if slot.feed == *feed => slot,
                // Fetched differently, read the same way: what is loaded stays, whether or not it could be stored.
                Some(slot) if slot.reads_like(feed) => slot.fetched_as(feed),
                // Read differently now: judge the stored copy again under the new rules.
                Some(_) | None => {
                    let mut slot = Slot::new(feed.clone());
                    if let Err(error) = slot.recall(&self.store) {
                        self.save_problem = Some(error.to_string());
                    }
                    slot
                }
            };
            self.slots.push(slot);
        }
        self.config = config;
        self.read_local_feeds().await;
        if self.is_held() {
            self.filter_follows();
            self.publish();
        } else if self.filter.is_on() && self.config.filter.enforce {
            // The table in force lacks the new exclusions: it must not begin to drop.
            self.publish();
            if !self.dirty {
                self.filter.reconfigure(&self.config.filter);
            }
            self.report();
        } else {
            self.filter.reconfigure(&self.config.filter);
            self.publish();
        }
    }

    /// One job per feed. Files have just been read; addresses are asked at once after a reload or without a copy.
    fn start_runner(&self, now: bool) -> (Runner, mpsc::Receiver<Delivery>) {
        let job = |slot: &Slot| {
            let at_once = now || slot.loaded.is_none() || slot.is_unsaved();
            let first_attempt = match slot.feed.source {
                Source::Path(_) if slot.is_ok() => FirstAttempt::Regular,
                Source::Url(_) if at_once => FirstAttempt::Immediately,
                Source::Path(_) | Source::Url(_) => FirstAttempt::AfterJitter,
            };
            FeedJob {
                id: slot.feed.id.clone(),
                source: slot.feed.source.clone(),
                refresh: slot.feed.refresh,
                limits: limits(slot),
                validators: self.store.validators(&slot.feed.id, &slot.feed.source).unwrap_or_default(),
                first_attempt,
            }
        };
        Runner::start(&self.fetcher, self.slots.iter().map(job).collect(), WAITING_DELIVERIES)
    }

    /// Reads every feed that is a file, changed or not: they cost little, and what is on disk is what the operator
    /// expects after a start or reload.
    async fn read_local_feeds(&mut self) {
        for index in 0..self.slots.len() {
            let Some(slot) = self.slots.get(index).filter(|slot| matches!(slot.feed.source, Source::Path(_)))
            else {
                continue;
            };
            let outcome = self.fetcher.fetch(&slot.feed.source, &limits(slot), None).await;
            let outcome = outcome.map_err(|error| error.to_string());
            self.outcome(index, outcome, unix_now());
        }
    }

    fn take(&mut self, delivery: Delivery) {
        let Some(index) = self.slots.iter().position(|slot| slot.feed.id == delivery.feed) else { return };
        let outcome = delivery.outcome.map_err(|error| error.to_string());
        match self.outcome(index, outcome, delivery.fetched_at) {
            Kept::Saved => delivery.ack.committed(),
            Kept::Refused => delivery.ack.refused(),
            // Dropping the acknowledgement makes the runner fetch again soon.
            Kept::NotSaved => {}
        }
    }

    /// What one attempt means for its feed: data, store and status.
    fn outcome(&mut self, index: usize, outcome: Result<Fetched, String>, at: u64) -> Kept {
        let Some(slot) = self.slots.get_mut(index) else { return Kept::NotSaved };
        let id = slot.feed.id.clone();
        match outcome {
            Ok(Fetched::NotModified) => {
                slot.unchanged(at);
                self.save(|store| store.record_unchanged(&id, at))
            }
            Ok(Fetched::Body { bytes, .. }) if slot.holds(&bytes) => {
                slot.unchanged(at);
                self.save(|store| store.record_unchanged(&id, at))
            }
            Ok(Fetched::Body { bytes, validators }) => match slot::judge(&slot.feed, &bytes, at) {
                Ok(loaded) => {
                    let entries = loaded.counts.entries();
                    let counts = serde_json::to_string(&loaded.counts).unwrap_or_default();
                    let good = LastGood::new(&slot.feed.source, bytes, validators, at, counts);
                    if slot.accept(loaded, at) {
                        tracing::info!(feed = %id, entries, "feed loaded");
                        self.dirty = true;
                    }
                    let kept = self.save(|store| store.accept(&id, &good));
                    if let (Kept::Saved, Some(slot)) = (&kept, self.slots.get_mut(index)) {
                        slot.saved();
                        self.saved();
                    }
                    kept
                }
                Err(refused) => {
                    tracing::warn!(feed = %id, "quarantined: {refused}; {}", slot.consequence());
                    slot.quarantine(&refused, at);
                    self.save(|store| store.record_failure(&id, at, &refused.to_string()));
                    Kept::Refused
                }
            },
            Err(error) => {
                tracing::warn!(feed = %id, "fetch failed: {error}; {}", slot.consequence());
                slot.failed(error.clone(), at);
                self.save(|store| store.record_failure(&id, at, &error));
                Kept::NotSaved
            }
        }
    }

    /// Writes to the store. A full disk must not stop the service: it is said once, and shown until it is over.
    fn save<E: std::fmt::Display>(&mut self, write: impl FnOnce(&mut Store) -> Result<(), E>) -> Kept {
        match write(&mut self.store) {
            Ok(()) => {
                self.saved();
                Kept::Saved
            }
            Err(error) => {
                if self.save_problem.is_none() {
                    tracing::error!(
                        "cannot save to the state directory: {error}; serving goes on from memory"
                    );
                }
                self.save_problem = Some(error.to_string());
                Kept::NotSaved
            }
        }
    }

    /// Something was saved. The problem is over when nothing is left that was not: on a disk that is nearly full, small
    /// things go in and bodies do not.
    fn saved(&mut self) {
        if !self.slots.iter().any(Slot::is_unsaved) {
            self.save_problem = None;
        }
    }

    fn publish(&mut self) {
        if self.is_held() {
            return self.look_what_waits();
        }
        let published = match self.publisher.build(&self.config, &self.slots, &self.exclusions) {
            Ok(next) => {
                // Before anybody can see it, so that a crash cannot give its serial to something else.
                let (serial, digest) = next.mark();
                self.save(|store| store.record_published(serial, digest));
                self.publisher.publish(next, &mut self.filter).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        self.dirty = published.is_err();
        self.verifier.published();
        self.hold_what_is_live();
        if let Err(error) = published {
            tracing::error!("no new generation: {error}; the previous one stays in force");
        }
        self.report();
    }
}

/// What became of a body.
enum Kept {
    /// In the store; the source need not send it again.
    Saved,
    /// In use at best, but not in the store.
    NotSaved,
    /// Judged and not taken.
    Refused,
}

fn limits(slot: &Slot) -> FetchLimits {
    FetchLimits { max_bytes: slot.feed.rules.max_bytes, timeout: slot.feed.timeout }
}

/// Seconds since 1970; 0 on a clock before that.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
