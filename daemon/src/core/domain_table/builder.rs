//! Builder: rules to the words of an image.
//!
//! Names are turned round, so that sorting puts each name in front of all below it; one pass over them with a stack
//! settles which rule decides, drops what changes nothing and adds the names in between. Then every name gets its hash,
//! its bucket and its place.

use super::record::{self, MAX_BUCKET, ROOT, Record, header};
use super::{DomainRule, DomainTableError};
use crate::core::domain;
use blackthorn_common::layout::checksum;
use blackthorn_common::payload::Payload;
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Records of an average bucket.
const MEAN_BUCKET: usize = 4;
/// Keys tried before giving up. With honest names the first one serves.
const KEYS: u32 = 16;
/// In place of the number of a parent's node.
const NO_NODE: u32 = u32::MAX;

/// The words of an image that lists nothing.
pub(super) fn empty() -> Vec<u32> {
    write(&Keys::default(), &[], &Places { key: 0, buckets: 0, order: Vec::new(), offsets: Vec::new() })
}

/// Compiles rules.
pub(super) fn build(rules: &[DomainRule<'_>]) -> Result<Vec<u32>, DomainTableError> {
    if rules.is_empty() {
        return Ok(empty());
    }
    let too_large = DomainTableError::TooLarge { rules: rules.len() };
    if rules.len() > header::MAX_WORDS {
        return Err(too_large);
    }
    let keys = Keys::new(rules)?;
    let nodes = nodes(rules, &keys);
    let buckets = nodes.len().div_ceil(MEAN_BUCKET);
    let octets: usize = nodes.iter().map(|node| node.record(&keys, ROOT).size()).sum();
    let words = header::WORDS + buckets + 1 + octets.div_ceil(size_of::<u32>());
    if words > header::MAX_WORDS || nodes.len() > header::MAX_WORDS {
        return Err(too_large);
    }
    let seed = seed(&nodes, &keys);
    let places = (0..KEYS).find_map(|attempt| place(&nodes, &keys, record::hash(seed, &[attempt as u8])));
    let places = places.ok_or(DomainTableError::Crowded { rules: rules.len(), keys: KEYS })?;
    Ok(write(&keys, &nodes, &places))
}

/// The names turned round: labels with their length octets, the highest first, in lower case.
#[derive(Default)]
struct Keys {
    octets: Vec<u8>,
    /// Where the name of each rule lies.
    ranges: Vec<(usize, u8)>,
}

impl Keys {
    fn new(rules: &[DomainRule<'_>]) -> Result<Self, DomainTableError> {
        let mut keys = Self {
            octets: Vec::with_capacity(rules.iter().map(|rule| rule.name.len()).sum()),
            ranges: Vec::with_capacity(rules.len()),
        };
        let mut labels: Vec<&[u8]> = Vec::new();
        for (number, rule) in rules.iter().enumerate() {
            let not_a_name = DomainTableError::NotAName { number };
            labels.clear();
            labels.extend(domain::labels(rule.name).ok_or(not_a_name)?);
            let len = u8::try_from(rule.name.len()).map_err(|_| not_a_name)?;
            keys.ranges.push((keys.octets.len(), len));
            for label in labels.iter().rev() {
                keys.octets.push(label.len() as u8);
                keys.octets.extend(label.iter().map(u8::to_ascii_lowercase));
            }
        }
        Ok(keys)
    }

    fn at(&self, range: Range<usize>) -> &[u8] {
        self.octets.get(range).unwrap_or_default()
    }

    fn of_rule(&self, rule: usize) -> Range<usize> {
        self.ranges.get(rule).map_or(0..0, |&(start, len)| start..start + usize::from(len))
    }

    /// The rules in the order of their keys. The first 16 octets decide most comparisons without a look elsewhere.
    fn order(&self) -> Vec<u32> {
        let head = |key: &[u8]| {
            let mut head = [0; 16];
            head.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
            u128::from_be_bytes(head)
        };
        let rules = 0..self.ranges.len() as u32;
        let mut order: Vec<(u128, u32)> =
            rules.map(|rule| (head(self.at(self.of_rule(rule as usize))), rule)).collect();
        let key = |rule: u32| self.at(self.of_rule(rule as usize));
        order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| key(a.1).cmp(key(b.1))).then(a.1.cmp(&b.1)));
        order.into_iter().map(|(_, rule)| rule).collect()
    }
}

/// A name that gets a record.
struct Node {
    /// Place of its label in the keys.
    label: usize,
    /// Number of the parent's node, or [`NO_NODE`].
    parent: u32,
    len: u8,
    name: Option<Payload>,
    below: Option<Payload>,
    branch: Option<u32>,
}

impl Node {
    fn record<'k>(&self, keys: &'k Keys, parent: u32) -> Record<'k> {
        let label = keys.at(self.label..self.label + usize::from(self.len));
        Record { parent, name: self.name, below: self.below, branch: self.branch, label }
    }
}

/// A name on the way from the zone to the one at hand.
struct Open {
    key: Range<usize>,
    node: u32,
    /// What is said of the names below.
    below: Payload,
}

