//! Keys: labels in front of a zone by which clients show who they are, `2.0.0.127.KEY.bl.example`.
//!
//! A key is a secret. It is never shown, and how long a wrong one takes to be refused says nothing of the right ones:
//! they are found by a hash under a secret seed and then compared in constant time. Memory is some 100 octets a key.

use super::name::MAX_LABEL;
use siphasher::sip::SipHasher24;
use std::fmt;
use subtle::ConstantTimeEq;
use thiserror::Error;

/// Fewest characters of a key: 16 random letters and digits have 82 bits.
pub const SHORTEST: usize = 16;
/// Octets of the seed.
pub const SEED: usize = 16;
/// Most keys of a zone.
pub const MAX_KEYS: usize = 1 << 20;

/// The keys of a zone. The default has none.
#[derive(Clone, Default)]
pub struct Keys {
    hasher: SipHasher24,
    /// Sorted by hash.
    keys: Box<[Key]>,
}

#[derive(Clone)]
struct Key {
    hash: u64,
    padded: Padded,
    name: Box<str>,
}

/// A key as a label in lower case, filled up with zeros, which no key holds.
type Padded = [u8; MAX_LABEL];

/// Who has shown a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder<'k> {
    /// The same for the same key and seed, and different for others but by a chance of one in 2^64.
    pub identity: u64,
    /// The name beside the key.
    pub name: &'k str,
}

/// A line that is not a key and a name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
pub struct KeyError {
    /// From 1.
    pub line: usize,
    /// What is wrong with it. The key is not repeated.
    pub problem: KeyProblem,
}

/// What is wrong with a line of keys.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyProblem {
    /// Too short, too long, or made of anything but letters, digits and `-`.
    #[error("a key has {SHORTEST} to {MAX_LABEL} of a-z 0-9 -")]
    Key,
    /// No name, or more than a name.
    #[error("write the key and, behind a blank, a name for its holder without blanks")]
    Name,
    /// The same key as on the line given.
    #[error("the key is that of line {0}")]
    Repeated(usize),
    /// Too many.
    #[error("a zone has at most {MAX_KEYS} keys")]
    TooMany,
}

impl Keys {
    /// Reads lines of a key and the name of its holder; blank lines and those that begin with `#` are skipped. `seed` is
    /// random.
    ///
    /// # Errors
    /// The first line that is none of that.
    pub fn parse(text: &str, seed: [u8; SEED]) -> Result<Self, KeyError> {
        let hasher = SipHasher24::new_with_key(&seed);
        let mut keys: Vec<(usize, Key)> = Vec::new();
        for (line, content) in (1..).zip(text.lines()) {
            let fail = |problem| KeyError { line, problem };
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let mut words = content.split_whitespace();
            let padded = words.next().and_then(|key| padded(key.as_bytes())).ok_or(fail(KeyProblem::Key))?;
            let (Some(name), None) = (words.next(), words.next()) else { return Err(fail(KeyProblem::Name)) };
            if keys.len() == MAX_KEYS {
                return Err(fail(KeyProblem::TooMany));
            }
            keys.push((line, Key { hash: hasher.hash(&padded), padded, name: name.into() }));
        }
        // Of equal keys the later line is behind, and at fault.
        keys.sort_by_key(|(line, key)| (key.hash, *line));
        for pair in keys.windows(2) {
            if let [(first, one), (line, other)] = pair
                && one.padded == other.padded
            {
                return Err(KeyError { line: *line, problem: KeyProblem::Repeated(*first) });
            }
        }
        Ok(Self { hasher, keys: keys.into_iter().map(|(_, key)| key).collect() })
    }

    /// Who holds the key that `label` is, in any case of its letters.
    pub fn holder(&self, label: &[u8]) -> Option<Holder<'_>> {
        if self.keys.is_empty() {
            return None;
        }
        let asked = padded(label)?;
        let hash = self.hasher.hash(&asked);
        let from = self.keys.partition_point(|key| key.hash < hash);
        let mut same_hash = self.keys.get(from..)?.iter().take_while(|key| key.hash == hash);
        let key = same_hash.find(|key| key.padded.ct_eq(&asked).into())?;
        Some(Holder { identity: hash, name: &key.name })
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// No key at all?
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// `None` for what cannot be a key.
fn padded(label: &[u8]) -> Option<Padded> {
    let legal = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'-';
    if !(SHORTEST..=MAX_LABEL).contains(&label.len()) || !label.iter().all(legal) {
        return None;
    }
    let mut out = [0; MAX_LABEL];
    for (to, from) in out.iter_mut().zip(label) {
        *to = from.to_ascii_lowercase();
    }
    Some(out)
}

/// How many, and nothing else.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "# keys\n\n0123456789abcdef one\n  fedcba98-76543210\ttwo  \n";

    fn parse(text: &str) -> Result<Keys, KeyError> {
        Keys::parse(text, [7; SEED])
    }

    #[test]
    fn keys_are_found_in_any_case_and_nothing_else_is() {
        let keys = parse(TEXT).unwrap();
        let name = |label: &str| keys.holder(label.as_bytes()).map(|holder| holder.name.to_owned());
        assert_eq!(name("0123456789abcdef").as_deref(), Some("one"));
        assert_eq!(name("0123456789ABCdef").as_deref(), Some("one"));
        assert_eq!(name("FEDCBA98-76543210").as_deref(), Some("two"));
        for wrong in ["", "0123456789abcde", "0123456789abcdeg", "0123456789abcdef0", "one", "127"] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
        assert_eq!(Keys::default().holder(b"0123456789abcdef"), None);
        assert_eq!((keys.len(), keys.is_empty(), Keys::default().is_empty()), (2, false, true));
    }

    #[test]
    fn bad_lines_are_named_without_their_key() {
        for (text, line, problem) in [
            ("0123456789abcde one", 1, KeyProblem::Key),
            ("\n0123456789abcde_ one", 2, KeyProblem::Key),
            (&format!("{} one", "a".repeat(64)), 1, KeyProblem::Key),
            ("0123456789abcdef", 1, KeyProblem::Name),
            ("0123456789abcdef one two", 1, KeyProblem::Name),
            ("0123456789abcdef a\n# x\n0123456789ABCDEF b", 3, KeyProblem::Repeated(1)),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!((error.line, &error.problem), (line, &problem), "{text}");
            assert!(!error.to_string().contains("0123456789"), "{error}");
        }
        assert!(parse(&format!("{} longest", "a".repeat(63))).is_ok());
    }

    #[test]
    fn keys_are_never_shown() {
        assert_eq!(format!("{:?}", parse(TEXT).unwrap()), "Keys { keys: 2, .. }");
    }

    proptest! {
        #[test]
        fn agrees_with_a_scan(
            keys in prop::collection::btree_set("[a-c]{16,18}", 0..20),
            asked in prop::collection::vec("[a-cA-C]{15,19}", 0..20),
            seed: [u8; SEED],
        ) {
            let text: String = keys.iter().map(|key| format!("{key} for-{key}\n")).collect();
            let table = Keys::parse(&text, seed).unwrap();
            for asked in asked.iter().chain(&keys) {
                let expected = keys.get(&asked.to_ascii_lowercase()).map(|key| format!("for-{key}"));
                let found = table.holder(asked.as_bytes());
                prop_assert_eq!(found.map(|holder| holder.name.to_owned()), expected);
            }
        }
    }
}
