//! Live entries in force: what operators block and allow by hand, effective within milliseconds whatever the engine is
//! doing.
//!
//! A thread of its own takes the requests, because the engine may be building a generation for seconds. Whatever waits
//! is one batch: one table compiled, one exchange in the kernel, one in [`Live`], one transaction. The thread also wakes
//! when an entry is over. The lock is held for that exchange only; the engine takes it when it publishes a generation, so
//! that readers always see the two together. The order is: in force, then stored, then answered. A full disk is said in
//! the answer and keeps nobody from blocking.

use super::unix_now;
use crate::core::generation::Generation;
use crate::core::live_set::{Action, Full, LiveEntry, LiveSet};
use crate::core::live_table::{LiveTable, LiveTableError, TEST_SPACE};
use crate::core::network::Network;
use crate::core::protection::Reservations;
use crate::core::view::{Expiry, View};
use crate::filter::{FilterError, Overlay};
use crate::live::Live;
use crate::store::{Audit, LiveChange, LiveWriter, Store, StoreError};
use std::collections::BTreeSet;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use thiserror::Error;
use tokio::sync::oneshot;

/// Requests that may wait; each is in the memory of its sender anyway.
const WAITING_REQUESTS: usize = 1024;
/// Longest sleep while an entry has an end: the clock may be set, or stand still in between.
const NAP: Duration = Duration::from_secs(1);
/// Longest time an entry is given, in seconds: 100 years. What shall stay longer has no end.
pub const LONGEST: u64 = 100 * 366 * 86_400;
/// Widest networks that are taken without force, as prefix lengths.
const WIDEST_V4: u8 = 8;
const WIDEST_V6: u8 = 16;
/// Networks that are named in an audit row.
const AUDITED_NETWORKS: usize = 20;

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Block or allow networks; an entry there was for one of them goes.
    Set {
        /// Block or allow.
        action: Action,
        /// Networks.
        networks: Vec<Network>,
        /// How long, in seconds; `None`: until it is taken back.
        lasts: Option<u64>,
        /// Why; already made harmless.
        reason: String,
        /// Even if it looks like a mistake.
        force: bool,
    },
    /// Take entries back.
    Remove {
        /// Networks, exactly as they were given.
        networks: Vec<Network>,
    },
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Entries set or taken back.
    pub changed: usize,
    /// Networks that had no entry to take back.
    pub missing: Vec<Network>,
    /// When what was set is over, in seconds since 1970; `None`: never.
    pub expires_at: Option<u64>,
    /// Why it is in force but will not survive a restart.
    pub not_saved: Option<String>,
}

