//! `blackthorn check`: is a configuration right, and are the files it names? Touches nothing, asks no network.

use super::text::{columns, counted, section};
use super::{Verdict, output};
use crate::cli;
use crate::config::Config;
use crate::dns::serving::{Seeds, Serving};
use crate::dns::{Service, check_certificate};
use crate::engine::disk::Disk;
use crate::engine::status::{FeedState, FeedStatus};
use crate::stats::Stats;
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
    /// Domains, the one that is always excluded included.
    excluded_domains: usize,
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
    if let Err(error) = Serving::load(config, &Seeds::random(), &Stats::default(), &Serving::default()) {
        return invalid(&error.to_string());
    }
    let feeds = disk.feeds();
    let unusable = |feed: &FeedStatus| Some(format!("feed {}: {}", feed.id, feed.last_error.as_ref()?));
    let mut warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    match config.dns.certificate.as_ref().map(check_certificate).transpose() {
        Ok(certificate) => warnings.extend(certificate.unwrap_or_default()),
        Err(error) => return invalid(&error.to_string()),
    }
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
        listen: listen(config),
        zones: zones.collect(),
        exclusions: generation.exclusions.len(),
        excluded_domains: generation.exclusions.domains().len(),
        filter: filter(config),
        feeds,
    }
}

fn listen(config: &Config) -> Vec<String> {
    let dns = &config.dns;
    let plain = dns.listen.iter().map(ToString::to_string);
    let encrypted = [(&dns.tls, Service::Tls), (&dns.https, Service::Https), (&dns.quic, Service::Quic)];
    let encrypted = encrypted
        .into_iter()
        .flat_map(|(listen, service)| listen.iter().map(move |address| format!("{address} {service}")));
    plain.chain(encrypted).collect()
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
    let excluded = format!(
        "{}, {}",
        counted(report.exclusions as u64, "network", "networks"),
        counted(report.excluded_domains as u64, "domain", "domains")
    );
    format!("{} is valid\n", report.config)
        + &section("dns", &report.listen)
        + &section("feeds", &columns(&feeds, &[]))
        + &section("zones", &columns(&zones, &[]))
        + &section("exclusions", &[excluded])
        + &section("filter", std::slice::from_ref(&report.filter))
        + &section("warnings", &report.warnings)
}

fn feed(feed: &FeedStatus) -> [String; 3] {
    let found = match feed.state {
        FeedState::Waiting => format!("not read here, comes from {}", feed.source),
        FeedState::Failing | FeedState::Quarantined => "CANNOT BE USED, see warnings".to_owned(),
        FeedState::Ok => format!(
            "{}, {}",
            counted(feed.counts.entries(), "entry", "entries"),
            counted(feed.counts.lines.rejected_total(), "rejected line", "rejected lines")
        ),
    };
    [feed.id.clone(), feed.format.clone(), found]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// Checks a configuration beside a good list, a list that is no list, and a directory for the rest.
    fn checked(toml: &str) -> Report {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join("good.txt"),
            "192.0.2.1\n192.0.2.0/28\nexample.org\n".to_owned() + &"192.0.2.9\n".repeat(30),
        )
        .unwrap();
        fs::write(dir.path().join("page.txt"), "<html>").unwrap();
        fs::write(dir.path().join("bad-allow.txt"), "192.0.2.1\nmail..example\n192.0.2.1/24\n").unwrap();
        let config = Config::parse(toml, Path::new("b.toml"), dir.path()).unwrap();
        let mut report = check(&config);
        assert!(!dir.path().join("state").exists(), "check touches nothing");
        let base = format!("{}/", dir.path().display());
        for text in report.errors.iter_mut().chain(&mut report.warnings) {
            *text = text.replace(&base, "");
        }
        Report { config: "b.toml".to_owned(), ..report }
    }

    const FEEDS: &str = "\
state_dir = \"state\"
[[feed]]
id = \"good\"
source = \"good.txt\"
format = \"plain\"
[[feed]]
id = \"page\"
source = \"page.txt\"
format = \"plain\"
[[feed]]
id = \"missing\"
source = \"missing.txt\"
format = \"plain\"
[[feed]]
id = \"remote\"
source = \"https://feeds.example/list?key=secret\"
format = \"score-tsv\"
[[zone]]
name = \"bl.example\"
feeds = [\"good\", \"page\", \"missing\", \"remote\"]
";

    #[test]
    fn a_valid_configuration_is_summed_up() {
        let report = checked(&format!("{FEEDS}[filter]\ninterfaces = [\"eth0\"]\nfeeds = [\"good\"]\n"));
        assert_eq!(
            text(&report),
            "\
b.toml is valid
  dns         127.0.0.1:5300
  feeds       good     plain      32 entries, 1 rejected line
              page     plain      CANNOT BE USED, see warnings
              missing  plain      CANNOT BE USED, see warnings
              remote   score-tsv  not read here, comes from https://feeds.example/list?***
  zones       bl.example  good, page, missing, remote
  exclusions  1 network, 1 domain
  filter      drop on eth0 for good
  warnings    feed page: the body is a web page or XML, not a list (it begins with `<html>`); open the source in a browser to see why
              feed missing: missing.txt: cannot be read: No such file or directory (os error 2); check that it exists and that blackthorn may read it
"
        );
    }

    #[test]
    fn exclusion_files_must_be_right() {
        let report = checked(&format!("{FEEDS}[exclude]\nfiles = [\"bad-allow.txt\"]\n"));
        assert_eq!(
            text(&report),
            "\
bad-allow.txt:2: `mail..example`: a label is empty or longer than 63 octets
bad-allow.txt:3: `192.0.2.1/24`: address bits are set behind the prefix
b.toml is INVALID
"
        );
    }

    #[test]
    fn configuration_errors_come_one_per_line() {
        let errors = Config::parse("a = 1\nb = 2\n", Path::new("b.toml"), Path::new("/")).unwrap_err();
        let report = invalid(&errors.to_string());
        assert_eq!((report.valid, report.errors.len()), (false, 2));
        assert!(report.errors[1].starts_with("b.toml:2: unknown key"), "{:?}", report.errors);
    }
}
