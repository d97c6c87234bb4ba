//! Compiles segments into an image, top down: each node is laid out when it is reached, then its children.
//!
//! Segments are sorted and disjoint, so every level is one pass over its part of them. Recursion ends at the width of
//! an address: 2 levels of nodes for IPv4, 14 for IPv6.

use super::arena::{Arena, Full, Line, words_mut};
use super::leaves::Leaf;
use super::pieces::{Content, Mixed, Piece, Pieces};
use crate::core::segment::Segment;
use crate::core::span::Span;
use blackthorn_common::layout::{
    FIRST_NODE, INLINE_AT, INLINE_SLOTS, NODE_WORDS, Node, ROOT_SLOTS, Slot, V4_ROOT, V6_ROOT, checksum,
    header,
};
use blackthorn_common::payload::Payload;

/// Address bits a root slot stands for.
const ROOT_BITS: u8 = 16;
/// Address bits a node decides.
const NODE_BITS: u8 = 8;
/// What a child node costs, in slots.
const CHILD_COST: u32 = NODE_WORDS;

/// The image of sorted, disjoint segments.
pub(super) fn build(
    v4: &[Segment<u32, Payload>],
    v6: &[Segment<u128, Payload>],
    limit: u32,
) -> Result<Vec<Line>, Full> {
    let mut builder = Builder { arena: blank(limit), votes: Vec::new() };
    builder.root(V4_ROOT, v4)?;
    builder.root(V6_ROOT, v6)?;
    Ok(seal(builder.arena.finish(), v4.len(), v6.len()))
}

/// The image that lists nothing.
pub(super) fn empty() -> Vec<Line> {
    seal(blank(0).finish(), 0, 0)
}

/// Header and roots of an image that lists nothing, which may grow to `limit` words.
fn blank(limit: u32) -> Arena {
    let mut arena = Arena::new(FIRST_NODE, limit);
    arena.words()[V4_ROOT as usize..][..ROOT_SLOTS as usize].fill(Slot::NO_LIST.word());
    arena
}

/// Writes the header.
fn seal(mut image: Vec<Line>, v4: usize, v6: usize) -> Vec<Line> {
    let words = words_mut(&mut image);
    for (at, value) in [
        (header::AT_MAGIC, header::MAGIC),
        (header::AT_VERSION, header::VERSION),
        (header::AT_ENDIAN, header::ENDIAN),
        (header::AT_WORDS, words.len() as u32),
        (header::AT_V4_SEGMENTS, v4 as u32),
        (header::AT_V6_SEGMENTS, v6 as u32),
        (header::AT_V4_ROOT, V4_ROOT),
        (header::AT_V6_ROOT, V6_ROOT),
        (header::AT_LINES, FIRST_NODE * NODE_WORDS),
    ] {
        words[at as usize] = value;
    }
    let sum = checksum(&words[header::SUMMED_FROM as usize..]);
    let at = header::AT_CHECKSUM as usize;
    words[at] = sum as u32;
    words[at + 1] = (sum >> 32) as u32;
    image
}

/// What the families differ in.
trait Family: Leaf {
    /// The `count` bits (at most 16) behind the first `from` bits.
    fn bits(self, from: u8, count: u8) -> usize;
}

impl Family for u32 {
    fn bits(self, from: u8, count: u8) -> usize {
        (self << from >> (32 - count)) as usize
    }
}

impl Family for u128 {
    fn bits(self, from: u8, count: u8) -> usize {
        (self << from >> (128 - count)) as usize
    }
}

struct Builder {
    arena: Arena,
    /// Scratch of [`Builder::default_of`].
    votes: Vec<(Payload, u32)>,
}

impl Builder {
    /// Fills the root at word `at`.
    fn root<A: Family>(&mut self, at: u32, segments: &[Segment<A, Payload>]) -> Result<(), Full> {
        for piece in Pieces::new(Span::ALL, ROOT_BITS, segments) {
            let slot = self.slot(&piece, ROOT_BITS, Payload::NONE)?;
            if slot != Slot::EMPTY {
                let [first, last] = slots_of(&piece, ROOT_BITS, ROOT_BITS);
                self.arena.words()[at as usize + first..=at as usize + last].fill(slot.word());
            }
        }
        Ok(())
    }

