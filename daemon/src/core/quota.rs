//! Quotas: how many queries of one client or key are answered in a period.
//!
//! At 80 % of the quota its holder is told of once; beyond the quota answers go on in full for five minutes, but not
//! beyond 110 %; then queries are refused until the period ends. Periods begin at whole multiples of their length since
//! 1970, a day at midnight UTC.
//!
//! Counts live in a fixed number of slots that all workers share without locks, eight for each holder to find a place in.
//! Who finds all eight taken by others is not counted and gets answers: a quota sells, it does not protect. Workers that
//! take a slot at the same moment may lose a count or two.

use super::network::fold;
use super::span::Span;
use siphasher::sip::SipHasher13;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};

/// Holders that can be counted at once; a power of two.
pub const SLOTS: usize = 1 << 16;
/// Memory that a quota takes, in octets.
pub const BYTES: usize = SLOTS * size_of::<Slot>();
/// Longest period, in seconds: 31 days.
pub const MAX_PERIOD: u32 = 31 * 86_400;
/// Seconds of answers in full beyond the quota.
pub const GRACE: u64 = 300;
/// Octets of the seed.
pub const SEED: usize = 16;

/// Places a holder may have.
const PROBES: usize = 8;

/// How much, for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Queries answered in a period, at least 1.
    pub queries: u32,
    /// Length of a period in seconds, 1 to [`MAX_PERIOD`]; what is above counts as that.
    pub period: u32,
    /// Clients with these first bits in common share a quota, 0 to 32.
    pub v4_prefix: u8,
    /// The same for IPv6, 0 to 128.
    pub v6_prefix: u8,
}

/// What becomes of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is answered.
    Within,
    /// It is answered, and reaches 80 % of the quota.
    Near,
    /// It is answered, and is the first beyond the quota.
    Over,
    /// It is refused, as the first of the period.
    Spent,
    /// It is refused.
    Refused,
    /// It is answered and not counted: all places are taken.
    Uncounted,
}

impl Standing {
    /// Is the query answered?
    pub fn is_answered(self) -> bool {
        !matches!(self, Self::Spent | Self::Refused)
    }
}

/// Counts of all holders.
#[derive(Debug)]
pub struct Quotas {
    settings: Settings,
    hasher: SipHasher13,
    slots: Box<[Slot]>,
}

/// One holder's count.
#[derive(Debug, Default)]
struct Slot {
    /// Hash of the holder; 0: free.
    holder: AtomicU64,
    /// A [`Count`], packed.
    count: AtomicU64,
}

/// What a slot knows, in 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    /// Number of the period, modulo 512: 9 bits. Who comes back after 512 periods to the minute finds his old count.
    period: u64,
    /// Was a query refused? 1 bit.
    refused: bool,
    /// When the quota was passed, in seconds of the period from 1; 0: it was not. 22 bits.
    over_at: u64,
    /// Queries, at most `u32::MAX`.
    queries: u64,
}

impl Count {
    fn unpack(word: u64) -> Self {
        Self {
            period: word >> 55,
            refused: word >> 54 & 1 == 1,
            over_at: word >> 32 & 0x3f_ffff,
            queries: word & 0xffff_ffff,
        }
    }

    fn pack(self) -> u64 {
        self.period << 55 | u64::from(self.refused) << 54 | self.over_at << 32 | self.queries
    }
}

impl Quotas {
    /// Nothing counted yet. `seed` is random.
    pub fn new(settings: Settings, seed: [u8; SEED]) -> Self {
        let period = settings.period.clamp(1, MAX_PERIOD);
        let settings = Settings { queries: settings.queries.max(1), period, ..settings };
        let slots = (0..SLOTS).map(|_| Slot::default()).collect();
        Self { settings, hasher: SipHasher13::new_with_key(&seed), slots }
    }

    /// As given, with the least and the most that is possible.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Counts a query of a client; mapped addresses count as IPv4. `now` is in seconds since 1970.
    pub fn of_client(&self, client: IpAddr, now: u64) -> Standing {
        let Settings { v4_prefix, v6_prefix, .. } = self.settings;
        // The families cannot meet but by chance: a hash is also over the length.
        let hash = match fold(client) {
            IpAddr::V4(client) => {
                let network = Span::prefix(u32::from(client), v4_prefix).first;
                self.hasher.hash(&Ipv4Addr::from(network).octets())
            }
            IpAddr::V6(client) => {
                let network = Span::prefix(u128::from(client), v6_prefix).first;
                self.hasher.hash(&Ipv6Addr::from(network).octets())
            }
        };
        self.count(hash, now)
    }

