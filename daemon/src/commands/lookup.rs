//! `blackthorn lookup`: who lists an address or domain, what the zones answer, what the packet filter does, and why.

use super::live::ends;
use super::text::{ago, columns, number, section};
use super::{Verdict, ask, notes, output};
use crate::cli;
use crate::config::{self, Config};
use crate::control::report::{Lookup, Origin};
use crate::core::explain::{
    DomainExplanation, DomainNamedBy, Explanation, LiveVerdict, NamedBy, Reservation, Since, Target,
    ZoneVerdict, explain, explain_domain,
};
use crate::core::feed::SourceLine;
use crate::engine::disk::{Disk, DiskError};
use crate::engine::status::FeedState;
use crate::engine::unix_now;
use crate::engine::why_not::{FeedGap, LeftOut, WhyNot, ZoneGap, why_not};
use crate::engine::written::fill_lines;
use crate::generations::fill_since;
use std::error::Error;

/// Asks the daemon, or reads the disk if there is none, and prints the answer.
pub(super) fn run(args: &cli::Lookup) -> Result<Verdict, Box<dyn Error>> {
    let answer = match args.from_disk {
        true => None,
        false => ask(&args.daemon, async |client| client.lookup(&args.targets, args.why_not).await)?,
    };
    let report = match answer {
        Some(report) => report,
        None => on_disk(&Config::load(&args.daemon.config.config)?, args)?,
    };
    output::show(args.form.json, &report, |report| text(report, unix_now()))?;
    let listed = report.addresses.iter().all(|explanation| explanation.listed)
        && report.domains.iter().all(|explanation| explanation.listed);
    Ok(if listed { Verdict::Yes } else { Verdict::No })
}

fn on_disk(config: &Config, args: &cli::Lookup) -> Result<Lookup, DiskError> {
    let disk = Disk::load(config);
    let view = disk.view()?;
    let (mut addresses, mut domains) = (Vec::new(), Vec::new());
    for target in &args.targets {
        match target {
            Target::Address(address) => addresses.push(explain(&view.generation, &view.overlay, *address)),
            Target::Domain(name) => domains.push(explain_domain(&view.generation, name)),
        }
    }
    let mut notes = [disk.notes(), &fill_lines(config, &mut addresses, &mut domains)].concat();
    fill_since(&config.state_dir, &mut addresses, &mut domains);
    let mut reasons = Vec::new();
    if args.why_not {
        let (found, more) = why_not(config, &disk.feeds(), &addresses);
        reasons = found;
        notes.extend(more);
    }
    let filter = action(&config.filter).to_owned();
    Ok(Lookup { origin: Origin::Disk, notes, filter, addresses, domains, why_not: reasons })
}

/// What the packet filter of this configuration does.
fn action(filter: &config::Filter) -> &'static str {
    match (filter.interfaces.is_empty(), filter.enforce) {
        (true, _) => "off",
        (false, true) => "drop",
        (false, false) => "monitor",
    }
}

fn text(report: &Lookup, now: u64) -> String {
    let mut explained: Vec<String> =
        report.addresses.iter().map(|e| explanation(e, &report.filter, now)).collect();
    for (text, why) in explained.iter_mut().zip(&report.why_not) {
        *text += &section("why not", &reasons(why, now));
    }
    explained.extend(report.domains.iter().map(|e| domain(e, now)));
    let head = notes(report.origin, &report.notes);
    let serials = report.addresses.iter().map(|e| e.serial).chain(report.domains.iter().map(|e| e.serial));
    let serial = serials.max().unwrap_or(0);
    let from = match (report.origin, serial) {
        (Origin::Daemon, serial) => format!("generation {serial}, as served now"),
        (Origin::Disk, 0) => "nothing was ever published from this state directory".to_owned(),
        (Origin::Disk, serial) => format!("last published: generation {serial}"),
    };
    format!("{head}{}\n{from}\n", explained.join("\n"))
}

fn explanation(e: &Explanation, filter: &str, now: u64) -> String {
    let verdict = match e {
        Explanation { listed: true, .. } => "is LISTED",
        Explanation { live: Some(_), .. } => "is not listed, because it is allowed by hand",
        Explanation { exclusions, feeds, .. } if !exclusions.is_empty() && !feeds.is_empty() => {
            "is not listed, because it is excluded"
        }
        _ => "is not listed",
    };
    let feeds: Vec<[String; 2]> = e.feeds.iter().flat_map(|named| named_by(named, now)).collect();
    let zones: Vec<[String; 2]> = e.zones.iter().flat_map(zone).collect();
    let mut packets = vec![packets(e.filter.drop, filter).to_owned()];
    packets.extend(reserved(&e.filter.protections).iter().map(|line| format!("protected: {line}")));
    format!("{} {verdict}\n", e.address)
        + &section("feeds", &columns(&feeds, &[]))
        + &live(e.live.as_ref(), now)
        + &section("zones", &columns(&zones, &[]))
        + &section("exclusions", &reserved(&e.exclusions))
        + &section("filter", &packets)
}

