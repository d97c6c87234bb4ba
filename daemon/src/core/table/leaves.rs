//! Leaves: what can be said of a slot with several payloads without a node below it.
//!
//! IPv4 has two forms, one address besides the default within the slot word, and a list of all that is listed in the
//! slot; IPv6 has records of all that differs from the default. Lists and records never take more than a line, which is
//! what a node takes at least.

use super::arena::{Arena, Full};
use super::pieces::Mixed;
use crate::core::span::{Bits, Span};
use blackthorn_common::layout::{
    ALIKE, LINE_RECORDS, LIST_ENTRIES, MORE, NODE_WORDS, Slot, entry, list_words, record_words,
};
use blackthorn_common::payload::Payload;

/// What the families differ in.
pub(super) trait Leaf: Bits {
    /// The slot for `mixed` in a node or root with this default, its prefixes being `slot_len` bits long; `None` when
    /// it takes a node.
    fn leaf(
        arena: &mut Arena,
        mixed: &Mixed<'_, Self>,
        slot_len: u8,
        default: Payload,
    ) -> Result<Option<Slot>, Full>;

    /// Does `mixed` need nothing but its slot, or a leaf instead of a node, because the default is this one?
    fn saved_by(mixed: &Mixed<'_, Self>, slot_len: u8, default: Payload) -> bool;
}

impl Leaf for u32 {
    fn leaf(
        arena: &mut Arena,
        mixed: &Mixed<'_, Self>,
        slot_len: u8,
        default: Payload,
    ) -> Result<Option<Slot>, Full> {
        if let Some(host) = lone_host(mixed, slot_len, default) {
            return Ok(Some(host));
        }
        list(mixed).map(|line| Ok(Slot::list(arena.store(line.words())?))).transpose()
    }

    fn saved_by(mixed: &Mixed<'_, Self>, slot_len: u8, default: Payload) -> bool {
        lone_host(mixed, slot_len, default).is_some()
    }
}

impl Leaf for u128 {
    fn leaf(
        arena: &mut Arena,
        mixed: &Mixed<'_, Self>,
        _: u8,
        default: Payload,
    ) -> Result<Option<Slot>, Full> {
        records(mixed, default).map(|line| Ok(Slot::records(arena.store(line.words())?))).transpose()
    }

    fn saved_by(mixed: &Mixed<'_, Self>, _: u8, default: Payload) -> bool {
        records(mixed, default).is_some()
    }
}

/// At most a line of words.
#[derive(Default)]
struct Line {
    words: [u32; NODE_WORDS as usize],
    len: usize,
}

impl Line {
    fn words(&self) -> &[u32] {
        &self.words[..self.len]
    }

    /// Appends `words`; `None` when the line is full.
    fn push(&mut self, words: &[u32]) -> Option<()> {
        let end = self.len + words.len();
        self.words.get_mut(self.len..end)?.copy_from_slice(words);
        self.len = end;
        Some(())
    }
}

/// The slot of a /24 in which one address differs from the default.
fn lone_host(mixed: &Mixed<'_, u32>, slot_len: u8, default: Payload) -> Option<Slot> {
    let lone = mixed.lone(default).filter(|lone| slot_len == 24 && lone.span.first == lone.span.last)?;
    Some(Slot::host(lone.span.first as u8, lone.label))
}

/// The list of a slot of a /16 or /24, see [`blackthorn_common::layout::Node::listed`].
fn list(mixed: &Mixed<'_, u32>) -> Option<Line> {
    const MOST: usize = LIST_ENTRIES as usize;
    // Each listed segment is at least one entry; holes may be spelled out in between.
    if mixed.segments.len() > 2 * MOST + 1 {
        return None;
    }
    let (mut halves, mut entries) = ([0; MOST], [0; MOST]);
    let mut count = 0;
    for run in mixed.others(Payload::NONE) {
        for (first, len) in run.span.prefixes() {
            *halves.get_mut(count)? = first & 0xffff;
            *entries.get_mut(count)? = entry(u32::WIDTH - len, run.label);
            count += 1;
        }
    }
    let entries = &entries[..count];
    let alike = entries.iter().all(|word| word == &entries[0]);
    // At most LIST_ENTRIES.
    let head = count as u32 | if alike { ALIKE } else { 0 };
    if list_words(count as u32, alike) > NODE_WORDS {
        return None;
    }
    let mut line = Line { len: count / 2 + 1, ..Line::default() };
    for (place, half) in std::iter::once(&head).chain(&halves[..count]).enumerate() {
        line.words[place / 2] |= half << (place % 2 * 16);
    }
    line.push(if alike { entries.get(..1).unwrap_or(&[0]) } else { entries })?;
    Some(line)
}

/// The records of a slot, see [`blackthorn_common::layout::Node::recorded`].
fn records(mixed: &Mixed<'_, u128>, default: Payload) -> Option<Line> {
    // As many records, and what lies between and beside them.
    if mixed.segments.len() > 2 * LINE_RECORDS as usize + 1 {
        return None;
    }
    let mut line = Line::default();
    let mut last = None;
    for run in mixed.others(default) {
        let host_bits = host_bits(run.span)?;
        if let Some(last) = last.replace(line.len) {
            line.words[last] |= MORE;
        }
        let first = run.span.first;
        let [upper, lower] = [(first >> 64) as u64, first as u64];
        let words = [
            entry(host_bits, run.label),
            upper as u32,
            (upper >> 32) as u32,
            lower as u32,
            (lower >> 32) as u32,
        ];
        line.push(&words[..record_words(host_bits.into()) as usize])?;
    }
    // None at all, from holes that were spelled out: a record of nothing says the same.
    last.or_else(|| line.push(&[entry(0, default), 0, 0, 0, 0]).map(|()| 0)).map(|_| line)
}

/// Host bits of a span, if it is one prefix. Its ends differ in all of its low bits and in no other.
fn host_bits(span: Span<u128>) -> Option<u8> {
    let hosts = span.first ^ span.last;
    let is_prefix = hosts & hosts.wrapping_add(1) == 0 && span.first & hosts == 0;
    // At most 112: the root has decided 16 bits.
    is_prefix.then_some(hosts.count_ones() as u8)
}