    /// Lays out the node whose slots are prefixes of `slot_len` bits, and everything below it; returns its number.
    fn node<A: Family>(&mut self, part: &Mixed<'_, A>, slot_len: u8) -> Result<u32, Full> {
        let pieces: Vec<_> = Pieces::new(part.span, slot_len, part.segments).collect();
        let default = self.default_of(&pieces, slot_len);
        let is_default = |piece: &Piece<'_, A>| matches!(piece.content, Content::Same(p) if p == default);

        // Either a slot for each that differs from the default, or one for each run behind the first default run.
        let slots = pieces.iter().filter(|p| !is_default(p)).map(|p| count(p, slot_len)).sum::<u32>();
        let runs = pieces.iter().skip_while(|p| is_default(p)).count() as u32;
        let by_runs = runs < slots;
        let len = slots.min(runs);

        let number = self.arena.node()?;
        let array = match len {
            0..=INLINE_SLOTS => number * NODE_WORDS + INLINE_AT,
            _ => self.arena.array(len)?,
        };
        let mut map = [0; 4];
        let mut put = array as usize;
        for piece in pieces.iter().skip_while(|p| is_default(p)) {
            if !by_runs && is_default(piece) {
                continue;
            }
            let slot = self.slot(piece, slot_len, default)?;
            let [first, last] = slots_of(piece, slot_len, NODE_BITS);
            let last = if by_runs { first } else { last };
            for octet in first..=last {
                map[octet / 64] |= 1u64 << (octet % 64);
                self.arena.words()[put] = slot.word();
                put += 1;
            }
        }
        let flags = if by_runs { Node::RUNS } else { 0 };
        let head = Node::head(map, array | flags, Slot::leaf(default));
        let at = (number * NODE_WORDS) as usize;
        self.arena.words()[at..at + head.len()].copy_from_slice(&head);
        Ok(number)
    }

    /// The slot for `piece` in a node or root with this default.
    fn slot<A: Family>(
        &mut self,
        piece: &Piece<'_, A>,
        slot_len: u8,
        default: Payload,
    ) -> Result<Slot, Full> {
        let mixed = match piece.content {
            Content::Same(payload) => return Ok(Slot::leaf(payload)),
            Content::Mixed(mixed) => mixed,
        };
        match A::leaf(&mut self.arena, &mixed, slot_len, default)? {
            Some(slot) => Ok(slot),
            None => self.node(&mixed, slot_len + NODE_BITS).map(Slot::child),
        }
    }

    /// The payload that saves most as the default of a node: it saves its slots, and the child nodes of those slots
    /// that can do without one because of it. The lowest wins a tie.
    fn default_of<A: Family>(&mut self, pieces: &[Piece<'_, A>], slot_len: u8) -> Payload {
        self.votes.clear();
        for piece in pieces {
            match piece.content {
                Content::Same(payload) => vote(&mut self.votes, payload, count(piece, slot_len)),
                Content::Mixed(mixed) => {
                    let [low, high] = mixed.edges();
                    let saves = |default| A::saved_by(&mixed, slot_len, default);
                    if saves(low) {
                        vote(&mut self.votes, low, CHILD_COST);
                    }
                    if high != low && saves(high) {
                        vote(&mut self.votes, high, CHILD_COST);
                    }
                }
            }
        }
        let best = self.votes.iter().max_by_key(|(payload, weight)| (weight, std::cmp::Reverse(payload)));
        best.map_or(Payload::NONE, |&(payload, _)| payload)
    }
}

fn vote(votes: &mut Vec<(Payload, u32)>, payload: Payload, weight: u32) {
    match votes.iter_mut().find(|(voted, _)| *voted == payload) {
        Some((_, sum)) => *sum += weight,
        None => votes.push((payload, weight)),
    }
}

/// First and last slot of `piece`, by the `bits` bits that end at `slot_len`.
fn slots_of<A: Family>(piece: &Piece<'_, A>, slot_len: u8, bits: u8) -> [usize; 2] {
    [piece.span.first, piece.span.last].map(|address| address.bits(slot_len - bits, bits))
}

/// Number of slots of `piece` in a node.
fn count<A: Family>(piece: &Piece<'_, A>, slot_len: u8) -> u32 {
    let [first, last] = slots_of(piece, slot_len, NODE_BITS);
    (last - first + 1) as u32
}
