//! Last step of a packet's way: what was found → what happens, and under which name it is counted.
//!
//! The whole fail-open table is here: a packet is dropped for one reason only, that the table in force says so, or the
//! table of live entries, which is asked first.

use crate::abi::{Enforcement, PROBED};
use crate::image::{Image, lookup_v4, lookup_v6};
use crate::packet::Source;
use crate::payload::Payload;

/// Why a packet passed or was dropped. The number is its place in the counter map, the name is for people and metrics;
/// both are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Reason {
    /// Passed: not IP.
    Other = 0,
    /// Passed: ends inside a header that is needed.
    Short = 1,
    /// Passed: not the IP version it claims to be, or an impossible header length.
    BadIp = 2,
    /// Passed: more than two VLAN tags.
    DeepTag = 3,
    /// Passed: the filter is switched off.
    Off = 4,
    /// Passed: no table has been published yet.
    NoTable = 5,
    /// Passed: the source is on no list.
    NotListed = 6,
    /// Passed: listed for DNS only, protected, or allowed by a live entry.
    ListedPass = 7,
    /// Passed: would have been dropped, but the filter only counts.
    WouldDrop = 8,
    /// Dropped: IPv4 source (also one inside an IPv4-mapped IPv6 source).
    Drop4 = 9,
    /// Dropped: IPv6 source.
    Drop6 = 10,
}

impl Reason {
    /// Number of reasons.
    pub const COUNT: usize = Self::ALL.len();

    /// Every reason, in the order of the counter map.
    pub const ALL: [Self; 11] = [
        Self::Other,
        Self::Short,
        Self::BadIp,
        Self::DeepTag,
        Self::Off,
        Self::NoTable,
        Self::NotListed,
        Self::ListedPass,
        Self::WouldDrop,
        Self::Drop4,
        Self::Drop6,
    ];

    /// Is the packet dropped?
    #[inline(always)]
    pub const fn drops(self) -> bool {
        matches!(self, Self::Drop4 | Self::Drop6)
    }

    /// Stable name for status and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Other => "pass_other",
            Self::Short => "short",
            Self::BadIp => "bad_ip",
            Self::DeepTag => "deep_tag",
            Self::Off => "off",
            Self::NoTable => "no_table",
            Self::NotListed => "not_listed",
            Self::ListedPass => "listed_pass",
            Self::WouldDrop => "would_drop",
            Self::Drop4 => "drop4",
            Self::Drop6 => "drop6",
        }
    }
}

/// The verdict over a packet with this source. `overlay` is the table of live entries, `table` the one in force, if
/// there are any. What the overlay says of an address is final; where it says nothing, the table is asked.
#[inline(always)]
pub fn judge<O: Image, I: Image>(
    source: Source,
    enforcement: impl FnOnce() -> Enforcement,
    overlay: Option<&O>,
    table: Option<&I>,
) -> Reason {
    match source {
        Source::Other => Reason::Other,
        Source::Short => Reason::Short,
        Source::BadIp => Reason::BadIp,
        Source::DeepTag => Reason::DeepTag,
        Source::V4(address) => {
            let live = || overlay.map_or(Payload::NONE, |overlay| lookup_v4(overlay, address));
            by_table(enforcement, Reason::Drop4, || first(live(), || Some(lookup_v4(table?, address))))
        }
        Source::V6 { hi, lo } => {
            let live = || overlay.map_or(Payload::NONE, |overlay| lookup_v6(overlay, hi, lo));
            by_table(enforcement, Reason::Drop6, || first(live(), || Some(lookup_v6(table?, hi, lo))))
        }
    }
}

/// What the overlay says, else what the table says; `None` when neither is there to say anything.
#[inline(always)]
fn first(overlay: Payload, table: impl FnOnce() -> Option<Payload>) -> Option<Payload> {
    if overlay.is_listed() { Some(overlay) } else { table() }
}

/// What a table holds for this source: [`PROBED`] and the bits of the payload, or 0 without a table or an address.
#[inline(always)]
pub fn probe<I: Image>(source: Source, table: Option<&I>) -> u32 {
    match source {
        Source::V4(address) => probed(|| Some(lookup_v4(table?, address))),
        Source::V6 { hi, lo } => probed(|| Some(lookup_v6(table?, hi, lo))),
        Source::Other | Source::Short | Source::BadIp | Source::DeepTag => 0,
    }
}

#[inline(always)]
fn probed(lookup: impl FnOnce() -> Option<Payload>) -> u32 {
    match lookup() {
        None => 0,
        Some(payload) => PROBED | payload.bits(),
    }
}

