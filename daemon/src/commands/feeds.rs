//! `blackthorn feeds`: how every feed fares; one feed in detail; the lines of it that were refused.

use super::text::{ago, columns, counted, magnitude, number, section};
use super::{Verdict, ask, notes, output};
use crate::cli;
use crate::config::Config;
use crate::control::report::{Feeds, Origin, Rejects};
use crate::core::entry::FeedId;
use crate::core::feed::{Counts, MAX_REJECTS, Reject};
use crate::engine::disk::Disk;
use crate::engine::status::{FeedState, FeedStatus};
use crate::engine::unix_now;
use std::error::Error;
use std::slice::from_ref;

/// Asks the daemon, or reads the disk if there is none, and prints the answer.
pub(super) fn run(args: &cli::Feeds) -> Result<Verdict, Box<dyn Error>> {
    let (daemon, json) = (&args.daemon, args.form.json);
    match &args.feed {
        Some(id) if args.rejects => {
            let report = match ask(daemon, async |client| client.rejects(id).await)? {
                Some(report) => report,
                None => rejects_on_disk(&Config::load(&daemon.config.config)?, id)?,
            };
            output::show(json, &report, rejects_text)?;
        }
        chosen => {
            let mut report = match ask(daemon, async |client| client.feeds().await)? {
                Some(report) => report,
                None => on_disk(&Config::load(&daemon.config.config)?),
            };
            if let Some(id) = chosen {
                choose(&mut report, id)?;
            }
            let render = if chosen.is_some() { details } else { overview };
            output::show(json, &report, |report| render(report, unix_now()))?;
        }
    }
    Ok(Verdict::Yes)
}

fn on_disk(config: &Config) -> Feeds {
    let disk = Disk::load(config);
    Feeds { origin: Origin::Disk, notes: disk.notes().to_vec(), feeds: disk.feeds() }
}

fn rejects_on_disk(config: &Config, id: &str) -> Result<Rejects, String> {
    let known: Vec<&str> = config.feeds.iter().map(|feed| feed.id.as_str()).collect();
    let unknown = || unknown_feed(id, &known);
    let feed = FeedId::new(id).map_err(|_| unknown())?;
    let rejects = Disk::load(config).rejects(&feed).ok_or_else(unknown)?;
    Ok(Rejects { origin: Origin::Disk, feed: id.to_owned(), rejects: rejects.to_vec() })
}

fn choose(report: &mut Feeds, id: &str) -> Result<(), String> {
    if !report.feeds.iter().any(|feed| feed.id == id) {
        let known: Vec<&str> = report.feeds.iter().map(|feed| feed.id.as_str()).collect();
        return Err(unknown_feed(id, &known));
    }
    report.feeds.retain(|feed| feed.id == id);
    Ok(())
}

fn unknown_feed(id: &str, known: &[&str]) -> String {
    format!("no feed {id:?} is configured; there are: {}", known.join(", "))
}

/// One line for each feed.
fn overview(report: &Feeds, now: u64) -> String {
    let heads = ["FEED", "STATE", "DATA FROM", "ENTRIES", "REJECTED", "LAST PROBLEM"].map(str::to_owned);
    let rows: Vec<_> = [heads].into_iter().chain(report.feeds.iter().map(|feed| row(feed, now))).collect();
    let lines: String = columns(&rows, &[3, 4]).iter().map(|line| format!("{line}\n")).collect();
    notes(report.origin, &report.notes) + &lines
}

fn row(feed: &FeedStatus, now: u64) -> [String; 6] {
    let problem = match (&feed.last_error, feed.checked_at) {
        (Some(error), Some(at)) => format!("{}: {error}", ago(now, at)),
        (Some(error), None) => error.clone(),
        (None, _) => String::new(),
    };
    let [data, entries, rejected] = match feed.fetched_at {
        Some(at) => [ago(now, at), number(feed.counts.entries()), number(feed.counts.lines.rejected_total())],
        None => ["-"; 3].map(str::to_owned),
    };
    [feed.id.clone(), state(feed).to_owned(), data, entries, rejected, problem]
}

fn state(feed: &FeedStatus) -> &'static str {
    match (feed.state, feed.loaded) {
        (FeedState::Ok, _) => "ok",
        (FeedState::Waiting, _) => "waiting",
        (FeedState::Failing, true) => "failing",
        (FeedState::Failing, false) => "failing, no data",
        (FeedState::Quarantined, true) => "quarantined",
        (FeedState::Quarantined, false) => "quarantined, no data",
    }
}

