//! How benches measure and report: criterion takes the samples, of own and peer directly after one another; here is the
//! clock it reads, and the way from its samples to a row of the table.
//!
//! Each row is one line on standard output, cells separated by tabs, which `cargo xtask bench` puts into a table.
//! Criterion's own report around the rows has no tabs.
#![allow(dead_code, reason = "every bench takes what it needs of this module")]

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode};
use serde::Deserialize;
use std::error::Error;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fmt, fs, io};

/// Samples of every measurement; odd, so that one of them is the median.
pub(crate) const SAMPLES: usize = 11;

/// Criterion as all benches use it. Its command line works, for instance a filter.
pub(crate) fn criterion() -> Criterion {
    Criterion::default()
        .without_plots()
        .sample_size(SAMPLES)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .nresamples(2000)
        .configure_from_args()
}

/// What time is measured by.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub(crate) enum Clock {
    /// CPU time of this thread, in user space and in the kernel: other load on the machine counts little.
    Thread = libc::CLOCK_THREAD_CPUTIME_ID,
    /// The clock on the wall, where waiting counts.
    Wall = libc::CLOCK_MONOTONIC,
}

impl Clock {
    /// How long `work` takes.
    pub(crate) fn time<T>(self, work: impl FnOnce() -> T) -> (Duration, T) {
        let start = self.now();
        let result = work();
        (self.now() - start, result)
    }

    fn now(self) -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer is to a live timespec, which the call fills in.
        let result = unsafe { libc::clock_gettime(self as libc::clockid_t, &raw mut time) };
        assert_eq!(result, 0, "every Linux has this clock");
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}

/// What is measured side by side.
pub(crate) struct Group<'a> {
    group: BenchmarkGroup<'a, WallTime>,
    clock: Clock,
    what: String,
    case: String,
}

impl<'a> Group<'a> {
    /// `what` and `case` are as in the row; criterion names folders by them: at most 64 bytes, no slash.
    pub(crate) fn new(criterion: &'a mut Criterion, clock: Clock, what: &str, case: &str) -> Self {
        let mut group = criterion.benchmark_group(what);
        // All samples make the same number of calls, so that they can be compared.
        group.sampling_mode(SamplingMode::Flat);
        Self { group, clock, what: what.into(), case: case.into() }
    }

    /// Nanoseconds that `work` takes; making its input and dropping its result do not count. `None` if criterion was asked
    /// for something else than to measure this.
    ///
    /// # Errors
    /// What `work` failed with last, or that the samples of criterion cannot be read.
    pub(crate) fn time<I, T>(
        &mut self,
        who: &str,
        mut input: impl FnMut() -> I,
        mut work: impl FnMut(I) -> Result<T, Box<dyn Error>>,
    ) -> Result<Option<Samples>, Box<dyn Error>> {
        let home = env::var_os("CRITERION_HOME").ok_or("no CRITERION_HOME: start benches with cargo")?;
        let path = PathBuf::from(home).join(&self.what).join(who).join(&self.case).join("new/sample.json");
        // Samples of an earlier run must not pass for new ones.
        match fs::remove_file(&path) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(cannot("remove", &path, &why)),
            _ => {}
        }
        let (mut rounds, mut failed) = (0, None);
        self.group.bench_function(BenchmarkId::new(who, &self.case), |bencher| {
            rounds += 1;
            bencher.iter_custom(|calls| {
                let mut total = Duration::ZERO;
                for _ in 0..calls {
                    let input = input();
                    let (time, result) = self.clock.time(|| work(input));
                    total += time;
                    if let Err(why) = black_box(result) {
                        failed = Some(why);
                    }
                }
                total
            });
        });
        match failed {
            Some(why) => Err(why),
            // Measuring takes one to warm up and one for each sample; `--test` takes one, a filter none.
            None if rounds <= 1 => Ok(None),
            None => Samples::read(&path).map(Some).map_err(|why| cannot("read", &path, &*why)),
        }
    }
}

fn cannot(what: &str, path: &Path, why: &dyn Error) -> Box<dyn Error> {
    format!("cannot {what} {}: {why}", path.display()).into()
}

/// Samples of one measurement, in its own unit.
#[derive(Clone, Debug)]
pub(crate) struct Samples {
    sorted: Vec<f64>,
    unit: &'static str,
}

impl Samples {
    /// At least one, in any order.
    pub(crate) fn new(mut values: Vec<f64>, unit: &'static str) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        Self { sorted: values, unit }
    }

    /// What criterion saved, in nanoseconds for each call.
    fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        #[derive(Deserialize)]
        struct Saved {
            iters: Vec<f64>,
            times: Vec<f64>,
        }
        let saved: Saved = serde_json::from_slice(&fs::read(path)?)?;
        let each: Vec<f64> = saved.times.iter().zip(&saved.iters).map(|(time, calls)| time / calls).collect();
        if each.is_empty() { Err("no samples".into()) } else { Ok(Self::new(each, "ns")) }
    }

    /// Each as `change` makes it, in another unit.
    pub(crate) fn map(self, unit: &'static str, change: impl Fn(f64) -> f64) -> Self {
        Self::new(self.sorted.into_iter().map(change).collect(), unit)
    }

    /// The middle one.
    pub(crate) fn median(&self) -> f64 {
        self.sorted[self.sorted.len() / 2]
    }
}

impl fmt::Display for Samples {
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
pub(crate) fn report(what: &str, case: &str, ours: &Samples, peer: Option<&Samples>, aim: Aim) {
    let ratio = peer.map(|peer| peer.median() / ours.median());
    let (aim, met) = match aim {
        Aim::AtMost(limit) => (format!("<= {limit} {}", ours.unit), Some(ours.median() <= limit)),
        Aim::TimesPeer(times) => (format!(">= {times}x"), ratio.map(|ratio| ratio >= times)),
        Aim::None => (String::from("-"), None),
    };
    let ratio = ratio.map_or("-".into(), |ratio| format!("{ratio:.1}x"));
    let peer = peer.map_or("-".into(), Samples::to_string);
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
