//! Generations change under load: no query is lost or answered for neither the old nor the new one, and no packet of a
//! listed source slips through or of another is lost.

use crate::dns::owner;
use crate::filter::{large_list, privileged, sending, start_in};
use crate::harness::{Daemon, Site};
use crate::load::{self, Told};
use blackthorn::generations::Generations;
use blackthorn_testkit::line::Line;
use blackthorn_testkit::netns::Cable;
use hickory_proto::rr::RecordType::{A, SOA};
use std::collections::BTreeSet;

/// Nothing but a reload reads the lists: a look at one of them in between would be a generation of its own.
const CONFIG: &str = r#"
[[feed]]
id = "red"
source = "red.txt"
format = "plain"
refresh = "24h"
[[feed]]
id = "green"
source = "green.txt"
format = "plain"
refresh = "24h"
[[zone]]
name = "bl.example"
feeds = [{ id = "red", code = "127.0.0.3" }, { id = "green", code = "127.0.0.5" }]
[[zone]]
name = "red.example"
feeds = ["red"]
"#;

/// In both lists of every generation: one for the queries, and the listed source of a [`Line`].
const ALWAYS: &str = "192.0.2.1\n198.51.100.66\n2001:db8:1::66\n";

/// The first table map of the kernel program, in bytes.
const SMALLEST_MAP: u64 = 4 << 20;

/// The lists of a generation. A marker moves from one to the other and back, all in one reload: the two change places.
/// Another address blinks: it is in one list only, and one zone shows but the first.
fn write_lists(site: &Site, number: usize, more: &str) {
    let a = format!("{ALWAYS}192.0.2.10\n2001:db8::10\n{more}");
    let b = format!("{ALWAYS}192.0.2.20\n2001:db8::20\n{more}");
    let (red, green) = if number.is_multiple_of(2) { (a, b) } else { (b, a) };
    site.write("red.txt", red);
    site.write("green.txt", green);
}

/// Publishes this many generations, the next to last of them with `more` entries, while queries run, and judges the
/// answers. The daemon has the lists of generation 0.
fn change_under_queries(site: &Site, daemon: &Daemon, generations: usize, more: &str) {
    let dns = daemon.dns();
    let name = |address| owner(address, "bl.example");
    let questions = [
        (name("192.0.2.10"), A),
        (name("2001:db8::20"), A),
        (owner("192.0.2.10", "red.example"), A),
        (name("192.0.2.1"), A),
        (name("192.0.2.99"), A),
        ("bl.example".to_owned(), SOA),
    ];

    let mut serials = vec![dns.serial("bl.example")];
    let report = load::during(daemon.address(), &questions, || {
        for number in 1..=generations {
            write_lists(site, number, if number + 1 == generations { more } else { "" });
            daemon.reload();
            serials.push(dns.serial("bl.example"));
        }
    });

    assert!(serials.is_sorted_by(|a, b| a < b), "every reload is a generation: {serials:?}");
    // In generations of even number the first list is red.
    let with = |parity| serials.iter().copied().skip(parity).step_by(2).collect::<BTreeSet<u32>>();
    let (even, odd) = (with(0), with(1));
    for client in &report.clients {
        let [v4, v6, blinking, always, never, apex] = &client[..] else { panic!("one history per question") };
        assert_toggles(v4, ["127.0.0.3", "127.0.0.5"]);
        assert_toggles(v6, ["127.0.0.5", "127.0.0.3"]);
        assert_toggles(blinking, ["127.0.0.2", "NXDOMAIN"]);
        for told in blinking.iter().filter(|told| told.said == "NXDOMAIN") {
            let serial = told.serial.unwrap();
            assert!(odd.contains(&serial), "not listed in generation {serial}, where it is: {serials:?}");
        }
        assert!(always.iter().all(|told| told.said == "127.0.0.3 127.0.0.5"), "{always:?}");
        assert!(never.iter().all(|told| told.said == "NXDOMAIN"), "{never:?}");
        for serials in [apex, never].map(|history| history.iter().filter_map(|told| told.serial)) {
            let serials: Vec<u32> = serials.collect();
            assert!(serials.is_sorted(), "a serial went back: {serials:?}");
            assert!(
                serials.iter().all(|serial| even.contains(serial) || odd.contains(serial)),
                "{serials:?}"
            );
        }
    }
    println!("{generations} generations, {} answers", report.answers);
}

/// Only these two answers, in turn; both must have been seen, or there was no load while something changed.
fn assert_toggles(history: &[Told], answers: [&str; 2]) {
    let said: BTreeSet<&str> = history.iter().map(|told| told.said.as_str()).collect();
    assert_eq!(said, answers.into(), "{history:?}");
}

#[test]
fn no_query_is_lost_or_answered_wrongly_while_generations_change() {
    let site = Site::new(CONFIG);
    write_lists(&site, 0, "");
    change_under_queries(&site, &site.start(), 32, "");
}

#[test]
fn a_hundred_generations_under_queries_and_packets() {
    if !privileged() {
        return;
    }
    let cable = Cable::new();
    let site = Site::new(&format!("{CONFIG}[filter]\ninterfaces = [\"bt0\"]\nfeeds = [\"red\"]\n"));
    write_lists(&site, 0, "");
    let daemon = start_in(&cable.host, &site);
    let lines = [Line::v4(&cable), Line::v6(&cable)];
    let rounds = sending(&lines, &["clean"], || {
        // One of them outgrows the first table map and brings a new program.
        cable.host.enter(|| change_under_queries(&site, &daemon, 100, &large_list()));
    });
    let files = Generations::new(&site.path("state"));
    let largest = files.list().unwrap().iter().map(|file| file.bytes).max();
    assert!(largest > Some(SMALLEST_MAP), "none outgrew the first table map: {largest:?}");
    println!("{rounds} rounds of packets");
}
