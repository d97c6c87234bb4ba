//! Lookup in the table image: the one function pair that daemon and kernel program both run.
//!
//! Total by construction: an image of arbitrary words gives some answer, never a panic, an endless loop or a read
//! outside. A reference that leads nowhere means "not listed", so a damaged image lets packets pass.
//!
//! Written for the verifier as well: no helper but the two accessors, a constant bound on the one loop, and no
//! `Option` of a plain number, because the payload of its `None` would be an undefined register.

use crate::layout::{NODE_WORDS, Node, Slot, V4_ROOT, V6_LEVELS, V6_ROOT};
use crate::payload::Payload;

/// Where an image lies: one slice in the daemon, chunks of a map in the kernel.
pub trait Image {
    /// Word `number`, or `None` outside the image.
    fn word(&self, number: u32) -> Option<&u32>;
    /// Words `16 * number` to `16 * number + 15`, or `None` unless all of them are inside the image.
    fn node(&self, number: u32) -> Option<&Node>;
}

/// What the image says of an IPv4 address.
#[inline(always)]
pub fn lookup_v4<I: Image>(image: &I, address: u32) -> Payload {
    let [_, _, third, fourth] = address.to_be_bytes();
    let mut slot = slot(image, V4_ROOT + (address >> 16));
    if slot.is_child() {
        let Some(node) = image.node(slot.child_number()) else { return Payload::NONE };
        slot = below(image, node, third);
        if slot.is_one() && slot.host_octet() != fourth {
            return node.default().payload();
        }
        if slot.is_child() {
            let Some(node) = image.node(slot.child_number()) else { return Payload::NONE };
            slot = below(image, node, fourth);
            if slot.is_child() || slot.is_list() {
                return Payload::NONE;
            }
        }
    }
    if !slot.is_list() {
        return slot.payload();
    }
    // Where most packets end. A map lookup costs the kernel more than a wrong guess.
    if cfg!(target_arch = "bpf") && slot == Slot::NO_LIST {
        return Payload::NONE;
    }
    let at = slot.word_number();
    let Some(line) = image.node(at / NODE_WORDS) else { return Payload::NONE };
    line.listed(at % NODE_WORDS, address & 0xffff)
}

/// What the image says of an IPv6 address, given as its upper and lower half.
///
/// IPv4-mapped addresses are the caller's: they have to be looked up as IPv4.
#[inline(always)]
pub fn lookup_v6<I: Image>(image: &I, hi: u64, lo: u64) -> Payload {
    let mut slot = slot(image, V6_ROOT + (hi >> 48) as u32);
    let mut default = Slot::EMPTY;
    let mut bits = hi << 16;
    let mut level = 0;
    while level < V6_LEVELS && slot.is_child() {
        let Some(node) = image.node(slot.child_number()) else { return Payload::NONE };
        slot = below(image, node, (bits >> 56) as u8);
        default = node.default();
        level += 1;
        // Six levels use up the upper half.
        bits = if level == 6 { lo } else { bits << 8 };
    }
    if slot.is_one() {
        let at = slot.word_number();
        let Some(line) = image.node(at / NODE_WORDS) else { return Payload::NONE };
        return line.recorded(at % NODE_WORDS, hi, lo, default.payload());
    }
    if slot.is_child() { Payload::NONE } else { slot.payload() }
}

/// The slot in word `number`.
#[inline(always)]
fn slot<I: Image>(image: &I, number: u32) -> Slot {
    match image.word(number) {
        Some(&word) => Slot::from_word(word),
        None => Slot::EMPTY,
    }
}

/// The slot that `node` has for `octet`.
#[inline(always)]
fn below<I: Image>(image: &I, node: &Node, octet: u8) -> Slot {
    match node.slot_at(octet) {
        0 => node.default(),
        number => slot(image, number),
    }
}

/// An image in ordinary memory.
///
/// Any words will do. For speed they should begin on a 64-byte boundary, so that a node is one cache line.
#[derive(Clone, Copy, Debug)]
pub struct WordSlice<'a>(pub &'a [u32]);

impl Image for WordSlice<'_> {
    #[inline(always)]
    fn word(&self, number: u32) -> Option<&u32> {
        self.0.get(number as usize)
    }

    #[inline(always)]
    fn node(&self, number: u32) -> Option<&Node> {
        let first = (number as usize).checked_mul(NODE_WORDS as usize)?;
        self.0.get(first..)?.first_chunk().map(Node::from_words)
    }
}