/// Why nothing of a request was done.
#[derive(Debug, Error)]
pub enum LiveError {
    /// It would block what the host depends on.
    #[error("{network} is not blocked: it covers {reserved} ({reason}); use --force if it is meant")]
    Reserved {
        /// What was asked for.
        network: Network,
        /// What it covers.
        reserved: Network,
        /// Why that is reserved.
        reason: String,
    },
    /// A slip of the pen.
    #[error(
        "{0} is wider than /{WIDEST_V4} (IPv4) or /{WIDEST_V6} (IPv6), which looks like a mistake; use --force if it is \
         meant"
    )]
    TooWide(Network),
    /// It would have no effect.
    #[error("{network} is not blocked: it is excluded ({reason}); change the configuration first")]
    Excluded {
        /// What was asked for.
        network: Network,
        /// Which exclusion.
        reason: String,
    },
    /// It would have no effect.
    #[error("{0} belongs to the test entries of the zones (RFC 5782), which live entries leave alone")]
    TestEntries(Network),
    /// No time at all, or more than anybody will wait.
    #[error("a live entry lasts from 1s to {} days; leave the time out for one without end", LONGEST / 86_400)]
    Time,
    /// Too many.
    #[error(transparent)]
    Full(#[from] Full),
    /// Too large.
    #[error(transparent)]
    Table(#[from] LiveTableError),
    /// The kernel refused; DNS is left as it was too.
    #[error("nothing is changed: {0}")]
    Filter(Arc<FilterError>),
    /// Too much at once.
    #[error("{WAITING_REQUESTS} changes are waiting; send many networks in one request instead")]
    Busy,
    /// The daemon ends.
    #[error("the daemon is stopping")]
    Stopping,
}

/// The live entries, and the one place where they are put into force.
#[derive(Debug)]
pub struct LiveEntries {
    live: Live,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    set: LiveSet,
    /// Where the packet filter takes them; `None` while there is none.
    kernel: Option<Arc<Overlay>>,
    /// The kernel refused something that cannot be put off; it is tried again.
    behind: bool,
}

/// Takes requests to the thread that owns the live entries. It ends when the last of these is gone.
#[derive(Clone, Debug)]
pub struct Requests(SyncSender<Request>);

#[derive(Debug)]
struct Request {
    change: Change,
    by: u32,
    answer: oneshot::Sender<Result<Changed, LiveError>>,
}

impl Requests {
    /// Asks for a change in the name of user `by`; the answer comes when it is in force and stored.
    ///
    /// # Errors
    /// [`LiveError`]; then nothing of it was done.
    pub async fn change(&self, change: Change, by: u32) -> Result<Changed, LiveError> {
        let (answer, changed) = oneshot::channel();
        self.0.try_send(Request { change, by, answer }).map_err(|error| match error {
            TrySendError::Full(_) => LiveError::Busy,
            TrySendError::Disconnected(_) => LiveError::Stopping,
        })?;
        changed.await.map_err(|_| LiveError::Stopping)?
    }
}

impl LiveEntries {
    /// What the store has, without what is over. It comes into force with the first generation.
    pub fn load(live: Live, store: &Store) -> Arc<Self> {
        let set = stored(store, unix_now()).unwrap_or_else(|error| {
            tracing::error!("the live entries are lost: {error}");
            LiveSet::default()
        });
        Arc::new(Self { live, state: Mutex::new(State { set, ..State::default() }) })
    }

    /// Starts the thread that takes requests and ends entries. It ends when the last [`Requests`] is gone; the receiver
    /// then fails, and the store is closed. Without a writer nothing is stored, and every answer says why.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(
        self: &Arc<Self>,
        writer: Result<LiveWriter, StoreError>,
    ) -> io::Result<(Requests, oneshot::Receiver<()>)> {
        let (sender, requests) = sync_channel(WAITING_REQUESTS);
        let worker = Worker { entries: Arc::clone(self), requests, writer };
        let (stopped, when_stopped) = oneshot::channel::<()>();
        std::thread::Builder::new().name("live-entries".to_owned()).spawn(move || {
            worker.run();
            drop(stopped);
        })?;
        Ok((Requests(sender), when_stopped))
    }

    /// Where generations are published.
    pub(super) fn live(&self) -> &Live {
        &self.live
    }

    /// Would the live entries fit over this generation?
    pub(super) fn check(&self, generation: &Generation) -> Result<(), LiveTableError> {
        compile(&self.state().set, Some(generation)).map(drop)
    }

    /// Publishes a generation together with the live entries over it. `kernel` is where the packet filter takes them.
    pub(super) fn publish(&self, generation: Arc<Generation>, kernel: Option<Arc<Overlay>>) {
        let mut state = self.state();
        let before = self.live.view();
        let overlay = match (compile(&state.set, Some(&generation)), &before) {
            (Ok(table), _) => Arc::new(table),
            // They came since [`Self::check`]; the next change compiles them again.
            (Err(error), Some(before)) => {
                tracing::error!("live entries stay as they were: {error}");
                Arc::clone(&before.overlay)
            }
            (Err(_), None) => Arc::default(),
        };
        let same_kernel = match (&state.kernel, &kernel) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        };
        let same = same_kernel && before.as_ref().is_some_and(|view| view.overlay.words() == overlay.words());
        state.kernel = kernel;
        if !same {
            state.put_into_kernel(&overlay);
        }
        let expiries = before.map(|view| Arc::clone(&view.expiries)).unwrap_or_default();
        self.live.publish_view(View { generation, overlay, expiries });
    }

    /// Publishes when zones expire.
    pub(super) fn publish_expiries(&self, expiries: Arc<[Expiry]>) {
        // What is published is changed by one at a time.
        let _state = self.state();
        self.live.publish_expiries(expiries);
    }

    /// What is not as it should be.
    pub(super) fn problem(&self) -> Option<String> {
        let problem = "the packet filter has not the live entries it should have; trying again";
        self.state().behind.then(|| problem.to_owned())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whatever panicked, the set in it is one that was in force.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a batch into force, each request wholly or not at all, and says what is to be stored.
    fn apply(
        &self,
        batch: &[(&Change, u32)],
        now: u64,
    ) -> (Vec<Result<Changed, LiveError>>, Vec<LiveChange>) {
        let mut state = self.state();
        let view = self.live.view();
        let generation = view.as_ref().map(|view| &*view.generation);
        let mut next = state.set.clone();
        let over = next.expire(now);
        let mut changes: Vec<LiveChange> =
            over.iter().map(|entry| LiveChange::Remove(entry.network)).collect();
        let outcomes: Vec<_> = batch
            .iter()
            .map(|(change, by)| change_one(&mut next, change, *by, now, generation, &mut changes))
            .collect();
        if changes.is_empty() && !state.behind {
            return (outcomes, changes);
        }
        match state.put(next, &self.live, batch.is_empty()) {
            Ok(()) => {
                log_over(&over);
                (outcomes, changes)
            }
            // One of them asks for too much; the others must not suffer.
            Err(Refusal::Table(_)) if batch.len() > 1 => {
                drop(state);
                let each: Vec<_> = batch.iter().map(|one| self.apply(&[*one], now)).collect();
                let (outcomes, changes): (Vec<_>, Vec<_>) = each.into_iter().unzip();
                (outcomes.into_iter().flatten().collect(), changes.into_iter().flatten().collect())
            }
            Err(refusal) => {
                let refuse =
                    |outcome: Result<Changed, LiveError>| outcome.and_then(|_| Err(refusal.clone().into()));
                (outcomes.into_iter().map(refuse).collect(), Vec::new())
            }
        }
    }
}

