//! Flat domains: the entries of one feed, with all their overlaps, settled to what is said of each name.
//!
//! The most specific entry decides: one for exactly the name, else one for the names below its parent, below its
//! grandparent and so on. Of entries for the same name an exclusion wins. Kept is only what changes something: an entry
//! inside a wider one that says the same is dropped.
//!
//! Memory: 2 octets for each name and the name itself, in one allocation.

use super::domain::{Domains, Scope};
use super::domain_keys::{Keys, name_of};

/// One feed's names, in the order of their keys (see `domain_keys`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlatDomains {
    /// For each name its flags, the length of its key, and the key.
    octets: Vec<u8>,
    /// Names in it.
    len: usize,
    /// Entries that came before in the same feed, meant in the same way (E19).
    pub duplicates: u64,
    /// Entries that change nothing, because a wider one of the same feed says the same (E19).
    pub nested: u64,
}

/// What a feed says of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlatDomain<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// Is the name listed? `None`: as its parents say.
    pub name: Option<bool>,
    /// Are the names below it? `None`: as its parents say.
    pub below: Option<bool>,
}

/// There is a word on the name.
const NAME: u8 = 1;
/// It is: listed.
const NAME_LISTED: u8 = 2;
/// There is a word on the names below.
const BELOW: u8 = 4;
/// It is: listed.
const BELOW_LISTED: u8 = 8;

impl FlatDomains {
    /// Settles the entries of a feed. Time is that of sorting.
    pub fn new(domains: &Domains) -> Self {
        let octets = domains.iter().map(|entry| entry.name.len()).sum();
        let mut keys = Keys::with_capacity(domains.len(), octets);
        let mut said = Vec::with_capacity(domains.len());
        for entry in domains.iter() {
            // They are names, or they were not taken in.
            if keys.push(entry.name).is_some() {
                said.push((entry.scope, entry.excluded));
            }
        }
        let mut flat = Self { octets: Vec::with_capacity(octets + 2 * said.len()), ..Self::default() };
        let order = keys.order();
        // What is said of the names below those on the way down to the one at hand.
        let mut path: Vec<(&[u8], bool)> = Vec::new();
        for group in order.chunk_by(|a, b| keys.key(*a) == keys.key(*b)) {
            let Some(&first) = group.first() else { continue };
            let key = keys.key(first);
            while path.pop_if(|(above, _)| !key.starts_with(above)).is_some() {}
            let inherited = path.last().is_some_and(|(_, listed)| *listed);
            let mut entries: Vec<_> = group.iter().filter_map(|&number| said.get(number as usize)).collect();
            entries.sort_unstable();
            let all = entries.len();
            entries.dedup();
            flat.duplicates += (all - entries.len()) as u64;
            let settle = |mut excluded: Vec<bool>| {
                excluded.sort_unstable();
                // `true` is last, and wins.
                excluded.last().map(|excluded| !excluded).filter(|listed| *listed != inherited)
            };
            let with = |which: fn(Scope) -> bool| {
                entries.iter().filter(|(scope, _)| which(*scope)).map(|(_, excluded)| *excluded).collect()
            };
            let name = settle(with(Scope::has_name));
            let below = settle(with(Scope::has_below));
            if name.is_none() && below.is_none() {
                flat.nested += entries.len() as u64;
                continue;
            }
            flat.push(FlatDomain { key, name, below });
            if let Some(listed) = below {
                path.push((key, listed));
            }
        }
        flat.octets.shrink_to_fit();
        flat
    }

    fn push(&mut self, domain: FlatDomain<'_>) {
        let flag = |listed: Option<bool>, said: u8, yes: u8| match listed {
            None => 0,
            Some(false) => said,
            Some(true) => said | yes,
        };
        let flags = flag(domain.name, NAME, NAME_LISTED) | flag(domain.below, BELOW, BELOW_LISTED);
        // A key is as long as its name, below 255.
        self.octets.extend([flags, domain.key.len() as u8]);
        self.octets.extend_from_slice(domain.key);
        self.len += 1;
    }

