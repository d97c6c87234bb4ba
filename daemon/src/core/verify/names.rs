//! Names for a round of checks: some of those the table has a word on, each also with a label in front, and those that
//! tell clients whether a list works. Bounded by [`MAX_NAMES`], whatever the size of the table.

use super::{Mismatch, Random, payload_text};
use crate::core::domain::labels;
use crate::core::domain_keys::name_of;
use crate::core::domain_table::{DomainTable, SortedRules};
use crate::core::explain::Target;
use crate::core::name::MAX_NAME;
use blackthorn_common::payload::Payload;

/// Names of the table that are looked at.
const NAMES: usize = 100;
/// Most names in one round.
pub const MAX_NAMES: usize = 2 * NAMES + FIXED.len();
/// Names with a meaning of their own, and one nobody lists.
const FIXED: [&[u8]; 4] = [b"\x04test", b"\x01x\x04test", b"\x07invalid", b"\x09not-there\x07invalid"];

/// Draws names from a table, in wire form. Linear in it.
pub fn names(table: &DomainTable, seed: u64) -> Vec<Vec<u8>> {
    let mut random = Random(seed);
    let mut kept: Vec<Vec<u8>> = Vec::with_capacity(MAX_NAMES);
    let mut seen = 0;
    // Reservoir sampling.
    table.each_name(|name| {
        seen += 1;
        if kept.len() < NAMES {
            kept.push(name.wire.to_vec());
        } else if let Some(place) = kept.get_mut(random.below(seen)) {
            *place = name.wire.to_vec();
        }
    });
    let below: Vec<Vec<u8>> = kept.iter().map(|name| [b"\x01x", &name[..]].concat()).collect();
    let fixed = FIXED.iter().map(|name| name.to_vec());
    // A zone follows; what gets too long with it nobody can ask for.
    kept.into_iter().chain(below).chain(fixed).filter(|name| name.len() < MAX_NAME).collect()
}

/// Compares what was merged with what was compiled, for some of the names: another part of them for each seed.
pub fn first_wrong_name(rules: &SortedRules, table: &DomainTable, seed: u64) -> Option<Mismatch> {
    let step = rules.len().div_ceil(NAMES).max(1);
    // Below the step, which is a length.
    let start = (seed % step as u64) as usize;
    rules.words().skip(start).step_by(step).find_map(|(key, name, below)| {
        // The labels of a key are the highest first.
        let found = table.find_labels(labels(key).into_iter().flatten());
        let wrong = |said: Option<Payload>, found: Payload| {
            said.filter(|payload| *payload != found).map(|p| (p, found))
        };
        let (expected, found) = wrong(name, found.payload).or_else(|| wrong(below, found.below))?;
        Some(Mismatch {
            subject: Target::Domain(name_of(key)),
            place: "the compiled table of domains".to_owned(),
            expected: payload_text(expected),
            found: payload_text(found),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use blackthorn_common::payload::Class;

    fn rules(count: u32, listing: u32) -> SortedRules {
        let mut rules = SortedRules::default();
        for number in 0..count {
            let key = [&b"\x03com\x06"[..], format!("{number:06}").as_bytes()].concat();
            rules.push(&key, Payload::new(Class::Answer, listing + number % 3), None);
        }
        rules
    }

    #[test]
    fn a_wrong_table_is_found_and_told() {
        let (right, wrong) = (rules(1_000, 1), rules(1_000, 2));
        let table = DomainTable::compile_sorted(&right).unwrap();
        for seed in 0..12 {
            assert_eq!(first_wrong_name(&right, &table, seed), None);
            let found = first_wrong_name(&wrong, &table, seed).unwrap().to_string();
            assert!(found.contains(".com: the compiled table of domains says listing "), "{found}");
        }
        assert_eq!(first_wrong_name(&SortedRules::default(), &DomainTable::default(), 7), None);
    }

    #[test]
    fn a_round_is_bounded_and_rounds_differ() {
        let table = DomainTable::compile_sorted(&rules(10_000, 1)).unwrap();
        let first = names(&table, 1);
        assert_eq!(first.len(), MAX_NAMES);
        assert_eq!(first, names(&table, 1));
        assert_ne!(first, names(&table, 2));
        assert!(first.contains(&b"\x04test".to_vec()));
        assert_eq!(names(&DomainTable::default(), 1).len(), FIXED.len());
    }
}
