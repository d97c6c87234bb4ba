//! Segments: disjoint, labelled runs of addresses, the output of flatten and merge.

use super::span::{Bits, Span};

/// A run of addresses with one label. In a slice of segments they are sorted and never overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Segment<A, L> {
    /// The addresses.
    pub span: Span<A>,
    /// What is said of them: a feed's value, a payload, a listing id.
    pub label: L,
}

/// Appends a segment, growing the last one when it touches and carries the same label.
pub fn push_joined<A: Bits, L: PartialEq>(out: &mut Vec<Segment<A, L>>, span: Span<A>, label: L) {
    match out.last_mut() {
        Some(last) if last.label == label && last.span.last.succ() == Some(span.first) => {
            last.span.last = span.last;
        }
        _ => out.push(Segment { span, label }),
    }
}

/// The segment that holds `address`, by binary search.
pub fn find_segment<A: Bits, L>(segments: &[Segment<A, L>], address: A) -> Option<&Segment<A, L>> {
    let after = segments.partition_point(|s| s.span.first <= address);
    segments.get(after.checked_sub(1)?).filter(|segment| segment.span.contains(address))
}

/// Label of the segment that holds `address`, by binary search.
pub fn find<A: Bits, L: Copy>(segments: &[Segment<A, L>], address: A) -> Option<L> {
    find_segment(segments, address).map(|segment| segment.label)
}

/// Does any segment share an address with `span`?
pub fn any_in<A: Bits, L>(segments: &[Segment<A, L>], span: Span<A>) -> bool {
    let from = segments.partition_point(|s| s.span.last < span.first);
    segments.get(from).is_some_and(|s| s.span.first <= span.last)
}
