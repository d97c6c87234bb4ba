//! Rules as the builder takes them: each name once, in the order of their keys.

use super::{DomainRule, DomainTableError};
use crate::core::domain_keys::Keys;
use blackthorn_common::payload::Payload;
use std::ops::Range;

/// What is said of names, in the order of their keys: labels with their length octets, the highest first, in lower case.
#[derive(Clone, Debug, Default)]
pub struct SortedRules {
    octets: Vec<u8>,
    rules: Vec<SortedRule>,
}

/// What is said of one name.
#[derive(Clone, Copy, Debug)]
pub(super) struct SortedRule {
    start: usize,
    len: u8,
    /// Of the name itself; `None`: as its parents say.
    pub(super) name: Option<Payload>,
    /// Of the names below it; `None`: as its parents say.
    pub(super) below: Option<Payload>,
}

impl SortedRules {
    /// Sorts rules, and settles what several say of one name.
    pub(super) fn new(rules: &[DomainRule<'_>]) -> Result<Self, DomainTableError> {
        let octets = rules.iter().map(|rule| rule.name.len()).sum();
        let mut keys = Keys::with_capacity(rules.len(), octets);
        for (number, rule) in rules.iter().enumerate() {
            keys.push(rule.name).ok_or(DomainTableError::NotAName { number })?;
        }
        let mut sorted = Self { octets: Vec::with_capacity(octets), rules: Vec::with_capacity(rules.len()) };
        for group in keys.order().chunk_by(|a, b| keys.key(*a) == keys.key(*b)) {
            let Some(&first) = group.first() else { continue };
            let group = || group.iter().filter_map(|&number| rules.get(number as usize));
            // The lowest wins, and no payload is lower than that of an exclusion.
            let name = group().filter(|rule| rule.scope.has_name()).map(|rule| rule.payload).min();
            let below = group().filter(|rule| rule.scope.has_below()).map(|rule| rule.payload).min();
            sorted.push(keys.key(first), name, below);
        }
        Ok(sorted)
    }

    /// Appends what is said of a name, by its key, which comes after all before.
    pub fn push(&mut self, key: &[u8], name: Option<Payload>, below: Option<Payload>) {
        let last = self.rules.last().map(|rule| self.at(self.range(rule)));
        debug_assert!(last.is_none_or(|last| last < key), "keys are in order");
        // A key is as long as its name, below 255.
        self.rules.push(SortedRule { start: self.octets.len(), len: key.len() as u8, name, below });
        self.octets.extend_from_slice(key);
    }

    /// Every name by its key, with what is said of it and of those below it.
    pub fn words(&self) -> impl Iterator<Item = (&[u8], Option<Payload>, Option<Payload>)> {
        self.rules.iter().map(|rule| (self.at(self.range(rule)), rule.name, rule.below))
    }

    /// Number of names.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Number of names that are listed, or below which all are.
    pub fn listed(&self) -> usize {
        let listed = |payload: Option<Payload>| payload.is_some_and(Payload::is_listed);
        self.rules.iter().filter(|rule| listed(rule.name) || listed(rule.below)).count()
    }

    /// None?
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &SortedRule> {
        self.rules.iter()
    }

    /// Where the key of a rule lies.
    pub(super) fn range(&self, rule: &SortedRule) -> Range<usize> {
        rule.start..rule.start + usize::from(rule.len)
    }

    /// Octets of keys.
    pub(super) fn at(&self, range: Range<usize>) -> &[u8] {
        self.octets.get(range).unwrap_or_default()
    }
}
