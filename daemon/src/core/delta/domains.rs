//! Names two generations say differently: those with something said of them on either side, each counted once, as itself
//! or, if only the names below it changed, for those.

use super::{Change, Compared, Counts, Delta, Example, FamilyCounts, Pair, members};
use crate::core::domain::{Scope, labels, pattern};
use crate::core::domain_table::{DomainTable, Found, TableName};
use std::collections::BinaryHeap;

impl Compared<'_> {
    /// Counts the names that changed, and names those highest up. Time is that of looking up every name of both sides.
    pub(super) fn names(&mut self, delta: &mut Delta, examples: usize) -> Vec<Example> {
        let (old, new) = (self.old.domains, self.new.domains);
        let mut highest = Highest { most: examples, heap: BinaryHeap::new() };
        old.each_name(|name| self.name(name, delta, &mut highest));
        new.each_name(|name| {
            // The others have been compared.
            if !old.has_word(top_down(name.wire)) {
                self.name(name, delta, &mut highest);
            }
        });
        let highest = highest.heap.into_sorted_vec().into_iter();
        let example = |High { wire, scope, pair, change, .. }| {
            let side = match change {
                Change::Removed => members(self.old, pair.0),
                Change::Added | Change::Changed => members(self.new, pair.1),
            };
            let feeds = side.keys().map(|feed| (*feed).to_owned()).collect();
            Example { network: pattern(&wire, scope), change, feeds }
        };
        highest.map(example).collect()
    }

    fn name(&mut self, name: TableName<'_>, delta: &mut Delta, highest: &mut Highest) {
        let (old, new) = (find(self.old.domains, name.wire), find(self.new.domains, name.wire));
        let (itself, below) = ((old.payload, new.payload), (old.below, new.below));
        let below_changed = self.effect(below).change;
        let itself_changed = self.effect(itself).change;
        let (pair, change, scope) = match (itself_changed, below_changed) {
            (Some(change), Some(same)) if change == same => (itself, change, Scope::Subtree),
            (Some(change), _) => (itself, change, Scope::Exact),
            (None, Some(change)) => (below, change, Scope::Below),
            (None, None) => return,
        };
        let counts: fn(&mut FamilyCounts) -> &mut Counts = |counts| &mut counts.names;
        self.effect(pair).count(change, 1, delta, counts);
        highest.take(name.wire, scope, pair, change);
    }
}

/// Labels of a name in wire form, the highest first.
fn top_down(wire: &[u8]) -> Vec<&[u8]> {
    let mut labels: Vec<&[u8]> = labels(wire).into_iter().flatten().collect();
    labels.reverse();
    labels
}

fn find(table: &DomainTable, wire: &[u8]) -> Found {
    table.find_labels(top_down(wire))
}

/// A name that changed, and how. The one with the fewest labels is the least.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct High {
    labels: usize,
    wire: Vec<u8>,
    scope: Scope,
    change: Change,
    pair: Pair,
}

/// The names highest up so far; the heap gives up its deepest first.
struct Highest {
    most: usize,
    heap: BinaryHeap<High>,
}

impl Highest {
    fn take(&mut self, wire: &[u8], scope: Scope, pair: Pair, change: Change) {
        let labels = labels(wire).map_or(0, Iterator::count);
        let has_room = self.heap.len() < self.most;
        let deepest =
            || self.heap.peek().is_some_and(|deepest| (labels, wire) < (deepest.labels, &deepest.wire[..]));
        if !has_room && !deepest() {
            return;
        }
        self.heap.push(High { labels, wire: wire.to_vec(), scope, change, pair });
        if !has_room {
            self.heap.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::delta;
    use super::*;
    use crate::core::entry::FeedId;
    use crate::core::fixture::generation_of;

    fn compared(old: &[(u16, &str)], new: &[(u16, &str)], examples: usize) -> Delta {
        let ids = ["one", "two"].map(|id| FeedId::new(id).unwrap());
        let (old, new) = (generation_of(&[], &[], old), generation_of(&[], &[], new));
        delta(old.side(&ids), new.side(&ids), examples)
    }

    fn shown(delta: &Delta) -> Vec<String> {
        delta.names.iter().map(|e| format!("{:?} {} {}", e.change, e.network, e.feeds.join("+"))).collect()
    }

    fn counts(counts: Counts) -> (u128, u128, u128) {
        (counts.added, counts.removed, counts.changed)
    }

    #[test]
    fn names_come_go_and_change() {
        let old =
            [(0, ".example.com"), (1, "www.example.com"), (0, "gone.example.net"), (1, "*.example.org")];
        let new = [(0, ".example.com"), (1, ".example.com"), (1, "new.example.net"), (1, ".example.org")];
        let delta = compared(&old, &new, 9);
        assert_eq!(
            shown(&delta),
            [
                "Changed .example.com one+two",
                "Added example.org two",
                "Added new.example.net two",
                // It had a word of its own for the name alone; below it only one feed was in force.
                "Changed *.www.example.com one+two",
                "Removed gone.example.net one",
            ]
        );
        assert_eq!(counts(delta.addresses.names), (2, 1, 2));
        assert_eq!(counts(delta.feeds["one"].names), (0, 1, 0));
        assert_eq!(counts(delta.feeds["two"].names), (4, 0, 0));
        assert!(delta.addresses.v4.is_empty() && !delta.is_empty());
        assert_eq!(
            shown(&compared(&old, &new, 2)),
            ["Changed .example.com one+two", "Added example.org two"]
        );
        assert!(compared(&old, &old, 9).is_empty());
        // Feeds are known by their names, not by their numbers.
        let ids = |ids: [&str; 2]| ids.map(|id| FeedId::new(id).unwrap());
        let (a, b) =
            (generation_of(&[], &[], &[(0, "a.example")]), generation_of(&[], &[], &[(1, "a.example")]));
        assert!(super::super::delta(a.side(&ids(["x", "y"])), b.side(&ids(["y", "x"])), 9).is_empty());
    }
}