    /// Counts a query with a key, given by [`super::keys::Holder::identity`].
    pub fn of_key(&self, identity: u64, now: u64) -> Standing {
        self.count(self.hasher.hash(&identity.to_le_bytes()), now)
    }

    fn count(&self, hash: u64, now: u64) -> Standing {
        let period = (now / u64::from(self.settings.period)) & 0x1ff;
        let Some(slot) = self.slot(hash.max(1), period) else { return Standing::Uncounted };
        let second = now % u64::from(self.settings.period);
        // A slot is one number and guards nothing else, so no order is needed.
        let mut word = slot.count.load(Ordering::Relaxed);
        loop {
            let (next, standing) = self.step(Count::unpack(word), period, second);
            match slot.count.compare_exchange_weak(word, next.pack(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return standing,
                Err(other) => word = other,
            }
        }
    }

    /// The slot of a holder, taken for it if it has none: a free one, or one of an earlier period.
    fn slot(&self, holder: u64, period: u64) -> Option<&Slot> {
        let places = || (0..PROBES).map(|step| &self.slots[(holder as usize).wrapping_add(step) % SLOTS]);
        let own = places().find(|slot| slot.holder.load(Ordering::Relaxed) == holder);
        own.or_else(|| places().find(|slot| slot.take(holder, period)))
    }

    /// One more query.
    fn step(&self, count: Count, period: u64, second: u64) -> (Count, Standing) {
        let fresh = Count { period, refused: false, over_at: 0, queries: 0 };
        let mut count = if count.period == period { count } else { fresh };
        count.queries = (count.queries + 1).min(u32::MAX.into());
        let quota = u64::from(self.settings.queries);
        if count.queries <= quota {
            let near = count.queries == (quota * 4).div_ceil(5);
            return (count, if near { Standing::Near } else { Standing::Within });
        }
        if count.over_at == 0 {
            count.over_at = second + 1;
        }
        // A clock that was set back gives no new grace.
        let elapsed = (second + 1).saturating_sub(count.over_at);
        let spent = count.refused || count.queries > quota + quota / 10 || elapsed >= GRACE;
        let first = !count.refused;
        count.refused = spent;
        let standing = match (spent, first) {
            (true, true) => Standing::Spent,
            (true, false) => Standing::Refused,
            (false, _) if count.queries == quota + 1 => Standing::Over,
            (false, _) => Standing::Within,
        };
        (count, standing)
    }
}

impl Slot {
    /// Takes the slot for another holder, if its own one has no count in this period.
    fn take(&self, holder: u64, period: u64) -> bool {
        let (old, word) = (self.holder.load(Ordering::Relaxed), self.count.load(Ordering::Relaxed));
        if old != 0 && Count::unpack(word).period == period {
            // Another worker may have taken it for the same holder.
            return old == holder;
        }
        match self.holder.compare_exchange(old, holder, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => {
                let fresh = Count { period, refused: false, over_at: 0, queries: 0 };
                self.count.store(fresh.pack(), Ordering::Relaxed);
                true
            }
            Err(other) => other == holder,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const DAY: u32 = 86_400;
    const NOW: u64 = 1_763_600_000;

    fn quotas(queries: u32, period: u32) -> Quotas {
        Quotas::new(Settings { queries, period, v4_prefix: 32, v6_prefix: 64 }, [3; SEED])
    }

    fn client(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn warned_at_80_percent_refused_beyond_110() {
        let quotas = quotas(100, DAY);
        let standings: Vec<_> = (0..130).map(|_| quotas.of_client(client("192.0.2.1"), NOW)).collect();
        for (query, standing) in (1..).zip(standings) {
            let expected = match query {
                80 => Standing::Near,
                101 => Standing::Over,
                111 => Standing::Spent,
                ..=110 => Standing::Within,
                _ => Standing::Refused,
            };
            assert_eq!(standing, expected, "{query}");
        }
        assert_eq!(quotas.of_client(client("192.0.2.2"), NOW), Standing::Within);
        let next_day = NOW - NOW % u64::from(DAY) + u64::from(DAY);
        assert_eq!(quotas.of_client(client("192.0.2.1"), next_day - 1), Standing::Refused);
        assert_eq!(quotas.of_client(client("192.0.2.1"), next_day), Standing::Within);
    }

    #[test]
    fn grace_ends_after_five_minutes() {
        let quotas = quotas(100, DAY);
        for _ in 0..101 {
            quotas.of_client(client("192.0.2.1"), NOW);
        }
        assert_eq!(quotas.of_client(client("192.0.2.1"), NOW + GRACE - 1), Standing::Within);
        assert_eq!(quotas.of_client(client("192.0.2.1"), NOW + GRACE), Standing::Spent);
        // The clock was set back.
        assert_eq!(quotas.of_client(client("192.0.2.1"), NOW), Standing::Refused);
    }

    #[test]
    fn networks_and_keys_share_a_quota() {
        let quotas = quotas(1, DAY);
        assert_eq!(quotas.of_client(client("2001:db8::1"), NOW), Standing::Near);
        assert_eq!(quotas.of_client(client("2001:db8::ffff"), NOW), Standing::Spent);
        assert_eq!(quotas.of_client(client("2001:db8:0:1::1"), NOW), Standing::Near);
        assert_eq!(quotas.of_client(client("192.0.2.1"), NOW), Standing::Near);
        assert_eq!(quotas.of_client(client("::ffff:192.0.2.1"), NOW), Standing::Spent);
        assert_eq!(quotas.of_key(7, NOW), Standing::Near);
        assert_eq!(quotas.of_key(7, NOW), Standing::Spent);
        assert_eq!(quotas.of_key(8, NOW), Standing::Near);
    }

    #[test]
    fn when_all_places_are_taken_queries_are_answered_uncounted() {
        let quotas = quotas(1, DAY);
        let (hash, period) = (5, (NOW / u64::from(DAY)) & 0x1ff);
        for step in 0..PROBES as u64 {
            assert!(quotas.slots[5 + step as usize].take(100 + step, period));
        }
        assert_eq!(quotas.count(hash, NOW), Standing::Uncounted);
        assert!(Standing::Uncounted.is_answered());
        // The next day they are free again.
        assert_eq!(quotas.count(hash, NOW + u64::from(DAY)), Standing::Near);
    }

    #[test]
    fn counts_are_packed_without_loss() {
        for count in [
            Count { period: 0, refused: false, over_at: 0, queries: 0 },
            Count { period: 0x1ff, refused: true, over_at: MAX_PERIOD.into(), queries: u32::MAX.into() },
            Count { period: 1, refused: false, over_at: 1, queries: 1 },
        ] {
            assert_eq!(Count::unpack(count.pack()), count);
        }
        assert_eq!(BYTES, 1 << 20);
    }

    #[test]
    fn workers_lose_no_count_of_a_known_holder() {
        let quotas = quotas(100_000, DAY);
        assert!(quotas.of_client(client("192.0.2.1"), NOW).is_answered());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        quotas.of_client(client("192.0.2.1"), NOW);
                    }
                });
            }
        });
        let total: u64 =
            quotas.slots.iter().map(|slot| Count::unpack(slot.count.load(Ordering::Relaxed)).queries).sum();
        assert_eq!(total, 40_001);
    }

    proptest! {
        /// The oracle keeps every query in a map.
        #[test]
        fn agrees_with_a_map(
            queries in 1u32..30,
            asked in prop::collection::vec((0u64..4, 0u64..90), 0..300),
        ) {
            let quotas = quotas(queries, 600);
            let mut now = NOW;
            let mut seen: HashMap<(u64, u64), (u32, Option<u64>, bool)> = HashMap::new();
            for (key, step) in asked {
                now += step;
                let (count, over, refused) = seen.entry((key, now / 600)).or_default();
                *count += 1;
                if *count > queries {
                    let over = *over.get_or_insert(now);
                    *refused |= *count > queries + queries / 10 || now - over >= GRACE;
                }
                prop_assert_eq!(quotas.of_key(key, now).is_answered(), !*refused, "{} at {}", count, now);
            }
        }
    }
}
