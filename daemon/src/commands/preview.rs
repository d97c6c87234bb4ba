//! `blackthorn preview`: what the next cycle would change.

use super::text::{columns, counted, magnitude, number, section};
use super::{Verdict, client, output, wait};
use crate::cli;
use crate::engine::preview::{Addresses, FeedPreview, FetchOutcome, Names, Prefix, Preview};
use std::error::Error;

/// Asks the daemon, which asks the feeds, and prints the answer.
pub(super) fn run(args: &cli::Preview) -> Result<Verdict, Box<dyn Error>> {
    let client = client(&args.daemon)?;
    eprintln!("asking all feeds, this takes up to a minute");
    let preview = wait(client.preview())??;
    output::show(args.form.json, &preview, text)?;
    Ok(if preview.changed { Verdict::Yes } else { Verdict::No })
}

fn text(preview: &Preview) -> String {
    let verdict = if preview.changed {
        format!("the next cycle would replace generation {}", preview.serial)
    } else {
        format!("the next cycle would change nothing; generation {} stays", preview.serial)
    };
    let mut total = vec![
        format!("{} now, {} then", addresses(preview.before), addresses(preview.after)),
        format!("{} added", addresses(preview.added)),
        format!("{} removed", addresses(preview.removed)),
        format!("{} listed for other reasons", addresses(preview.altered)),
    ];
    let Names { added, removed, altered } = preview.names;
    if preview.names_before + preview.names_after > 0 {
        total.push(format!(
            "{} now, {} then: {} added, {} removed, {} listed for other reasons",
            counted(preview.names_before, "name", "names"),
            number(preview.names_after),
            number(added),
            number(removed),
            number(altered)
        ));
    }
    let feeds: Vec<[String; 4]> = preview.feeds.iter().map(feed).collect();
    let problem = |feed: &FeedPreview| Some(format!("{}: {}", feed.id, feed.problem.as_ref()?));
    let problems: Vec<String> = preview.feeds.iter().filter_map(problem).collect();
    let held_back: Vec<[String; 3]> = preview.feeds.iter().flat_map(held_back).collect();
    format!("{verdict}\n")
        + &section("addresses", &total)
        + &section("feeds", &columns(&feeds, &[]))
        + &section("added", &prefixes(&[&preview.widest_added[..], &preview.names_added].concat()))
        + &section("removed", &prefixes(&[&preview.widest_removed[..], &preview.names_removed].concat()))
        + &section("held back", &columns(&held_back, &[]))
        + &section("problems", &problems)
}

fn addresses(addresses: Addresses) -> String {
    format!("{} IPv4, {} IPv6", number(addresses.v4), magnitude(addresses.v6))
}

fn feed(feed: &FeedPreview) -> [String; 4] {
    let outcome = match feed.outcome {
        FetchOutcome::Unchanged => "unchanged",
        FetchOutcome::Changed => "new copy",
        FetchOutcome::Failing => "WOULD FAIL, last good copy",
        FetchOutcome::Quarantined => "WOULD BE QUARANTINED, last good copy",
    };
    let entries = match (feed.entries_before, feed.entries_after) {
        (before, after) if before == after => counted(after, "entry", "entries"),
        (before, after) => format!("{} -> {}", number(before), counted(after, "entry", "entries")),
    };
    let change = |sign: &str, n: Addresses| (!n.is_zero()).then(|| format!("{sign} {}", addresses(n)));
    let names = |sign: &str, n: u64| (n > 0).then(|| format!("{sign} {}", counted(n, "name", "names")));
    let changes = [
        change("+", feed.added),
        change("-", feed.removed),
        names("+", feed.names.added),
        names("-", feed.names.removed),
    ];
    let changes: Vec<String> = changes.into_iter().flatten().collect();
    [feed.id.clone(), outcome.to_owned(), entries, changes.join(", ")]
}

fn prefixes(prefixes: &[Prefix]) -> Vec<String> {
    let rows: Vec<[String; 2]> =
        prefixes.iter().map(|prefix| [prefix.network.clone(), prefix.feeds.join(", ")]).collect();
    columns(&rows, &[])
}

