//! One table in memory: with a packet filter the daemon reads the pages in which the kernel looks, and no others.
//!
//! Needs root and BPF. Without them every test prints why and passes; with `BLACKTHORN_REQUIRE_PRIVILEGED=1` it fails
//! instead.

use crate::dns::owner;
use crate::filter::privileged;
use crate::harness::{Daemon, LOCAL, PATIENCE, Site};
use crate::load::during;
use hickory_proto::rr::RecordType;
use std::fmt::Write;
use std::time::Instant;

/// Loads the program and tables, but sees no packets.
const FILTER: &str = r#"
[filter]
interfaces = ["bt-none"]
feeds = ["mine"]
"#;

/// Ends of these ranges lie far from prefix borders, so that a short list makes a large image.
fn large_list() -> String {
    let mut list = String::from("192.0.2.0/24\n");
    for net in 0u32..40_000 {
        let (high, low) = (net >> 8, net & 0xff);
        writeln!(list, "2001:{high:x}:{low:x}::5555:5555:5555-2001:{high:x}:{low:x}::aaaa:aaaa:aaaa:aaaa")
            .unwrap();
    }
    list
}

/// Bytes of each mapping of a map that can only be read.
fn shared_pages(daemon: &Daemon) -> Vec<u64> {
    let maps = daemon.proc("maps");
    let maps = maps.lines().filter(|line| line.contains(" r--s ") && line.ends_with("anon_inode:bpf-map"));
    let bytes = maps.map(|line| {
        let (first, after) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let number = |hex| u64::from_str_radix(hex, 16).unwrap();
        number(after) - number(first)
    });
    bytes.collect()
}

/// Waits until readers of older generations have let go.
fn wait_shared_pages(daemon: &Daemon, count: usize) -> Vec<u64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let pages = shared_pages(daemon);
        if pages.len() == count {
            return pages;
        }
        assert!(Instant::now() < deadline, "{count} mappings expected: {}", daemon.proc("maps"));
    }
}

fn maps_open(daemon: &Daemon) -> usize {
    daemon.descriptors().iter().filter(|path| path.to_string_lossy().ends_with("bpf-map")).count()
}

/// Resident memory of its own, in bytes.
fn own_memory(daemon: &Daemon) -> u64 {
    let status = daemon.proc("status");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

fn table_bytes(site: &Site) -> u64 {
    site.json(&["status"]).1["engine"]["generation"]["table_bytes"].as_u64().unwrap()
}

#[test]
fn a_large_table_is_in_the_pages_of_the_kernel_and_not_in_memory_of_its_own() {
    if !privileged() {
        return;
    }
    let start = |config: &str| {
        let site = Site::new(config);
        site.write("mine.txt", large_list());
        let daemon = site.start();
        assert_eq!(daemon.dns().about("2001:1:2::5555:5555:5555", "bl.example"), "127.0.0.2");
        assert_eq!(daemon.dns().about("2001:1:2::5555:5555:5554", "bl.example"), "NXDOMAIN");
        (site, daemon)
    };
    let (site, daemon) = start(&format!("{LOCAL}{FILTER}"));
    let bytes = table_bytes(&site);
    assert!(bytes > 32 << 20, "the table is too small to be told from the rest: {bytes}");
    let [pages] = wait_shared_pages(&daemon, 1)[..] else { panic!("one table, one mapping") };
    assert!((bytes..bytes + (64 << 10)).contains(&pages), "{pages} bytes mapped of {bytes}");
    let with_filter = own_memory(&daemon);
    daemon.stop();

    let (_site, daemon) = start(LOCAL);
    assert!(shared_pages(&daemon).is_empty());
    let without = own_memory(&daemon);
    println!("own memory: {with_filter} with the filter, {without} without, table {bytes}");
    assert!(without > bytes, "without a filter it is in own memory: {without}");
    assert!(with_filter < bytes / 2, "{with_filter} bytes of own memory beside a table of {bytes}");
}

#[test]
fn answers_stay_right_through_a_hundred_publications_and_old_pages_go() {
    if !privileged() {
        return;
    }
    const PUBLICATIONS: usize = 100;
    let site = Site::new(&format!("{LOCAL}{FILTER}"));
    let list = |round: usize| format!("192.0.2.1\n198.51.100.{}\n2001:db8::{}\n", round % 2, round % 2);
    site.write("mine.txt", list(0));
    let daemon = site.start();
    wait_shared_pages(&daemon, 1);
    let open = maps_open(&daemon);
    assert!(open > 0, "its maps are among its descriptors");
    let questions: Vec<_> = ["192.0.2.1", "192.0.2.2", "198.51.100.0", "198.51.100.1", "2001:db8::1"]
        .map(|address| (owner(address, "bl.example"), RecordType::A))
        .into();
    let report = during(daemon.address(), &questions, || {
        for round in 1..=PUBLICATIONS {
            site.write("mine.txt", list(round));
            daemon.reload();
            let about = |address: &str| daemon.dns().about(address, "bl.example");
            let (listed, clean) = (round % 2, (round + 1) % 2);
            assert_eq!(about(&format!("198.51.100.{listed}")), "127.0.0.2", "round {round}");
            assert_eq!(about(&format!("198.51.100.{clean}")), "NXDOMAIN", "round {round}");
            assert_eq!(about(&format!("2001:db8::{listed}")), "127.0.0.2", "round {round}");
        }
    });
    for told in &report.clients {
        let said: Vec<Vec<&str>> =
            told.iter().map(|told| told.iter().map(|told| &*told.said).collect()).collect();
        assert_eq!(said[0], ["127.0.0.2"], "listed in every generation");
        assert!(said[1].iter().all(|said| *said == "NXDOMAIN"), "listed in none: {:?}", said[1]);
    }
    assert_eq!(daemon.log.all("generation published").len(), 1 + PUBLICATIONS);
    wait_shared_pages(&daemon, 1);
    assert_eq!(maps_open(&daemon), open, "{:?}", daemon.descriptors());
    let status = site.wait_status("a round of verification over the last generation", |status| {
        status["engine"]["verifier"]["last"]["serial"] == status["engine"]["generation"]["serial"]
    });
    assert_eq!(status["engine"]["verifier"]["mismatches"], 0, "{status:#}");
}

#[test]
fn a_held_generation_is_shared_after_a_restart_too() {
    if !privileged() {
        return;
    }
    let site = Site::new(&format!("{LOCAL}{FILTER}"));
    site.write("mine.txt", "192.0.2.1\n");
    let daemon = site.start();
    assert_eq!(site.json(&["pin"]).0, 0);
    daemon.kill9();
    let daemon = site.start();
    wait_shared_pages(&daemon, 1);
    assert_eq!(daemon.dns().about("192.0.2.1", "bl.example"), "127.0.0.2");
    // The filter is loaded anew, and the pages of the one before are gone with it.
    site.configure(LOCAL);
    daemon.reload();
    site.configure(&format!("{LOCAL}{FILTER}"));
    daemon.reload();
    wait_shared_pages(&daemon, 1);
    assert_eq!(daemon.dns().about("192.0.2.1", "bl.example"), "127.0.0.2");
}
