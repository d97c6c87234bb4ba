//! `blackthorn generations`: the generations kept on disk, and whether they could be served.

use super::text::{ago, bytes, columns, number};
use super::{Verdict, ask, output};
use crate::cli;
use crate::config::Config;
use crate::core::generation_file::Manifest;
use crate::engine::unix_now;
use crate::generations::{Found, Generations};
use serde::Serialize;
use std::error::Error;

/// What is on disk.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Report {
    /// Serial of the generation a running daemon serves; `None` without a daemon.
    live: Option<u32>,
    /// Newest first.
    generations: Vec<Row>,
}

/// One file.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Row {
    serial: u32,
    /// Size of the file.
    bytes: u64,
    /// Is it what the daemon serves now?
    live: bool,
    /// Why it could not be served; `None` if it could.
    damage: Option<String>,
    /// What it is; `None` if even that cannot be read.
    #[serde(flatten)]
    about: Option<About>,
}

/// What is known of a readable file.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct About {
    /// Seconds since 1970.
    built_at: u64,
    /// Accepted entries of all feeds.
    entries: u64,
    /// Listed IPv4 addresses.
    addresses_v4: u64,
    /// Feeds with data.
    feeds: usize,
    /// Serials it follows.
    parents: Vec<u32>,
}

/// Reads the files; a daemon is only asked which one is live.
pub(super) fn run(args: &cli::Generations) -> Result<Verdict, Box<dyn Error>> {
    let files = Generations::new(&Config::load(&args.daemon.config.config)?.state_dir);
    // Whatever is wrong with the daemon, the files are there.
    let status = ask(&args.daemon, async |client| client.status().await).ok().flatten();
    let live = status.map(|status| status.engine.generation.serial);
    let generations = files.list()?.into_iter().map(|found| row(&files, found, live)).collect();
    output::show(args.form.json, &Report { live, generations }, |report| text(report, unix_now()))?;
    Ok(Verdict::Yes)
}

fn row(files: &Generations, found: Found, live: Option<u32>) -> Row {
    let Found { serial, bytes, .. } = found;
    let (about, damage) = match files.open(serial) {
        Err(error) => (None, Some(error.to_string())),
        Ok(file) => (Some(about(file.manifest())), file.generation().err().map(|damage| damage.to_string())),
    };
    Row { serial, bytes, live: live == Some(serial), damage, about }
}

fn about(manifest: &Manifest) -> About {
    About {
        built_at: manifest.built_at,
        entries: manifest.entries(),
        addresses_v4: manifest.size.addresses_v4,
        feeds: manifest.feeds.iter().filter(|feed| feed.copy.is_some()).count(),
        parents: manifest.lineage.parents.clone(),
    }
}

fn text(report: &Report, now: u64) -> String {
    if report.generations.is_empty() {
        return "no generation is on disk\n".to_owned();
    }
    let head = ["serial", "built", "entries", "size", "state"].map(str::to_owned);
    let row = |row: &Row| {
        let state = match (row.live, &row.damage) {
            (true, None) => "live".to_owned(),
            (false, None) => "good".to_owned(),
            (live, Some(why)) => format!("DAMAGED{}: {why}", if live { ", live from memory" } else { "" }),
        };
        let (built, entries) = match &row.about {
            Some(about) => (ago(now, about.built_at), number(about.entries)),
            None => ("unknown".to_owned(), "unknown".to_owned()),
        };
        [row.serial.to_string(), built, entries, bytes(row.bytes), state]
    };
    let rows: Vec<[String; 5]> = [head].into_iter().chain(report.generations.iter().map(row)).collect();
    columns(&rows, &[2, 3]).join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_line() {
        let about = |built_at, entries| {
            Some(About { built_at, entries, addresses_v4: entries, feeds: 1, parents: vec![7] })
        };
        let row = |serial, live, damage: Option<&str>, about| Row {
            serial,
            bytes: 540_000,
            live,
            damage: damage.map(str::to_owned),
            about,
        };
        let report = Report {
            live: Some(1_795_000_200),
            generations: vec![
                row(1_795_000_200, true, None, about(1_795_000_200, 12_345)),
                row(1_795_000_100, false, None, about(1_795_000_100, 7)),
                row(1_795_000_000, false, Some("it is no generation file"), None),
            ],
        };
        assert_eq!(
            text(&report, 1_795_000_260),
            "\
serial      built    entries       size  state
1795000200  1m ago    12,345  527.3 KiB  live
1795000100  2m ago         7  527.3 KiB  good
1795000000  unknown  unknown  527.3 KiB  DAMAGED: it is no generation file
"
        );
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["generations"][0]["entries"], 12_345);
        assert_eq!(json["generations"][2]["damage"], "it is no generation file");
        assert_eq!(text(&Report { live: None, generations: Vec::new() }, 0), "no generation is on disk\n");
    }
}
