//! Statistics: plain counters, raised without locks where things happen and read by whoever reports.
//!
//! Every counter starts at 0 with the process and only rises; it wraps after 2^64. Each DNS worker raises counters of its
//! own, so that workers do not wait for each other's cache lines; a report is their sum.

use serde::{Deserialize, Serialize};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A counter. Its clone is a copy of the current value that no longer moves: for reports.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Counter(AtomicU64);

impl Clone for Counter {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.get()))
    }
}

impl Counter {
    /// Adds one.
    pub fn add_one(&self) {
        self.add(1);
    }

    /// Adds several.
    pub fn add(&self, n: u64) {
        // Relaxed: counters order nothing, they only must not lose a count.
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Adds several, at less cost, to a counter that no other thread raises.
    fn add_alone(&self, n: u64) {
        self.0.store(self.get().wrapping_add(n), Ordering::Relaxed);
    }

    /// Current value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Declares groups of counters, and how two of the same kind are added up.
macro_rules! counters {
    ($($(#[$doc:meta])* $group:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $group {
            $($(#[$field_doc])* pub $field: $type,)+
        }

        impl $group {
            /// Adds what another one counted.
            fn absorb(&self, other: &Self) {
                $(self.$field.absorb(&other.$field);)+
            }
        }
    )+};
}

impl Counter {
    fn absorb(&self, other: &Self) {
        self.add(other.get());
    }
}

counters! {
    /// Counters of the DNS side. Messages taken in are counted by transport; each is answered, and counted by response
    /// code, or dropped, and counted by reason.
    DnsStats {
        /// Messages received in datagrams.
        udp: Counter,
        /// Messages received on connections.
        tcp: Counter,
        /// Messages received over TLS.
        tls: Counter,
        /// Messages received over HTTPS.
        https: Counter,
        /// Messages received over QUIC.
        quic: Counter,
        /// Connections accepted, encrypted ones included.
        connections: Counter,
        /// Connections closed to make room for others.
        crowded_out: Counter,
        /// Encrypted connections that ended before they stood.
        failed_handshakes: Counter,
        /// Messages without reply, by reason.
        dropped: DropStats,
        /// Replies that could not be sent, and failed receives.
        socket_errors: Counter,
        /// Replies cut down to TC=1 for their size.
        truncated: Counter,
        /// Questions about an address or domain that the zone lists.
        listed: Counter,
        /// Questions about an address or domain that the zone does not list.
        not_listed: Counter,
        /// Questions by type.
        types: TypeStats,
        /// Replies by response code.
        rcodes: RcodeStats,
        /// Queries with a cookie.
        cookies: CookieStats,
        /// Queries of clients that are not answered in full, by what becomes of them.
        access: AccessStats,
        /// Replies that the rate limit turned into TC=1 or BADCOOKIE.
        slipped: Counter,
        /// Questions missing in the query log, because its queue was full.
        unlogged: Counter,
        /// Time from the arrival of a batch of datagrams in the process until its replies are sent.
        latency: Latency,
    }

    /// Messages without reply.
    DropStats {
        /// Too short for a header, or replies themselves.
        no_query: Counter,
        /// From a port whose service answers anything, or of which no query comes.
        port: Counter,
        /// From a client to be ignored.
        access: Counter,
        /// Above the rate limit.
        rate: Counter,
    }

    /// Questions by type.
    TypeStats {
        /// A.
        a: Counter,
        /// AAAA.
        aaaa: Counter,
        /// NS.
        ns: Counter,
        /// SOA.
        soa: Counter,
        /// TXT.
        txt: Counter,
        /// ANY.
        any: Counter,
        /// All others.
        other: Counter,
    }

    /// Replies by response code.
    RcodeStats {
        /// NOERROR.
        noerror: Counter,
        /// FORMERR.
        formerr: Counter,
        /// SERVFAIL.
        servfail: Counter,
        /// NXDOMAIN.
        nxdomain: Counter,
        /// NOTIMP.
        notimp: Counter,
        /// REFUSED.
        refused: Counter,
        /// NOTAUTH.
        notauth: Counter,
        /// BADVERS.
        badvers: Counter,
        /// BADCOOKIE.
        badcookie: Counter,
    }

    /// Queries with a cookie.
    CookieStats {
        /// From clients that have none of ours yet.
        first: Counter,
        /// With one of ours.
        valid: Counter,
        /// With one that is not ours, or too old.
        invalid: Counter,
        /// Of a length no cookie has.
        malformed: Counter,
    }

    /// What became of queries beside an answer in full.
    AccessStats {
        /// Refused to the client.
        refused: Counter,
        /// Answered as if nothing was listed.
        emptied: Counter,
        /// Answered with a code for all.
        coded: Counter,
        /// Let in by a key.
        keyed: Counter,
        /// Refused beyond a quota.
        quota: Counter,
        /// Not counted against a quota, because all places to count were taken.
        uncounted: Counter,
    }

    /// Counters of one zone.
    ZoneStats {
        /// Questions.
        questions: Counter,
        /// Listed addresses and domains asked for.
        listed: Counter,
        /// Addresses and domains asked for that are not listed.
        not_listed: Counter,
        /// Questions refused: access, quota, no data.
        refused: Counter,
    }
}

impl DropStats {
    /// All of them.
    pub fn total(&self) -> u64 {
        [&self.no_query, &self.port, &self.access, &self.rate].map(Counter::get).iter().sum()
    }
}

/// Buckets of [`Latency`]: the last one takes all that is longer.
const BUCKETS: usize = 24;

/// A histogram of times: bucket `n` counts those below 2^n microseconds that no earlier one counts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Latency {
    buckets: [Counter; BUCKETS],
}

impl Latency {
    /// The counter for a time.
    pub fn bucket(&self, time: Duration) -> &Counter {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        &self.buckets[bucket.min(BUCKETS - 1)]
    }

    /// Upper end of the bucket within which as many of 1000 times fall, in microseconds; `None` when there are none.
    pub fn quantile(&self, permille: u64) -> Option<u64> {
        let counts = self.buckets.each_ref().map(Counter::get);
        let total: u64 = counts.iter().sum();
        // The first one always counts, so that an answer exists wherever there is a time.
        let wanted = total.saturating_mul(permille).div_ceil(1000).max(1);
        let mut seen = 0;
        let bucket = counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        bucket.map(|bucket| 1 << bucket)
    }

    fn absorb(&self, other: &Self) {
        for (own, other) in self.buckets.iter().zip(&other.buckets) {
            own.absorb(other);
        }
    }
}

/// Counters of one DNS worker, or of all connections.
#[derive(Debug)]
// Two cache lines, which processors fetch together: no worker shares one with another.
#[repr(align(128))]
pub struct Shard {
    stats: DnsStats,
    /// By [`ZoneSlot`].
    zones: Box<[ZoneStats]>,
    /// Listed answers, by [`FeedSlot`].
    feeds: Box<[Counter]>,
    /// Does a single thread raise them?
    alone: bool,
}

impl Shard {
    fn new(alone: bool) -> Self {
        let zones = (0..MAX_ZONES).map(|_| ZoneStats::default()).collect();
        let feeds = (0..MAX_FEEDS).map(|_| Counter::default()).collect();
        Self { stats: DnsStats::default(), zones, feeds, alone }
    }

    /// Adds one to a counter.
    #[inline]
    pub fn count<'s>(&'s self, counter: impl FnOnce(&'s DnsStats) -> &'s Counter) {
        self.add(counter, 1);
    }

    /// Adds several to a counter.
    #[inline]
    pub fn add<'s>(&'s self, counter: impl FnOnce(&'s DnsStats) -> &'s Counter, n: u64) {
        self.raise(counter(&self.stats), n);
    }

    /// Adds one to a counter of a zone.
    #[inline]
    pub fn count_zone<'s>(&'s self, zone: ZoneSlot, counter: impl FnOnce(&'s ZoneStats) -> &'s Counter) {
        if let Some(stats) = self.zones.get(zone.0) {
            self.raise(counter(stats), 1);
        }
    }

    /// Adds one to the listed answers of a feed.
    #[inline]
    pub fn count_feed(&self, feed: FeedSlot) {
        if let Some(counter) = self.feeds.get(feed.0) {
            self.raise(counter, 1);
        }
    }

    #[inline]
    fn raise(&self, counter: &Counter, n: u64) {
        if self.alone { counter.add_alone(n) } else { counter.add(n) }
    }

    fn absorb(&self, other: &Self) {
        self.stats.absorb(&other.stats);
        for (own, other) in self.zones.iter().zip(&other.zones) {
            own.absorb(other);
        }
        for (own, other) in self.feeds.iter().zip(&other.feeds) {
            own.absorb(other);
        }
    }
}

/// The place of a zone's counters, the same as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneSlot(usize);

/// The place of a feed's counter, the same as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedSlot(usize);

/// Most feeds with a counter of their own; further ones share the last place. 8 KiB for each worker.
pub const MAX_FEEDS: usize = 1024;
/// What the last place is called.
const OTHER_FEEDS: &str = "other feeds";

/// Most zones with counters of their own; further ones share the last place. 32 KiB for each worker.
pub const MAX_ZONES: usize = 1024;
/// What the last place is called.
const OTHER_ZONES: &str = "other zones";

impl Deref for Shard {
    type Target = DnsStats;

    fn deref(&self) -> &DnsStats {
        &self.stats
    }
}

/// Counters of the whole daemon.
#[derive(Debug)]
pub struct Stats {
    shards: Mutex<Shards>,
    /// Names of zones by their place. Zones that are gone stay, so that nothing counted is lost.
    zones: Mutex<Vec<String>>,
    /// The same for feeds.
    feeds: Mutex<Vec<String>>,
    /// Verifier.
    pub verifier: VerifierStats,
}

#[derive(Debug)]
struct Shards {
    /// What workers counted that are gone.
    gone: Shard,
    present: Vec<Arc<Shard>>,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            shards: Mutex::new(Shards { gone: Shard::new(false), present: Vec::new() }),
            zones: Mutex::default(),
            feeds: Mutex::default(),
            verifier: VerifierStats::default(),
        }
    }
}

impl Stats {
    /// Counters for one more worker. `alone`: for a single thread, which makes counting cheaper.
    pub fn shard(&self, alone: bool) -> Arc<Shard> {
        let shard = Arc::new(Shard::new(alone));
        let mut shards = lock(&self.shards);
        let Shards { gone, present } = &mut *shards;
        // Workers come and go with listening addresses.
        present.retain(|shard| {
            let used = Arc::strong_count(shard) > 1;
            if !used {
                gone.absorb(shard);
            }
            used
        });
        present.push(Arc::clone(&shard));
        shard
    }

