//! How benches measure and report: own and peer by turns in one run, CPU time of this thread, so that other load on the
//! machine counts little; the median of all rounds, with the fastest and the slowest.
//!
//! Each result is one line on standard output, cells separated by tabs, which `cargo xtask bench` puts into a table.
#![allow(dead_code, reason = "every bench takes what it needs of this module")]

use std::fmt;
use std::time::Duration;

/// Rounds of every measurement.
pub(crate) const ROUNDS: usize = 9;

/// CPU time this thread has used so far, in user space and in the kernel.
pub(crate) fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec, which the call fills in.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0, "every Linux has this clock");
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// CPU time of `work`.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = thread_time();
    let result = work();
    (thread_time() - start, result)
}

/// The rounds of one measurement, in its own unit.
#[derive(Clone, Debug)]
pub(crate) struct Rounds {
    sorted: Vec<f64>,
    unit: &'static str,
}

impl Rounds {
    /// At least one round, in any order.
    pub(crate) fn new(mut values: Vec<f64>, unit: &'static str) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        Self { sorted: values, unit }
    }

    /// The middle one.
    pub(crate) fn median(&self) -> f64 {
        self.sorted[self.sorted.len() / 2]
    }
}

impl fmt::Display for Rounds {
    /// `12.3 (11.9-14.0) ns`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, least, most] = [self.median(), self.sorted[0], self.sorted[self.sorted.len() - 1]];
        let digits = if median < 100.0 { 1 } else { 0 };
        write!(f, "{median:.digits$} ({least:.digits$}-{most:.digits$}) {}", self.unit)
    }
}

/// What a measurement is held against.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    /// At most this, in the unit of the measurement.
    AtMost(f64),
    /// The peer takes at least so many times as long.
    TimesPeer(f64),
    /// Only shown.
    None,
}

/// Reports one measurement.
pub(crate) fn report(what: &str, case: &str, ours: &Rounds, peer: Option<&Rounds>, aim: Aim) {
    let ratio = peer.map(|peer| peer.median() / ours.median());
    let (aim, met) = match aim {
        Aim::AtMost(limit) => (format!("<= {limit} {}", ours.unit), Some(ours.median() <= limit)),
        Aim::TimesPeer(times) => (format!(">= {times}x"), ratio.map(|ratio| ratio >= times)),
        Aim::None => (String::from("-"), None),
    };
    let ratio = ratio.map_or("-".into(), |ratio| format!("{ratio:.1}x"));
    let peer = peer.map_or("-".into(), Rounds::to_string);
    let met = met.map_or("", |met| if met { "yes" } else { "NO" });
    println!("{what}\t{case}\t{ours}\t{peer}\t{ratio}\t{aim}\t{met}");
}

/// Reports what could not be measured here.
pub(crate) fn skipped(what: &str, why: &str) {
    println!("{what}\t-\tskipped: {why}\t-\t-\t-\t");
}

/// `120 k`, `10 M`.
pub(crate) fn size(count: usize) -> String {
    if count >= 1_000_000 { format!("{} M", count / 1_000_000) } else { format!("{} k", count / 1000) }
}
