//! What operators block and allow by hand: at once, across restarts, on time, beside everything else that happens.

use crate::filter::{assert_arrivals, privileged, start_in};
use crate::harness::{Daemon, Site};
use blackthorn_testkit::line::Line;
use blackthorn_testkit::netns::Cable;
use serde_json::Value;
use std::fmt::Write;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Instant;

const CONFIG: &str = r#"
[[feed]]
id = "mine"
source = "mine.txt"
format = "plain"

[[zone]]
name = "bl.example"
feeds = [{ id = "mine", code = "127.0.0.4" }]
live = { code = "127.0.0.9", text = "blocked by hand: $" }
"#;

fn site() -> Site {
    let site = Site::new(CONFIG);
    site.write("mine.txt", "203.0.113.7\n2001:db8::7\n");
    site
}

/// Runs a subcommand beside the daemon of this site.
fn run(site: &Site, words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blackthorn"));
    command.args(words.split_whitespace()).arg("--socket").arg(site.path("control.sock"));
    command.env_clear().stdin(Stdio::null()).output().unwrap()
}

/// The same; it must do what it is told.
fn done(site: &Site, words: &str) -> String {
    let output = run(site, words);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{words}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn entries(site: &Site) -> Vec<Value> {
    let report: Value = serde_json::from_str(&done(site, "live --json")).unwrap();
    report["entries"].as_array().unwrap().clone()
}

fn about(daemon: &Daemon, address: &str) -> String {
    daemon.dns().about(address, "bl.example")
}

/// Waits until DNS says this.
fn wait_said(daemon: &Daemon, address: &str, expected: &str) {
    let start = Instant::now();
    while about(daemon, address) != expected {
        assert!(start.elapsed() < crate::harness::PATIENCE, "{address} is still {}", about(daemon, address));
    }
}

#[test]
fn what_is_blocked_is_listed_and_what_is_allowed_is_not() {
    let site = site();
    let daemon = site.start();
    assert_eq!(
        done(&site, "block 198.51.100.0/25 203.0.113.7 2001:db8:9::/48 --reason spam"),
        "3 networks blocked\n"
    );
    assert_eq!(about(&daemon, "198.51.100.9"), "127.0.0.9");
    assert_eq!(about(&daemon, "203.0.113.7"), "127.0.0.4 127.0.0.9");
    assert_eq!(about(&daemon, "2001:db8:9::1"), "127.0.0.9");
    done(&site, "allow 198.51.100.9 2001:db8::7");
    assert_eq!([about(&daemon, "198.51.100.9"), about(&daemon, "2001:db8::7")], ["NXDOMAIN", "NXDOMAIN"]);
    assert_eq!(about(&daemon, "198.51.100.8"), "127.0.0.9");

    let lookup = done(&site, "lookup 198.51.100.8");
    assert!(lookup.contains("block 198.51.100.0/25 by user "), "{lookup}");
    assert!(lookup.contains("spam"), "{lookup}");
    assert_eq!(entries(&site).len(), 5);
    assert!(done(&site, "status").contains("\n  live        3 blocks, 2 allows\n"));

    let output = run(&site, "unblock 203.0.113.7 192.0.2.222");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "1 network taken back\nthere was no live entry for 192.0.2.222\n"
    );
    assert_eq!(about(&daemon, "203.0.113.7"), "127.0.0.4");
    let refused = run(&site, "block 10.0.0.0/8");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("use --force if it is meant"));
}

#[test]
fn entries_survive_restarts_and_kills_and_end_on_time() {
    let site = site();
    let daemon = site.start();
    done(&site, "block 198.51.100.1 --for 1d");
    done(&site, "allow 203.0.113.7");
    daemon.stop();
    let daemon = site.start();
    assert_eq!([about(&daemon, "198.51.100.1"), about(&daemon, "203.0.113.7")], ["127.0.0.9", "NXDOMAIN"]);
    done(&site, "block 198.51.100.2 --for 2s");
    done(&site, "unblock 203.0.113.7");
    daemon.kill9();
    let daemon = site.start();
    assert_eq!(about(&daemon, "203.0.113.7"), "127.0.0.4");
    daemon.reload();
    wait_said(&daemon, "198.51.100.2", "NXDOMAIN");
    assert_eq!(entries(&site).len(), 1);
    daemon.stop();
    // Without a daemon, lookups say what one would serve.
    let mut lookup = Command::new(env!("CARGO_BIN_EXE_blackthorn"));
    lookup.args(["lookup", "198.51.100.1", "--from-disk", "--config"]).arg(site.path("blackthorn.toml"));
    let said = String::from_utf8(lookup.output().unwrap().stdout).unwrap();
    assert!(said.contains("198.51.100.1 is LISTED") && said.contains("127.0.0.9"), "{said}");
}

