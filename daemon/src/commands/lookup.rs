//! `blackthorn lookup`: who lists an address, what the zones answer, what the packet filter does, and why.

use super::text::{columns, number, section};
use super::{Verdict, ask, notes, output};
use crate::cli;
use crate::config::{self, Config};
use crate::control::report::{Lookup, Origin};
use crate::core::explain::{Explanation, NamedBy, Reservation, ZoneVerdict, explain};
use crate::engine::disk::{Disk, DiskError};
use crate::engine::written::fill_lines;
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
    output::show(args.form.json, &report, text)?;
    let listed = report.addresses.iter().all(|explanation| explanation.listed);
    Ok(if listed { Verdict::Yes } else { Verdict::No })
}

fn on_disk(config: &Config, addresses: &[IpAddr]) -> Result<Lookup, DiskError> {
    let disk = Disk::load(config);
    let generation = disk.generation()?;
    let mut addresses: Vec<Explanation> = addresses.iter().map(|&a| explain(&generation, a)).collect();
    let notes = [disk.notes(), &fill_lines(config, &mut addresses)].concat();
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

fn text(report: &Lookup) -> String {
    let explained: Vec<String> = report.addresses.iter().map(|e| explanation(e, &report.filter)).collect();
    let head = notes(report.origin, &report.notes);
    let serial = report.addresses.first().map_or(0, |explanation| explanation.serial);
    let from = match (report.origin, serial) {
        (Origin::Daemon, serial) => format!("generation {serial}, as served now"),
        (Origin::Disk, 0) => "nothing was ever published from this state directory".to_owned(),
        (Origin::Disk, serial) => format!("last published: generation {serial}"),
    };
    format!("{head}{}\n{from}\n", explained.join("\n"))
}

fn explanation(e: &Explanation, filter: &str) -> String {
    let verdict = match e {
        Explanation { listed: true, .. } => "is LISTED",
        Explanation { exclusions, feeds, .. } if !exclusions.is_empty() && !feeds.is_empty() => {
            "is not listed, because it is excluded"
        }
        _ => "is not listed",
    };
    let feeds: Vec<[String; 2]> = e.feeds.iter().flat_map(named_by).collect();
    let zones: Vec<[String; 2]> = e.zones.iter().flat_map(zone).collect();
    let mut packets = vec![packets(e.filter.drop, filter).to_owned()];
    packets.extend(reserved(&e.filter.protections).iter().map(|line| format!("protected: {line}")));
    format!("{} {verdict}\n", e.address)
        + &section("feeds", &columns(&feeds, &[]))
        + &section("zones", &columns(&zones, &[]))
        + &section("exclusions", &reserved(&e.exclusions))
        + &section("filter", &packets)
}

fn named_by(named: &NamedBy) -> Vec<[String; 2]> {
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