    /// What all workers counted.
    pub fn dns(&self) -> DnsStats {
        self.total().stats
    }

    /// What was counted for each zone that anything was counted for, in the order they were first served.
    pub fn zones(&self) -> Vec<(String, ZoneStats)> {
        let names = lock(&self.zones).clone();
        let counted = names.into_iter().zip(self.total().zones);
        counted.filter(|(_, stats)| stats.questions.get() > 0).collect()
    }

    /// The place of a zone's counters.
    pub fn zone(&self, name: &str) -> ZoneSlot {
        ZoneSlot(place(&mut lock(&self.zones), name, MAX_ZONES, OTHER_ZONES))
    }

    /// How many answers were listed by each feed that any was listed by, in the order they were first served.
    pub fn hits(&self) -> Vec<(String, u64)> {
        let names = lock(&self.feeds).clone();
        let counted = names.into_iter().zip(self.total().feeds).map(|(name, hits)| (name, hits.get()));
        counted.filter(|(_, hits)| *hits > 0).collect()
    }

    /// The place of a feed's counter.
    pub fn feed(&self, id: &str) -> FeedSlot {
        FeedSlot(place(&mut lock(&self.feeds), id, MAX_FEEDS, OTHER_FEEDS))
    }

    fn total(&self) -> Shard {
        let shards = lock(&self.shards);
        let total = Shard::new(false);
        total.absorb(&shards.gone);
        shards.present.iter().for_each(|shard| total.absorb(shard));
        total
    }
}

/// The place of a name among at most `max`, added if it is new; the last one is for all `others`.
fn place(names: &mut Vec<String>, name: &str, max: usize, others: &str) -> usize {
    if let Some(known) = names.iter().position(|known| known == name) {
        return known;
    }
    if names.len() + 1 < max {
        names.push(name.to_owned());
    } else if names.len() < max {
        names.push(others.to_owned());
    }
    names.len() - 1
}

/// Counters are whole at any moment, so what a panic left behind can be used.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counters of the verifier, which compares what is served with what should be.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct VerifierStats {
    /// Rounds of checks.
    pub rounds: Counter,
    /// Questions put to our own DNS port; they are not in the counters of the DNS side.
    pub questions: Counter,
    /// Wrong words found.
    pub mismatches: Counter,
    /// Publications repeated because of that.
    pub repairs: Counter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_the_sum_over_workers_past_and_present() {
        let stats = Stats::default();
        let (alone, shared) = (stats.shard(true), stats.shard(false));
        alone.count(|dns| &dns.udp);
        shared.add(|dns| &dns.rcodes.nxdomain, 2);
        shared.count(|dns| dns.latency.bucket(Duration::from_micros(3)));
        drop(alone);
        stats.shard(true).count(|dns| &dns.udp);
        let dns = stats.dns();
        assert_eq!((dns.udp.get(), dns.rcodes.nxdomain.get()), (2, 2));
        assert_eq!(dns.latency.quantile(500), Some(4));
        assert_eq!(stats.shards.lock().unwrap().present.len(), 2, "the first one is gone");
    }