    /// The names, in the order of their keys.
    pub fn iter(&self) -> FlatIter<'_> {
        FlatIter(&self.octets)
    }

    /// The entry that decides on a name, in wire form and lower case: its own name and scope, and whether it lists.
    /// Linear.
    pub fn deciding(&self, name: &[u8]) -> Option<(Vec<u8>, Scope, bool)> {
        let mut keys = Keys::default();
        keys.push(name)?;
        let asked = keys.key(0);
        let mut deciding = None;
        for domain in self.iter().take_while(|domain| domain.key <= asked) {
            let said = if domain.key == asked { domain.name } else { domain.below };
            // Parents come first, so the last word is the most specific one.
            if let Some(listed) = said.filter(|_| asked.starts_with(domain.key)) {
                let scope = match (domain.name == domain.below, domain.key == asked) {
                    (true, _) => Scope::Subtree,
                    (false, true) => Scope::Exact,
                    (false, false) => Scope::Below,
                };
                deciding = Some((name_of(domain.key), scope, listed));
            }
        }
        deciding
    }

    /// Number of names with something said of them.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Nothing said at all?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The names of a feed, see [`FlatDomains::iter`].
#[derive(Clone, Debug)]
pub struct FlatIter<'a>(&'a [u8]);

impl<'a> Iterator for FlatIter<'a> {
    type Item = FlatDomain<'a>;

    fn next(&mut self) -> Option<FlatDomain<'a>> {
        let (&[flags, len], rest) = self.0.split_first_chunk()?;
        let (key, rest) = rest.split_at_checked(len.into())?;
        self.0 = rest;
        let said = |said: u8, yes: u8| (flags & said != 0).then_some(flags & yes != 0);
        Some(FlatDomain { key, name: said(NAME, NAME_LISTED), below: said(BELOW, BELOW_LISTED) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::domain::{DomainEntry, dotted, pattern};
    use crate::core::feed::domain_pattern;

    /// Patterns, with `!` in front for exclusions.
    fn flat(patterns: &[&str]) -> FlatDomains {
        let mut domains = Domains::default();
        for text in patterns {
            let (excluded, pattern) = text.strip_prefix('!').map_or((false, *text), |rest| (true, rest));
            let (name, scope) = domain_pattern(pattern).unwrap();
            assert!(domains.push(DomainEntry { name: &name, scope, excluded, line: 1 }));
        }
        FlatDomains::new(&domains)
    }

    fn shown(flat: &FlatDomains) -> Vec<String> {
        let word = |said: Option<bool>| said.map_or('.', |listed| if listed { '+' } else { '-' });
        let line =
            |d: FlatDomain<'_>| format!("{}{} {}", word(d.name), word(d.below), dotted(&name_of(d.key)));
        flat.iter().map(line).collect()
    }

    #[test]
    fn the_most_specific_entry_decides() {
        let flat = flat(&[
            "www.example.com",
            ".example.com",
            "!.shop.example.com",
            "bad.shop.example.com",
            "*.example.net",
            "example.org",
        ]);
        assert_eq!(
            shown(&flat),
            [
                "++ example.com",
                "-- shop.example.com",
                "+. bad.shop.example.com",
                ".+ example.net",
                "+. example.org"
            ]
        );
        assert_eq!((flat.len(), flat.duplicates, flat.nested), (5, 0, 1));
        let deciding = |text: &str| {
            let (name, scope, listed) = flat.deciding(&domain_pattern(text).unwrap().0)?;
            Some(format!("{}{}", if listed { "" } else { "!" }, pattern(&name, scope)))
        };
        for (text, entry) in [
            ("www.example.com", Some(".example.com")),
            ("example.com", Some(".example.com")),
            ("a.shop.example.com", Some("!.shop.example.com")),
            ("bad.shop.example.com", Some("bad.shop.example.com")),
            ("x.bad.shop.example.com", Some("!.shop.example.com")),
            ("example.net", None),
            ("x.example.net", Some("*.example.net")),
            ("x.example.org", None),
            ("xexample.com", None),
        ] {
            assert_eq!(deciding(text).as_deref(), entry, "{text}");
        }
    }

    #[test]
    fn exclusions_win_where_both_are_said_and_mean_nothing_alone() {
        let flat = flat(&["a.example", "!a.example", "a.example", ".b.example", "!b.example", "!c.example"]);
        assert_eq!(shown(&flat), [".+ b.example"]);
        assert_eq!((flat.duplicates, flat.nested), (1, 3));
    }

    #[test]
    fn order_and_repeats_make_no_other_data() {
        let one = flat(&["a.example", ".b.example", "*.b.example"]);
        let other = flat(&["*.b.example", ".b.example", "a.example"]);
        assert_eq!(one, other);
        assert!(FlatDomains::default().is_empty() && flat(&[]).iter().next().is_none());
    }
}
