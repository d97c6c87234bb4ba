//! Runs: the image read back in address order, as the joined segments it stands for.
//!
//! A walk over the trie with its place in it kept on a stack, so that two images can be walked side by side. It agrees
//! with the lookup on every image, also a damaged one, as long as its budget lasts: a tree has no node twice, so a walk
//! that enters more nodes than there are is in a circle, and what it meets from then on counts as not listed.

use crate::core::segment::Segment;
use crate::core::span::{Bits, Span};
use blackthorn_common::layout::{
    ALIKE, LINE_RECORDS, MORE, NODE_WORDS, Node, ROOT_SLOTS, Slot, V4_ROOT, V6_LEVELS, V6_ROOT, record_words,
};
use blackthorn_common::payload::Payload;

const LINE: usize = NODE_WORDS as usize;
/// Address bits a root slot stands for, and bits a node decides.
const ROOT_BITS: u8 = 16;
const NODE_BITS: u8 = 8;
/// Slots of a node.
const NODE_SLOTS: u16 = 256;

/// What the families differ in.
pub trait Family: Bits {
    /// Word number of the root.
    const ROOT: u32;
    /// Most nodes on the way to an address.
    const LEVELS: usize;

    /// `octets << shift`.
    fn place(octets: u32, shift: u8) -> Self;

    /// Takes apart a slot that [`Slot::is_list`] or [`Slot::is_one`], met behind `levels` nodes, the last with this
    /// default: puts its parts on `parts`, the lowest last. `None`: nothing can be read there, not listed.
    fn take_apart(
        image: &[u32],
        slot: Slot,
        whole: Span<Self>,
        levels: usize,
        default: Payload,
        parts: &mut Vec<Segment<Self, Payload>>,
    ) -> Option<()>;
}

impl Family for u32 {
    const ROOT: u32 = V4_ROOT;
    const LEVELS: usize = 2;

    fn place(octets: u32, shift: u8) -> Self {
        octets << shift
    }

    fn take_apart(
        image: &[u32],
        slot: Slot,
        whole: Span<Self>,
        levels: usize,
        default: Payload,
        parts: &mut Vec<Segment<Self, Payload>>,
    ) -> Option<()> {
        if slot.is_list() {
            // Behind the last octet there is nothing left to list.
            let words = line(image, slot.word_number() / NODE_WORDS).filter(|_| levels < Self::LEVELS)?;
            let at = slot.word_number() % NODE_WORDS;
            let base = whole.first & !0xffff;
            let starts = list_entries(words, at).flat_map(|(low, host_bits)| {
                let span = Span::prefix(base | low, 32 - host_bits);
                [Some(base | low), Some(span.first), span.last.succ()]
            });
            cut(whole, starts, |address| Node::from_words(words).listed(at, address & 0xffff), parts);
        } else if levels == 1 {
            let host = whole.first | u32::from(slot.host_octet());
            let label = |address| if address == host { slot.payload() } else { default };
            cut(whole, [Some(host), host.succ()], label, parts);
        } else {
            // Only the slot of a /24 has an octet left to compare; elsewhere the lookup takes it for a leaf.
            parts.push(Segment { span: whole, label: slot.payload() });
        }
        Some(())
    }
}

/// The low half of the first address and the host bits (0..=16) of each entry of a list.
fn list_entries(words: &[u32; LINE], at: u32) -> impl Iterator<Item = (u32, u8)> {
    let word = |at: u32| words[at as usize % LINE];
    let half = move |at: u32| word(at / 2) >> (at % 2 * 16) & 0xffff;
    let head = half(2 * at);
    let count = head & 31;
    (0..count).map(move |number| {
        let which = if head & ALIKE != 0 { 0 } else { number };
        let host_bits = word(at + count / 2 + 1 + which) >> 22 & 31;
        (half(2 * at + 1 + number), host_bits.min(16) as u8)
    })
}

impl Family for u128 {
    const ROOT: u32 = V6_ROOT;
    const LEVELS: usize = V6_LEVELS as usize;

    fn place(octets: u32, shift: u8) -> Self {
        Self::from(octets) << shift
    }

