//! Domains: a slow model of a domain table, and sets shaped like real lists.
//!
//! Names are labels in wire form without the root, `\x07example\x03com`.

use crate::random::Random;

/// A domain and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainRule {
    /// Labels in wire form without the root.
    pub name: Vec<u8>,
    /// Is the name itself meant?
    pub itself: bool,
    /// Are all names below it meant?
    pub below: bool,
    /// 0 says "not listed", a hole in a wider rule.
    pub value: u32,
}

/// Rules that may overlap: one for exactly a name wins, then the one with most labels; of equal ones the lowest value.
#[derive(Clone, Debug)]
pub struct DomainOracle {
    rules: Vec<(Vec<Vec<u8>>, DomainRule)>,
}

impl DomainOracle {
    /// The model of these rules.
    pub fn new(rules: &[DomainRule]) -> Self {
        Self { rules: rules.iter().map(|rule| (labels(&rule.name), rule.clone())).collect() }
    }

    /// What the rules say of `name`, 0 when none covers it. Reads all rules.
    pub fn lookup(&self, name: &[u8]) -> u32 {
        self.value(&labels(name))
    }

    /// Is a listed name below `name`? Tries the names of all rules, and a name nobody wrote below each and below `name`.
    pub fn exists_below(&self, name: &[u8]) -> bool {
        let name = labels(name);
        let fresh = |name: &Vec<Vec<u8>>| [vec![b"\xfe fresh \xfe".to_vec()], name.clone()].concat();
        let names = self.rules.iter().flat_map(|(rule, _)| [rule.clone(), fresh(rule)]);
        let mut names = names.chain([fresh(&name)]);
        names.any(|n| n.len() > name.len() && n.ends_with(&name) && self.value(&n) != 0)
    }

    fn value(&self, name: &[Vec<u8>]) -> u32 {
        let rank = |(labels, rule): &(Vec<Vec<u8>>, DomainRule)| {
            let itself = rule.itself && labels == name;
            let below = rule.below && labels.len() < name.len() && name.ends_with(labels);
            (itself || below).then_some((labels.len(), std::cmp::Reverse(rule.value)))
        };
        self.rules.iter().filter_map(rank).max().map_or(0, |(_, value)| value.0)
    }
}

/// The labels of a name in lower case.
fn labels(mut name: &[u8]) -> Vec<Vec<u8>> {
    let mut labels = Vec::new();
    while let Some((&len, rest)) = name.split_first() {
        let (label, rest) = rest.split_at(len.into());
        labels.push(label.to_ascii_lowercase());
        name = rest;
    }
    labels
}

/// `example.com` in wire form without the root; the labels must not be longer than 63 octets.
pub fn wire(dotted: &str) -> Vec<u8> {
    let labels = dotted.split('.').filter(|label| !label.is_empty());
    labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect()
}

/// `count` names like those of large lists: a made-up word or two under a few common and many rare top-level domains,
/// one in five with a host in front, some in a second-level registry. Hardly any twice.
pub fn listed_names(seed: u64, count: usize) -> Vec<Vec<u8>> {
    const COMMON: [&str; 8] = ["com", "net", "org", "info", "top", "xyz", "ru", "co.uk"];
    const HOSTS: [&str; 6] = ["www", "mail", "login", "cdn", "secure", "a1"];
    let mut random = Random::new(seed);
    let word = |random: &mut Random| -> String {
        let pair = |random: &mut Random| {
            let pick =
                |set: &[u8], random: &mut Random| char::from(set[random.below(set.len() as u64) as usize]);
            [pick(b"bcdfghjklmnprstvwz", random), pick(b"aeiou", random)]
        };
        (0..2 + random.below(3)).flat_map(|_| pair(random)).collect()
    };
    let mut name = || {
        let top = match random.below(10) {
            0..5 => "com".to_owned(),
            5..9 => COMMON[random.below(8) as usize].to_owned(),
            _ => format!("t{}", random.below(400)),
        };
        let host = match random.below(5) {
            0 => format!("{}.", HOSTS[random.below(6) as usize]),
            _ => String::new(),
        };
        let tail = match random.below(3) {
            0 => format!("-{}", random.below(1000)),
            _ => word(&mut random),
        };
        wire(&format!("{host}{}{tail}.{top}", word(&mut random)))
    };
    (0..count).map(|_| name()).collect()
}
