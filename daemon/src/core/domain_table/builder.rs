//! Builder: rules to the words of an image.
//!
//! The rules come sorted, each name in front of all below it; one pass over them with a stack drops what changes nothing
//! and adds the names in between. Then every name gets its hash, its bucket and its place.

use super::record::{self, MAX_BUCKET, ROOT, Record, header};
use super::{DomainTableError, SortedRules};
use blackthorn_common::layout::checksum;
use blackthorn_common::payload::Payload;
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Records of an average bucket: with them it takes one or two cache lines.
const MEAN_BUCKET: usize = 4;
/// Keys tried before giving up. With honest names the first one serves.
const KEYS: u32 = 16;
/// In place of the number of a parent's node.
const NO_NODE: u32 = u32::MAX;

/// The words of an image that lists nothing.
pub(super) fn empty() -> Vec<u32> {
    write(
        &SortedRules::default(),
        &[],
        &Places { key: 0, buckets: 0, order: Vec::new(), offsets: Vec::new() },
    )
}

/// Compiles rules.
pub(super) fn build(rules: &SortedRules) -> Result<Vec<u32>, DomainTableError> {
    if rules.is_empty() {
        return Ok(empty());
    }
    let too_large = DomainTableError::TooLarge { rules: rules.len() };
    if rules.len() > header::MAX_WORDS {
        return Err(too_large);
    }
    let nodes = nodes(rules);
    let buckets = nodes.len().div_ceil(MEAN_BUCKET);
    let octets: usize = nodes.iter().map(|node| node.record(rules, ROOT).size()).sum();
    let words = header::WORDS + directory_words(buckets) + octets.div_ceil(size_of::<u32>());
    if words > header::MAX_WORDS || nodes.len() > header::MAX_WORDS {
        return Err(too_large);
    }
    let seed = seed(&nodes, rules);
    let places = (0..KEYS).find_map(|attempt| place(&nodes, rules, record::hash(seed, &[attempt as u8])));
    let places = places.ok_or(DomainTableError::Crowded { rules: rules.len(), keys: KEYS })?;
    Ok(write(rules, &nodes, &places))
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
    fn record<'k>(&self, rules: &'k SortedRules, parent: u32) -> Record<'k> {
        let label = rules.at(self.label..self.label + usize::from(self.len));
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
fn nodes(rules: &SortedRules) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::with_capacity(rules.len() + rules.len() / 16);
    let mut branches = 0;
    let mut path: Vec<Open> = Vec::new();
    for rule in rules.iter() {
        let range = rules.range(rule);
        let key = rules.at(range.clone());
        while path.pop_if(|open| !key.starts_with(rules.at(open.key.clone()))).is_some() {}
        let inherited = path.last().map_or(Payload::NONE, |open| open.below);
        let changed = |said: Option<Payload>| said.filter(|payload| *payload != inherited);
        let (name, below) = (changed(rule.name), changed(rule.below));
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
            let len = rules.at(at..at + 1).first().copied().unwrap_or(0);
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
fn seed(nodes: &[Node], rules: &SortedRules) -> u64 {
    let mut hash = Sha256::new();
    for node in nodes {
        hash.update([node.len]);
        hash.update(node.record(rules, ROOT).label);
        hash.update(node.parent.to_le_bytes());
    }
    hash.finalize().first_chunk().map_or(0, |octets| u64::from_le_bytes(*octets))
}

/// Where every record goes.
struct Places {
    key: u64,
    buckets: u32,
    /// Nodes in the order of their records, each with its bucket and its marks in the filter of the bucket.
    order: Vec<Placed>,
    /// Offset of each node's record.
    offsets: Vec<u32>,
}

/// One node in the order of records.
#[derive(Clone, Copy, Default)]
struct Placed {
    node: u32,
    bucket: u32,
    marks: u32,
}

/// Places the nodes by `key`; `None` when a bucket gets too many.
fn place(nodes: &[Node], rules: &SortedRules, key: u64) -> Option<Places> {
    let buckets = nodes.len().div_ceil(MEAN_BUCKET) as u32;
    let mut hashes: Vec<u64> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let above = hashes.get(node.parent as usize).copied().unwrap_or(key);
        hashes.push(record::hash(above, node.record(rules, ROOT).label));
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
    let mut order = vec![Placed::default(); nodes.len()];
    for node in (0..nodes.len()).rev() {
        let bucket = bucket_of(node)?;
        let end = ends.get_mut(bucket)?;
        *end -= 1;
        let marks = record::marks(*hashes.get(node)?);
        *order.get_mut(*end as usize)? = Placed { node: node as u32, bucket: bucket as u32, marks };
    }
    drop(hashes);
    let mut offsets = vec![0; nodes.len()];
    let mut at = 0u32;
    for &Placed { node, .. } in &order {
        *offsets.get_mut(node as usize)? = at;
        at = at.checked_add(nodes.get(node as usize)?.record(rules, ROOT).size() as u32)?;
    }
    Some(Places { key, buckets, order, offsets })
}

/// Words of a directory of so many buckets; one entry more says where the last one ends.
fn directory_words(buckets: usize) -> usize {
    (buckets + 1) * header::DIRECTORY_WORDS
}

fn write(rules: &SortedRules, nodes: &[Node], places: &Places) -> Vec<u32> {
    let mut records = Vec::new();
    let mut directory: Vec<[u32; header::DIRECTORY_WORDS]> = Vec::with_capacity(places.buckets as usize + 1);
    for &Placed { node, bucket, marks } in &places.order {
        // Empty buckets begin where the next record does.
        while directory.len() <= bucket as usize {
            directory.push([records.len() as u32, 0]);
        }
        if let Some([_, filter]) = directory.last_mut() {
            *filter |= marks;
        }
        if let Some(node) = nodes.get(node as usize) {
            let parent = places.offsets.get(node.parent as usize).copied().unwrap_or(ROOT);
            node.record(rules, parent).write(&mut records);
        }
    }
    directory.resize(places.buckets as usize + 1, [records.len() as u32, 0]);

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

    let mut words = Vec::with_capacity(
        head.len() + directory_words(places.buckets as usize) + records.len() / size_of::<u32>(),
    );
    words.extend(head);
    words.extend(directory.as_flattened());
    words.extend(records.as_chunks().0.iter().map(|octets| u32::from_ne_bytes(*octets)));
    let sum = checksum(words.get(header::SUMMED_FROM..).unwrap_or_default());
    for (word, half) in words.iter_mut().skip(header::AT_CHECKSUM).zip([sum as u32, (sum >> 32) as u32]) {
        *word = half;
    }
    words
}
