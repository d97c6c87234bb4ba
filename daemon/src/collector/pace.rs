//! Keeps requests to one host apart, however many feeds it publishes (G17).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Least time between the starts of two fetches from one host.
const GAP: Duration = Duration::from_secs(1);

/// When each host may be asked next. Holds one entry per configured host.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<HashMap<String, Instant>>);

impl Pace {
    /// Waits for the next turn at `host`.
    pub(super) async fn turn(&self, host: &str) {
        tokio::time::sleep_until(self.reserve(host, Instant::now())).await;
    }

    fn reserve(&self, host: &str, now: Instant) -> Instant {
        // The map is whole after every step, so a panic elsewhere leaves nothing to mend.
        let mut free_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = free_at.get(host).map_or(now, |&free| free.max(now));
        free_at.insert(host.to_owned(), turn + GAP);
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_is_asked_once_per_gap_and_others_at_once() {
        let (pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.reserve("a.example", now), now);
        assert_eq!(pace.reserve("a.example", now), now + GAP);
        assert_eq!(pace.reserve("a.example", now), now + GAP * 2);
        assert_eq!(pace.reserve("b.example", now), now);
        assert_eq!(pace.reserve("a.example", now + GAP * 10), now + GAP * 10);
    }
}
