//! Domains as feeds list them: a name in wire form, and which names an entry means by it.

use super::name::{MAX_LABEL, MAX_NAME};

/// Which names an entry speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The name alone: `example.com`.
    Exact,
    /// The name and everything below it: `.example.com`.
    Subtree,
    /// Everything below the name, at any depth, but not the name: `*.example.com`.
    Below,
}

impl Scope {
    /// Does the entry speak for the name itself?
    pub fn has_name(self) -> bool {
        self != Self::Below
    }

    /// Does the entry speak for the names below it?
    pub fn has_below(self) -> bool {
        self != Self::Exact
    }
}

/// An accepted name of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainEntry<'a> {
    /// Its labels in wire form and lower case, without the root; see [`labels`].
    pub name: &'a [u8],
    /// Which names it speaks for.
    pub scope: Scope,
    /// It takes names out of wider entries of the same feed instead of listing them (E24).
    pub excluded: bool,
    /// Line in the decoded body, from 1.
    pub line: u32,
}

/// The names of a feed in file order: 16 octets for each beside the name, in two allocations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domains {
    octets: Vec<u8>,
    places: Vec<Place>,
    excluded: usize,
}

/// One entry, its name being in the octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    start: usize,
    line: u32,
    len: u8,
    scope: Scope,
    excluded: bool,
}

impl Domains {
    /// Appends one entry; its name is copied. False, and nothing done, when the name is none (see [`labels`]).
    pub fn push(&mut self, entry: DomainEntry<'_>) -> bool {
        let DomainEntry { name, scope, excluded, line } = entry;
        let Some(len) = u8::try_from(name.len()).ok().filter(|_| labels(name).is_some()) else {
            return false;
        };
        self.places.push(Place { start: self.octets.len(), line, len, scope, excluded });
        self.octets.extend_from_slice(name);
        self.excluded += usize::from(excluded);
        true
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// No entry at all?
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Number of entries that list names rather than take them out.
    pub fn listed(&self) -> usize {
        self.places.len() - self.excluded
    }

    /// The entries in file order.
    pub fn iter(&self) -> impl Iterator<Item = DomainEntry<'_>> {
        self.places.iter().map(|place| {
            let &Place { start, line, len, scope, excluded } = place;
            let name = self.octets.get(start..start + usize::from(len)).unwrap_or_default();
            DomainEntry { name, scope, excluded, line }
        })
    }
}

/// The labels of a name in wire form without the root, deepest first. `None` when it is empty, ends inside a label,
/// has a label of no or of over 63 octets, or would be over 255 octets with the root.
pub fn labels(name: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let mut rest = name;
    while let Some((&len, behind)) = rest.split_first() {
        rest = behind.get(usize::from(len)..).filter(|_| (1..=MAX_LABEL).contains(&len.into()))?;
    }
    let mut rest = name;
    (1..MAX_NAME).contains(&name.len()).then_some(std::iter::from_fn(move || {
        let (&len, behind) = rest.split_first()?;
        let (label, behind) = behind.split_at_checked(len.into())?;
        rest = behind;
        Some(label)
    }))
}

/// Does an entry for `entry` with this scope speak for `name`? Both in wire form and lower case, without the root.
pub fn speaks_for(entry: &[u8], scope: Scope, name: &[u8]) -> bool {
    let Some(front) = name.strip_suffix(entry) else { return false };
    match front {
        [] => scope.has_name(),
        // A suffix that matches octet for octet may still begin inside a label.
        _ => scope.has_below() && labels(front).is_some(),
    }
}

/// A pattern as people write it: `example.com`, `.example.com`, `*.example.com`.
pub fn pattern(name: &[u8], scope: Scope) -> String {
    let mark = match scope {
        Scope::Exact => "",
        Scope::Subtree => ".",
        Scope::Below => "*.",
    };
    format!("{mark}{}", dotted(name))
}

/// A name in wire form without the root as `example.com`; octets that are no printable ASCII as `\ddd` (RFC 4343
/// section 2.1). For people.
pub fn dotted(name: &[u8]) -> String {
    let label = |label: &[u8]| -> String {
        let shown = |&b: &u8| match b {
            b'.' | b'\\' => format!("\\{}", char::from(b)),
            b'!'..=b'~' => char::from(b).to_string(),
            _ => format!("\\{b:03}"),
        };
        label.iter().map(shown).collect()
    };
    labels(name).into_iter().flatten().map(label).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_split_or_refused() {
        let split = |name: &'static [u8]| labels(name).map(Iterator::collect::<Vec<_>>);
        assert_eq!(split(b"\x01a\x02bc"), Some(vec![&b"a"[..], b"bc"]));
        for bad in [&b""[..], b"\x00", b"\x01a\x00", b"\x02a", b"\x01", b"\xc0\x0c"] {
            assert_eq!(split(bad), None, "{bad:?}");
        }
        let longest = [&[63; 64][..], &[63; 64], &[63; 64], &[61; 62]].concat();
        assert_eq!(labels(&longest).unwrap().count(), 4);
        let longer = [&[63; 64][..], &[63; 64], &[63; 64], &[62; 63]].concat();
        assert!(labels(&longer).is_none());
        assert_eq!(labels(&[1; 254]).unwrap().count(), 127);
    }

    #[test]
    fn entries_speak_for_whole_labels() {
        let example = b"\x07example";
        for (scope, itself, below) in
            [(Scope::Exact, true, false), (Scope::Subtree, true, true), (Scope::Below, false, true)]
        {
            assert_eq!(speaks_for(example, scope, example), itself);
            assert_eq!(speaks_for(example, scope, b"\x01a\x01b\x07example"), below);
            assert!(!speaks_for(example, scope, b"\x09a\x07example"));
            assert!(!speaks_for(b"\x01a\x07example", scope, example));
        }
        assert_eq!(pattern(example, Scope::Below), "*.example");
    }

    #[test]
    fn names_are_kept_in_order_and_shown() {
        let mut domains = Domains::default();
        let a = DomainEntry { name: b"\x01a\x01b", scope: Scope::Exact, excluded: false, line: 3 };
        let b = DomainEntry { name: b"\x02.\n", scope: Scope::Below, excluded: true, line: 4 };
        assert!(domains.push(a) && domains.push(b));
        assert!(!domains.push(DomainEntry { name: b"\x05a", ..a }));
        assert_eq!(domains.iter().collect::<Vec<_>>(), [a, b]);
        assert_eq!((domains.len(), domains.is_empty()), (2, false));
        assert_eq!(domains.iter().map(|e| dotted(e.name)).collect::<Vec<_>>(), ["a.b", "\\.\\010"]);
    }
}