fn domain(e: &DomainExplanation, now: u64) -> String {
    let excluded = !e.exclusions.is_empty() && e.feeds.iter().any(|named| named.listed);
    let verdict = match (e.listed, excluded) {
        (true, _) => "is LISTED",
        (false, true) => "is not listed, because it is excluded",
        (false, false) => "is not listed",
    };
    let feeds: Vec<[String; 2]> = e.feeds.iter().flat_map(|named| domain_named_by(named, now)).collect();
    let zones: Vec<[String; 2]> = e.zones.iter().flat_map(zone).collect();
    format!("{} {verdict}\n", e.domain)
        + &section("feeds", &columns(&feeds, &[]))
        + &section("zones", &columns(&zones, &[]))
        + &section("exclusions", &reserved(&e.exclusions))
}

fn domain_named_by(named: &DomainNamedBy, now: u64) -> Vec<[String; 2]> {
    let exception = if named.listed { "" } else { ", an exception of this feed" };
    let mut rows = vec![[named.feed.clone(), format!("{}{exception}", named.entry)]];
    rows.extend(written(&named.lines, named.more_lines, named.since, now));
    rows
}

/// The live entry that decides; nothing if there is none.
fn live(verdict: Option<&LiveVerdict>, now: u64) -> String {
    verdict.map_or_else(String::new, |verdict| {
        let LiveVerdict { action, network, reason, by, added_at, expires_at } = verdict;
        let (since, ends) = (ago(now, *added_at), ends(*expires_at, now));
        let mut lines = vec![format!("{} {network} by user {by}, {since}, ends {ends}", action.name())];
        lines.extend((!reason.is_empty()).then(|| reason.clone()));
        section("live", &lines)
    })
}

/// What keeps the address off the lists, beside the exclusions shown above.
fn reasons(why: &WhyNot, now: u64) -> Vec<String> {
    let zones = why.zones.iter().map(|ZoneGap { zone, reason }| format!("zone {zone}: {reason}"));
    zones.chain(why.feeds.iter().flat_map(|gap| feed_gap(gap, now))).collect()
}

fn feed_gap(gap: &FeedGap, now: u64) -> Vec<String> {
    let state = match gap.state {
        FeedState::Ok => None,
        FeedState::Waiting => Some("nothing was ever fetched".to_owned()),
        FeedState::Failing => Some("FAILING".to_owned()),
        FeedState::Quarantined => Some("QUARANTINED, what was refused is not kept".to_owned()),
    };
    let state = state.map(|state| {
        let since = gap.since.map(|since| format!(", since {}", ago(now, since))).unwrap_or_default();
        let problem = gap.problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
        let copy = match (gap.loaded, gap.names_it) {
            (false, _) => "there is no good copy",
            (true, false) => "the last good copy does not name the address",
            (true, true) => "the last good copy names the address",
        };
        format!("feed {}: {state}{since}{problem}; {copy}", gap.feed)
    });
    let line = |left: &LeftOut| {
        format!("feed {}: line {} is left out, {}: {}", gap.feed, left.line, left.reason, left.text)
    };
    state.into_iter().chain(gap.left_out.iter().map(line)).collect()
}

fn named_by(named: &NamedBy, now: u64) -> Vec<[String; 2]> {
    let mut head = named.network.clone();
    if named.value > 0 {
        head += &format!(", score {}", named.value);
    }
    if named.filtered {
        head += ", used by the filter";
    }
    let mut rows = vec![[named.feed.clone(), head]];
    rows.extend(written(&named.lines, named.more_lines, named.since, now));
    rows
}

/// Entries as written, and since when they are in force.
fn written(lines: &[SourceLine], more: u64, since: Option<Since>, now: u64) -> Vec<[String; 2]> {
    let mut rows = Vec::new();
    let mut add = |line: String| rows.push([String::new(), line]);
    for line in lines {
        add(format!("line {}: {}", line.line, line.text));
    }
    if more > 0 {
        add(format!("and {} more lines", number(more)));
    }
    if let Some(Since { serial, built_at }) = since {
        add(format!("at least since generation {serial}, {}", ago(now, built_at)));
    }
    rows
}