/// Why a whole batch is not in force.
#[derive(Clone)]
enum Refusal {
    Table(LiveTableError),
    Filter(Arc<FilterError>),
}

impl From<Refusal> for LiveError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Table(error) => Self::Table(error),
            Refusal::Filter(error) => Self::Filter(error),
        }
    }
}

impl State {
    /// Puts a set into force: kernel first, so that a refusal leaves everything as it is. What is over cannot be
    /// refused: with `must`, DNS goes ahead and the kernel is tried again.
    fn put(&mut self, set: LiveSet, live: &Live, must: bool) -> Result<(), Refusal> {
        let view = live.view();
        let table =
            Arc::new(compile(&set, view.as_ref().map(|view| &*view.generation)).map_err(Refusal::Table)?);
        if must {
            self.put_into_kernel(&table);
        } else if let Some(kernel) = &self.kernel {
            kernel.publish(table.words()).map_err(|error| Refusal::Filter(Arc::new(error)))?;
            self.behind = false;
        }
        self.set = set;
        live.publish_overlay(table);
        Ok(())
    }

    fn put_into_kernel(&mut self, table: &LiveTable) {
        let Some(kernel) = &self.kernel else { return };
        let done = kernel.publish(table.words());
        if let Err(error) = &done
            && !self.behind
        {
            tracing::error!(
                "the packet filter has not the live entries it should have: {error}; trying again"
            );
        }
        self.behind = done.is_err();
    }
}

fn compile(set: &LiveSet, generation: Option<&Generation>) -> Result<LiveTable, LiveTableError> {
    let none = Reservations::default();
    let (exclusions, protections) =
        generation.map_or((&none, &none), |generation| (&generation.exclusions, &generation.protections));
    LiveTable::compile(set.entries().cloned().collect(), exclusions, protections)
}

/// The live entries of a state directory that are not over at `now`.
pub(super) fn stored(store: &Store, now: u64) -> Result<LiveSet, StoreError> {
    let mut set = LiveSet::default();
    if let Err(full) = set.set(store.live_entries()?.into_iter().map(Arc::new)) {
        // Written by hand, or by a release that takes more.
        tracing::error!("the stored live entries are not used: {full}");
    }
    set.expire(now);
    Ok(set)
}

fn log_over(over: &[Arc<LiveEntry>]) {
    if let Some(first) = over.first() {
        let (network, action) = (first.network, first.action.name());
        tracing::info!(%network, action, entries = over.len(), "live entries are over");
    }
}

/// Changes the set as one request asks, wholly or not at all.
fn change_one(
    set: &mut LiveSet,
    change: &Change,
    by: u32,
    now: u64,
    generation: Option<&Generation>,
    changes: &mut Vec<LiveChange>,
) -> Result<Changed, LiveError> {
    match change {
        Change::Set { action, networks, lasts, reason, force } => {
            let expires_at = match lasts {
                None => None,
                // The second under way does not count: never shorter than asked, and less than a second longer.
                Some(1..=LONGEST) => lasts.map(|lasts| now.saturating_add(lasts).saturating_add(1)),
                Some(_) => return Err(LiveError::Time),
            };
            for network in networks {
                check(*action, *network, *force, generation)?;
            }
            let entry = |network: &Network| {
                let (network, reason) = (*network, reason.clone());
                Arc::new(LiveEntry { network, action: *action, reason, by, added_at: now, expires_at })
            };
            let entries: Vec<_> = networks.iter().map(entry).collect();
            set.set(entries.iter().cloned())?;
            changes.extend(entries.into_iter().map(LiveChange::Set));
            Ok(Changed { changed: networks.len(), expires_at, ..Changed::default() })
        }
        Change::Remove { networks } => {
            let mut outcome = Changed::default();
            for network in networks.iter().collect::<BTreeSet<_>>() {
                match set.remove(network) {
                    Some(_) => {
                        outcome.changed += 1;
                        changes.push(LiveChange::Remove(*network));
                    }
                    None => outcome.missing.push(*network),
                }
            }
            Ok(outcome)
        }
    }
}

