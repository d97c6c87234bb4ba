//! `blackthorn lookup`: who lists an address, what the zones answer, what the packet filter does, and why.

use super::text::{ago, columns, number, section};
use super::{Verdict, ask, notes, output};
use crate::cli;
use crate::config::{self, Config};
use crate::control::report::{Lookup, Origin};
use crate::core::explain::{Explanation, NamedBy, Reservation, Since, ZoneVerdict, explain};
use crate::engine::disk::{Disk, DiskError};
use crate::engine::unix_now;
use crate::engine::written::fill_lines;
use crate::generations::fill_since;
use std::error::Error;
use std::net::IpAddr;

/// Asks the daemon, or reads the disk if there is none, and prints the answer.
pub(super) fn run(args: &cli::Lookup) -> Result<Verdict, Box<dyn Error>> {
    let answer = match args.from_disk {
        true => None,
        false => ask(&args.daemon, async |client| client.lookup(&args.addresses).await)?,
    };
    let report = match answer {
        Some(report) => report,
        None => on_disk(&Config::load(&args.daemon.config.config)?, &args.addresses)?,
    };
    output::show(args.form.json, &report, |report| text(report, unix_now()))?;
    let listed = report.addresses.iter().all(|explanation| explanation.listed);
    Ok(if listed { Verdict::Yes } else { Verdict::No })
}

fn on_disk(config: &Config, addresses: &[IpAddr]) -> Result<Lookup, DiskError> {
    let disk = Disk::load(config);
    let generation = disk.generation()?;
    let mut addresses: Vec<Explanation> = addresses.iter().map(|&a| explain(&generation, a)).collect();
    let notes = [disk.notes(), &fill_lines(config, &mut addresses)].concat();
    fill_since(&config.state_dir, &mut addresses);
    Ok(Lookup { origin: Origin::Disk, notes, filter: action(&config.filter).to_owned(), addresses })
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
    let explained: Vec<String> =
        report.addresses.iter().map(|e| explanation(e, &report.filter, now)).collect();
    let head = notes(report.origin, &report.notes);
    let serial = report.addresses.first().map_or(0, |explanation| explanation.serial);
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
        + &section("zones", &columns(&zones, &[]))
        + &section("exclusions", &reserved(&e.exclusions))
        + &section("filter", &packets)
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
    let mut add = |line: String| rows.push([String::new(), line]);
    for line in &named.lines {
        add(format!("line {}: {}", line.line, line.text));
    }
    if named.more_lines > 0 {
        add(format!("and {} more lines", number(named.more_lines)));
    }
    if let Some(Since { serial, built_at }) = named.since {
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
    use crate::core::feed::SourceLine;

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
        Lookup { origin: Origin::Daemon, notes: Vec::new(), filter: filter.to_owned(), addresses }
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