fn zone(zone: &ZoneVerdict) -> Vec<[String; 2]> {
    let head = match zone {
        ZoneVerdict { loaded: false, .. } => "SERVFAIL: none of its feeds has data".to_owned(),
        ZoneVerdict { codes, .. } if codes.is_empty() => "not listed".to_owned(),
        ZoneVerdict { codes, .. } => codes.join(", "),
    };
    let texts = zone.texts.iter().map(|text| [String::new(), format!("\"{text}\"")]);
    [[zone.zone.clone(), head]].into_iter().chain(texts).collect()
}

fn packets(drop: bool, filter: &str) -> &'static str {
    match (drop, filter) {
        (true, "drop") => "drops packets from here",
        (true, "monitor") => "counts packets from here and lets them pass (action = \"monitor\")",
        (true, _) => "off; were it on, it would act on packets from here",
        (false, "drop" | "monitor") => "lets packets from here pass",
        (false, _) => "off",
    }
}

fn reserved(reservations: &[Reservation]) -> Vec<String> {
    let rows: Vec<[String; 2]> = reservations.iter().map(|r| [r.network.clone(), r.reason.clone()]).collect();
    columns(&rows, &[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::explain::FilterVerdict;

    fn named(feed: &str, network: &str, value: u32, lines: &[(u32, &str)]) -> NamedBy {
        let line = |&(line, text): &(u32, &str)| SourceLine { line, text: text.to_owned() };
        NamedBy {
            feed: feed.to_owned(),
            value,
            network: network.to_owned(),
            filtered: feed == "mine",
            lines: lines.iter().map(line).collect(),
            more_lines: 0,
            since: None,
        }
    }

    fn zone_says(zone: &str, loaded: bool, codes: &[&str], texts: &[&str]) -> ZoneVerdict {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        ZoneVerdict { zone: zone.to_owned(), loaded, codes: owned(codes), texts: owned(texts) }
    }

    fn reservation(network: &str, reason: &str) -> Reservation {
        Reservation { network: network.to_owned(), reason: reason.to_owned() }
    }

    fn listed() -> Explanation {
        Explanation {
            address: "192.0.2.83".parse().unwrap(),
            listed: true,
            serial: 1_795_000_000,
            feeds: vec![
                named(
                    "mine",
                    "192.0.2.64/26",
                    0,
                    &[(17, "192.0.2.64/26"), (90, "192.0.2.80 - 192.0.2.90 # x")],
                ),
                NamedBy {
                    more_lines: 1_203,
                    since: Some(Since { serial: 1_794_000_000, built_at: 1_795_000_000 }),
                    ..named("scored", "192.0.2.83", 8, &[(4, "192.0.2.83 8")])
                },
            ],
            live: None,
            zones: vec![
                zone_says("bl.example", true, &["127.0.0.2", "127.0.0.4"], &["Listed by us", "On 8 lists"]),
                zone_says("other.example", true, &[], &[]),
                zone_says("new.example", false, &[], &[]),
            ],
            exclusions: Vec::new(),
            filter: FilterVerdict { drop: true, protections: Vec::new() },
        }
    }

    fn report(filter: &str, addresses: Vec<Explanation>) -> Lookup {
        Lookup {
            origin: Origin::Daemon,
            notes: Vec::new(),
            filter: filter.to_owned(),
            addresses,
            domains: Vec::new(),
            why_not: Vec::new(),
        }
    }

    #[test]
    fn a_listed_address_is_explained() {
        assert_eq!(
            text(&report("drop", vec![listed()]), 1_795_003_600),
            "\
192.0.2.83 is LISTED
  feeds       mine    192.0.2.64/26, used by the filter
                      line 17: 192.0.2.64/26
                      line 90: 192.0.2.80 - 192.0.2.90 # x
              scored  192.0.2.83, score 8
                      line 4: 192.0.2.83 8
                      and 1,203 more lines
                      at least since generation 1794000000, 1h ago
  zones       bl.example     127.0.0.2, 127.0.0.4
                             \"Listed by us\"
                             \"On 8 lists\"
              other.example  not listed
              new.example    SERVFAIL: none of its feeds has data
  exclusions  none
  filter      drops packets from here

generation 1795000000, as served now
"
        );
    }

    #[test]
    fn domains_are_explained() {
        let named = |feed: &str, entry: &str, listed| DomainNamedBy {
            feed: feed.to_owned(),
            entry: entry.to_owned(),
            listed,
            lines: vec![SourceLine { line: 3, text: format!("||{entry}^") }],
            more_lines: 0,
            since: None,
        };
        let listed = DomainExplanation {
            domain: "www.bad.example".to_owned(),
            listed: true,
            serial: 7,
            feeds: vec![named("one", ".bad.example", true), named("two", "www.bad.example", false)],
            zones: vec![zone_says("bl.example", true, &["127.0.0.2"], &["see www.bad.example"])],
            exclusions: Vec::new(),
        };
        let excluded = DomainExplanation {
            listed: false,
            feeds: vec![named("one", ".bad.example", true)],
            zones: vec![zone_says("bl.example", true, &[], &[])],
            exclusions: vec![reservation(".bad.example", "lists/allow.txt:7")],
            ..listed.clone()
        };
        let report = Lookup { domains: vec![listed, excluded], ..report("off", Vec::new()) };
        assert_eq!(
            text(&report, 0),
            "\
www.bad.example is LISTED
  feeds       one  .bad.example
                   line 3: ||.bad.example^
              two  www.bad.example, an exception of this feed
                   line 3: ||www.bad.example^
  zones       bl.example  127.0.0.2
                          \"see www.bad.example\"
  exclusions  none

www.bad.example is not listed, because it is excluded
  feeds       one  .bad.example
                   line 3: ||.bad.example^
  zones       bl.example  not listed
  exclusions  .bad.example  lists/allow.txt:7

generation 7, as served now
"
        );
    }

    #[test]
    fn addresses_that_are_not_listed_say_why() {
        let unknown = Explanation {
            address: "2001:db8::9".parse().unwrap(),
            listed: false,
            feeds: Vec::new(),
            zones: vec![zone_says("bl.example", true, &[], &[])],
            filter: FilterVerdict { drop: false, protections: Vec::new() },
            ..listed()
        };
        let excluded = Explanation {
            listed: false,
            zones: Vec::new(),
            feeds: vec![named("mine", "192.0.2.64/26", 0, &[])],
            exclusions: vec![reservation("192.0.2.80/28", "lists/allow.txt:7")],
            filter: FilterVerdict {
                drop: false,
                protections: vec![reservation("192.0.2.83", "address of eth0")],
            },
            ..listed()
        };
        let lookup = Lookup {
            origin: Origin::Disk,
            notes: vec!["feed mine: entries as written are not shown: gone".to_owned()],
            ..report("monitor", vec![unknown, excluded])
        };
        assert_eq!(
            text(&lookup, 0),
            "\
note: no daemon was asked; this is from disk, what one would serve if it were started now
note: feed mine: entries as written are not shown: gone
2001:db8::9 is not listed
  feeds       none
  zones       bl.example  not listed
  exclusions  none
  filter      lets packets from here pass

192.0.2.83 is not listed, because it is excluded
  feeds       mine  192.0.2.64/26, used by the filter
  zones       none
  exclusions  192.0.2.80/28  lists/allow.txt:7
  filter      lets packets from here pass
              protected: 192.0.2.83  address of eth0

last published: generation 1795000000
"
        );
    }

    #[test]
    fn reasons_stand_below_each_address() {
        let gap = |feed: &str, state, problem: Option<&str>| FeedGap {
            feed: feed.to_owned(),
            state,
            since: problem.map(|_| 1_000),
            problem: problem.map(str::to_owned),
            loaded: problem.is_some() || state == FeedState::Ok,
            names_it: false,
            left_out: Vec::new(),
        };
        let left_out = LeftOut {
            line: 4,
            text: "192.0.2.83 2".to_owned(),
            reason: "its score is below min_score = 3".to_owned(),
        };
        let zone = ZoneGap {
            zone: "bl.example".to_owned(),
            reason: "none of its feeds lists the address".to_owned(),
        };
        let why = WhyNot {
            address: "192.0.2.83".parse().unwrap(),
            feeds: vec![
                FeedGap { left_out: vec![left_out], ..gap("scored", FeedState::Ok, None) },
                gap("page", FeedState::Quarantined, Some("a web page")),
                gap("never", FeedState::Waiting, None),
            ],
            zones: vec![zone],
        };
        let shown = text(&Lookup { why_not: vec![why], ..report("drop", vec![listed()]) }, 1_120);
        let expected = "
  filter      drops packets from here
  why not     zone bl.example: none of its feeds lists the address
              feed scored: line 4 is left out, its score is below min_score = 3: 192.0.2.83 2
              feed page: QUARANTINED, what was refused is not kept, since 2m ago: a web page; the last good copy does not name the address
              feed never: nothing was ever fetched; there is no good copy
";
        assert!(shown.contains(expected), "{shown}");
    }

    #[test]
    fn the_filter_says_what_it_does() {
        for (drop, action, said) in [
            (true, "drop", "drops packets from here"),
            (true, "monitor", "counts packets from here and lets them pass (action = \"monitor\")"),
            (true, "off", "off; were it on, it would act on packets from here"),
            (false, "drop", "lets packets from here pass"),
            (false, "off", "off"),
        ] {
            assert_eq!(packets(drop, action), said);
        }
    }
}