/// Everything about each feed.
fn details(report: &Feeds, now: u64) -> String {
    let feeds: Vec<String> = report.feeds.iter().map(|feed| detail(feed, now)).collect();
    notes(report.origin, &report.notes) + &feeds.join("\n")
}

fn detail(feed: &FeedStatus, now: u64) -> String {
    let counts = &feed.counts;
    let or_never = |at: Option<u64>| at.map_or("never".to_owned(), |at| ago(now, at));
    let mut text = format!("{} is {}\n", feed.id, state(feed));
    let mut add = |label: &str, lines: &[String]| text += &section(label, lines);
    add("source", from_ref(&feed.source));
    add("format", from_ref(&feed.format));
    add("last try", &[or_never(feed.checked_at)]);
    add("problem", feed.last_error.as_slice());
    add("data from", &[or_never(feed.fetched_at)]);
    if !feed.loaded {
        return text;
    }
    add("sha256", feed.sha256.as_slice());
    add(
        "entries",
        &[format!(
            "{} IPv4, {} IPv6, {}; of these {} and {} inside a wider one",
            number(counts.entries_v4),
            number(counts.entries_v6),
            counted(counts.domains, "domain", "domains"),
            counted(counts.duplicates, "repeat", "repeats"),
            number(counts.nested)
        )],
    );
    add(
        "addresses",
        &[format!("{} IPv4, {} IPv6", number(counts.addresses_v4), magnitude(counts.addresses_v6))],
    );
    add(
        "held back",
        &[format!(
            "{} excluded, {} protected from the filter (addresses); {} excluded",
            magnitude(counts.excluded),
            magnitude(counts.protected),
            counted(counts.excluded_domains, "domain", "domains")
        )],
    );
    add("lines", &lines(&counts.lines));
    add("rejected", &rejected(&counts.lines));
    text
}

fn lines(counts: &Counts) -> Vec<String> {
    let parts = [
        (counts.accepted, "accepted"),
        (counts.rejected_total(), "rejected"),
        (counts.comments, "comments or blank"),
        (counts.special_use, "special-use space only"),
        (counts.below_min_score, "below min_score"),
        (counts.not_applicable, "without an address by design"),
    ];
    let accepted = [
        (counts.repaired, "repaired"),
        (counts.cut, "lost a special-use part"),
        (counts.ports, "lost a port"),
        (counts.notes, "have a note"),
        (counts.scores_defaulted, "have no readable score"),
    ];
    let join = |parts: &[(u64, &str)]| {
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        parts.map(|(count, what)| format!("{} {what}", number(*count))).collect::<Vec<_>>().join(", ")
    };
    let mut lines = vec![format!("{}: {}", number(counts.lines), join(&parts))];
    let accepted = join(&accepted);
    if !accepted.is_empty() {
        lines.push(format!("of the accepted, {accepted}"));
    }
    lines
}

fn rejected(counts: &Counts) -> Vec<String> {
    let rows: Vec<[String; 2]> =
        counts.rejected.iter().map(|(reason, count)| [number(*count), reason.to_string()]).collect();
    columns(&rows, &[0])
}