    fn take_apart(
        image: &[u32],
        slot: Slot,
        whole: Span<Self>,
        _: usize,
        default: Payload,
        parts: &mut Vec<Segment<Self, Payload>>,
    ) -> Option<()> {
        if slot.is_list() {
            // There are none in IPv6: the lookup takes it for a leaf.
            parts.push(Segment { span: whole, label: slot.payload() });
            return Some(());
        }
        let words = line(image, slot.word_number() / NODE_WORDS)?;
        let at = slot.word_number() % NODE_WORDS;
        let starts = records(words, at).flat_map(|span| [Some(span.first), span.last.succ()]);
        let label = |address: u128| {
            Node::from_words(words).recorded(at, (address >> 64) as u64, address as u64, default)
        };
        cut(whole, starts, label, parts);
        Some(())
    }
}

/// The prefixes of the records from word `at` on.
fn records(words: &[u32; LINE], at: u32) -> impl Iterator<Item = Span<u128>> {
    let word = |at: u32| u128::from(words[at as usize % LINE]);
    let mut next = Some(at);
    let one = move || {
        let at = next?;
        let entry = word(at) as u32;
        let host_bits = entry >> 22 & 127;
        let first = word(at + 2) << 96 | word(at + 1) << 64 | word(at + 4) << 32 | word(at + 3);
        next = (entry & MORE != 0).then_some(at + record_words(host_bits));
        Some(Span::prefix(first, 128 - host_bits as u8))
    };
    std::iter::from_fn(one).take(LINE_RECORDS as usize)
}

/// Puts `whole` on `parts`, cut at `starts`, the lowest part last; `label` says what each is.
fn cut<A: Bits>(
    whole: Span<A>,
    starts: impl IntoIterator<Item = Option<A>>,
    label: impl Fn(A) -> Payload,
    parts: &mut Vec<Segment<A, Payload>>,
) {
    let inside = |start: &A| whole.first < *start && *start <= whole.last;
    let mut starts: Vec<A> = starts.into_iter().flatten().filter(inside).collect();
    starts.push(whole.first);
    starts.sort_unstable();
    starts.dedup();
    let mut last = Some(whole.last);
    for first in starts.into_iter().rev() {
        parts.extend(last.map(|last| Segment { span: Span { first, last }, label: label(first) }));
        last = first.pred();
    }
}

/// The 16 words of a line; `None` outside the image.
fn line(image: &[u32], number: u32) -> Option<&[u32; LINE]> {
    image.get((number as usize).checked_mul(LINE)?..)?.first_chunk()
}

/// A node on the way to where the walk is.
struct Step<'a, A> {
    words: &'a [u32; LINE],
    /// Lowest address below the node.
    first: A,
    /// Next slot, up to [`NODE_SLOTS`].
    next: u16,
}

/// Iterator over the runs of an image: sorted, disjoint, joined, holes left out.
///
/// Time is linear in the nodes of the image, memory is 14 steps at most.
pub struct Runs<'a, A> {
    image: &'a [u32],
    /// Next root slot, up to [`ROOT_SLOTS`].
    root: u32,
    steps: Vec<Step<'a, A>>,
    /// How many nodes may still be entered.
    budget: usize,
    /// Parts of a slot that was cut, the lowest last.
    cut: Vec<Segment<A, Payload>>,
    /// A run that the next part may go on.
    open: Option<Segment<A, Payload>>,
}

impl<'a, A: Family> Runs<'a, A> {
    /// The runs of one family of `image`, which may be any words.
    pub(super) fn new(image: &'a [u32]) -> Self {
        Self {
            image,
            root: 0,
            steps: Vec::with_capacity(A::LEVELS),
            budget: image.len() / LINE,
            cut: Vec::with_capacity(3),
            open: None,
        }
    }

    /// The next part of the address space in order, perhaps not listed. `None` at the end.
    fn part(&mut self) -> Option<Segment<A, Payload>> {
        loop {
            if let Some(part) = self.cut.pop() {
                return Some(part);
            }
            let levels = self.steps.len();
            let (slot, whole, default) = match self.steps.last_mut() {
                None => {
                    let number = self.root;
                    if number == ROOT_SLOTS {
                        return None;
                    }
                    self.root += 1;
                    let word = self.image.get((A::ROOT + number) as usize).copied().unwrap_or(0);
                    let whole = Span::prefix(A::place(number, A::WIDTH - ROOT_BITS), ROOT_BITS);
                    (Slot::from_word(word), whole, Payload::NONE)
                }
                Some(step) if step.next == NODE_SLOTS => {
                    self.steps.pop();
                    continue;
                }
                Some(step) => take(self.image, step, levels),
            };
            if slot.is_child() {
                if let Some(words) = self.enter(slot.child_number()) {
                    self.steps.push(Step { words, first: whole.first, next: 0 });
                    continue;
                }
                return Some(Segment { span: whole, label: Payload::NONE });
            }
            if !slot.is_one() && !slot.is_list() {
                return Some(Segment { span: whole, label: slot.payload() });
            }
            if A::take_apart(self.image, slot, whole, levels, default, &mut self.cut).is_none() {
                return Some(Segment { span: whole, label: Payload::NONE });
            }
        }
    }

