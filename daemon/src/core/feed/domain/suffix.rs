//! Public suffixes: names under which the public registers names, such as `co.kr`. Listing one would list everybody there.

use crate::core::domain::labels;
use psl::{List, Psl, Type};

/// Labels of the longest suffix of a registry, and some more.
const MAX_LABELS: usize = 8;

/// Is the name, in wire form and lower case, a suffix of a registry? Those that companies give to their customers
/// (`github.io`) are not meant: their owner can be at fault, and is one of many.
///
/// By the Public Suffix List as of the release of the crate.
pub(super) fn is_public(name: &[u8]) -> bool {
    let mut found: [&[u8]; MAX_LABELS] = Default::default();
    let mut count = 0;
    for label in labels(name).into_iter().flatten() {
        let Some(place) = found.get_mut(count) else { return false };
        *place = label;
        count += 1;
    }
    let suffix = List.find(found.iter().take(count).rev().copied());
    // As text, without the length octet in front.
    suffix.typ == Some(Type::Icann) && suffix.len + 1 == name.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::feed::domain_name;

    #[test]
    fn suffixes_of_registries_only() {
        for (name, public) in [
            ("co.kr", true),
            ("co.uk", true),
            ("com.br", true),
            // By a wildcard rule, and an exception from it.
            ("anything.ck", true),
            ("www.ck", false),
            ("example.co.kr", false),
            ("example.com", false),
            ("github.io", false),
            ("blogspot.com", false),
            ("nobody.example", false),
        ] {
            assert_eq!(is_public(&domain_name(name).unwrap()), public, "{name}");
        }
    }
}
