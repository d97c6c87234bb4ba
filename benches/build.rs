//! From feeds to a table: parse, flatten, merge and compile, on one core; and how much memory ten million entries take.

mod measure;

use blackthorn::core::coverage::Coverage;
use blackthorn::core::entry::Entries;
use blackthorn::core::feed::{Format, Rules, parse};
use blackthorn::core::flatten::{Flat, flatten};
use blackthorn::core::listing::FeedIndex;
use blackthorn::core::merge::{Sources, merge};
use blackthorn::core::network::Network;
use blackthorn::core::span::Span;
use blackthorn::core::table::Table;
use blackthorn_testkit::prefixes::{clustered_hosts_v4, scattered_v4, scattered_v6};
use criterion::Criterion;
use measure::{Aim, Clock, Group, SAMPLES, Samples, criterion, report, size};
use std::error::Error;
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::process::Command;

/// Argument that makes this process one round of ten million: peak memory is that of a process.
const CHILD: &str = "ten-million";
const TEN_MILLION: usize = 10_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().any(|argument| argument == CHILD) {
        return child();
    }
    let mut criterion = criterion();
    let case = "3 feeds, IPv4 hosts and networks, 5 % IPv6";
    let million = feeds(1_000_000);
    time(&mut criterion, "merge and compile, 1 M", case, 300.0, || million.clone(), compile)?;
    drop(million);

    let text = plain_list(1_000_000);
    let rules = Rules::new(Format::Plain);
    let lines = format!("plain, {} lines, {} MB", size(1_000_000), text.len() / 1_000_000);
    let work = |()| compile(vec![parse(&rules, text.as_bytes())?.entries]);
    time(&mut criterion, "parse, merge and compile", &lines, 500.0, || (), work)?;
    drop(text);

    let (mut times, mut peaks) = (Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        let output = Command::new(std::env::current_exe()?).arg(CHILD).output()?;
        let text = String::from_utf8(output.stdout)?;
        let mut words = text.split_whitespace().map(str::parse);
        times.push(words.next().ok_or("no time")??);
        peaks.push(words.next().ok_or("no peak")??);
    }
    report("merge and compile, 10 M", case, &Samples::new(times, "s"), None, Aim::AtMost(4.0));
    report(
        "its peak memory",
        "whole process, entries included",
        &Samples::new(peaks, "MiB"),
        None,
        Aim::AtMost(1024.0),
    );
    Ok(())
}

/// Reports how many milliseconds `work` takes, and whether it is at most `limit`.
fn time<I>(
    criterion: &mut Criterion,
    what: &str,
    case: &str,
    limit: f64,
    input: impl FnMut() -> I,
    work: impl FnMut(I) -> Result<Table, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    if let Some(times) = Group::new(criterion, Clock::Thread, what, case).time("ours", input, work)? {
        report(what, case, &times.map("ms", |time| time / 1e6), None, Aim::AtMost(limit));
    }
    Ok(())
}

/// One round of ten million: prints CPU seconds, and the peak of this process in MiB.
fn child() -> Result<(), Box<dyn Error>> {
    let input = feeds(TEN_MILLION);
    let (time, result) = Clock::Thread.time(|| compile(input));
    result?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kib: f64 = peak.trim().trim_end_matches("kB").trim().parse()?;
    println!("{} {}", time.as_secs_f64(), kib / 1024.0);
    Ok(())
}

/// Three feeds with `count` entries in all, in no order: a long one of hosts with values, one of networks and hosts that
/// partly repeats it, a short one of IPv6.
fn feeds(count: usize) -> Vec<Entries> {
    let (networks, v6) = (count / 4, count / 20);
    let mut feeds = vec![Entries::default(), Entries::default(), Entries::default()];
    let hosts = clustered_hosts_v4(1, count - networks - v6);
    for (line, host) in (1..).zip(&hosts) {
        let repeats = line % 8 == 0;
        feeds[0].push(Network::V4(Span::host(host.first)), line, host.value);
        if repeats && feeds[1].len() < networks / 2 {
            feeds[1].push(Network::V4(Span::host(host.first)), line, 0);
        }
    }
    drop(hosts);
    let rest = networks - feeds[1].len();
    for (line, rule) in (1..).zip(scattered_v4(2, rest)) {
        feeds[1].push(Network::V4(Span { first: rule.first, last: rule.last }), line, 0);
    }
    for (line, rule) in (1..).zip(scattered_v6(3, v6)) {
        feeds[2].push(Network::V6(Span { first: rule.first, last: rule.last }), line, 0);
    }
    feeds
}

/// From parsed entries to a table, as the engine does it.
fn compile(feeds: Vec<Entries>) -> Result<Table, Box<dyn Error>> {
    let flats: Vec<(FeedIndex, Flat)> = (0..).map(FeedIndex).zip(feeds.into_iter().map(flatten)).collect();
    let sources: Vec<(FeedIndex, &Flat)> = flats.iter().map(|(index, flat)| (*index, flat)).collect();
    let (exclusions, protected) =
        (networks(["192.88.99.0/24", "2a00:1450::/32"])?, networks(["8.8.8.0/24", "10.0.0.0/8"])?);
    let merged = merge(&Sources {
        feeds: &sources,
        exclusions: &exclusions,
        protected: &protected,
        filter_feeds: &[FeedIndex(0), FeedIndex(2)],
    })?;
    Ok(Table::compile(&merged.v4, &merged.v6)?)
}

fn networks<const N: usize>(texts: [&str; N]) -> Result<Coverage, Box<dyn Error>> {
    let parsed: Result<Vec<Network>, _> = texts.iter().map(|text| text.parse()).collect();
    Ok(Coverage::new(parsed?))
}

/// A list as it comes over the wire: nine of ten lines are hosts, the others networks.
fn plain_list(lines: usize) -> String {
    let mut text = String::new();
    let hosts = clustered_hosts_v4(5, lines - lines / 10).into_iter();
    let networks = scattered_v4(6, lines / 10).into_iter();
    for rule in hosts.chain(networks) {
        let span = Span { first: rule.first, last: rule.last };
        let address = Ipv4Addr::from(span.first);
        // Writing to a string does not fail.
        let _ = match span.prefix_len() {
            Some(32) | None => writeln!(text, "{address}"),
            Some(len) => writeln!(text, "{address}/{len}"),
        };
    }
    text
}
