//! Sets of networks: shaped like real lists, and shaped to hurt.

use crate::oracle::Rule;
use crate::random::Random;

/// The prefix `address/len` of IPv4; host bits are masked off.
pub fn v4(address: u32, len: u32, value: u32) -> Rule<u32> {
    let hosts = u32::MAX.checked_shr(len).unwrap_or(0);
    Rule { first: address & !hosts, last: address | hosts, value }
}

/// The prefix `address/len` of IPv6; host bits are masked off.
pub fn v6(address: u128, len: u32, value: u32) -> Rule<u128> {
    let hosts = u128::MAX.checked_shr(len).unwrap_or(0);
    Rule { first: address & !hosts, last: address | hosts, value }
}

/// `count` IPv4 networks like those of blocklists: three of four are hosts, most of them near one another; then /24, a
/// few of every length from /8, some of them nested and some of them holes.
pub fn realistic_v4(seed: u64, count: usize) -> Vec<Rule<u32>> {
    let mut random = Random::new(seed);
    let mut address = 0;
    (0..count)
        .map(|_| {
            let spread = [8, 8, 12, 16, 24, 32][random.below(6) as usize];
            address ^= random.word() & (u32::MAX >> (32 - spread));
            let len = match random.below(100) {
                0..75 => 32,
                75..90 => 24,
                90..99 => 16 + random.below(16) as u32,
                _ => 8 + random.below(8) as u32,
            };
            v4(address, len, random.below(9) as u32)
        })
        .collect()
}

/// `count` IPv6 networks like those of blocklists: /48, /32 and /64 under the few prefixes in use, hosts, a few of
/// every other length from /16.
pub fn realistic_v6(seed: u64, count: usize) -> Vec<Rule<u128>> {
    const REGISTRIES: [u128; 6] = [0x2001, 0x2400, 0x2600, 0x2804, 0x2a00, 0x2c0f];
    let mut random = Random::new(seed);
    let mut tail = 0;
    (0..count)
        .map(|_| {
            let spread = [16, 40, 64, 72, 88, 112][random.below(6) as usize];
            tail ^= random.wide() & (u128::MAX >> (128 - spread));
            let address = REGISTRIES[random.below(6) as usize] << 112 | tail & (u128::MAX >> 16);
            let len = match random.below(100) {
                0..40 => 48,
                40..60 => 32,
                60..75 => 64,
                75..95 => 128,
                _ => 16 + random.below(112) as u32,
            };
            v6(address, len, random.below(9) as u32)
        })
        .collect()
}

/// `count` IPv4 networks spread over the whole address space: three of four are hosts, then /24, one in ten of any
/// length from /16 to /31.
pub fn scattered_v4(seed: u64, count: usize) -> Vec<Rule<u32>> {
    let mut random = Random::new(seed);
    (0..count)
        .map(|_| {
            let len = match random.below(100) {
                0..75 => 32,
                75..90 => 24,
                _ => 16 + random.below(16) as u32,
            };
            v4(random.word(), len, 1 + random.below(7) as u32)
        })
        .collect()
}

/// `count` IPv6 networks spread over 16,384 allocations of /32: mostly /48 and hosts in a few subnets of each, some
/// /64 and some of any length from /32.
pub fn scattered_v6(seed: u64, count: usize) -> Vec<Rule<u128>> {
    let mut random = Random::new(seed);
    (0..count)
        .map(|_| {
            let allocation = (0x2000 + random.below(16)) << 16 | random.below(1024) << 4;
            let subnet = random.below(1 << 16) << 16 | random.below(4);
            let len = match random.below(100) {
                0..45 => 128,
                45..80 => 48,
                80..95 => 64,
                _ => 32 + random.below(96) as u32,
            };
            let address = u128::from(allocation << 32 | subnet) << 64 | u128::from(random.bits());
            v6(address, len, 1 + random.below(7) as u32)
        })
        .collect()
}

/// `count` IPv4 hosts as on lists of attackers, in no order and some of them twice: a third of the /16 in use hold one
/// host, some hold hundreds; most /24 hold one, some several. Calibrated on lists of a hundred thousand.
pub fn clustered_hosts_v4(seed: u64, count: usize) -> Vec<Rule<u32>> {
    let mut random = Random::new(seed);
    let mut hosts = Vec::with_capacity(count);
    while hosts.len() < count {
        // The cube of a uniform number: few of the /16 get most. Multiplied, so that they lie all over the space.
        let uniform = random.below(1 << 16);
        let cube = (uniform * uniform * uniform) >> 32;
        let block = (cube as u32 * 0x9e37) & 0xffff;
        let subnet = block << 16 | random.word() >> 24 << 8;
        // One draw in three brings neighbours along.
        let near = if random.below(3) == 0 { 1 + random.below(6) as usize } else { 1 };
        for _ in 0..near.min(count - hosts.len()) {
            hosts.push(v4(subnet | random.word() >> 24, 32, 1 + random.below(8) as u32));
        }
    }
    hosts
}

