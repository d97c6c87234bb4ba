//! Address space rules: how wide an entry may be and which space it may touch (E09, E13, E14, E16).

use super::Rules;
use super::WIDEST_EVER;
use super::reject::RejectReason;
use crate::core::network::{MAPPED, Network};
use crate::core::span::{Bits, Span};
use crate::core::special;

/// What became of a network that was not rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    /// Kept as it is.
    Whole,
    /// Kept without its special-use part.
    Cut,
    /// Nothing of it is left: special-use space only.
    Special,
}

/// IPv6 space with IPv4 addresses inside, and the prefix length that fixes one of them (E14).
const TRANSITION: [(Span<u128>, u8); 3] = [
    (prefix(0x2002 << 112, 16), 48),      // 6to4, RFC 3056
    (prefix(0x2001 << 112, 32), 64),      // Teredo, RFC 4380: the server
    (prefix(0x0064_ff9b << 96, 96), 128), // NAT64, RFC 6052
];

const fn prefix(first: u128, len: u32) -> Span<u128> {
    Span { first, last: first | u128::MAX >> len }
}

/// Hands the parts of `network` that `rules` let through to `keep`: at most one more than there are special-use
/// prefixes in its family.
///
/// # Errors
/// The reason why the network is refused as a whole; then nothing was handed over.
pub(super) fn admit(
    network: Network,
    rules: &Rules,
    mut keep: impl FnMut(Network),
) -> Result<Admitted, RejectReason> {
    match network {
        Network::V4(span) => {
            family(span, &special::V4, rules.widest_v4, rules.keep_special_use, |s| keep(Network::V4(s)))
        }
        Network::V6(span) => {
            if wider_than(span, WIDEST_EVER) {
                return Err(RejectReason::TooWide);
            }
            if holds_ipv4(span) {
                return Err(RejectReason::Ipv4Compatible);
            }
            if holds_several_transition_hosts(span) {
                return Err(RejectReason::TransitionSpace);
            }
            family(span, &special::V6, rules.widest_v6, rules.keep_special_use, |s| keep(Network::V6(s)))
        }
    }
}

/// E13: mapped addresses were folded when they were read; what is left of `::/80` is the compatible form and
/// prefixes around either. `::` and `::1` are special-use.
fn holds_ipv4(span: Span<u128>) -> bool {
    span.first <= MAPPED.last && !special::V6[0].covers(&span)
}

fn holds_several_transition_hosts(span: Span<u128>) -> bool {
    let one_host = |len| Span::prefix(span.first, len).covers(&span);
    TRANSITION.iter().any(|(space, len)| space.overlaps(&span) && !one_host(*len))
}

fn family<A: Bits>(
    span: Span<A>,
    special: &[Span<A>],
    widest: u8,
    keep_special: bool,
    mut keep: impl FnMut(Span<A>),
) -> Result<Admitted, RejectReason> {
    if wider_than(span, WIDEST_EVER) {
        return Err(RejectReason::TooWide);
    }
    if !keep_special && special.iter().any(|s| s.covers(&span)) {
        return Ok(Admitted::Special);
    }
    if wider_than(span, widest) {
        return Err(RejectReason::TooWide);
    }
    if keep_special || !special.iter().any(|s| s.overlaps(&span)) {
        keep(span);
        return Ok(Admitted::Whole);
    }
    outside(span, special, keep);
    Ok(Admitted::Cut)
}

/// Has `span` more addresses than a prefix of `len` bits?
fn wider_than<A: Bits>(span: Span<A>, len: u8) -> bool {
    span.last.distance(span.first) > A::host_mask(len).distance(A::ZERO)
}

/// The parts of `span` outside `holes`, which are sorted, disjoint and not adjacent.
fn outside<A: Bits>(span: Span<A>, holes: &[Span<A>], mut keep: impl FnMut(Span<A>)) {
    let mut rest = Some(span);
    for hole in holes {
        let Some(left) = rest.filter(|left| left.overlaps(hole)) else { continue };
        if let Some(before) = hole.first.pred().and_then(|last| Span::new(left.first, last)) {
            keep(before);
        }
        rest = hole.last.succ().and_then(|first| Span::new(first, left.last));
    }
    if let Some(left) = rest {
        keep(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::feed::Format;
    use proptest::prelude::*;

    fn admitted(text: &str, rules: &Rules) -> Result<(Admitted, String), RejectReason> {
        let mut kept = Vec::new();
        let outcome = admit(text.parse().unwrap(), rules, |n| kept.push(n.to_string()))?;
        Ok((outcome, kept.join(" ")))
    }

    #[test]
    fn special_parts_are_cut_out() {
        use Admitted::*;
        let rules = Rules::new(Format::Plain);
        for (text, outcome, kept) in [
            ("192.0.2.0/24", Whole, "192.0.2.0/24"),
            ("9.255.255.255-10.0.0.1", Cut, "9.255.255.255"),
            ("10.255.255.254-11.0.0.3", Cut, "11.0.0.0/30"),
            ("172.0.0.0/8", Cut, "172.0.0.0/12 172.32.0.0-172.255.255.255"),
            ("223.255.255.255-224.0.0.0", Cut, "223.255.255.255"),
            ("10.1.2.0/24", Special, ""),
            ("0.0.0.0", Special, ""),
            ("255.255.255.255", Special, ""),
            ("169.253.0.0-169.255.0.0", Cut, "169.253.0.0/16 169.255.0.0"),
            ("::1", Special, ""),
            ("fe80::/10", Special, ""),
            ("fbff:ffff::-fc00::5", Cut, "fbff:ffff::/32"),
        ] {
            assert_eq!(admitted(text, &rules), Ok((outcome, kept.into())), "{text}");
        }
    }

    proptest! {
        /// The parts never touch a hole, lose nothing outside, and stay in order.
        #[test]
        fn parts_and_holes_make_up_the_span(a: u32, width in 0u32..1 << 27, probes: [u32; 16]) {
            let span = Span { first: a, last: a.saturating_add(width) };
            let mut parts = Vec::new();
            outside(span, &special::V4, |part| parts.push(part));
            prop_assert!(parts.is_sorted());
            let edges = special::V4.iter().flat_map(|s| [s.first, s.last, s.first.wrapping_sub(1), s.last.wrapping_add(1)]);
            let inside = probes.iter().map(|p| a.saturating_add(p % (width + 1)));
            for probe in inside.chain(edges).chain([span.first, span.last]) {
                let wanted = span.contains(probe) && !special::V4.iter().any(|s| s.contains(probe));
                prop_assert_eq!(parts.iter().filter(|s| s.contains(probe)).count(), usize::from(wanted));
            }
        }
    }
}
