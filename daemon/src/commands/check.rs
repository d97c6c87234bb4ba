//! `blackthorn check`: is a configuration right, and are the files it names? Touches nothing, asks no network.

use super::text::{columns, counted, section};
use super::{Verdict, output};
use crate::cli;
use crate::config::Config;
use crate::engine::disk::Disk;
use crate::engine::status::{FeedState, FeedStatus};
use serde::Serialize;
use std::error::Error;

/// What `check` found.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Report {
    /// The configuration file.
    config: String,
    /// Could the daemon start with it?
    valid: bool,
    /// Why not, as `file:line: what`.
    errors: Vec<String>,
    /// What is allowed but probably not meant, and files that cannot be used now.
    warnings: Vec<String>,
    /// Addresses that would answer DNS.
    listen: Vec<String>,
    /// Every feed; those that are files were read.
    feeds: Vec<FeedStatus>,
    /// Every zone with its feeds.
    zones: Vec<Zone>,
    /// Networks that are never listed.
    exclusions: usize,
    /// The packet filter in words.
    filter: String,
}

/// A zone and the feeds that answer in it.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Zone {
    name: String,
    feeds: Vec<String>,
}

/// Checks and prints.
pub(super) fn run(args: &cli::Check) -> Result<Verdict, Box<dyn Error>> {
    let path = &args.config.config;
    let report =
        Config::load(path).map_or_else(|errors| invalid(&errors.to_string()), |config| check(&config));
    let report = Report { config: path.display().to_string(), ..report };
    output::show(args.form.json, &report, text)?;
    Ok(if report.valid { Verdict::Yes } else { Verdict::No })
}

fn invalid(errors: &str) -> Report {
    Report { errors: errors.lines().map(str::to_owned).collect(), ..Report::default() }
}

fn check(config: &Config) -> Report {
    let disk = Disk::files_only(config);
    let generation = match disk.generation() {
        Ok(generation) => generation,
        Err(error) => return invalid(&error.to_string()),
    };
    let feeds = disk.feeds();
    let unusable = |feed: &FeedStatus| Some(format!("feed {}: {}", feed.id, feed.last_error.as_ref()?));
    let mut warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    warnings.extend(feeds.iter().filter_map(unusable));
    let zones = config.zones.iter().map(|zone| Zone {
        name: zone.name.clone(),
        feeds: zone.feeds.iter().filter_map(|f| Some(config.feed_id(f.feed)?.to_string())).collect(),
    });
    Report {
        config: String::new(),
        valid: true,
        errors: Vec::new(),
        warnings,
        listen: config.dns.listen.iter().map(ToString::to_string).collect(),
        zones: zones.collect(),
        exclusions: generation.exclusions.len(),
        filter: filter(config),
        feeds,
    }
}

fn filter(config: &Config) -> String {
    if config.filter.interfaces.is_empty() {
        return "off: no interface is configured".to_owned();
    }
    let action = if config.filter.enforce { "drop" } else { "monitor" };
    let feeds: Vec<&str> =
        config.filter.feeds.iter().filter_map(|feed| Some(config.feed_id(*feed)?.as_str())).collect();
    format!("{action} on {} for {}", config.filter.interfaces.join(", "), feeds.join(", "))
}

fn text(report: &Report) -> String {
    if !report.valid {
        let errors: String = report.errors.iter().map(|error| format!("{error}\n")).collect();
        return format!("{errors}{} is INVALID\n", report.config);
    }
    let feeds: Vec<[String; 3]> = report.feeds.iter().map(feed).collect();
    let zones: Vec<[String; 2]> =
        report.zones.iter().map(|zone| [zone.name.clone(), zone.feeds.join(", ")]).collect();
    format!("{} is valid\n", report.config)
        + &section("dns", &report.listen)
        + &section("feeds", &columns(&feeds, &[]))
        + &section("zones", &columns(&zones, &[]))
        + &section("exclusions", &[counted(report.exclusions as u64, "network", "networks")])
        + &section("filter", std::slice::from_ref(&report.filter))
        + &section("warnings", &report.warnings)
}

fn feed(feed: &FeedStatus) -> [String; 3] {
    let found = match feed.state {
        FeedState::Waiting => format!("not read here, comes from {}", feed.source),
        FeedState::Failing | FeedState::Quarantined => "CANNOT BE USED, see warnings".to_owned(),
        FeedState::Ok => format!(
            "{}, {}",
            counted(feed.counts.entries_v4 + feed.counts.entries_v6, "entry", "entries"),
            counted(feed.counts.lines.rejected_total(), "rejected line", "rejected lines")
        ),
    };
    [feed.id.clone(), feed.format.clone(), found]
}
