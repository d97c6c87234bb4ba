//! Find: the entries of a body that hold certain addresses or domains, as somebody wrote them.

use super::reject::printable;
use super::{BodyError, Rules, decode, lines, read};
use crate::core::domain::speaks_for;
use crate::core::entry::Entry;
use crate::core::network::fold;
use crate::core::span::Bits;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Most lines shown for one address; further ones are counted.
pub const MAX_LINES: usize = 20;

/// An entry as written in the feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLine {
    /// Line number in the decoded body, from 1.
    pub line: u32,
    /// At most the first 200 bytes of the line, made safe to print.
    pub text: String,
}

/// The entries that hold one address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// In file order, at most [`MAX_LINES`].
    pub lines: Vec<SourceLine>,
    /// How many more there are.
    pub more: u64,
}

/// Finds the entries that hold each address, one result per address. Reads the whole body, as [`super::parse`] does.
///
/// # Errors
/// As for [`super::parse`].
pub fn find(rules: &Rules, body: &[u8], addresses: &[IpAddr]) -> Result<Vec<Found>, BodyError> {
    let text = decode::text(body, rules.max_bytes)?;
    let entries = read(rules, &text)?.entries;
    let mut holders = vec![Holders::default(); addresses.len()];
    collect(&entries.v4, &wanted(addresses, v4), &mut holders);
    collect(&entries.v6, &wanted(addresses, v6), &mut holders);

    written(&text, &holders)
}

/// Finds the entries that speak for each name, in wire form and lower case, exceptions included; one result per name.
///
/// # Errors
/// As for [`super::parse`].
pub fn find_domains(rules: &Rules, body: &[u8], names: &[Vec<u8>]) -> Result<Vec<Found>, BodyError> {
    let text = decode::text(body, rules.max_bytes)?;
    let domains = read(rules, &text)?.domains;
    // Each name and all above it, with the places of those asked for: then each entry is one look.
    let mut asked: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (name, place) in names.iter().zip(0..) {
        let mut rest = &name[..];
        while let Some((&len, behind)) = rest.split_first() {
            asked.entry(rest).or_default().push(place);
            rest = behind.get(usize::from(len)..).unwrap_or_default();
        }
    }
    let mut holders = vec![Holders::default(); names.len()];
    for entry in domains.iter() {
        for &place in asked.get(entry.name).into_iter().flatten() {
            let speaks = names.get(place).is_some_and(|name| speaks_for(entry.name, entry.scope, name));
            if let Some(holders) = holders.get_mut(place).filter(|_| speaks) {
                holders.add(entry.line);
            }
        }
    }
    written(&text, &holders)
}

/// The lines with these numbers.
fn written(text: &[u8], holders: &[Holders]) -> Result<Vec<Found>, BodyError> {
    let numbers = holders.iter().flat_map(|holders| &holders.lines);
    let mut texts: BTreeMap<u32, String> = numbers.map(|&line| (line, String::new())).collect();
    for line in lines::split(text, usize::MAX) {
        let line = line?;
        if let Some(shown) = texts.get_mut(&line.number) {
            *shown = printable(line.text);
        }
    }
    let text = |&line: &u32| SourceLine { line, text: texts.get(&line).cloned().unwrap_or_default() };
    let found =
        |holders: &Holders| Found { lines: holders.lines.iter().map(text).collect(), more: holders.more };
    Ok(holders.iter().map(found).collect())
}

/// Lines of the entries that hold one address.
#[derive(Clone, Debug, Default)]
struct Holders {
    lines: Vec<u32>,
    more: u64,
}

/// The addresses of one family, sorted, each with its place.
fn wanted<A: Bits>(addresses: &[IpAddr], family: fn(IpAddr) -> Option<A>) -> Vec<(A, usize)> {
    let places = addresses.iter().map(|&address| family(fold(address))).zip(0..);
    let mut wanted: Vec<(A, usize)> = places.filter_map(|(address, place)| Some((address?, place))).collect();
    wanted.sort_unstable();
    wanted
}

fn v4(address: IpAddr) -> Option<u32> {
    match address {
        IpAddr::V4(address) => Some(address.into()),
        IpAddr::V6(_) => None,
    }
}

fn v6(address: IpAddr) -> Option<u128> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address.into()),
    }
}