#[test]
fn ten_thousand_blocks_at_once() {
    let site = site();
    let daemon = site.start();
    let mut words = "block".to_owned();
    for n in 0..10_000 {
        write!(words, " 198.18.{}.{}", n / 250, n % 250).unwrap();
    }
    let start = Instant::now();
    assert_eq!(done(&site, &words), "10,000 networks blocked\n");
    println!("10,000 blocks at once: {:?}", start.elapsed());
    assert_eq!(about(&daemon, "198.18.39.249"), "127.0.0.9");
    let start = Instant::now();
    done(&site, "block 198.51.100.1");
    println!("one more beside them: {:?}, with the start of the command", start.elapsed());
    assert_eq!(about(&daemon, "198.51.100.1"), "127.0.0.9");
    assert_eq!(entries(&site).len(), 10_001);
}

#[test]
fn eight_clients_block_while_generations_are_published() {
    let site = site();
    let daemon = site.start();
    thread::scope(|scope| {
        for client in 0..8 {
            let site = &site;
            scope.spawn(move || {
                for n in 0..12 {
                    done(site, &format!("block 198.51.100.{} --reason client-{client}", client * 16 + n));
                    if n % 3 == 0 {
                        done(site, &format!("unblock 198.51.100.{}", client * 16 + n));
                    }
                }
            });
        }
        for round in 0..10 {
            site.write("mine.txt", format!("203.0.113.7\n203.0.113.{}\n", 100 + round));
            daemon.reload();
            assert_eq!(about(&daemon, &format!("203.0.113.{}", 100 + round)), "127.0.0.4");
        }
    });
    assert_eq!(entries(&site).len(), 8 * 8);
    for n in 0..128 {
        let expected = if n % 16 < 12 && n % 16 % 3 != 0 { "127.0.0.9" } else { "NXDOMAIN" };
        assert_eq!(about(&daemon, &format!("198.51.100.{n}")), expected, "{n}");
    }
}

#[test]
fn a_block_is_in_force_in_dns_and_kernel_and_is_over_in_both() {
    if !privileged() {
        return;
    }
    let cable = Cable::new();
    let site = Site::new(&format!("{CONFIG}\n[filter]\ninterfaces = [\"bt0\"]\nfeeds = [\"mine\"]\n"));
    // Without optimisation, a million takes longer than we wait for a start.
    let size = if cfg!(debug_assertions) { 100_000u32 } else { 1_000_000 };
    let mut list = String::new();
    for n in 0..size {
        // Scattered over 16.0.0.0/4, where nothing of this test is.
        let address = std::net::Ipv4Addr::from(0x1000_0000 | n.wrapping_mul(2_654_435_761) >> 4);
        writeln!(list, "{address}").unwrap();
    }
    site.write("mine.txt", &list);
    let daemon = start_in(&cable.host, &site);
    let lines = [Line::v4(&cable), Line::v6(&cable)];
    assert_arrivals(&lines, 1, &["listed", "clean"]);
    let about = |address| cable.host.enter(|| about(&daemon, address));

    let start = Instant::now();
    done(&site, "block 198.51.100.66 2001:db8:1::66");
    println!("blocked with {size} entries: {:?}, with the start of the command", start.elapsed());
    assert_arrivals(&lines, 2, &["clean"]);
    assert_eq!([about("198.51.100.66"), about("2001:db8:1::66")], ["127.0.0.9", "127.0.0.9"]);
    done(&site, "allow 198.51.100.0/24 2001:db8:1::/48");
    assert_arrivals(&lines, 3, &["clean"]);
    done(&site, "unblock 198.51.100.66 2001:db8:1::66");
    assert_arrivals(&lines, 4, &["listed", "clean"]);

    // Over while nothing else happens, though a generation was published over it.
    done(&site, "block 198.51.100.66 2001:db8:1::66 --for 2s");
    assert_arrivals(&lines, 5, &["clean"]);
    site.write("mine.txt", "203.0.113.7\n");
    daemon.reload();
    let start = Instant::now();
    while about("198.51.100.66") != "NXDOMAIN" {
        assert!(start.elapsed() < crate::harness::PATIENCE, "it never ends");
    }
    assert_arrivals(&lines, 6, &["listed", "clean"]);

    // The host's own addresses are protected, whoever asks.
    let refused = cable.host.enter(|| run(&site, "block 198.51.100.0/24"));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("198.51.100.1 (address of bt0)"));

    // An allow holds against the list.
    site.write("mine.txt", "198.51.100.66\n2001:db8:1::66\n");
    daemon.reload();
    assert_arrivals(&lines, 7, &["listed", "clean"]);
    done(&site, "unblock 198.51.100.0/24 2001:db8:1::/48");
    assert_arrivals(&lines, 8, &["clean"]);
}