/// `count` IPv6 hosts, up to a few in each of many /64: servers with low numbers and machines with random ones.
pub fn clustered_hosts_v6(seed: u64, count: usize) -> Vec<Rule<u128>> {
    let mut random = Random::new(seed);
    let mut hosts = Vec::with_capacity(count);
    while hosts.len() < count {
        let allocation = (0x2000 + random.below(16)) << 16 | random.below(1024) << 4;
        let subnet = u128::from(allocation << 32 | random.below(1 << 16) << 16 | random.below(4));
        for _ in 0..(1 + random.below(3)).min((count - hosts.len()) as u64) {
            let host = if random.below(3) == 0 { 1 + random.below(1 << 12) } else { random.bits() };
            hosts.push(v6(subnet << 64 | u128::from(host), 128, 1 + random.below(8) as u32));
        }
    }
    hosts
}

/// Prefixes as disjoint runs in address order, the longest prefix winning; of equal prefixes the last. Holes are left
/// out, equal neighbours stay apart. As [`crate::oracle::Oracle::flatten`], but fast enough for a million, and only for
/// rules that are nested or apart.
pub fn flatten_nested<A: Copy + Ord + Into<u128> + TryFrom<u128>>(mut rules: Vec<Rule<A>>) -> Vec<Rule<A>> {
    // Outer before inner, and stable, so that the last of equal prefixes lies innermost.
    rules.sort_by_key(|r| (r.first, std::cmp::Reverse(r.last)));
    let mut runs = Vec::with_capacity(rules.len());
    let mut open: Vec<Rule<A>> = Vec::new();
    // First address that no run covers yet; `None` behind the highest.
    let mut next = Some(0u128);
    let mut close = |next: &mut Option<u128>, last: u128, value: u32| {
        let Some(first) = next.filter(|&first| first <= last) else { return };
        if let (Ok(first), Ok(last), 1..) = (A::try_from(first), A::try_from(last), value) {
            runs.push(Rule { first, last, value });
        }
        *next = last.checked_add(1);
    };
    for rule in rules {
        while let Some(outer) = open.pop_if(|outer| outer.last < rule.first) {
            close(&mut next, outer.last.into(), outer.value);
        }
        if let Some(before) = rule.first.into().checked_sub(1) {
            close(&mut next, before, open.last().map_or(0, |outer| outer.value));
        }
        open.push(rule);
    }
    while let Some(outer) = open.pop() {
        close(&mut next, outer.last.into(), outer.value);
    }
    runs
}

/// Small IPv4 sets with a name each, chosen where a trie of 16, 8 and 8 bits has its edges.
pub fn adversarial_v4() -> Vec<(&'static str, Vec<Rule<u32>>)> {
    let range = |first, last, value| Rule { first, last, value };
    vec![
        ("nothing", vec![]),
        ("everything", vec![v4(0, 0, 1)]),
        ("everything but one address", vec![v4(0, 0, 1), v4(0xc000_0201, 32, 0)]),
        ("everything but the ends", vec![range(1, u32::MAX - 1, 1)]),
        ("only the ends", vec![v4(0, 32, 1), v4(u32::MAX, 32, 2)]),
        ("nested at every length", (0..=32).map(|len| v4(0xc633_6489, len, len + 1)).collect()),
        ("hole in every second", (0..=32).map(|len| v4(0xc633_6489, len, len % 2)).collect()),
        ("adjacent hosts, one value", (0..700).map(|i| v4(0x0a00_fe80 + i, 32, 1)).collect()),
        ("adjacent hosts, other values", (0..700).map(|i| v4(0x0a00_fe80 + i, 32, 1 + i % 5)).collect()),
        ("every second host of a /23", (0..256).map(|i| v4(0x0a00_0200 + 2 * i, 32, 1)).collect()),
        (
            "every length side by side",
            (8..32).map(|len| v4(0x0a00_0000 | 1 << (32 - len), len, len)).collect(),
        ),
        ("runs of /17 to /23", (17..24).map(|len| v4(0x0b00_0000 | (len - 16) << 16, len, len)).collect()),
        (
            "hosts in a listed /20",
            (0..40).map(|i| v4(0x0c00_1000 + 97 * i, 32, 2)).chain([v4(0x0c00_1000, 20, 1)]).collect(),
        ),
        (
            "holes in a listed /16",
            (0..90).map(|i| v4(0x0c01_0000 + 711 * i, 32, 0)).chain([v4(0x0c01_0000, 16, 1)]).collect(),
        ),
        ("across a /8 border", vec![range(0x0aff_fffe, 0x0b00_0001, 1)]),
        ("across /16 borders", vec![range(0x0a01_ffff, 0x0a04_0000, 1), range(0x0a04_0001, 0x0a04_0101, 2)]),
        ("across a /24 border", vec![range(0x0a01_01ff, 0x0a01_0200, 1), range(0x0a01_0300, 0x0a01_03fe, 1)]),
        ("all of a /24 but the first", vec![range(0x0a01_0101, 0x0a01_01ff, 1)]),
        ("all of a /24 but the last", vec![range(0x0a01_0100, 0x0a01_01fe, 1)]),
    ]
}