/// The nodes in the order of their keys, parents first.
fn nodes(rules: &[DomainRule<'_>], keys: &Keys) -> Vec<Node> {
    let order = keys.order();
    let mut nodes: Vec<Node> = Vec::with_capacity(rules.len() + rules.len() / 16);
    let mut branches = 0;
    let mut path: Vec<Open> = Vec::new();
    let same = |a: &u32, b: &u32| keys.at(keys.of_rule(*a as usize)) == keys.at(keys.of_rule(*b as usize));
    for group in order.chunk_by(same) {
        let Some(&first) = group.first() else { continue };
        let range = keys.of_rule(first as usize);
        let key = keys.at(range.clone());
        while path.pop_if(|open| !key.starts_with(keys.at(open.key.clone()))).is_some() {}
        let inherited = path.last().map_or(Payload::NONE, |open| open.below);
        let group = || group.iter().filter_map(|&rule| rules.get(rule as usize));
        // The lowest wins, and no payload is lower than that of an exclusion.
        let name = group().filter(|rule| rule.scope.has_name()).map(|rule| rule.payload).min();
        let below = group().filter(|rule| rule.scope.has_below()).map(|rule| rule.payload).min();
        let (name, below) = (name.filter(|&p| p != inherited), below.filter(|&p| p != inherited));
        if name.is_none() && below.is_none() {
            continue;
        }
        let mut at = range.start + path.last().map_or(0, |open| open.key.len());
        while at < range.end {
            let parent = path.last().map_or(NO_NODE, |open| open.node);
            if let Some(parent) = nodes.get_mut(parent as usize)
                && parent.branch.is_none()
            {
                branches += 1;
                parent.branch = Some(branches);
            }
            let len = keys.at(at..at + 1).first().copied().unwrap_or(0);
            let end = at + 1 + usize::from(len);
            let last = end >= range.end;
            let node = nodes.len() as u32;
            let (name, below) = if last { (name, below) } else { (None, None) };
            nodes.push(Node { label: at + 1, parent, len, name, below, branch: None });
            path.push(Open { key: range.start..end, node, below: below.unwrap_or(inherited) });
            at = end;
        }
    }
    nodes
}

/// A key nobody can foresee who does not know every name of the set, and yet the same for the same set: whoever writes
/// names that meet in one bucket changes the key by writing them.
fn seed(nodes: &[Node], keys: &Keys) -> u64 {
    let mut hash = Sha256::new();
    for node in nodes {
        hash.update([node.len]);
        hash.update(node.record(keys, ROOT).label);
        hash.update(node.parent.to_le_bytes());
    }
    hash.finalize().first_chunk().map_or(0, |octets| u64::from_le_bytes(*octets))
}

/// Where every record goes.
struct Places {
    key: u64,
    buckets: u32,
    /// Nodes in the order of their records, each with its bucket.
    order: Vec<(u32, u32)>,
    /// Offset of each node's record.
    offsets: Vec<u32>,
}

/// Places the nodes by `key`; `None` when a bucket gets too many.
fn place(nodes: &[Node], keys: &Keys, key: u64) -> Option<Places> {
    let buckets = nodes.len().div_ceil(MEAN_BUCKET) as u32;
    let mut hashes: Vec<u64> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let above = hashes.get(node.parent as usize).copied().unwrap_or(key);
        hashes.push(record::hash(above, node.record(keys, ROOT).label));
    }
    let bucket_of = |node: usize| record::bucket(*hashes.get(node)?, buckets);
    let mut ends = vec![0u32; buckets as usize];
    for node in 0..nodes.len() {
        *ends.get_mut(bucket_of(node)?)? += 1;
    }
    if ends.iter().any(|&count| count > MAX_BUCKET) {
        return None;
    }
    let mut sum = 0;
    for end in &mut ends {
        sum += *end;
        *end = sum;
    }
    // From the last node to the first, each bucket filled from its end: nodes of one bucket stay in order.
    let mut order = vec![(0, 0); nodes.len()];
    for node in (0..nodes.len()).rev() {
        let bucket = bucket_of(node)?;
        let end = ends.get_mut(bucket)?;
        *end -= 1;
        *order.get_mut(*end as usize)? = (node as u32, bucket as u32);
    }
    drop(hashes);
    let mut offsets = vec![0; nodes.len()];
    let mut at = 0u32;
    for &(node, _) in &order {
        *offsets.get_mut(node as usize)? = at;
        at = at.checked_add(nodes.get(node as usize)?.record(keys, ROOT).size() as u32)?;
    }
    Some(Places { key, buckets, order, offsets })
}

fn write(keys: &Keys, nodes: &[Node], places: &Places) -> Vec<u32> {
    let mut records = Vec::new();
    let mut directory = Vec::with_capacity(places.buckets as usize + 1);
    for &(node, bucket) in &places.order {
        // Empty buckets begin where the next record does.
        while directory.len() <= bucket as usize {
            directory.push(records.len() as u32);
        }
        if let Some(node) = nodes.get(node as usize) {
            let parent = places.offsets.get(node.parent as usize).copied().unwrap_or(ROOT);
            node.record(keys, parent).write(&mut records);
        }
    }
    directory.resize(places.buckets as usize + 1, records.len() as u32);

    let mut head = [0; header::WORDS];
    head[header::AT_MAGIC] = header::MAGIC;
    head[header::AT_VERSION] = header::VERSION;
    head[header::AT_ENDIAN] = header::ENDIAN;
    head[header::AT_KEY] = places.key as u32;
    head[header::AT_KEY + 1] = (places.key >> 32) as u32;
    head[header::AT_BUCKETS] = places.buckets;
    head[header::AT_RECORD_OCTETS] = records.len() as u32;
    head[header::AT_BRANCHES] = 1 + nodes.iter().filter(|node| node.branch.is_some()).count() as u32;
    records.resize(records.len().next_multiple_of(size_of::<u32>()), 0);

    let mut words = Vec::with_capacity(head.len() + directory.len() + records.len() / size_of::<u32>());
    words.extend(head);
    words.extend(directory);
    words.extend(records.as_chunks().0.iter().map(|octets| u32::from_ne_bytes(*octets)));
    let sum = checksum(words.get(header::SUMMED_FROM..).unwrap_or_default());
    for (word, half) in words.iter_mut().skip(header::AT_CHECKSUM).zip([sum as u32, (sum >> 32) as u32]) {
        *word = half;
    }
    words
}
