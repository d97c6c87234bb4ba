//! `blackthorn diff`: what two generations on disk say differently.

use super::text::{ago, columns, magnitude, number, section};
use super::{Verdict, output};
use crate::cli;
use crate::config::Config;
use crate::core::delta::{Change, Counts, Delta, Example, FamilyCounts, Side, delta};
use crate::core::domain_table::DomainTable;
use crate::core::entry::FeedId;
use crate::core::generation_file::{Damage, GenerationFile};
use crate::core::listing::Listings;
use crate::core::table::Table;
use crate::engine::unix_now;
use crate::generations::{Generations, OpenError};
use serde::Serialize;
use std::error::Error;

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    from: End,
    to: End,
    delta: Delta,
}

/// One of the two.
#[derive(Debug, Serialize)]
struct End {
    serial: u32,
    /// Seconds since 1970.
    built_at: u64,
}

/// The part of a file that is compared.
struct Opened {
    built_at: u64,
    table: Table,
    domains: DomainTable,
    listings: Listings,
    feeds: Vec<FeedId>,
}

/// Compares two files; no daemon is asked.
pub(super) fn run(args: &cli::Diff) -> Result<Verdict, Box<dyn Error>> {
    let files = Generations::new(&Config::load(&args.config.config)?.state_dir);
    let (old, new) = (open(&files, args.from)?, open(&files, args.to)?);
    let report = Report {
        from: End { serial: args.from, built_at: old.built_at },
        to: End { serial: args.to, built_at: new.built_at },
        delta: delta(old.side(), new.side(), args.widest.into()),
    };
    output::show(args.form.json, &report, |report| text(report, unix_now()))?;
    Ok(if report.delta.is_empty() { Verdict::Yes } else { Verdict::No })
}

fn open(files: &Generations, serial: u32) -> Result<Opened, OpenError> {
    let read = |file: &GenerationFile| -> Result<Opened, Damage> {
        Ok(Opened {
            built_at: file.manifest().built_at,
            table: file.table()?,
            domains: file.domains()?,
            listings: file.listings()?,
            feeds: file.feed_ids()?,
        })
    };
    read(&files.open(serial)?).map_err(|damage| OpenError::Damaged { path: files.path(serial), damage })
}

impl Opened {
    fn side(&self) -> Side<'_> {
        Side { table: &self.table, domains: &self.domains, listings: &self.listings, feeds: &self.feeds }
    }
}

fn text(report: &Report, now: u64) -> String {
    let Report { from, to, delta } = report;
    let title = format!(
        "from generation {}, built {}, to {}, built {}\n",
        from.serial,
        ago(now, from.built_at),
        to.serial,
        ago(now, to.built_at)
    );
    if delta.is_empty() {
        return title + "they list the same\n";
    }
    let head = ["", "", "added", "removed", "changed"].map(str::to_owned);
    let all = rows("all", &delta.addresses);
    let feeds = delta.feeds.iter().flat_map(|(feed, counts)| rows(feed, counts));
    let table: Vec<[String; 5]> = [head].into_iter().chain(all).chain(feeds).collect();
    let widest: Vec<[String; 3]> = delta.widest_v4.iter().chain(&delta.widest_v6).map(example).collect();
    let names: Vec<[String; 3]> = delta.names.iter().map(example).collect();
    let names = if names.is_empty() { String::new() } else { section("names", &columns(&names, &[])) };
    title
        + &section("addresses", &columns(&table, &[2, 3, 4]))
        + &section("widest", &columns(&widest, &[]))
        + &names
}

/// A line for each family, and for names, if something changed in it.
fn rows(name: &str, counts: &FamilyCounts) -> Vec<[String; 5]> {
    let row = |(family, counts): (&str, Counts)| {
        let [added, removed, changed] = [counts.added, counts.removed, counts.changed].map(addresses);
        [name.to_owned(), family.to_owned(), added, removed, changed]
    };
    let families = [("IPv4", counts.v4), ("IPv6", counts.v6), ("names", counts.names)].into_iter();
    families.filter(|(_, counts)| !counts.is_empty()).map(row).collect()
}

/// Exact as far as it can be read.
fn addresses(n: u128) -> String {
    u64::try_from(n).map_or_else(|_| magnitude(n as f64), number)
}

fn example(example: &Example) -> [String; 3] {
    let change = match example.change {
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Changed => "changed",
    };
    [change.to_owned(), example.network.clone(), example.feeds.join(", ")]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(delta: Delta) -> Report {
        let end = |serial, built_at| End { serial, built_at };
        Report { from: end(7, 1_000), to: end(9, 8_200), delta }
    }

    #[test]
    fn numbers_then_the_widest_prefixes() {
        let v4 = Counts { added: 1_256, removed: 1, changed: 0 };
        let v6 = Counts { added: 1 << 80, ..Counts::default() };
        let example = |network: &str, change, feeds: &[&str]| Example {
            network: network.to_owned(),
            change,
            feeds: feeds.iter().map(ToString::to_string).collect(),
        };
        let delta = Delta {
            addresses: FamilyCounts { v4, v6, names: Counts { added: 2, ..Counts::default() } },
            feeds: [("mine".to_owned(), FamilyCounts { v4, ..FamilyCounts::default() })].into(),
            widest_v4: vec![
                example("192.0.2.0/24", Change::Added, &["mine", "other"]),
                example("198.51.100.7", Change::Removed, &["mine"]),
            ],
            widest_v6: vec![example("2001:db8::/48", Change::Added, &["other"])],
            names: vec![example(".bad.example", Change::Added, &["mine"])],
        };
        assert_eq!(
            text(&report(delta), 8_260),
            "\
from generation 7, built 2h ago, to 9, built 1m ago
  addresses                 added  removed  changed
              all   IPv4    1,256        1        0
              all   IPv6   1.2e24        0        0
              all   names       2        0        0
              mine  IPv4    1,256        1        0
  widest      added    192.0.2.0/24   mine, other
              removed  198.51.100.7   mine
              added    2001:db8::/48  other
  names       added  .bad.example  mine
"
        );
    }

    #[test]
    fn equal_generations_are_said_to_be_equal() {
        let said = text(&report(Delta::default()), 8_200);
        assert_eq!(said, "from generation 7, built 2h ago, to 9, built just now\nthey list the same\n");
    }

    #[test]
    fn counts_beyond_64_bits_have_a_json_form() {
        let v6 = Counts { added: u128::MAX, ..Counts::default() };
        let delta = Delta { addresses: FamilyCounts { v6, ..FamilyCounts::default() }, ..Delta::default() };
        let json = serde_json::to_string(&report(delta)).unwrap();
        assert!(json.contains("\"added\":340282366920938463463374607431768211455"), "{json}");
    }
}