/// Small IPv6 sets with a name each, chosen where a trie of 16 and then 8 bits with lone prefixes has its edges.
pub fn adversarial_v6() -> Vec<(&'static str, Vec<Rule<u128>>)> {
    const DOC: u128 = 0x2001_0db8 << 96;
    let range = |first, last, value| Rule { first, last, value };
    vec![
        ("nothing", vec![]),
        ("everything", vec![v6(0, 0, 1)]),
        ("everything but one address", vec![v6(0, 0, 1), v6(DOC | 1, 128, 0)]),
        ("everything but the ends", vec![range(1, u128::MAX - 1, 1)]),
        ("only the ends", vec![v6(0, 128, 1), v6(u128::MAX, 128, 2)]),
        ("nested at every length", (0..=128).map(|len| v6(DOC | 0x89ab_cdef, len, len + 1)).collect()),
        ("hole in every second", (0..=128).map(|len| v6(DOC | 0x89ab_cdef, len, len % 2)).collect()),
        ("adjacent hosts", (0..700).map(|i| v6(DOC + 0xfe80 + i, 128, 1 + (i as u32) % 5)).collect()),
        ("one host under each length", (1..128).map(|len| v6(DOC ^ 1 << (127 - len), 128, len)).collect()),
        ("every length side by side", (8..128).map(|len| v6(DOC | 1 << (128 - len), len, len)).collect()),
        ("two that part in the last bit", vec![v6(DOC, 128, 1), v6(DOC | 1, 128, 2)]),
        ("one prefix per root slot", (0..300).map(|i| v6(i << 112 | i, 16 + (i as u32) % 113, 1)).collect()),
        ("one half of a slot", vec![v6(DOC, 17, 1), v6(DOC, 33, 2)]),
        ("hole in a /48", vec![v6(DOC, 48, 1), v6(DOC | 0x1234, 128, 0)]),
        (
            "hosts in a listed /32",
            (0..40).map(|i| v6(DOC | i << 77, 128, 2)).chain([v6(DOC, 32, 1)]).collect(),
        ),
        ("a range off all borders", vec![range(DOC + 1, DOC + (1 << 80), 1)]),
        ("across both halves", vec![range(DOC + u128::from(u64::MAX), DOC + (1 << 64), 1)]),
        ("mapped space", vec![v6(0xffff_c000_0200, 120, 1)]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Oracle;

    #[test]
    fn both_ways_to_flatten_agree() {
        for seed in 0..4 {
            let rules = realistic_v4(seed, 400);
            let runs = flatten_nested(rules.clone());
            assert!(runs.is_sorted_by(|a, b| a.last < b.first));
            let (oracle, runs) = (Oracle::new(rules), Oracle::new(runs));
            for address in oracle.borders() {
                assert_eq!(oracle.lookup(address), runs.lookup(address), "seed {seed}, {address:#x}");
            }
        }
        for (name, rules) in adversarial_v6().into_iter().filter(|(name, _)| name.contains("length")) {
            let (oracle, runs) = (Oracle::new(rules.clone()), Oracle::new(flatten_nested(rules)));
            for address in oracle.borders() {
                assert_eq!(oracle.lookup(address), runs.lookup(address), "{name}, {address:#x}");
            }
        }
    }
}