    /// The words of a child node, unless the walk is as deep as an address, or in a circle.
    fn enter(&mut self, number: u32) -> Option<&'a [u32; LINE]> {
        if self.steps.len() == A::LEVELS {
            return None;
        }
        self.budget = self.budget.checked_sub(1)?;
        line(self.image, number)
    }
}

/// The next slot of a node, with all that follow it and say the same, and the default of the node.
fn take<A: Family>(image: &[u32], step: &mut Step<'_, A>, levels: usize) -> (Slot, Span<A>, Payload) {
    let node = Node::from_words(step.words);
    let octet = step.next;
    let number = node.slot_at(octet as u8);
    let slot = match number {
        0 => node.default(),
        number => Slot::from_word(image.get(number as usize).copied().unwrap_or(0)),
    };
    // What leads on differs from octet to octet, even if the slot does not.
    let leads_on = slot.is_child() || slot.is_list() || slot.is_one();
    let goes_on = number == 0 || step.words[9] & Node::RUNS != 0;
    let end = if goes_on && !leads_on { next_set(step.words, octet) } else { octet + 1 };
    step.next = end;
    // At most 14 levels: 16 + 14 * 8 bits are the width of IPv6; 16 + 2 * 8 that of IPv4.
    let len = ROOT_BITS + NODE_BITS * levels as u8;
    let at = |octet: u16| step.first.or(A::place(octet.into(), A::WIDTH - len));
    let span = Span { first: at(octet), last: Span::prefix(at(end - 1), len).last };
    (slot, span, node.default().payload())
}

/// The first set bit of the node's map behind `octet`, or the end of its 64-bit part, whose rank begins anew.
fn next_set(words: &[u32; LINE], octet: u16) -> u16 {
    let part = octet / 64;
    let at = usize::from(part) * 2;
    let map = u64::from(words[at]) | u64::from(words[at + 1]) << 32;
    match map >> (octet % 64) >> 1 {
        0 => (part + 1) * 64,
        // At most 63.
        bits => octet + 1 + bits.trailing_zeros() as u16,
    }
}