/// What exclusions and protections overrule, where they overrule something.
fn held_back(feed: &FeedPreview) -> Vec<[String; 3]> {
    let row = |what: &str, before: f64, after: f64| {
        let numbers = format!("{} -> {} addresses", magnitude(before), magnitude(after));
        (before > 0.0 || after > 0.0).then(|| [feed.id.clone(), what.to_owned(), numbers])
    };
    let excluded = row("by exclusions", feed.excluded_before, feed.excluded_after);
    let protected = row("from the filter, protected", feed.protected_before, feed.protected_after);
    excluded.into_iter().chain(protected).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed_preview(id: &str, outcome: FetchOutcome) -> FeedPreview {
        FeedPreview {
            id: id.to_owned(),
            outcome,
            problem: None,
            entries_before: 1_000,
            entries_after: 1_000,
            added: Addresses::default(),
            removed: Addresses::default(),
            names: Names::default(),
            excluded_before: 0.0,
            excluded_after: 0.0,
            protected_before: 0.0,
            protected_after: 0.0,
        }
    }

    #[test]
    fn changes_are_told() {
        let prefix = |network: &str, feeds: &[&str]| Prefix {
            network: network.to_owned(),
            feeds: feeds.iter().map(ToString::to_string).collect(),
        };
        let preview = Preview {
            serial: 7,
            changed: true,
            feeds: vec![
                FeedPreview {
                    entries_after: 1_200,
                    added: Addresses { v4: 300, v6: 2f64.powi(64) },
                    removed: Addresses { v4: 1, v6: 0.0 },
                    names: Names { added: 2, removed: 1, altered: 0 },
                    excluded_after: 16.0,
                    protected_before: 1.0,
                    ..feed_preview("hosts", FetchOutcome::Changed)
                },
                FeedPreview {
                    problem: Some("the body is a web page".to_owned()),
                    ..feed_preview("page", FetchOutcome::Quarantined)
                },
                feed_preview("nets", FetchOutcome::Unchanged),
            ],
            before: Addresses { v4: 2_000, v6: 0.0 },
            after: Addresses { v4: 2_299, v6: 2f64.powi(64) },
            added: Addresses { v4: 300, v6: 2f64.powi(64) },
            removed: Addresses { v4: 1, v6: 0.0 },
            altered: Addresses::default(),
            widest_added: vec![
                prefix("192.0.2.0/24", &["hosts"]),
                prefix("2001:db8::/64", &["hosts", "nets"]),
            ],
            widest_removed: vec![prefix("198.51.100.7", &["hosts"])],
            names_before: 9,
            names_after: 10,
            names: Names { added: 2, removed: 1, altered: 0 },
            names_added: vec![prefix(".bad.example", &["hosts"])],
            names_removed: vec![prefix("old.example", &["hosts"])],
        };
        assert_eq!(
            text(&preview),
            "\
the next cycle would replace generation 7
  addresses   2,000 IPv4, 0 IPv6 now, 2,299 IPv4, 1.8e19 IPv6 then
              300 IPv4, 1.8e19 IPv6 added
              1 IPv4, 0 IPv6 removed
              0 IPv4, 0 IPv6 listed for other reasons
              9 names now, 10 then: 2 added, 1 removed, 0 listed for other reasons
  feeds       hosts  new copy                              1,000 -> 1,200 entries  + 300 IPv4, 1.8e19 IPv6, - 1 IPv4, 0 IPv6, + 2 names, - 1 name
              page   WOULD BE QUARANTINED, last good copy  1,000 entries
              nets   unchanged                             1,000 entries
  added       192.0.2.0/24   hosts
              2001:db8::/64  hosts, nets
              .bad.example   hosts
  removed     198.51.100.7  hosts
              old.example   hosts
  held back   hosts  by exclusions               0 -> 16 addresses
              hosts  from the filter, protected  1 -> 0 addresses
  problems    page: the body is a web page
"
        );
        let nothing = Preview { changed: false, ..preview };
        assert!(text(&nothing).starts_with("the next cycle would change nothing; generation 7 stays\n"));
    }
}
