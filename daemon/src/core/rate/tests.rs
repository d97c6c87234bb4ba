//! Limits against an obvious token bucket, over any time, and under contention.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;
use std::iter::repeat_with;
use std::thread;

const SEEDED: [u8; SEED] = *b"any sixteen will";
/// Any time at which no bucket is in use.
const START: u64 = 1 << 32;

fn limits(answers_per_second: u32, slip: u8) -> Limits {
    Limits::new(&Settings { answers_per_second, slip, ..Settings::default() }, SEEDED)
}

fn at(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// How many of `asked` replies at one time are sent.
fn sent(limits: &Limits, client: &str, kind: Kind, now_ms: u64, asked: usize) -> usize {
    let verdicts = repeat_with(|| limits.decide(at(client), kind, now_ms)).take(asked);
    verdicts.filter(|verdict| *verdict == Verdict::Send).count()
}

/// One bucket, said plainly. Credit may be missing where the clock went back.
struct Model {
    rate: i128,
    slip: u64,
    credit: i128,
    last_ms: i128,
    suppressed: u64,
}

impl Model {
    fn new(per_second: u32, slip: u8, now_ms: i128) -> Self {
        let rate = per_second.into();
        Self { rate, slip: slip.into(), credit: rate * 1000, last_ms: now_ms, suppressed: 0 }
    }

    fn decide(&mut self, now_ms: i128) -> Verdict {
        self.credit += (now_ms - self.last_ms) * self.rate;
        self.last_ms = now_ms;
        let full = self.rate * 1000;
        if self.credit > full || self.credit < -self.rate * i128::from(PATIENCE_MS) {
            self.credit = full;
        }
        if self.credit >= 1000 {
            self.credit -= 1000;
            return Verdict::Send;
        }
        self.suppressed += 1;
        if self.slip > 0 && self.suppressed.is_multiple_of(self.slip) { Verdict::Slip } else { Verdict::Drop }
    }
}

#[test]
fn without_limits_everything_is_sent_and_nothing_kept() {
    let only_answers = limits(1, 2);
    assert_eq!(sent(&only_answers, "192.0.2.1", Kind::Error, START, 100), 100);
    for off in [Limits::default(), Limits::new(&Settings::default(), SEEDED)] {
        assert!(off.answers.is_none() && off.errors.is_none());
        for kind in [Kind::Answer, Kind::Error] {
            assert_eq!(sent(&off, "192.0.2.1", kind, START, 100), 100);
        }
    }
}

#[test]
fn memory_is_what_it_says() {
    let both = Settings { answers_per_second: 1, errors_per_second: 1, ..Settings::default() };
    let limits = Limits::new(&both, SEEDED);
    let slots = [limits.answers, limits.errors].map(|buckets| size_of_val(&*buckets.unwrap().slots));
    assert_eq!(slots.iter().sum::<usize>(), BYTES);
    assert_eq!(BYTES, 1 << 20);
}

#[test]
fn a_second_in_advance_then_the_limit() {
    let limits = limits(100, 0);
    let ask = |now_ms, asked| sent(&limits, "192.0.2.1", Kind::Answer, START + now_ms, asked);
    assert_eq!([ask(0, 200), ask(9, 10), ask(10, 10), ask(20, 10), ask(520, 100)], [100, 0, 1, 1, 50]);
    assert_eq!(ask(3_600_000, 200), 100, "no more than a second's worth is saved up");
}

#[test]
fn networks_are_independent_and_their_clients_are_not() {
    let limits = limits(5, 0);
    for (client, expected) in [
        ("192.0.2.1", 5),
        ("192.0.2.255", 0),
        ("::ffff:192.0.2.7", 0),
        ("192.0.3.0", 5),
        ("2001:db8:0:ff::1", 5),
        ("2001:db8::", 0),
        ("2001:db8:0:100::", 5),
        ("::192.0.2.1", 5),
    ] {
        assert_eq!(sent(&limits, client, Kind::Answer, START, 10), expected, "{client}");
    }
}

#[test]
fn networks_are_as_wide_as_they_are_set() {
    for (v4_prefix, v6_prefix, shared, apart) in [
        (32, 128, ["192.0.2.1", "2001:db8::1"], ["192.0.2.0", "2001:db8::"]),
        (16, 32, ["192.0.99.9", "2001:db8:ffff::"], ["192.1.2.1", "2001:db9::1"]),
        (200, 200, ["192.0.2.1", "2001:db8::1"], ["192.0.2.0", "2001:db8::"]),
    ] {
        let settings = Settings { answers_per_second: 3, v4_prefix, v6_prefix, ..Settings::default() };
        let limits = Limits::new(&settings, SEEDED);
        let ask = |client| sent(&limits, client, Kind::Answer, START, 10);
        assert_eq!(["192.0.2.1", "2001:db8::1"].map(ask), [3, 3]);
        assert_eq!((shared.map(ask), apart.map(ask)), ([0, 0], [3, 3]), "{v4_prefix} {v6_prefix}");
    }
    let settings = Settings { answers_per_second: 3, v4_prefix: 0, v6_prefix: 0, ..Settings::default() };
    let limits = Limits::new(&settings, SEEDED);
    let clients = ["192.0.2.1", "203.0.113.1", "2001:db8::1", "fd00::1"];
    assert_eq!(clients.map(|client| sent(&limits, client, Kind::Answer, START, 10)), [3, 0, 3, 0]);
}

#[test]
fn answers_and_errors_have_limits_of_their_own() {
    let settings = Settings { answers_per_second: 20, errors_per_second: 5, ..Settings::default() };
    let limits = Limits::new(&settings, SEEDED);
    let ask = |kind| sent(&limits, "192.0.2.1", kind, START, 50);
    assert_eq!([Kind::Error, Kind::Answer, Kind::Error].map(ask), [5, 20, 0]);
}

#[test]
fn every_nth_suppressed_reply_slips_through() {
    for slip in [0, 1, 2, 3, 255] {
        let limits = limits(1, slip);
        assert_eq!(sent(&limits, "192.0.2.1", Kind::Answer, START, 1), 1);
        for suppressed in 1..=1000u32 {
            let slips = slip > 0 && suppressed.is_multiple_of(slip.into());
            let expected = if slips { Verdict::Slip } else { Verdict::Drop };
            let verdict = limits.decide(at("192.0.2.1"), Kind::Answer, START);
            assert_eq!(verdict, expected, "{slip} {suppressed}");
        }
    }
}

#[test]
fn rates_are_exact_over_long_times() {
    // Replies per second, milliseconds between two attempts, attempts at a time: often enough that no bucket is ever
    // full, or just then.
    for (per_second, step, tries) in
        [(1, 10, 1), (3, 11, 1), (7, 130, 1), (333, 2, 1), (999, 1, 1), (5000, 3, 16)]
    {
        let limits = limits(per_second, 0);
        let mut total = sent(&limits, "192.0.2.1", Kind::Answer, START, per_second as usize) as u64;
        let end = 100_000 * step;
        for now_ms in (0..=end).step_by(step as usize) {
            total += sent(&limits, "192.0.2.1", Kind::Answer, START + now_ms, tries) as u64;
        }
        let rate = u64::from(per_second);
        assert_eq!(total, rate + end * rate / 1000, "{per_second} per second in {end} ms");
    }
}

#[test]
fn nothing_is_gained_or_lost_where_a_round_ends() {
    for per_second in [1u32, 3, 7, 5000] {
        let rate = u64::from(per_second);
        for end in [u64::MAX, TIME / rate] {
            let limits = limits(per_second, 0);
            let ask = |now_ms, asked| sent(&limits, "192.0.2.1", Kind::Answer, now_ms, asked) as u64;
            // In use before the end, so empty 50 seconds before it.
            let start = end - 50_000;
            let before = ask(start - 150_000, 1) + ask(start, per_second as usize + 1);
            assert_eq!(before, 1 + rate);
            let total: u64 = (0..=100_000)
                .step_by(25)
                .map(|ms| ask(start.wrapping_add(ms), per_second as usize / 40 + 1))
                .sum();
            assert_eq!(total, 100 * rate, "{per_second} around {end}");
        }
    }
}

#[test]
fn the_highest_limit_is_the_highest() {
    let limits = limits(u32::MAX, 0);
    assert_eq!(sent(&limits, "192.0.2.1", Kind::Answer, START, 1_000_010), MAX_PER_SECOND as usize);
    assert_eq!(sent(&limits, "192.0.2.1", Kind::Answer, START + 1, 1_010), 1000);
}

#[test]
fn a_clock_set_back_is_waited_for_or_taken_as_new() {
    let limits = limits(10, 0);
    let ask = |now_ms| sent(&limits, "192.0.2.1", Kind::Answer, now_ms, 20);
    let later = START + 1_000_000;
    assert_eq!(ask(later), 10);
    assert_eq!(ask(later - PATIENCE_MS), 0);
    assert_eq!([ask(later), ask(later + 100)], [0, 1], "going back and on gives no credit");
    assert_eq!(ask(later + 100 - PATIENCE_MS - 1), 10, "nobody waits longer");
}

/// Two networks that share a bucket with this seed.
fn sharing(seed: [u8; SEED]) -> [IpAddr; 2] {
    let limits = Limits::new(&Settings::default(), seed);
    let mut seen = HashMap::new();
    (0..1u32 << 16)
        .find_map(|number| {
            let client = IpAddr::V4((number << 8).into());
            let other = seen.insert(limits.networks.hash(client) as usize % BUCKETS, client);
            other.map(|other| [other, client])
        })
        .unwrap()
}

#[test]
fn networks_in_one_bucket_share_its_limit_and_another_seed_parts_them() {
    let [one, other] = sharing(SEEDED).map(|client| client.to_string());
    for (seed, expected) in [(SEEDED, [7, 0]), (*b"another sixteen!", [7, 7])] {
        let settings = Settings { answers_per_second: 7, slip: 0, ..Settings::default() };
        let limits = Limits::new(&settings, seed);
        let ask = |client| sent(&limits, client, Kind::Answer, START, 10);
        assert_eq!([ask(&one), ask(&other)], expected);
    }
}

#[test]
fn more_networks_than_buckets_never_get_more_than_their_limit() {
    let settings = Settings { answers_per_second: 2, v4_prefix: 32, ..Settings::default() };
    let limits = Limits::new(&settings, SEEDED);
    let mut total = 0;
    for number in 0..BUCKETS as u32 * 2 {
        let client = IpAddr::V4(number.into());
        let sent = (0..3).filter(|_| limits.decide(client, Kind::Answer, START) == Verdict::Send).count();
        assert!(sent <= 2, "{client}");
        total += sent;
    }
    assert!(total <= 2 * BUCKETS, "{total}");
    // All but e^-2 of the buckets are hit by an even hash.
    assert!(total > 2 * BUCKETS * 8 / 10, "{total}");
}

#[test]
fn threads_together_send_what_one_may() {
    const THREADS: u64 = 4;
    const MILLISECONDS: u64 = 3000;
    let limits = limits(1000, 3);
    // Threads are at different times; each goes on by a millisecond at most between two attempts.
    let run = |_| {
        let decide = |now_ms| limits.decide(at("192.0.2.1"), Kind::Answer, START + now_ms);
        let mut verdicts = [0u64; 3];
        for now_ms in repeat_with(|| 0).take(1500).chain((0..=MILLISECONDS).flat_map(|ms| [ms; 3])) {
            verdicts[decide(now_ms) as usize] += 1;
        }
        verdicts
    };
    let total = thread::scope(|scope| {
        let running: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || run(thread))).collect();
        let verdicts = running.into_iter().map(|thread| thread.join().unwrap());
        verdicts.fold([0; 3], |sum, verdicts| [0, 1, 2].map(|at| sum[at] + verdicts[at]))
    });
    let [sent, slipped, dropped] = total;
    assert_eq!(sent, 1000 + MILLISECONDS);
    assert_eq!(sent + slipped + dropped, THREADS * (1500 + 3 * (MILLISECONDS + 1)));
    assert_eq!(slipped, (slipped + dropped) / 3);
}