/// Refuses what looks like a mistake, unless it is meant, and what would have no effect.
fn check(
    action: Action,
    network: Network,
    force: bool,
    generation: Option<&Generation>,
) -> Result<(), LiveError> {
    if TEST_SPACE.covers(&network) {
        return Err(LiveError::TestEntries(network));
    }
    let hosts = match network {
        Network::V4(_) => 1u128 << (32 - WIDEST_V4),
        Network::V6(_) => 1u128 << (128 - WIDEST_V6),
    };
    if network.size() > hosts && !force {
        return Err(LiveError::TooWide(network));
    }
    let Some(generation) = generation.filter(|_| action == Action::Block) else { return Ok(()) };
    if let Some(excluded) = generation.exclusions.covering(&network) {
        let reason = format!("{}, {}", excluded.network, excluded.reason);
        return Err(LiveError::Excluded { network, reason });
    }
    match generation.protections.overlapping(&network) {
        Some(reserved) if !force => {
            Err(LiveError::Reserved { network, reserved: reserved.network, reason: reserved.reason.clone() })
        }
        _ => Ok(()),
    }
}

/// The thread behind [`Requests`].
struct Worker {
    entries: Arc<LiveEntries>,
    requests: Receiver<Request>,
    writer: Result<LiveWriter, StoreError>,
}

impl Worker {
    fn run(mut self) {
        while let Some(batch) = self.wait() {
            self.handle(batch);
        }
    }

    /// The next requests; none when it is time to look at the clock; `None` at the end.
    fn wait(&self) -> Option<Vec<Request>> {
        let first = match self.alarm() {
            None => Some(self.requests.recv().ok()?),
            Some(pause) => match self.requests.recv_timeout(pause) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return None,
            },
        };
        Some(first.into_iter().chain(self.requests.try_iter().take(WAITING_REQUESTS)).collect())
    }

    /// How long nothing has to be done; `None`: nothing ever ends.
    fn alarm(&self) -> Option<Duration> {
        let state = self.entries.state();
        if state.behind {
            return Some(NAP);
        }
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(state.set.next_expiry()?);
        Some(end.duration_since(SystemTime::now()).unwrap_or_default().min(NAP))
    }

    fn handle(&mut self, batch: Vec<Request>) {
        let now = unix_now();
        let asked: Vec<(&Change, u32)> = batch.iter().map(|request| (&request.change, request.by)).collect();
        let (outcomes, changes) = self.entries.apply(&asked, now);
        let done = batch.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
        let audit: Vec<Audit> = done
            .map(|(request, _)| Audit { at: now, by: request.by, what: in_words(&request.change) })
            .collect();
        for row in &audit {
            tracing::info!(by = row.by, "live entries: {}", row.what);
        }
        let not_saved = self.store(&changes, &audit).err();
        for (request, outcome) in batch.into_iter().zip(outcomes) {
            let outcome = outcome.map(|changed| Changed { not_saved: not_saved.clone(), ..changed });
            // The one who asked may have gone.
            let _ = request.answer.send(outcome);
        }
    }

    fn store(&mut self, changes: &[LiveChange], audit: &[Audit]) -> Result<(), String> {
        if changes.is_empty() && audit.is_empty() {
            return Ok(());
        }
        let written = match &mut self.writer {
            Ok(writer) => writer.apply(changes, audit).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = &written {
            tracing::error!("live entries are in force, but not saved: {error}");
        }
        written
    }
}

/// A change for the audit.
fn in_words(change: &Change) -> String {
    let named = |networks: &[Network]| {
        let named: Vec<String> = networks.iter().take(AUDITED_NETWORKS).map(ToString::to_string).collect();
        match networks.len().saturating_sub(AUDITED_NETWORKS) {
            0 => named.join(" "),
            more => format!("{} and {more} more", named.join(" ")),
        }
    };
    match change {
        Change::Set { action, networks, lasts, reason, force } => {
            let lasts = lasts.map_or_else(String::new, |seconds| format!(" for {seconds}s"));
            let force = if *force { " with force" } else { "" };
            let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            format!("{} {}{lasts}{force}{reason}", action.name(), named(networks))
        }
        Change::Remove { networks } => format!("unblock {}", named(networks)),
    }
}

#[cfg(test)]
mod tests;