fn rejects_text(report: &Rejects) -> String {
    let count = report.rejects.len() as u64;
    let most = if report.rejects.len() < MAX_REJECTS { "" } else { "the first " };
    let mut text = notes(report.origin, &[]);
    text += &format!(
        "feed {}: {most}{} of its last body\n",
        report.feed,
        counted(count, "rejected line", "rejected lines")
    );
    let heads = ["LINE", "TEXT", "REASON"].map(str::to_owned);
    let row = |reject: &Reject| [reject.line.to_string(), reject.text.clone(), reject.reason.to_string()];
    let rows: Vec<[String; 3]> = [heads].into_iter().chain(report.rejects.iter().map(row)).collect();
    if !report.rejects.is_empty() {
        text.extend(columns(&rows, &[0]).iter().map(|line| format!("{line}\n")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::feed::RejectReason;
    use crate::engine::status::FeedCounts;

    const NOW: u64 = 1_795_000_000;

    fn good() -> FeedStatus {
        let lines = Counts {
            lines: 12_350,
            accepted: 12_340,
            comments: 5,
            rejected: [(RejectReason::HostName, 4), (RejectReason::Port, 1)].into(),
            repaired: 2,
            ..Counts::default()
        };
        FeedStatus {
            id: "mine".to_owned(),
            source: "/etc/blackthorn/lists/mine.txt".to_owned(),
            format: "plain".to_owned(),
            state: FeedState::Ok,
            loaded: true,
            fetched_at: Some(NOW - 180),
            checked_at: Some(NOW - 60),
            last_error: None,
            sha256: Some("4a9d".to_owned()),
            counts: FeedCounts {
                entries_v4: 12_300,
                entries_v6: 40,
                domains: 3,
                excluded_domains: 1,
                addresses_v4: 1_234_567,
                addresses_v6: 1.2136e24,
                duplicates: 1,
                nested: 7,
                excluded: 16.0,
                protected: 0.0,
                lines,
            },
        }
    }

    fn failing() -> FeedStatus {
        FeedStatus {
            id: "remote".to_owned(),
            source: "https://feeds.example/list?***".to_owned(),
            state: FeedState::Failing,
            loaded: false,
            fetched_at: None,
            checked_at: Some(NOW - 7_200),
            last_error: Some("cannot connect".to_owned()),
            sha256: None,
            counts: FeedCounts::default(),
            ..good()
        }
    }

    fn report(origin: Origin, feeds: Vec<FeedStatus>) -> Feeds {
        Feeds { origin, notes: Vec::new(), feeds }
    }

    #[test]
    fn the_overview_is_a_table() {
        let quarantined = FeedStatus {
            id: "x".to_owned(),
            state: FeedState::Quarantined,
            last_error: Some("no entries: the body is empty".to_owned()),
            ..good()
        };
        assert_eq!(
            overview(&report(Origin::Daemon, vec![good(), failing(), quarantined]), NOW),
            "\
FEED    STATE             DATA FROM  ENTRIES  REJECTED  LAST PROBLEM
mine    ok                3m ago      12,343         5
remote  failing, no data  -                -         -  2h ago: cannot connect
x       quarantined       3m ago      12,343         5  1m ago: no entries: the body is empty
"
        );
    }

    #[test]
    fn the_disk_says_that_it_is_the_disk() {
        let notes = vec!["no stored copies: it does not exist".to_owned()];
        let shown = overview(&Feeds { notes, ..report(Origin::Disk, vec![]) }, NOW);
        assert_eq!(
            shown,
            "\
note: no daemon was asked; this is from disk, what one would serve if it were started now
note: no stored copies: it does not exist
FEED  STATE  DATA FROM  ENTRIES  REJECTED  LAST PROBLEM
"
        );
    }

    #[test]
    fn details_show_everything() {
        assert_eq!(
            details(&report(Origin::Daemon, vec![good(), failing()]), NOW),
            "\
mine is ok
  source      /etc/blackthorn/lists/mine.txt
  format      plain
  last try    1m ago
  problem     none
  data from   3m ago
  sha256      4a9d
  entries     12,300 IPv4, 40 IPv6, 3 domains; of these 1 repeat and 7 inside a wider one
  addresses   1,234,567 IPv4, 1.2e24 IPv6
  held back   16 excluded, 0 protected from the filter (addresses); 1 domain excluded
  lines       12,350: 12,340 accepted, 5 rejected, 5 comments or blank
              of the accepted, 2 repaired
  rejected    1  an address with a port, which this format does not have
              4  a host name; names are not resolved

remote is failing, no data
  source      https://feeds.example/list?***
  format      plain
  last try    2h ago
  problem     cannot connect
  data from   never
"
        );
    }

    #[test]
    fn one_feed_is_chosen_by_its_id() {
        let mut chosen = report(Origin::Daemon, vec![good(), failing()]);
        assert_eq!(
            choose(&mut chosen, "mien").unwrap_err(),
            "no feed \"mien\" is configured; there are: mine, remote"
        );
        choose(&mut chosen, "remote").unwrap();
        assert_eq!(chosen.feeds, [failing()]);
    }

    #[test]
    fn rejects_are_a_table() {
        let reject = |line, text: &str, reason| Reject { line, text: text.to_owned(), reason };
        let rejects = vec![
            reject(7, "example.org", RejectReason::HostName),
            reject(12_345, "192.0.2.1:80", RejectReason::Port),
        ];
        let report = Rejects { origin: Origin::Daemon, feed: "mine".to_owned(), rejects };
        assert_eq!(
            rejects_text(&report),
            "\
feed mine: 2 rejected lines of its last body
 LINE  TEXT          REASON
    7  example.org   a host name; names are not resolved
12345  192.0.2.1:80  an address with a port, which this format does not have
"
        );
        let none = Rejects { rejects: Vec::new(), ..report.clone() };
        assert_eq!(rejects_text(&none), "feed mine: 0 rejected lines of its last body\n");
        let full = vec![reject(1, "x", RejectReason::NotAnAddress); MAX_REJECTS];
        let full = rejects_text(&Rejects { rejects: full, ..report });
        assert!(full.starts_with("feed mine: the first 1,000 rejected lines of its last body\n"), "{full}");
    }
}