/// Steps of a clock: mostly on, at times back, rarely far.
fn any_step() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => 0i64..5,
        3 => 0i64..2000,
        2 => -50i64..0,
        1 => -70_000i64..0,
        1 => 0i64..200_000,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Verdict by verdict as the model says, whatever the time, and also while the clock or the time in the buckets
    /// goes round.
    #[test]
    fn agrees_with_an_obvious_bucket(
        per_second in prop_oneof![1u32..20, 1u32..2000, Just(MAX_PER_SECOND)],
        slip in 0u8..5,
        place in 0..3,
        steps in prop::collection::vec((any_step(), 0usize..6, 1usize..6), 1..200),
    ) {
        let clients = ["192.0.2.1", "192.0.3.1", "198.51.100.1", "2001:db8::1", "2001:db8:1::1", "fd00::1"];
        let clients = clients.map(at);
        let limits = limits(per_second, slip);
        let hashes = clients.map(|client| limits.networks.hash(client) as usize % BUCKETS);
        prop_assert!((1..clients.len()).all(|n| !hashes[..n].contains(&hashes[n])), "a bucket each");
        // Anywhere, or half a million milliseconds before a round ends.
        let base = match place {
            0 => 1 << 33,
            1 => u64::MAX - 500_000,
            _ => (TIME / u64::from(per_second)).wrapping_sub(500_000),
        };
        let mut models = clients.map(|_| Model::new(per_second, slip, 0));
        let mut now = 0i64;
        // Every bucket is in use before a round ends: one never used is full at the time 0.
        let first = (0..clients.len()).map(|client| (0, client, 1)).chain([(400_000, 0, 1)]);
        for (step, client, times) in first.chain(steps) {
            now += step;
            for _ in 0..times {
                let verdict = limits.decide(clients[client], Kind::Answer, base.wrapping_add_signed(now));
                prop_assert_eq!(verdict, models[client].decide(now.into()), "{} at {}", clients[client], now);
            }
        }
    }

    /// Whatever the times within the patience, and in whatever order: no more than a second in advance and the rate
    /// over all of the time.
    #[test]
    fn no_order_of_times_gives_more(
        per_second in 1u32..200,
        times in prop::collection::vec(0..PATIENCE_MS, 1..600),
    ) {
        let limits = limits(per_second, 0);
        let ask = |ms: &u64| sent(&limits, "192.0.2.1", Kind::Answer, START + ms, 1);
        let total: usize = times.iter().map(ask).sum();
        let spread = times.iter().max().unwrap() - times.iter().min().unwrap();
        prop_assert!(total as u64 * 1000 <= u64::from(per_second) * (1000 + spread));
    }
}
