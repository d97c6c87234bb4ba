//! Pace: when a UDP worker sleeps, and for how long.

use super::batch::BATCH;
use std::io;
use std::time::{Duration, Instant};

/// How much later than asked a sleep may end, in nanoseconds; 50 us unless set.
const SLACK: libc::c_ulong = 1000;

/// How fast datagrams come, to tell whether to wait for more of them.
///
/// While several come within the time of a wait, a worker that has answered what there was sleeps for that time, and
/// answers those together that came meanwhile. While few come, each is answered at once. Whether that pays depends on what
/// a sleep costs: on a virtual machine more than the wake-ups it saves, unless it is long (some 400 us).
pub(super) struct Pace {
    last: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { last: now }
    }

    /// Will at least two more datagrams come within `wait`, going by the `count` that came since the last batch until
    /// `now`? With half a batch or more, others are waiting already.
    pub(super) fn is_worth(&mut self, wait: Duration, count: usize, now: Instant) -> bool {
        let gap = now.duration_since(self.last);
        self.last = now;
        let gaps = u32::try_from(count).unwrap_or(u32::MAX);
        !wait.is_zero() && count < BATCH / 2 && gap * 2 <= wait * gaps
    }
}

/// Lets short sleeps of this thread end when they should. Without, coalescing takes longer than it should.
pub(super) fn sleep_exactly() {
    // SAFETY: sets a number of the calling thread, and touches no memory.
    if unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, SLACK) } != 0 {
        tracing::debug!(error = %io::Error::last_os_error(), "sleeps of dns workers are not exact");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_asked_often_waits_for_more() {
        let start = Instant::now();
        let at = |micros| start + Duration::from_micros(micros);
        let wait = Duration::from_micros(50);
        let mut pace = Pace::new(start);
        assert!(!pace.is_worth(wait, 1, at(1_000)), "a thousand a second");
        assert!(!pace.is_worth(wait, 1, at(1_030)));
        assert!(pace.is_worth(wait, 1, at(1_055)), "forty thousand");
        assert!(pace.is_worth(wait, 3, at(1_115)), "they came in 60 us");
        assert!(!pace.is_worth(wait, 2, at(1_175)), "two did");
        assert!(!pace.is_worth(wait, BATCH / 2, at(1_176)), "others are waiting");
        assert!(!pace.is_worth(Duration::ZERO, 5, at(1_177)), "off");
    }
}