    #[test]
    fn times_fall_into_buckets_of_powers_of_two() {
        let latency = Latency::default();
        assert_eq!(latency.quantile(990), None);
        for micros in [0, 1, 2, 3, 4, 1 << 22, 1 << 60] {
            latency.bucket(Duration::from_micros(micros)).add_one();
        }
        let counts = latency.buckets.each_ref().map(Counter::get);
        assert_eq!(counts[..4], [1, 1, 2, 1]);
        assert_eq!(counts[BUCKETS - 1], 2);
        assert_eq!((latency.quantile(0), latency.quantile(500)), (Some(1), Some(4)));
        assert_eq!(latency.quantile(1000), Some(1 << 23));
    }

    #[test]
    fn a_zone_keeps_its_counters() {
        let stats = Stats::default();
        let (one, other) = (stats.shard(true), stats.shard(false));
        one.count_zone(stats.zone("bl.example"), |zone| &zone.questions);
        stats.zone("idle.example");
        other.count_zone(stats.zone("bl.example"), |zone| &zone.questions);
        let zones = stats.zones();
        assert_eq!(zones.len(), 1);
        assert_eq!((zones[0].0.as_str(), zones[0].1.questions.get()), ("bl.example", 2));
    }

    #[test]
    fn hits_are_counted_for_each_feed() {
        let stats = Stats::default();
        let (one, other) = (stats.shard(true), stats.shard(false));
        one.count_feed(stats.feed("a"));
        stats.feed("idle");
        other.count_feed(stats.feed("a"));
        other.count_feed(stats.feed("b"));
        assert_eq!(stats.hits(), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    }

    #[test]
    fn zones_beyond_the_bound_share_one_place() {
        let stats = Stats::default();
        let slots: Vec<_> = (0..MAX_ZONES + 2).map(|n| stats.zone(&format!("{n}.example"))).collect();
        assert_eq!(slots[MAX_ZONES - 2], ZoneSlot(MAX_ZONES - 2));
        assert!(slots[MAX_ZONES - 1..].iter().all(|slot| *slot == ZoneSlot(MAX_ZONES - 1)));
        assert_eq!(stats.zone("0.example"), ZoneSlot(0));
        assert_eq!(lock(&stats.zones).last().map(String::as_str), Some(OTHER_ZONES));
    }
}