/// The verdict over an IP packet; `lookup` gives `None` when there is no table.
#[inline(always)]
fn by_table(
    enforcement: impl FnOnce() -> Enforcement,
    drop: Reason,
    lookup: impl FnOnce() -> Option<Payload>,
) -> Reason {
    let found = lookup();
    let enforcement = enforcement();
    if enforcement == Enforcement::Off {
        return Reason::Off;
    }
    match found {
        None => Reason::NoTable,
        Some(payload) if !payload.is_listed() => Reason::NotListed,
        Some(payload) if !payload.drops() => Reason::ListedPass,
        Some(_) if enforcement == Enforcement::Count => Reason::WouldDrop,
        Some(_) => drop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Node;
    use crate::payload::Class;

    const HOST: Source = Source::V4(0xc000_0201);

    fn verdict(enforcement: Enforcement, class: Class) -> Reason {
        by_table(|| enforcement, Reason::Drop6, || Payload::new(class, 7))
    }

    #[test]
    fn only_a_listed_source_of_the_drop_class_is_dropped_and_only_when_enforcing() {
        use Enforcement::{Count, Drop, Off};
        for (enforcement, class, reason) in [
            (Off, Class::Drop, Reason::Off),
            (Count, Class::Drop, Reason::WouldDrop),
            (Drop, Class::Drop, Reason::Drop6),
            (Off, Class::Answer, Reason::Off),
            (Count, Class::Answer, Reason::ListedPass),
            (Drop, Class::Answer, Reason::ListedPass),
        ] {
            assert_eq!(verdict(enforcement, class), reason);
        }
        assert_eq!(by_table(|| Drop, Reason::Drop4, || Some(Payload::NONE)), Reason::NotListed);
        assert_eq!(by_table(|| Drop, Reason::Drop4, || None), Reason::NoTable);
    }

    #[test]
    fn reserved_classes_pass() {
        for class in [2, 3] {
            let payload = Payload::from_bits(class << 20 | 7);
            assert_eq!(by_table(|| Enforcement::Drop, Reason::Drop4, || Some(payload)), Reason::ListedPass);
        }
    }

    #[test]
    fn what_is_not_ip_passes_under_its_own_name_whatever_the_mode() {
        for enforcement in [Enforcement::Off, Enforcement::Count, Enforcement::Drop] {
            for (source, name) in [
                (Source::Other, "pass_other"),
                (Source::Short, "short"),
                (Source::BadIp, "bad_ip"),
                (Source::DeepTag, "deep_tag"),
            ] {
                let reason = judge::<Nothing, Nothing>(source, || enforcement, None, None);
                assert_eq!(reason.name(), name);
                assert!(!reason.drops());
            }
        }
        assert_eq!(judge::<Nothing, Nothing>(HOST, || Enforcement::Drop, None, None), Reason::NoTable);
    }

    #[test]
    fn the_overlay_has_the_first_and_last_word() {
        let (drop, pass) = (Payload::new(Class::Drop, 1).unwrap(), Payload::new(Class::Answer, 2).unwrap());
        let (listed, none) = (Payload::new(Class::Drop, 7), Payload::NONE);
        for (overlay, table, reason) in [
            (drop, None, Reason::Drop4),
            (drop, Some(none), Reason::Drop4),
            (pass, listed, Reason::ListedPass),
            (none, listed, Reason::Drop4),
            (none, Some(none), Reason::NotListed),
            (none, None, Reason::NoTable),
        ] {
            let lookup = || first(overlay, || table);
            assert_eq!(
                by_table(|| Enforcement::Drop, Reason::Drop4, lookup),
                reason,
                "{overlay:?}, {table:?}"
            );
        }
        // An image without content says nothing, like none at all.
        assert_eq!(judge(HOST, || Enforcement::Drop, Some(&Nothing), Some(&Nothing)), Reason::NotListed);
    }

    #[test]
    fn a_probe_needs_a_table_and_an_address() {
        assert_eq!(probe(HOST, Some(&Nothing)), PROBED);
        assert_eq!(probe(Source::V6 { hi: 1, lo: 2 }, Some(&Nothing)), PROBED);
        assert_eq!(probe::<Nothing>(HOST, None), 0);
        assert_eq!(probe(Source::Short, Some(&Nothing)), 0);
    }

    #[test]
    fn reasons_are_numbered_in_order_with_distinct_names() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            assert!(Reason::ALL[..index].iter().all(|earlier| earlier.name() != reason.name()));
        }
    }

    #[test]
    fn unknown_settings_switch_the_filter_off() {
        for known in [Enforcement::Off, Enforcement::Count, Enforcement::Drop] {
            assert_eq!(Enforcement::from_word(known as u32), known);
        }
        assert_eq!(Enforcement::from_word(3), Enforcement::Off);
        assert_eq!(Enforcement::from_word(u32::MAX), Enforcement::Off);
    }

    /// An image without content.
    struct Nothing;

    impl Image for Nothing {
        fn word(&self, _: u32) -> Option<&u32> {
            None
        }

        fn node(&self, _: u32) -> Option<&Node> {
            None
        }
    }
}
