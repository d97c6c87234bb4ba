//! Generator: asks a server the questions of a workload over several sockets, as fast as it answers or at a fixed rate,
//! and judges every reply.
//!
//! It spins on its core and never waits for one reply: at a fixed rate a slow server is asked on, so its pauses are
//! seen by every question that falls into them.

use crate::batch::{BATCH, Batch};
use crate::workload::Workload;
use blackthorn_testkit::random::Random;
use hdrhistogram::Histogram;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Sockets, so that the server sees several clients.
const LANES: usize = 8;
/// Questions under way on each when flat out; a power of two, as the other one. All of them fit into the socket buffer
/// of 128 KiB that rbldnsd asks for.
const WINDOW: u16 = 16;
/// The same at a fixed rate: more than a second's worth at 50,000 a second.
const WIDE_WINDOW: u16 = 8192;
/// Most questions sent together at a fixed rate. How many changes all the time: the timer tick, by which the kernel
/// samples what a process is doing, would else always fall into the same moment between two steps.
const STEP: u64 = 9;
/// Questions that can be behind at a fixed rate; more, and this process did not run for a while. They are not made up
/// for: a burst would say nothing of the server at that rate.
const SLACK: usize = 100;
/// So long a question keeps its place in the window without a reply, and so long the last replies are waited for.
const LOST: Duration = Duration::from_millis(500);

/// How fast to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many questions a second, a few at a time.
    Rate(u32),
    /// As many as are answered.
    FlatOut,
}

/// When to stop asking.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After this time.
    Elapsed(Duration),
    /// When the marker is listed, or no longer.
    Marker {
        /// What is waited for.
        listed: bool,
        /// An error after this time.
        patience: Duration,
    },
}

/// What came of it.
pub(crate) struct Outcome {
    /// Questions sent.
    pub(crate) sent: u64,
    /// Replies, late ones while the last were awaited included.
    pub(crate) answered: u64,
    /// Replies while asking.
    pub(crate) answered_in_time: u64,
    /// How long it asked.
    pub(crate) elapsed: Duration,
    /// From sending to receiving, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// The first reply that is not what the list says.
    pub(crate) wrong: Option<String>,
    /// Was the marker listed when last asked for?
    pub(crate) marker: Option<bool>,
}

impl Outcome {
    /// Percent of the questions that got no reply.
    pub(crate) fn lost(&self) -> f64 {
        (self.sent - self.answered) as f64 / self.sent as f64 * 100.0
    }

    /// Thousand questions a second, as sent.
    pub(crate) fn rate(&self) -> f64 {
        self.sent as f64 / self.elapsed.as_secs_f64() / 1e3
    }

    /// A percentile of the latency, in microseconds.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        self.latency.value_at_percentile(percent) as f64 / 1e3
    }
}

/// A place in the window of a socket.
#[derive(Clone, Copy)]
struct Place {
    /// Of the newest question in it; modulo the window always the number of the place.
    id: u16,
    /// That question and when it was sent; `None` once there is a reply.
    asked: Option<(usize, Instant)>,
}

/// One socket and what is under way on it.
struct Lane {
    socket: UdpSocket,
    window: Vec<Place>,
    next: usize,
}