impl<A: Family> Iterator for Runs<'_, A> {
    type Item = Segment<A, Payload>;

    fn next(&mut self) -> Option<Segment<A, Payload>> {
        loop {
            let part = match self.part() {
                Some(part) if part.label.is_listed() => part,
                Some(_) => continue,
                None => return self.open.take(),
            };
            match &mut self.open {
                Some(open) if open.label == part.label && open.span.last.succ() == Some(part.span.first) => {
                    open.span.last = part.span.last;
                }
                open => {
                    let before = open.replace(part);
                    if before.is_some() {
                        return before;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::table::Table;
    use crate::core::table::tests::{any_segments, clustered_v4, clustered_v6, segments};
    use blackthorn_common::image::{WordSlice, lookup_v4, lookup_v6};
    use blackthorn_common::layout::FIRST_NODE;
    use blackthorn_testkit::oracle::Oracle;
    use blackthorn_testkit::prefixes;
    use blackthorn_testkit::random::Random;
    use proptest::prelude::*;

    fn wide(words: &[u32], address: u128) -> Payload {
        lookup_v6(&WordSlice(words), (address >> 64) as u64, address as u64)
    }

    #[test]
    fn gives_back_what_was_compiled() {
        let mut v4: Vec<_> = (4..6).map(|seed| prefixes::realistic_v4(seed, 400)).collect();
        v4.extend(prefixes::adversarial_v4().into_iter().map(|(_, rules)| rules));
        for rules in v4 {
            let built = segments(&Oracle::new(rules));
            let table = Table::compile(&built, &[]).unwrap();
            assert_eq!(table.runs_v4().collect::<Vec<_>>(), built);
            assert_eq!(table.runs_v6().next(), None);
        }
        let mut v6: Vec<_> = (4..6).map(|seed| prefixes::realistic_v6(seed, 300)).collect();
        v6.extend(prefixes::adversarial_v6().into_iter().map(|(_, rules)| rules));
        for rules in v6 {
            let built = segments(&Oracle::new(rules));
            let table = Table::compile(&[], &built).unwrap();
            assert_eq!(table.runs_v6().collect::<Vec<_>>(), built);
            assert_eq!(table.runs_v4().next(), None);
        }
    }

    #[test]
    fn the_whole_family_is_one_run() {
        let whole = |label| (Segment { span: Span::ALL, label }, Segment { span: Span::ALL, label });
        let (v4, v6) = whole(Payload::from_bits(7));
        let table = Table::compile(&[v4], &[v6]).unwrap();
        let (mut runs_v4, mut runs_v6) = (table.runs_v4(), table.runs_v6());
        assert_eq!((runs_v4.next(), runs_v4.next(), runs_v4.next()), (Some(v4), None, None));
        assert_eq!((runs_v6.next(), runs_v6.next()), (Some(v6), None));
    }

    /// Sorted, disjoint and joined, and while the budget lasts what the lookup says, at both ends of every run.
    fn check<A: Family>(words: &[u32], lookup: impl Fn(A) -> Payload) {
        let mut runs: Runs<'_, A> = Runs::new(words);
        let mut before: Option<Segment<A, Payload>> = None;
        let mut count = 0;
        while let Some(run) = runs.next() {
            assert!(run.span.first <= run.span.last && run.label.is_listed());
            if let Some(before) = before {
                assert!(before.span.last < run.span.first);
                let touches = before.span.last.succ() == Some(run.span.first);
                assert!(!touches || before.label != run.label, "not joined");
            }
            if runs.budget > 0 {
                assert_eq!(lookup(run.span.first), run.label, "{}", run.span.first.to_ip());
                assert_eq!(lookup(run.span.last), run.label, "{}", run.span.last.to_ip());
            }
            before = Some(run);
            count += 1;
        }
        let slots = ROOT_SLOTS as usize + (words.len() / LINE) * usize::from(NODE_SLOTS);
        assert!(count <= 3 * slots, "{count} runs from {} words", words.len());
    }

    #[test]
    fn damaged_images_agree_with_the_lookup_and_end() {
        let v4 = segments(&Oracle::new(prefixes::realistic_v4(3, 200)));
        let v6 = segments(&Oracle::new(prefixes::realistic_v6(3, 200)));
        let table = Table::compile(&v4, &v6).unwrap();
        let lines = FIRST_NODE * NODE_WORDS;
        let mut random = Random::new(99);
        for round in 0..40 {
            let mut words = table.words().to_vec();
            for _ in 0..1 << (round % 10) {
                let from = if random.below(4) == 0 { 1024 } else { lines as usize };
                let at = from + random.below((words.len() - from) as u64) as usize;
                words[at] = match random.below(3) {
                    0 => random.word(),
                    1 => words[at] ^ 1 << random.below(32),
                    _ => FIRST_NODE + random.below(64) as u32,
                };
            }
            if round % 3 == 0 {
                words.truncate(random.below(words.len() as u64) as usize);
            }
            check::<u32>(&words, |address| lookup_v4(&WordSlice(&words), address));
            check::<u128>(&words, |address| wide(&words, address));
        }
    }

    #[test]
    fn a_node_that_leads_to_itself_is_left_behind() {
        let lines = (FIRST_NODE * NODE_WORDS) as usize;
        let mut circle = vec![FIRST_NODE; lines];
        circle.extend((0..16).map(|i| if i < 8 { u32::MAX } else { FIRST_NODE }));
        circle[lines + 8] = 0;
        circle[lines + 9] = 1024;
        assert_eq!(Runs::<u32>::new(&circle).count(), 0);
        assert_eq!(Runs::<u128>::new(&circle).count(), 0);
    }

    proptest! {
        #[test]
        fn any_ipv4_segments_come_back(built in any_segments(clustered_v4())) {
            let table = Table::compile(&built, &[]).unwrap();
            prop_assert_eq!(table.runs_v4().collect::<Vec<_>>(), built);
        }

        #[test]
        fn any_ipv6_segments_come_back(built in any_segments(clustered_v6())) {
            let table = Table::compile(&[], &built).unwrap();
            prop_assert_eq!(table.runs_v6().collect::<Vec<_>>(), built);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_words_have_runs(words in prop::collection::vec(any::<u32>(), 1..400), len in 0usize..140_000) {
            let image: Vec<u32> = words.iter().copied().cycle().take(len).collect();
            check::<u32>(&image, |address| lookup_v4(&WordSlice(&image), address));
            check::<u128>(&image, |address| wide(&image, address));
        }
    }
}
