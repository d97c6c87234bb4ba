//! Response rate limiting: how often the clients of one network are answered, so that replies to forged sources do not
//! bury whoever is there. Off unless asked for, and then only a branch.
//!
//! A token bucket per network of clients holds one second's worth of replies. The buckets are a fixed number of atomics
//! that all workers share without locks, chosen by a keyed hash of the network: which networks share a bucket cannot be
//! foreseen, and those that do share its limit. Memory is bounded by [`BYTES`]. What is suppressed does not empty the
//! bucket further: a client that asks too much is answered at its limit, not less.
//!
//! Libraries for this keep a map that grows with the clients, behind locks.

use super::network::fold;
use super::span::Span;
use siphasher::sip::SipHasher13;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};

/// Buckets for each kind of reply; a power of two.
pub const BUCKETS: usize = 1 << 16;
/// Most memory that limits take, in octets: the buckets of both kinds.
pub const BYTES: usize = 2 * BUCKETS * size_of::<AtomicU64>();
/// Highest limit, in replies per second; what is above counts as this.
pub const MAX_PER_SECOND: u32 = 1_000_000;
/// How far the time of one worker may be behind that of another, or the clock be set back, in milliseconds. Buckets
/// wait that long for the time they know; what is further off is taken for a bucket long full.
pub const PATIENCE_MS: u64 = 60_000;
/// Octets of the seed.
pub const SEED: usize = 16;

/// Credit for one reply. A millisecond gives as much credit as the limit has replies per second, so that no limit is
/// rounded.
const COST: u64 = 1000;
/// A bucket: the time at which it is full again, in units of credit, above the number of replies suppressed since one
/// slipped through.
const COUNT_BITS: u32 = 8;
const TIME: u64 = u64::MAX >> COUNT_BITS;

/// What is limited, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Answers per second and network; 0: no limit.
    pub answers_per_second: u32,
    /// Errors per second and network; 0: no limit.
    pub errors_per_second: u32,
    /// Clients with these first bits in common share a limit, 0 to 32.
    pub v4_prefix: u8,
    /// The same for IPv6, 0 to 128.
    pub v6_prefix: u8,
    /// Of the replies suppressed, each of this number goes out truncated and without data, so that a client that is
    /// really there asks again over TCP; 0: none, 1: all.
    pub slip: u8,
}

/// No limits, for networks that one site usually has.
impl Default for Settings {
    fn default() -> Self {
        Self { answers_per_second: 0, errors_per_second: 0, v4_prefix: 24, v6_prefix: 56, slip: 2 }
    }
}

/// What a reply is limited as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A reply to a question.
    Answer,
    /// FORMERR, NOTIMP, REFUSED.
    Error,
}

/// What becomes of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes out.
    Send,
    /// It goes out with TC=1 and no data.
    Slip,
    /// It does not.
    Drop,
}

/// The limits of a server, shared by its workers. The default has none.
#[derive(Debug, Default)]
pub struct Limits {
    answers: Option<Buckets>,
    errors: Option<Buckets>,
    networks: Networks,
}

impl Limits {
    /// Limits with full buckets. `seed` must be random: who knows it can make others share a bucket.
    pub fn new(settings: &Settings, seed: [u8; SEED]) -> Self {
        let &Settings { answers_per_second, errors_per_second, v4_prefix, v6_prefix, slip } = settings;
        let buckets = |per_second: u32| (per_second > 0).then(|| Buckets::new(per_second, slip));
        Self {
            answers: buckets(answers_per_second),
            errors: buckets(errors_per_second),
            networks: Networks { v4_prefix, v6_prefix, hasher: SipHasher13::new_with_key(&seed) },
        }
    }

    /// Decides about one reply to `client`, and counts it. Mapped addresses count as IPv4. `now_ms` is the time in
    /// milliseconds of any clock that goes on; it may go round, and back by up to [`PATIENCE_MS`].
    #[inline]
    pub fn decide(&self, client: IpAddr, kind: Kind, now_ms: u64) -> Verdict {
        let buckets = match kind {
            Kind::Answer => &self.answers,
            Kind::Error => &self.errors,
        };
        match buckets {
            Some(buckets) => buckets.decide(self.networks.hash(client), now_ms),
            None => Verdict::Send,
        }
    }
}

/// Which clients share a limit.
#[derive(Debug, Default)]
struct Networks {
    v4_prefix: u8,
    v6_prefix: u8,
    hasher: SipHasher13,
}

impl Networks {
    fn hash(&self, client: IpAddr) -> u64 {
        // The families cannot meet but by chance: a hash is also over the length.
        match fold(client) {
            IpAddr::V4(client) => {
                let network = Span::prefix(u32::from(client), self.v4_prefix).first;
                self.hasher.hash(&Ipv4Addr::from(network).octets())
            }
            IpAddr::V6(client) => {
                let network = Span::prefix(u128::from(client), self.v6_prefix).first;
                self.hasher.hash(&Ipv6Addr::from(network).octets())
            }
        }
    }
}

/// The buckets of one kind of reply.
#[derive(Debug)]
struct Buckets {
    /// Credit per millisecond.
    rate: u64,
    slip: u8,
    slots: Box<[AtomicU64]>,
}

impl Buckets {
    fn new(per_second: u32, slip: u8) -> Self {
        let slots = (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Self { rate: per_second.min(MAX_PER_SECOND).into(), slip, slots }
    }

    fn decide(&self, hash: u64, now_ms: u64) -> Verdict {
        let slot = &self.slots[hash as usize % BUCKETS];
        // A bucket is one number and guards nothing else, so no order is needed.
        let mut state = slot.load(Ordering::Relaxed);
        loop {
            let (next, verdict) = self.step(state, now_ms);
            if next == state {
                return verdict;
            }
            match slot.compare_exchange_weak(state, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return verdict,
                Err(other) => state = other,
            }
        }
    }

    /// What a bucket becomes with one more reply, and what becomes of that.
    fn step(&self, state: u64, now_ms: u64) -> (u64, Verdict) {
        // 2^64 ms are a whole number of rounds of the shorter time, so both may go round.
        let now = now_ms.wrapping_mul(self.rate) & TIME;
        let (full_at, count) = (state >> COUNT_BITS, state as u8);
        let capacity = self.rate * COST;
        let missing = full_at.wrapping_sub(now) & TIME;
        // A time that has passed is far ahead in the round.
        let missing = if missing <= capacity + self.rate * PATIENCE_MS { missing } else { 0 };
        let pack = |full_at: u64, count: u8| full_at << COUNT_BITS | u64::from(count);
        if missing + COST <= capacity {
            return (pack(now + missing + COST, count), Verdict::Send);
        }
        match self.slip {
            0 => (state, Verdict::Drop),
            slip if count + 1 < slip => (pack(full_at, count + 1), Verdict::Drop),
            _ => (pack(full_at, 0), Verdict::Slip),
        }
    }
}

#[cfg(test)]
mod tests;