impl Lane {
    fn new(server: SocketAddr, window: u16) -> Result<Self, Box<dyn Error>> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(server)?;
        Ok(Self { socket, window: (0..window).map(|id| Place { id, asked: None }).collect(), next: 0 })
    }

    /// Sends up to `most` questions from `number` on; how many. Fewer when the window is full.
    fn send(
        &mut self,
        batch: &mut Batch,
        workload: &Workload,
        number: usize,
        most: usize,
    ) -> Result<usize, Box<dyn Error>> {
        let now = Instant::now();
        let size = self.window.len();
        let mut count = 0;
        for _ in 0..size {
            if count == most {
                break;
            }
            let place = &mut self.window[self.next % size];
            self.next += 1;
            if place.asked.is_some_and(|(_, at)| now.duration_since(at) < LOST) {
                continue;
            }
            // 65,536 ids are a multiple of the window.
            *place = Place { id: place.id.wrapping_add(size as u16), asked: Some((number + count, now)) };
            batch.push(place.id, workload.question(number + count).0);
            count += 1;
        }
        batch.send(&self.socket)?;
        Ok(count)
    }

    /// Takes what has arrived.
    fn receive(
        &mut self,
        batch: &mut Batch,
        workload: &Workload,
        outcome: &mut Outcome,
    ) -> Result<(), Box<dyn Error>> {
        batch.receive(&self.socket)?;
        let now = Instant::now();
        let size = self.window.len();
        for reply in batch.iter() {
            let Some(id) = reply.first_chunk().map(|id| u16::from_be_bytes(*id)) else { continue };
            let place = &mut self.window[usize::from(id) % size];
            // Otherwise the question has lost its place, and counts as lost.
            let Some((number, at)) = place.asked.take_if(|_| place.id == id) else { continue };
            outcome.answered += 1;
            let time = u64::try_from(now.duration_since(at).as_nanos()).unwrap_or(u64::MAX);
            outcome.latency.saturating_record(time);
            workload.judge(number, reply, outcome);
        }
        Ok(())
    }
}

/// Asks until told to stop, then waits for the last replies.
///
/// # Errors
/// When sockets fail, the server goes away, a reply is wrong, or the marker does not change.
pub(crate) fn ask(
    server: SocketAddr,
    workload: &Workload,
    pace: Pace,
    until: Until,
) -> Result<Outcome, Box<dyn Error>> {
    let window = match pace {
        Pace::Rate(_) => WIDE_WINDOW,
        Pace::FlatOut => WINDOW,
    };
    let mut lanes = (0..LANES).map(|_| Lane::new(server, window)).collect::<Result<Vec<_>, _>>()?;
    // What is sent and what is received do not mix.
    let (mut out, mut batch) = (Batch::default(), Batch::default());
    let mut outcome = Outcome {
        sent: 0,
        answered: 0,
        answered_in_time: 0,
        elapsed: Duration::ZERO,
        latency: Histogram::new_with_bounds(1, 60_000_000_000, 3)?,
        wrong: None,
        marker: None,
    };
    let start = Instant::now();
    let mut random = Random::new(4);
    let mut step = 1;
    let (mut number, mut skipped, mut turn) = (0, 0, 0);
    loop {
        outcome.elapsed = start.elapsed();
        match until {
            Until::Elapsed(time) if outcome.elapsed >= time => break,
            Until::Marker { listed, .. } if outcome.marker == Some(listed) => break,
            Until::Marker { patience, .. } if outcome.elapsed > patience => {
                return Err(format!("the new list is not in force after {patience:?}").into());
            }
            _ => {}
        }
        let count = match pace {
            Pace::Rate(rate) => {
                let due = outcome.elapsed.as_nanos() * u128::from(rate) / 1_000_000_000;
                let due = usize::try_from(due)?;
                let behind = due - number - skipped;
                skipped += if behind > SLACK { behind - step } else { 0 };
                if behind < step { 0 } else { std::mem::replace(&mut step, 1 + random.below(STEP) as usize) }
            }
            Pace::FlatOut => BATCH,
        };
        if count > 0 {
            turn += 1;
            number += lanes[turn % LANES].send(&mut out, workload, number, count)?;
        }
        match pace {
            Pace::Rate(_) => {
                for lane in &mut lanes {
                    lane.receive(&mut batch, workload, &mut outcome)?;
                }
            }
            // The lane that will be asked next has had the longest time to get its replies.
            Pace::FlatOut => lanes[(turn + 1) % LANES].receive(&mut batch, workload, &mut outcome)?,
        }
    }
    outcome.sent = number as u64;
    outcome.answered_in_time = outcome.answered;
    let end = Instant::now();
    while outcome.answered < outcome.sent && end.elapsed() < LOST {
        for lane in &mut lanes {
            lane.receive(&mut batch, workload, &mut outcome)?;
        }
    }
    match outcome.wrong.take() {
        None => Ok(outcome),
        Some(wrong) => Err(format!("a reply is not what the list says: {wrong}").into()),
    }
}
