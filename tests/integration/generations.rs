//! Generation files: a restart serves from them, whatever else is gone; damaged ones give way; two can be compared.

use crate::dns::{Dns, owner};
use crate::harness::{Daemon, LOCAL, Mark, PATIENCE, Site};
use crate::http::{Publisher, Reply};
use hickory_proto::rr::RecordType::A;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Instant;

fn web(publisher: &Publisher) -> String {
    let url = publisher.url();
    LOCAL.replace("source = \"mine.txt\"", &format!("source = \"{url}\""))
}

fn about(daemon: &Daemon, address: &str) -> String {
    daemon.dns().about(address, "bl.example")
}

/// Generation files, oldest first.
fn files(site: &Site) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(site.path("state/generations")) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn serial(file: &PathBuf) -> u32 {
    PathBuf::from(file).file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

fn remove_database(site: &Site) {
    for name in ["blackthorn.db", "blackthorn.db-wal", "blackthorn.db-shm"] {
        let _ = fs::remove_file(site.path("state").join(name));
    }
}

fn command(site: &Site, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blackthorn"));
    command.args(arguments).arg("--config").arg(site.path("blackthorn.toml")).env_clear();
    command.output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Publishes this list and waits until it is answered.
fn publish(site: &Site, daemon: &Daemon, list: &str) -> u32 {
    site.write("mine.txt", list);
    daemon.reload();
    daemon.dns().serial("bl.example")
}

#[test]
fn a_restart_without_database_and_source_serves_all_it_had() {
    let publisher = Publisher::new(Reply::List("192.0.2.0/24\n2001:db8::/32\n"));
    let site = Site::new(&web(&publisher));
    let daemon = site.start();
    daemon.wait_loaded(Mark::START, "mine");
    let before = daemon.dns().serial("bl.example");
    daemon.stop();
    drop(publisher);
    for _ in 0..2 {
        remove_database(&site);
        let daemon = site.start();
        let file = daemon.log.wait("serving the generation from its file");
        assert_eq!(file.number("serial"), u64::from(before));
        daemon.log.wait_feed(Mark::START, "mine", "there is no stored copy");
        daemon.log.wait_feed(Mark::START, "mine", "the last good copy stays in use");
        assert_eq!(about(&daemon, "192.0.2.7"), "127.0.0.2");
        assert_eq!(about(&daemon, "2001:db8::7"), "127.0.0.2");
        assert_eq!(about(&daemon, "192.0.3.7"), "NXDOMAIN");
        assert_eq!(daemon.dns().serial("bl.example"), before, "the same answers, the same serial");
        daemon.kill9();
    }
}

#[test]
fn answers_come_from_the_file_before_the_database_is_opened() {
    let site = Site::new(LOCAL);
    site.write("mine.txt", "192.0.2.7\n");
    site.start().stop();
    // Opening this one fails for good, after the answers have begun.
    remove_database(&site);
    fs::create_dir(site.path("state/blackthorn.db")).unwrap();
    let mut daemon = Daemon::spawn(site.command());
    daemon.log.wait("serving the generation from its file");
    daemon.log.wait("answering dns over udp and tcp");
    daemon.exit();
    assert!(daemon.log.text().contains("blackthorn.db"), "{}", daemon.log.text());
}

#[test]
fn other_settings_are_built_before_anything_is_answered() {
    let site = Site::new(LOCAL);
    site.write("mine.txt", "192.0.2.7\n192.0.2.8\n");
    site.start().stop();
    for (change, why) in [
        ("[exclude]\nnetworks = [\"192.0.2.7\"]\n", "other settings"),
        ("[exclude]\nfiles = [\"allow.txt\"]\n", "other settings"),
    ] {
        site.write("allow.txt", "192.0.2.7\n");
        site.configure(&format!("{LOCAL}{change}"));
        let daemon = site.start();
        let said = daemon.log.wait("built anew before anything is answered");
        assert!(said.message().contains(why), "{}", said.message());
        assert!(daemon.log.all("serving the generation from its file").is_empty());
        assert_eq!(about(&daemon, "192.0.2.7"), "NXDOMAIN");
        daemon.stop();
    }
    // The same settings, but another content of the exclusion file.
    site.write("allow.txt", "192.0.2.8\n");
    let daemon = site.start();
    let said = daemon.log.wait("built anew before anything is answered");
    assert!(said.message().contains("the exclusions have changed"), "{}", said.message());
    assert_eq!(about(&daemon, "192.0.2.8"), "NXDOMAIN");
}

#[test]
fn damaged_files_give_way_to_older_ones() {
    let site = Site::new(LOCAL);
    site.write("mine.txt", "192.0.2.1\n");
    let daemon = site.start();
    let mut serials = vec![daemon.dns().serial("bl.example")];
    for host in 2..=5 {
        serials.push(publish(&site, &daemon, &format!("192.0.2.{host}\n")));
    }
    daemon.stop();
    let files = files(&site);
    assert_eq!(files.iter().map(serial).collect::<Vec<_>>(), serials, "one file for each generation");

    type Damage = fn(&mut Vec<u8>);
    let damage: [(&str, Damage); 4] = [
        ("the checksum of its image is wrong", |bytes| bytes[100_000] ^= 4),
        ("bytes instead of", |bytes| bytes.truncate(300_000)),
        ("it has format version 0", |bytes| bytes[12..16].copy_from_slice(&0u32.to_ne_bytes())),
        ("of the other byte order", |bytes| bytes[8..12].reverse()),
    ];
    for (file, (_, damage)) in files.iter().rev().zip(&damage) {
        let mut bytes = fs::read(file).unwrap();
        damage(&mut bytes);
        fs::write(file, bytes).unwrap();
    }
    let listed = json(&command(&site, &["generations", "--json"]));
    assert_eq!(listed["live"], Value::Null);
    let damages: Vec<String> =
        listed["generations"].as_array().unwrap().iter().map(|row| row["damage"].to_string()).collect();
    assert_eq!(damages.len(), 5);
    assert_eq!(damages[4], "null");

    let daemon = site.start();
    let skipped: Vec<String> =
        daemon.log.all("generation skipped").iter().map(|event| event.message().to_owned()).collect();
    assert_eq!(skipped.len(), 4, "{skipped:?}");
    for (((said, shown), (why, _)), file) in skipped.iter().zip(&damages).zip(&damage).zip(files.iter().rev())
    {
        assert!(said.contains(why) && said.contains(file.to_str().unwrap()), "{said}");
        assert!(shown.contains(why), "{shown}");
    }
    let served = daemon.log.wait("serving the generation from its file");
    assert_eq!(served.number("serial"), u64::from(serials[0]));
    // The engine has built the newest again, under the serial it had, and its file is good again.
    assert_eq!(about(&daemon, "192.0.2.5"), "127.0.0.2");
    assert_eq!(daemon.dns().serial("bl.example"), serials[4]);
    let listed = json(&command(&site, &["generations", "--json"]));
    assert_eq!(listed["live"], serials[4]);
    assert_eq!(listed["generations"][0]["damage"], Value::Null);
    assert_eq!(listed["generations"][0]["live"], true);
}

#[test]
fn without_database_the_serial_still_rises_over_a_damaged_file() {
    let site = Site::new(LOCAL);
    site.write("mine.txt", "192.0.2.1\n");
    let daemon = site.start();
    let last = publish(&site, &daemon, "192.0.2.2\n");
    daemon.stop();
    fs::write(files(&site).last().unwrap(), "nothing").unwrap();
    remove_database(&site);
    let daemon = site.start();
    assert!(daemon.dns().serial("bl.example") > last, "{last} may have been seen with other answers");
    assert_eq!(about(&daemon, "192.0.2.2"), "127.0.0.2");
}

#[test]
fn killed_in_the_middle_of_publishing_every_file_is_whole() {
    let site = Site::new(LOCAL);
    let list = |round: u32| -> String {
        (0..20_000u32).map(|i| format!("{}\n", Ipv4Addr::from(0x0b00_0000 + i * 977 + round))).collect()
    };
    site.write("mine.txt", list(0));
    let mut daemon = site.start();
    for round in 1..=8 {
        let before = files(&site).len();
        site.write("mine.txt", list(round));
        let mark = daemon.hup();
        // In every other round as soon as the new file begins to appear, else right when the data is loaded.
        if round % 2 == 0 {
            daemon.log.wait_feed(mark, "mine", "feed loaded");
        } else {
            let start = Instant::now();
            while files(&site).len() == before {
                assert!(start.elapsed() < PATIENCE, "no new file");
            }
        }
        daemon.kill9();
        let listed = json(&command(&site, &["generations", "--json"]));
        for row in listed["generations"].as_array().unwrap() {
            assert_eq!(row["damage"], Value::Null, "round {round}");
        }
        daemon = site.start();
        assert!(daemon.log.all("generation skipped").is_empty());
        let address = Ipv4Addr::from(0x0b00_0000 + 977 + round).to_string();
        assert_eq!(about(&daemon, &address), "127.0.0.2", "round {round}");
        let unfinished = files(&site).iter().any(|file| file.to_str().unwrap().ends_with(".new"));
        assert!(!unfinished, "what a crash left is cleared away");
    }
}

#[test]
fn twenty_generations_are_kept() {
    let site = Site::new(LOCAL);
    site.write("mine.txt", "192.0.2.0\n");
    let daemon = site.start();
    let mut last = 0;
    for host in 1..=22 {
        last = publish(&site, &daemon, &format!("192.0.2.{host}\n"));
    }
    let files = files(&site);
    assert_eq!(files.len(), 20);
    assert_eq!(serial(files.last().unwrap()), last);
}

#[test]
fn lookup_says_since_when_a_feed_lists_an_address() {
    let site = Site::new(LOCAL);
    site.write("mine.txt", "192.0.2.1\n");
    let daemon = site.start();
    let first = daemon.dns().serial("bl.example");
    let second = publish(&site, &daemon, "192.0.2.1\n192.0.2.2\n");
    publish(&site, &daemon, "192.0.2.1\n192.0.2.2\n192.0.2.3\n");
    let lookup = json(&command(&site, &["lookup", "192.0.2.1", "192.0.2.2", "--json"]));
    let since = |number: usize| &lookup["addresses"][number]["feeds"][0]["since"]["serial"];
    assert_eq!((since(0), since(1)), (&first.into(), &second.into()));
    let shown = String::from_utf8(command(&site, &["lookup", "192.0.2.2"]).stdout).unwrap();
    assert!(shown.contains(&format!("at least since generation {second}, ")), "{shown}");
}

/// Every twentieth line goes, as many new ones come: the numbers must be exactly those of the sets.
#[test]
fn diff_is_exact_on_a_day_of_changes() {
    let address = |i: u32| Ipv4Addr::from(0x4000_0000 + i * 977 + i * i % 900);
    let before: BTreeSet<Ipv4Addr> = (0..10_000).map(address).collect();
    let removed: BTreeSet<Ipv4Addr> = before.iter().copied().step_by(20).collect();
    let after: BTreeSet<Ipv4Addr> =
        before.difference(&removed).copied().chain((10_000..10_500).map(address)).collect();
    let text = |set: &BTreeSet<Ipv4Addr>| set.iter().map(|a| format!("{a}\n")).collect::<String>();
    let site = Site::new(LOCAL);
    site.write("mine.txt", text(&before) + "2001:db8:1::/48\n");
    let daemon = site.start();
    let old = daemon.dns().serial("bl.example");
    let new = publish(&site, &daemon, &(text(&after) + "2001:db8:2::/47\n"));
    daemon.stop();

    let (old, new) = (old.to_string(), new.to_string());
    let output = command(&site, &["diff", &old, &new, "--json", "--widest", "3"]);
    assert_eq!(output.status.code(), Some(1), "they differ");
    let delta = &json(&output)["delta"];
    for counts in [&delta["addresses"]["v4"], &delta["feeds"]["mine"]["v4"]] {
        assert_eq!(counts["added"], after.difference(&before).count());
        assert_eq!(counts["removed"], before.difference(&after).count());
        assert_eq!(counts["changed"], 0);
    }
    assert_eq!(delta["addresses"]["v6"]["added"].as_f64(), Some(2f64.powi(81)));
    assert_eq!(delta["widest_v6"][0]["network"], "2001:db8:2::/47");
    assert_eq!(delta["widest_v6"][1]["change"], "removed");
    assert_eq!(delta["widest_v4"].as_array().unwrap().len(), 3);

    let same = command(&site, &["diff", &old, &old]);
    assert_eq!(same.status.code(), Some(0));
    assert!(String::from_utf8(same.stdout).unwrap().ends_with("they list the same\n"));
    let missing = command(&site, &["diff", &old, "7"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("0000000007.gen"));
}

/// With a million hosts, from the start of the process to the first answer. Prints the median of ten starts; for the
/// release build: `cargo test --release -p blackthorn --test integration -- --ignored --nocapture first_answer`.
#[test]
#[ignore = "a measurement, not a test"]
fn time_to_the_first_answer() {
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let site = Site::new(&format!("{LOCAL}[dns]\nlisten = [\"127.0.0.1:{port}\"]\n"));
    let address = |i: u32| Ipv4Addr::from(0x4000_0000 + i * 977 + i.wrapping_mul(i) % 900);
    let list: String = (0..1_000_000).map(|i| format!("{}\n", address(i))).collect();
    site.write("mine.txt", list);
    site.start().stop();
    let name = owner("127.0.0.2", "bl.example");
    let mut times: Vec<u128> = (0..10)
        .map(|_| {
            let start = Instant::now();
            let daemon = Daemon::spawn(site.command());
            let server = format!("127.0.0.1:{port}").parse().unwrap();
            let answered = first_answer(server, &name);
            let took = answered.duration_since(start).as_micros();
            daemon.log.wait("ready");
            daemon.stop();
            took
        })
        .collect();
    times.sort_unstable();
    println!("first answer after {} µs (median of {times:?})", times[times.len() / 2]);
}

/// Asks until somebody answers.
fn first_answer(server: std::net::SocketAddr, name: &str) -> Instant {
    loop {
        let probe = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        probe.connect(server).unwrap();
        probe.set_read_timeout(Some(PATIENCE)).unwrap();
        // The smallest query there is for this: SOA of the root, which is refused, but answered.
        let query = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1];
        if probe.send(&query).is_ok() && probe.recv(&mut [0; 512]).is_ok() {
            let now = Instant::now();
            assert_eq!(crate::dns::said(&Dns::new(server).ask(name, A)), "127.0.0.2");
            return now;
        }
    }
}

#[test]
fn a_file_that_cannot_be_written_is_a_warning_and_not_a_stop() {
    let site = Site::new(LOCAL);
    site.write("mine.txt", "192.0.2.1\n");
    fs::create_dir(site.path("state")).unwrap();
    fs::write(site.path("state/generations"), "in the way").unwrap();
    let daemon = site.start();
    assert_eq!(daemon.log.wait("generation files: ").level(), "WARN");
    assert_eq!(about(&daemon, "192.0.2.1"), "127.0.0.2");
    let warnings = || json(&command(&site, &["status", "--json"]))["engine"]["warnings"].to_string();
    assert!(warnings().contains("generation files: "), "{}", warnings());
    fs::remove_file(site.path("state/generations")).unwrap();
    publish(&site, &daemon, "192.0.2.2\n");
    assert_eq!(warnings(), "[]");
    assert_eq!(files(&site).len(), 1);
}
