//! Cuts segments at slot borders: a part of the address space becomes runs of whole slots with one payload, and single
//! slots that hold more than one.

use crate::core::segment::Segment;
use crate::core::span::{Bits, Span};
use blackthorn_common::payload::Payload;

/// One or more neighbouring slots.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a, A> {
    /// The addresses of these slots.
    pub(super) span: Span<A>,
    /// What is in them.
    pub(super) content: Content<'a, A>,
}

/// What slots hold.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a, A> {
    /// Every address of every slot has this payload.
    Same(Payload),
    /// One slot with several payloads.
    Mixed(Mixed<'a, A>),
}

/// A slot that holds several payloads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mixed<'a, A> {
    /// The slot.
    pub(super) span: Span<A>,
    /// The segments that reach into it, the outer ones perhaps beyond it.
    pub(super) segments: &'a [Segment<A, Payload>],
}

impl<A: Bits> Mixed<'_, A> {
    /// The payloads of the lowest and the highest address.
    pub(super) fn edges(&self) -> [Payload; 2] {
        let label = |segment: Option<&Segment<A, Payload>>, address| {
            segment.filter(|s| s.span.contains(address)).map_or(Payload::NONE, |s| s.label)
        };
        [label(self.segments.first(), self.span.first), label(self.segments.last(), self.span.last)]
    }

    /// The runs of addresses with another payload than `default`, in order.
    pub(super) fn others(&self, default: Payload) -> impl Iterator<Item = Segment<A, Payload>> {
        Parts { next: Some(self.span.first), last: self.span.last, segments: self.segments }
            .filter(move |part| part.label != default)
    }

    /// The only run of addresses with another payload than `default`, if there is just one.
    pub(super) fn lone(&self, default: Payload) -> Option<Segment<A, Payload>> {
        // One run with a neighbour on both sides is three segments; more are not worth a look.
        if self.segments.len() > 3 {
            return None;
        }
        let mut others = self.others(default);
        let lone = others.next()?;
        others.next().is_none().then_some(lone)
    }
}

/// Iterator over the pieces of a span, in address order and without gaps.
pub(super) struct Pieces<'a, A> {
    next: Option<A>,
    last: A,
    slot_len: u8,
    segments: &'a [Segment<A, Payload>],
}

impl<'a, A: Bits> Pieces<'a, A> {
    /// The pieces of `span`, whose slots are prefixes of `slot_len` bits; `segments` are all those that reach into it.
    pub(super) fn new(span: Span<A>, slot_len: u8, segments: &'a [Segment<A, Payload>]) -> Self {
        Self { next: Some(span.first), last: span.last, slot_len, segments }
    }

    /// The piece from `first` to `last`, both on slot borders.
    fn piece(&mut self, first: A, last: A, content: Content<'a, A>) -> Piece<'a, A> {
        self.next = if last < self.last { last.succ() } else { None };
        Piece { span: Span { first, last }, content }
    }
}

impl<'a, A: Bits> Iterator for Pieces<'a, A> {
    type Item = Piece<'a, A>;

    fn next(&mut self) -> Option<Piece<'a, A>> {
        let first = self.next?;
        let Some(segment) = self.segments.first() else {
            return Some(self.piece(first, self.last, Content::Same(Payload::NONE)));
        };
        let slot = Span::prefix(segment.span.first.max(first), self.slot_len);
        if let Some(before) = slot.first.pred().filter(|&before| first <= before) {
            return Some(self.piece(first, before, Content::Same(Payload::NONE)));
        }
        if segment.span.first <= first && slot.last <= segment.span.last {
            // Up to the last slot that is covered whole.
            let end = segment.span.last.min(self.last);
            let last_slot = Span::prefix(end, self.slot_len);
            let last = if last_slot.last == end { end } else { last_slot.first.pred().unwrap_or(end) };
            if last == segment.span.last {
                self.segments = &self.segments[1..];
            }
            return Some(self.piece(first, last, Content::Same(segment.label)));
        }
        let reach = self.segments.iter().take_while(|s| s.span.first <= slot.last).count();
        let (inside, behind) = self.segments.split_at(reach);
        let continues = inside.last().is_some_and(|s| s.span.last > slot.last);
        self.segments = if continues { &self.segments[reach - 1..] } else { behind };
        Some(self.piece(slot.first, slot.last, Content::Mixed(Mixed { span: slot, segments: inside })))
    }
}

/// Iterator over a span as segments without gaps: what is not listed comes as [`Payload::NONE`].
struct Parts<'a, A> {
    next: Option<A>,
    last: A,
    segments: &'a [Segment<A, Payload>],
}

impl<A: Bits> Iterator for Parts<'_, A> {
    type Item = Segment<A, Payload>;

    fn next(&mut self) -> Option<Segment<A, Payload>> {
        let first = self.next?;
        let (last, label) = match self.segments.first() {
            None => (self.last, Payload::NONE),
            Some(segment) if segment.span.first > first => {
                (segment.span.first.pred().unwrap_or(first), Payload::NONE)
            }
            Some(segment) => {
                self.segments = &self.segments[1..];
                (segment.span.last.min(self.last), segment.label)
            }
        };
        self.next = if last < self.last { last.succ() } else { None };
        Some(Segment { span: Span { first, last }, label })
    }
}
