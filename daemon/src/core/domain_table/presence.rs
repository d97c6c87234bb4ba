//! Presence: which names exist in a zone only because a listed name lies below them.
//!
//! `com` exists where `example.com` is listed, and must be answered NODATA (RFC 8020). Zones show different listings of
//! one table, so each has a presence of its own: a bit for each name with entries below it, of which there are few.

use super::record::{self, Record};
use super::{DomainTable, Found};
use crate::core::slab::Slab;
use blackthorn_common::payload::Payload;

const BITS: u32 = u32::BITS;

/// The names of a table with visible names below them: one bit each, 32 to a word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DomainPresence {
    words: Slab<u32>,
}

impl DomainPresence {
    /// Collects them for listings that are visible in a zone. Linear in the table.
    pub fn collect(table: &DomainTable, visible: impl Fn(Payload) -> bool) -> Self {
        let mut words = vec![0u32; (table.shape.branches as usize).div_ceil(BITS as usize)];
        let mut rest = table.records();
        while let Some((record, behind)) = Record::read(rest) {
            rest = behind;
            if [record.name, record.below].into_iter().flatten().any(|p| p.is_listed() && visible(p)) {
                mark_above(table, &mut words, record.parent);
            }
        }
        Self { words: words.into() }
    }

    /// Bits collected before, and kept.
    pub fn from_slab(words: Slab<u32>) -> Self {
        Self { words }
    }

    /// The bits, to keep them.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Is a visible name below the one that was found, at any depth? `visible` must be as it was for collecting.
    ///
    /// A subtree counts as having names at any depth; that 255 octets may leave no room for one is not looked at.
    pub fn exists_below(&self, found: &Found, visible: impl Fn(Payload) -> bool) -> bool {
        let marked = |branch: u32| {
            let word = self.words.get((branch / BITS) as usize).copied().unwrap_or(0);
            word >> (branch % BITS) & 1 == 1
        };
        found.below.is_listed() && visible(found.below) || found.branch.is_some_and(marked)
    }
}

/// Marks the record at `at` and all above it, up to one that is marked. Each step marks one, so there is no loop, even
/// when damaged bytes name a record as its own parent.
fn mark_above(table: &DomainTable, words: &mut [u32], mut at: u32) {
    loop {
        let (branch, parent) = if at == record::ROOT {
            (Some(0), None)
        } else {
            let octets = table.records().get(at as usize..).unwrap_or_default();
            let Some((record, _)) = Record::read(octets) else { return };
            (record.branch, Some(record.parent))
        };
        let Some(branch) = branch else { return };
        let Some(word) = words.get_mut((branch / BITS) as usize) else { return };
        let bit = 1 << (branch % BITS);
        if *word & bit != 0 {
            return;
        }
        *word |= bit;
        match parent {
            Some(parent) => at = parent,
            None => return,
        }
    }
}
