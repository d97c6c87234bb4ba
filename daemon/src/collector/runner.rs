//! One task per feed: wait until it is due, fetch, hand over, wait for the verdict, and again. A slow feed delays no
//! other.
//!
//! The consumer owns the truth about what is kept. A task asks "still the same?" only about a body whose consumer
//! said that it was committed, so a failed save is never masked by a later "not modified" (G16).
//!
//! Each task holds at most one body, until its consumer has answered: memory is bounded by the number of feeds times
//! their size limits, and a consumer that falls behind slows the feeds down.

use super::pace::Pace;
use super::{FetchError, FetchLimits, Fetched, Fetcher};
use crate::config::source::Source;
use crate::core::entry::FeedId;
use crate::core::schedule::{self, History};
use crate::core::validators::Validators;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;

/// A feed to fetch for as long as the runner lives.
#[derive(Clone, Debug)]
pub struct FeedJob {
    /// Its name.
    pub id: FeedId,
    /// Where it is.
    pub source: Source,
    /// Time between attempts while all is well.
    pub refresh: Duration,
    /// Bounds of each fetch.
    pub limits: FetchLimits,
    /// Validators of the copy at hand, if it came from this source.
    pub validators: Option<Validators>,
    /// When to begin.
    pub first_attempt: FirstAttempt,
}

/// When a feed is fetched for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstAttempt {
    /// At once: there is no copy, or it is old.
    Immediately,
    /// After a random part of a tenth of the refresh interval: a good copy is at hand.
    AfterJitter,
    /// After the refresh interval: it has just been read.
    Regular,
}

/// What came of one attempt.
#[derive(Debug)]
pub struct Delivery {
    /// Which feed.
    pub feed: FeedId,
    /// What the fetch brought, or why it failed.
    pub outcome: Result<Fetched, FetchError>,
    /// When it ended, in seconds since 1970.
    pub fetched_at: u64,
    /// How to answer. Only bodies need one.
    pub ack: Ack,
}

/// The consumer's answer to a body. Dropped unused, it means that the body could not be kept: the feed is fetched
/// again after a back-off.
#[derive(Debug)]
pub struct Ack(oneshot::Sender<Verdict>);

#[derive(Clone, Copy, Debug)]
enum Verdict {
    Committed,
    Refused,
}

impl Ack {
    /// The body is safely stored: from now on ask only for something newer.
    pub fn committed(self) {
        // Nobody listens any more when the runner has stopped, and then nobody needs to know.
        let _ = self.0.send(Verdict::Committed);
    }

    /// The body was judged and not taken. It is fetched again at the regular time: the publisher will not have
    /// mended it within a minute.
    pub fn refused(self) {
        let _ = self.0.send(Verdict::Refused);
    }
}

/// The running tasks. Dropping it stops them too, without waiting.
#[derive(Debug)]
pub struct Runner {
    nudges: HashMap<FeedId, Arc<Notify>>,
    tasks: JoinSet<()>,
}

impl Runner {
    /// Starts a task per job, inside a tokio runtime. Deliveries arrive on the receiver, at most `capacity` (at least
    /// one) of them waiting; dropping the receiver ends the tasks.
    pub fn start(
        fetcher: &Arc<Fetcher>,
        jobs: Vec<FeedJob>,
        capacity: usize,
    ) -> (Self, mpsc::Receiver<Delivery>) {
        let (deliveries, receiver) = mpsc::channel(capacity.max(1));
        let pace = Arc::new(Pace::default());
        let mut runner = Self { nudges: HashMap::new(), tasks: JoinSet::new() };
        for job in jobs {
            let nudge = Arc::clone(runner.nudges.entry(job.id.clone()).or_default());
            let task = Task {
                job,
                fetcher: Arc::clone(fetcher),
                pace: Arc::clone(&pace),
                nudge,
                deliveries: deliveries.clone(),
            };
            runner.tasks.spawn(task.run());
        }
        (runner, receiver)
    }

    /// Fetches one feed, or all of them, without waiting until it is due. A feed that is being fetched right now is
    /// fetched once more afterwards. Returns how many feeds were told: 0 for a name nobody has.
    pub fn refresh_now(&self, feed: Option<&FeedId>) -> usize {
        let chosen = self.nudges.iter().filter(|(id, _)| feed.is_none_or(|wanted| wanted == *id));
        chosen.map(|(_, nudge)| nudge.notify_one()).count()
    }

    /// Stops all tasks wherever they are and waits until they are gone. Fetches in flight are dropped: nothing of
    /// theirs is kept until their consumer keeps it.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

struct Task {
    job: FeedJob,
    fetcher: Arc<Fetcher>,
    pace: Arc<Pace>,
    nudge: Arc<Notify>,
    deliveries: mpsc::Sender<Delivery>,
}

impl Task {
    async fn run(mut self) {
        let mut history = History::default();
        let mut wait = match self.job.first_attempt {
            FirstAttempt::Immediately => Duration::ZERO,
            FirstAttempt::AfterJitter => schedule::first_delay(self.job.refresh, rand::random()),
            FirstAttempt::Regular => schedule::delay(self.job.refresh, history, rand::random()),
        };
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.nudge.notified() => {}
            }
            match self.attempt().await {
                Attempt::Succeeded => history.succeeded(),
                Attempt::Failed { retry_after } => history.failed(retry_after),
                Attempt::NobodyListens => return,
            }
            wait = schedule::delay(self.job.refresh, history, rand::random());
        }
    }

    async fn attempt(&mut self) -> Attempt {
        let FeedJob { id, source, limits, validators, .. } = &mut self.job;
        if let Source::Url(url) = &*source {
            self.pace.turn(url.host_str().unwrap_or_default()).await;
        }
        let outcome = self.fetcher.fetch(source, limits, validators.as_ref()).await;
        // Only a body leaves something to be answered.
        let offered = match &outcome {
            Ok(Fetched::Body { validators, .. }) => Ok(validators.clone()),
            Ok(Fetched::NotModified) => Err(Attempt::Succeeded),
            Err(error) => Err(Attempt::Failed { retry_after: error.retry_after() }),
        };
        let (ack, answer) = oneshot::channel();
        let delivery = Delivery { feed: id.clone(), outcome, fetched_at: unix_now(), ack: Ack(ack) };
        if self.deliveries.send(delivery).await.is_err() {
            return Attempt::NobodyListens;
        }
        let offered = match offered {
            Ok(validators) => validators,
            Err(settled) => return settled,
        };
        match answer.await {
            Ok(Verdict::Committed) => {
                *validators = Some(offered);
                Attempt::Succeeded
            }
            Ok(Verdict::Refused) => Attempt::Succeeded,
            Err(_) => Attempt::Failed { retry_after: None },
        }
    }
}

/// What an attempt means for the schedule.
enum Attempt {
    Succeeded,
    Failed { retry_after: Option<Duration> },
    NobodyListens,
}

fn unix_now() -> u64 {
    // A clock before 1970 is no reason to stop.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
