//! When a feed is fetched next: its refresh interval with jitter, back-off after failures, Retry-After (G17).
//!
//! Pure: the caller passes in what happened and a random number, and gets back how long to wait.

use std::time::Duration;

/// Wait after the first failure; doubles with each further one.
pub const FIRST_BACK_OFF: Duration = Duration::from_secs(60);
/// Longest wait between attempts at a failing feed, unless its refresh interval is shorter or its server asks for more.
pub const LONGEST_BACK_OFF: Duration = Duration::from_secs(6 * 3600);
/// A server that asks for a longer silence than this gets this much.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What the last attempts came to; the default is "fine so far".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Failed attempts in a row; 0 after a success.
    pub failures: u32,
    /// What the server asked for with the last failure (RFC 9110 section 10.2.3).
    pub retry_after: Option<Duration>,
}

impl History {
    /// Notes a success.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Notes a failure and what the server asked for with it.
    pub fn failed(&mut self, retry_after: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        self.retry_after = retry_after;
    }
}

/// The wait from now until the next attempt at a feed fetched every `refresh`. `random` is any number, evenly
/// distributed; it moves the wait by up to 10 %, so that many hosts with one configuration do not ask in step.
///
/// Never shorter than what the server asked for, nor is that ever taken to be more than [`LONGEST_RETRY_AFTER`].
pub fn delay(refresh: Duration, history: History, random: u32) -> Duration {
    let regular =
        jitter(if history.failures == 0 { refresh } else { back_off(refresh, history.failures) }, random);
    let asked = history.retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
    regular.max(asked)
}

/// The wait before the first attempt when an earlier copy is at hand: up to a tenth of `refresh`, so that a start
/// does not ask for everything at once.
pub fn first_delay(refresh: Duration, random: u32) -> Duration {
    per_mille(refresh, random % 101)
}

fn back_off(refresh: Duration, failures: u32) -> Duration {
    let doublings = 2u32.saturating_pow(failures.saturating_sub(1));
    FIRST_BACK_OFF.saturating_mul(doublings).min(LONGEST_BACK_OFF).min(refresh)
}

/// `wait` times 0.9 to 1.1.
fn jitter(wait: Duration, random: u32) -> Duration {
    per_mille(wait, 900 + random % 201)
}

fn per_mille(wait: Duration, share: u32) -> Duration {
    // Divided first, so that no wait is too long to be scaled; the lost microsecond does not matter.
    (wait / 1000).saturating_mul(share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    /// A random number that leaves the wait as it is.
    const MIDDLE: u32 = 100;

    fn after(failures: u32, retry_after: Option<u64>) -> History {
        History { failures, retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn success_waits_for_the_interval_within_a_tenth() {
        assert_eq!(delay(DAY, after(0, None), MIDDLE), DAY);
        assert_eq!(delay(DAY, after(0, None), 0), DAY * 9 / 10);
        assert_eq!(delay(DAY, after(0, None), 200), DAY * 11 / 10);
        assert_eq!(delay(DAY, after(0, None), 201), DAY * 9 / 10, "wraps round");
    }

    #[test]
    fn failures_double_up_to_six_hours() {
        let minutes = |failures| delay(DAY, after(failures, None), MIDDLE).as_secs() / 60;
        let waits: Vec<u64> = (1..=11).map(minutes).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360]);
        assert_eq!(minutes(u32::MAX), 360);
    }

    #[test]
    fn a_failing_feed_is_never_asked_less_often_than_a_working_one() {
        let hour = Duration::from_secs(3600);
        assert_eq!(delay(hour, after(20, None), MIDDLE), hour);
        let short = Duration::from_secs(10);
        assert_eq!(delay(short, after(1, None), MIDDLE), short);
    }

    #[test]
    fn retry_after_is_a_floor_with_a_ceiling() {
        let wait = |asked| delay(DAY, after(1, Some(asked)), MIDDLE).as_secs();
        assert_eq!(wait(0), 60, "the back-off is longer");
        assert_eq!(wait(60), 60);
        assert_eq!(wait(7200), 7200);
        assert_eq!(wait(86_400), 86_400);
        assert_eq!(wait(86_401), 86_400);
        assert_eq!(wait(u64::MAX), 86_400);
        assert_eq!(delay(DAY, after(1, Some(7200)), 0).as_secs(), 7200, "jitter never shortens it");
    }

    #[test]
    fn history_counts_and_forgets() {
        let mut history = History::default();
        history.failed(Some(DAY));
        history.failed(None);
        assert_eq!(history, after(2, None));
        history.succeeded();
        assert_eq!(history, History::default());
        history.failures = u32::MAX;
        history.failed(None);
        assert_eq!(history.failures, u32::MAX);
    }

    #[test]
    fn the_first_wait_is_up_to_a_tenth() {
        assert_eq!(first_delay(DAY, 0), Duration::ZERO);
        assert_eq!(first_delay(DAY, 100), DAY / 10);
        assert_eq!(first_delay(DAY, 101), Duration::ZERO, "wraps round");
    }

    proptest! {
        #[test]
        fn stays_within_its_bounds(refresh: u64, failures: u32, asked: Option<u64>, random: u32) {
            let refresh = Duration::from_secs(refresh);
            let wait = delay(refresh, after(failures, asked), random);
            let longest = if failures == 0 { refresh } else { refresh.min(LONGEST_BACK_OFF) };
            let asked = Duration::from_secs(asked.unwrap_or(0)).min(LONGEST_RETRY_AFTER);
            prop_assert!(wait <= longest.saturating_add(longest / 10).max(asked));
            prop_assert!(wait >= asked);
        }
    }
}
