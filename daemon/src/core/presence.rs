//! Presence: which addresses a zone shows at all, as merged spans.
//!
//! A name above a listed address exists without having records, an empty non-terminal, and must be answered NODATA
//! (RFC 8020). Whether one exists is a question about a range of addresses, which the table cannot answer for the
//! view of one zone; sorted spans can, in one binary search.

use super::network::MAPPED;
use super::segment::{Segment, push_joined};
use super::slab::Slab;
use super::span::{Bits, Span};
use super::table::Table;
use blackthorn_common::payload::Payload;

/// The addresses visible in a zone: sorted, disjoint spans per family. 8 octets a span for IPv4, 32 for IPv6.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    v4: Slab<Span<u32>>,
    v6: Slab<Span<u128>>,
}

/// 127.0.0.1, which no zone may ever list (RFC 5782 section 5).
pub(super) const NEVER: u32 = 0x7f00_0001;

impl Presence {
    /// Collects the addresses of `table` whose listing is visible.
    pub(super) fn collect(table: &Table, visible: impl Fn(u32) -> bool) -> Self {
        let mut v4 = Vec::new();
        for span in joined(table.runs_v4(), &visible) {
            v4.extend(NEVER.pred().and_then(|end| Span::new(span.first, span.last.min(end))));
            v4.extend(NEVER.succ().and_then(|next| Span::new(span.first.max(next), span.last)));
        }
        Self { v4: v4.into(), v6: joined(table.runs_v6(), &visible).into() }
    }

    /// Spans collected before, and kept.
    pub(super) fn from_slabs(v4: Slab<Span<u32>>, v6: Slab<Span<u128>>) -> Self {
        Self { v4, v6 }
    }

    /// The visible IPv4 addresses.
    pub(super) fn v4(&self) -> &[Span<u32>] {
        &self.v4
    }

    /// The visible IPv6 addresses.
    pub(super) fn v6(&self) -> &[Span<u128>] {
        &self.v6
    }

    /// Is any address of the span visible?
    pub fn any_v4(&self, span: Span<u32>) -> bool {
        any_in(&self.v4, span)
    }

    /// Is any address of the span visible, IPv4 ones in their place under `::ffff:0:0/96` included?
    pub fn any_v6(&self, span: Span<u128>) -> bool {
        any_in(&self.v6, span) || mapped_part(span).is_some_and(|v4| self.any_v4(v4))
    }
}

/// The IPv4 addresses whose mapped form lies in `span`.
fn mapped_part(span: Span<u128>) -> Option<Span<u32>> {
    let part = Span::new(span.first.max(MAPPED.first), span.last.min(MAPPED.last))?;
    let host = |v6: u128| u32::try_from(v6 - MAPPED.first).ok();
    Span::new(host(part.first)?, host(part.last)?)
}

fn joined<A: Bits>(
    runs: impl Iterator<Item = Segment<A, Payload>>,
    visible: impl Fn(u32) -> bool,
) -> Vec<Span<A>> {
    let mut out = Vec::new();
    for segment in runs.filter(|s| visible(s.label.listing())) {
        push_joined(&mut out, segment.span, ());
    }
    out.into_iter().map(|s| s.span).collect()
}

fn any_in<A: Bits>(spans: &[Span<A>], asked: Span<A>) -> bool {
    let from = spans.partition_point(|s| s.last < asked.first);
    spans.get(from).is_some_and(|s| s.first <= asked.last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use blackthorn_common::payload::Class;

    fn presence(v4: &[(u32, u32, u32)], v6: &[(u128, u128, u32)]) -> Presence {
        fn segments<A: Bits>(spans: &[(A, A, u32)]) -> Vec<Segment<A, Payload>> {
            let segment = |&(first, last, listing)| Segment {
                span: Span::new(first, last).unwrap(),
                label: Payload::new(Class::Answer, listing).unwrap(),
            };
            spans.iter().map(segment).collect()
        }
        Presence::collect(&Table::compile(&segments(v4), &segments(v6)).unwrap(), |listing| listing != 9)
    }

    #[test]
    fn joins_what_is_visible_and_leaves_the_rest() {
        let found = presence(&[(1, 2, 1), (3, 4, 2), (6, 7, 9), (8, 9, 1)], &[]);
        assert_eq!(*found.v4, [Span { first: 1, last: 4 }, Span { first: 8, last: 9 }]);
        assert!(found.any_v4(Span { first: 0, last: 1 }));
        assert!(!found.any_v4(Span { first: 5, last: 7 }));
    }

    #[test]
    fn loopback_one_is_cut_out() {
        let found = presence(&[(0x7f00_0000, 0x7fff_ffff, 1)], &[]);
        assert!(!found.any_v4(Span::host(0x7f00_0001)));
        assert!(found.any_v4(Span::host(0x7f00_0000)) && found.any_v4(Span::host(0x7f00_0002)));
        assert!(presence(&[(NEVER, NEVER, 1)], &[]).v4.is_empty());
        assert_eq!(presence(&[(0, u32::MAX, 1)], &[]).v4.len(), 2);
    }

    #[test]
    fn ipv4_is_present_in_mapped_space() {
        let found = presence(&[(0xc000_0200, 0xc000_02ff, 1)], &[]);
        let mapped = |v4: u32, len| Span::prefix(MAPPED.first | u128::from(v4), len);
        assert!(found.any_v6(Span::ALL) && found.any_v6(mapped(0, 96)));
        assert!(found.any_v6(mapped(0xc000_0000, 104)) && found.any_v6(mapped(0xc000_0240, 124)));
        assert!(!found.any_v6(mapped(0xc100_0000, 104)) && !found.any_v6(Span::prefix(1 << 127, 1)));
    }
}