/// `wanted` is sorted: addresses with their places in `holders`.
fn collect<A: Bits>(entries: &[Entry<A>], wanted: &[(A, usize)], holders: &mut [Holders]) {
    for entry in entries {
        let from = wanted.partition_point(|(address, _)| *address < entry.span.first);
        for (_, place) in wanted.iter().skip(from).take_while(|(address, _)| *address <= entry.span.last) {
            let Some(holders) = holders.get_mut(*place) else { continue };
            holders.add(entry.line);
        }
    }
}

impl Holders {
    fn add(&mut self, line: u32) {
        if self.lines.len() < MAX_LINES {
            self.lines.push(line);
        } else {
            self.more += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::*;
    use proptest::prelude::*;

    fn find_in(text: &str, addresses: &[&str]) -> Vec<Vec<String>> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        let found = find(&Rules::new(Format::Plain), text.as_bytes(), &addresses).unwrap();
        let shown = |f: &Found| f.lines.iter().map(|l| format!("{}: {}", l.line, l.text)).collect();
        found.iter().map(shown).collect()
    }

    #[test]
    fn shows_entries_as_written() {
        let text = "# list\n192.0.2.0/24\t# wide\r\n\n192.0.2.5 - 192.0.2.9\n2001:db8:7::/48\n192.0.2.300\n";
        let asked = ["192.0.2.7", "2001:db8:7::1", "198.51.100.1", "::ffff:192.0.2.4"];
        let expected: [&[&str]; 4] = [
            &["2: 192.0.2.0/24 # wide", "4: 192.0.2.5 - 192.0.2.9"],
            &["5: 2001:db8:7::/48"],
            &[],
            &["2: 192.0.2.0/24 # wide"],
        ];
        assert_eq!(find_in(text, &asked), expected);
    }

    #[test]
    fn shows_entries_of_domains_as_written() {
        let text = "! list\n||example.com^\n@@||www.example.com^\n||example.net^\n";
        let names = [b"\x01a\x03www\x07example\x03com".to_vec(), b"\x03org".to_vec()];
        let found = find_domains(&Rules::new(Format::Adblock), text.as_bytes(), &names).unwrap();
        let shown = |f: &Found| f.lines.iter().map(|l| format!("{}: {}", l.line, l.text)).collect::<Vec<_>>();
        assert_eq!(shown(&found[0]), ["2: ||example.com^", "3: @@||www.example.com^"]);
        assert_eq!(found[1], Found::default());
    }

    #[test]
    fn shows_a_bounded_number_of_lines() {
        let text = "192.0.2.1\n".repeat(MAX_LINES + 5);
        let found =
            find(&Rules::new(Format::Plain), text.as_bytes(), &["192.0.2.1".parse().unwrap()]).unwrap();
        assert_eq!((found[0].lines.len(), found[0].more), (MAX_LINES, 5));
    }

    #[test]
    fn numbers_are_those_of_the_unpacked_text() {
        use std::io::Read;
        let mut body = Vec::new();
        let text = &b"\xef\xbb\xbf192.0.2.1\n192.0.2.2\n"[..];
        flate2::read::GzEncoder::new(text, flate2::Compression::fast()).read_to_end(&mut body).unwrap();
        let found = find(&Rules::new(Format::Plain), &body, &["192.0.2.2".parse().unwrap()]).unwrap();
        assert_eq!(found[0].lines, [SourceLine { line: 2, text: "192.0.2.2".to_owned() }]);
        assert!(find(&Rules::new(Format::Plain), b"<html>", &[]).is_err());
    }

    proptest! {
        /// The oracle: read each line as a list of its own.
        #[test]
        fn agrees_with_lines_read_one_by_one(hosts in prop::collection::vec((0u8..8, 24u8..=32), 0..30), asked in 0u8..8) {
            let prefix = |&(host, len): &(u8, u8)| format!("198.51.100.{}/{len}", host & !(0xffu16 >> (len - 24)) as u8);
            let lines: Vec<String> = hosts.iter().map(prefix).collect();
            let address = format!("198.51.100.{asked}");
            let holds = |line: &&String| !find_in(line, &[&address])[0].is_empty();
            let expected = lines.iter().filter(holds).count();
            let body = lines.join("\n");
            let found = find(&Rules::new(Format::Plain), body.as_bytes(), &[address.parse().unwrap()]).unwrap();
            prop_assert_eq!(found[0].lines.len() as u64 + found[0].more, expected as u64);
        }
    }
}
