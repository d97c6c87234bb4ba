//! The whole daemon as packet filter, in a network namespace of its own: real packets over veth, from listed sources and
//! others.
//!
//! Needs root, BPF and iproute2. Without them every test prints why and passes; with
//! `BLACKTHORN_REQUIRE_PRIVILEGED=1` it fails instead.

use crate::harness::{Daemon, Site};
use crate::load::StopOnDrop;
use blackthorn::core::filter_plan::{FilterPlan, Mode};
use blackthorn::filter::{Filter, FilterError};
use blackthorn_testkit::line::Line;
use blackthorn_testkit::needs;
use blackthorn_testkit::netns::{Cable, Namespace};
use blackthorn_testkit::random::Random;
use std::fs;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const CONFIG: &str = r#"
[[feed]]
id = "mine"
source = "mine.txt"
format = "plain"

[[zone]]
name = "bl.example"
feeds = ["mine"]

[filter]
interfaces = ["bt0"]
feeds = ["mine"]
"#;

/// The two sources of a [`Line`] that are to be listed.
const LISTED: &str = "198.51.100.66\n2001:db8:1::66\n";
/// Others, so that the feed is not empty.
const UNRELATED: &str = "192.0.2.0/24\n2001:db8:2::/48\n";

/// Can the packet filter be tested here? Prints why not, or fails when it must be.
pub(crate) fn privileged() -> bool {
    if !needs::root() {
        needs::skip("network namespaces need root");
        return false;
    }
    let nothing = FilterPlan { interfaces: Vec::new(), mode: Mode::Auto, enforce: false };
    match Filter::open(&nothing) {
        Err(why @ FilterError::Privileges { .. }) => {
            needs::skip(&why.to_string());
            false
        }
        _ => true,
    }
}

/// A cable, lines of both families, and a daemon at its host side.
struct Rig {
    daemon: Daemon,
    lines: [Line; 2],
    site: Site,
    cable: Cable,
}

impl Rig {
    fn start(config: &str, list: &str) -> Self {
        let cable = Cable::new();
        let site = Site::new(config);
        site.write("mine.txt", list);
        let daemon = start_in(&cable.host, &site);
        let lines = [Line::v4(&cable), Line::v6(&cable)];
        Self { daemon, lines, site, cable }
    }

    fn assert_arrivals(&self, round: u32, expected: &[&str]) {
        assert_arrivals(&self.lines, round, expected);
    }
}

pub(crate) fn assert_arrivals(lines: &[Line; 2], round: u32, expected: &[&str]) {
    for (line, family) in lines.iter().zip(["IPv4", "IPv6"]) {
        assert_eq!(line.arrivals(round), expected, "{family}, round {round}");
    }
}

/// Sends on both lines without pause while `work` runs; every round must bring what is expected. Returns the rounds.
pub(crate) fn sending(lines: &[Line; 2], expected: &[&str], work: impl FnOnce()) -> u32 {
    let running = AtomicBool::new(true);
    thread::scope(|scope| {
        let stop = StopOnDrop(&running);
        let threads = lines.each_ref().map(|line| {
            scope.spawn(|| {
                let mut round = 0;
                while running.load(Ordering::Relaxed) {
                    assert_eq!(line.arrivals(round), expected, "round {round}");
                    round += 1;
                }
                round
            })
        });
        work();
        drop(stop);
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).sum()
    })
}

/// A list of entries far from all others whose table does not fit the smallest table map: groups of IPv6 addresses with
/// long ways of their own.
pub(crate) fn large_list() -> String {
    let mut random = Random::new(1);
    let mut list = String::new();
    for _ in 0..5_400 {
        let first = 0x2400 << 112 | random.wide() >> 16;
        for address in [first, first ^ 0x80, first ^ 0x8000, first ^ 0x80_0000].map(Ipv6Addr::from) {
            list += &format!("{address}\n");
        }
    }
    list
}

/// A process is started in the namespace of the thread that starts it.
pub(crate) fn start_in(host: &Namespace, site: &Site) -> Daemon {
    host.enter(|| site.start())
}

#[test]
fn listed_sources_are_dropped_and_others_are_not() {
    if !privileged() {
        return;
    }
    let rig = Rig::start(CONFIG, LISTED);
    rig.daemon.log.wait("interface bt0 is filtered in native mode");
    rig.assert_arrivals(1, &["clean"]);

    rig.site.write("mine.txt", UNRELATED);
    rig.daemon.reload();
    rig.assert_arrivals(2, &["listed", "clean"]);

    rig.site.write("mine.txt", "198.51.100.64/26\n2001:db8:1::40/122\n");
    rig.daemon.reload();
    rig.assert_arrivals(3, &["clean"]);

    let Rig { daemon, lines, .. } = rig;
    daemon.stop();
    assert_arrivals(&lines, 4, &["listed", "clean"]);
}

#[test]
fn dns_and_filter_agree() {
    if !privileged() {
        return;
    }
    let rig = Rig::start(CONFIG, LISTED);
    let about = |address| rig.cable.host.enter(|| rig.daemon.dns().about(address, "bl.example"));
    assert_eq!([about("198.51.100.66"), about("198.51.100.2")], ["127.0.0.2", "NXDOMAIN"]);
    assert_eq!([about("2001:db8:1::66"), about("2001:db8:1::2")], ["127.0.0.2", "NXDOMAIN"]);
    rig.assert_arrivals(1, &["clean"]);
}

/// Database and list are gone: only the generation file still knows whom to drop.
#[test]
fn a_restart_drops_from_the_generation_file_before_the_database_is_opened() {
    if !privileged() {
        return;
    }
    let Rig { daemon, lines, site, cable } = Rig::start(CONFIG, LISTED);
    assert_arrivals(&lines, 1, &["clean"]);
    daemon.kill9();
    for name in ["state/blackthorn.db", "state/blackthorn.db-wal", "state/blackthorn.db-shm", "mine.txt"] {
        fs::remove_file(site.path(name)).unwrap();
    }
    let daemon = start_in(&cable.host, &site);
    assert_arrivals(&lines, 2, &["clean"]);
    let log = daemon.log.text();
    let steps = ["serving the generation", "answering dns", "interface bt0 is filtered", "no stored copy"];
    let places = steps.map(|step| log.find(step).unwrap());
    assert!(places.is_sorted(), "{log}");
    assert!(!log.contains("not in the packet filter"), "{log}");
}

#[test]
fn nothing_stays_attached_when_the_daemon_is_killed() {
    if !privileged() {
        return;
    }
    let rig = Rig::start(CONFIG, LISTED);
    rig.assert_arrivals(1, &["clean"]);
    let Rig { daemon, lines, site, cable } = rig;
    daemon.kill9();
    assert_arrivals(&lines, 2, &["listed", "clean"]);
    let _daemon = start_in(&cable.host, &site);
    assert_arrivals(&lines, 3, &["clean"]);
}

#[test]
fn monitoring_lets_everything_through() {
    if !privileged() {
        return;
    }
    let monitor = CONFIG.replace("[filter]", "[filter]\naction = \"monitor\"");
    let rig = Rig::start(&monitor, LISTED);
    rig.assert_arrivals(1, &["listed", "clean"]);
    rig.site.configure(CONFIG);
    rig.daemon.reload();
    rig.assert_arrivals(2, &["clean"]);
    rig.site.configure(&monitor);
    rig.daemon.reload();
    rig.assert_arrivals(3, &["listed", "clean"]);
}

#[test]
fn from_monitoring_to_dropping_a_new_exclusion_is_there_first() {
    if !privileged() {
        return;
    }
    let monitor = CONFIG.replace("[filter]", "[filter]\naction = \"monitor\"");
    let rig = Rig::start(&monitor, LISTED);
    // A list that takes its time to be read.
    let many: String = (0..60_000u32).map(|n| format!("100.{}.{}.7\n", n >> 8, n & 0xff)).collect();
    rig.site.write("mine.txt", format!("{LISTED}{many}"));
    rig.site.configure(&format!("{CONFIG}[exclude]\nnetworks = [\"198.51.100.66\", \"2001:db8:1::66\"]\n"));
    sending(&rig.lines, &["listed", "clean"], || rig.daemon.reload());

    rig.site.configure(CONFIG);
    rig.daemon.reload();
    rig.assert_arrivals(u32::MAX >> 1, &["clean"]);
}

#[test]
fn feeds_of_zones_only_drop_nothing() {
    if !privileged() {
        return;
    }
    let rig = Rig::start(
        &CONFIG.replace("interfaces = [\"bt0\"]\nfeeds = [\"mine\"]", "interfaces = [\"bt0\"]"),
        LISTED,
    );
    rig.assert_arrivals(1, &["listed", "clean"]);
}

#[test]
fn exclusions_are_not_dropped() {
    if !privileged() {
        return;
    }
    let exclude = "[exclude]\nnetworks = [\"198.51.100.66\", \"2001:db8:1::66\"]\n";
    let rig = Rig::start(&format!("{CONFIG}{exclude}"), "198.51.100.64/26\n2001:db8:1::40/122\n");
    rig.assert_arrivals(1, &["listed", "clean"]);
}

/// Does a datagram from one of the host's addresses to the same one arrive?
fn reaches_itself(host: &Namespace, own: &str) -> bool {
    host.enter(|| {
        let socket = UdpSocket::bind(SocketAddr::new(own.parse().unwrap(), 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        socket.send_to(b"here", socket.local_addr().unwrap()).unwrap();
        socket.recv(&mut [0; 4]).is_ok()
    })
}

#[test]
fn own_addresses_and_gateways_cannot_be_dropped() {
    if !privileged() {
        return;
    }
    let cable = Cable::new();
    // The listed peer is the gateway, and the host talks to itself by its own addresses, which are listed too.
    cable.host.ip("route add default via 198.51.100.66");
    cable.host.ip("-6 route add default via 2001:db8:1::66");
    let site = Site::new(&CONFIG.replace("[\"bt0\"]", "[\"bt0\", \"lo\"]"));
    site.write("mine.txt", format!("{LISTED}198.51.100.1\n2001:db8:1::1\n"));
    let daemon = start_in(&cable.host, &site);
    daemon.log.wait("interface lo is filtered in generic mode");
    for own in ["198.51.100.1", "2001:db8:1::1"] {
        let listed = cable.host.enter(|| daemon.dns().about(own, "bl.example"));
        assert_eq!(listed, "127.0.0.2", "{own} is protected from the filter only");
        assert!(reaches_itself(&cable.host, own), "{own}");
    }
    let lines = [Line::v4(&cable), Line::v6(&cable)];
    assert_arrivals(&lines, 1, &["listed", "clean"]);

    cable.host.ip("route del default");
    cable.host.ip("-6 route del default");
    daemon.reload();
    assert_arrivals(&lines, 2, &["clean"]);
}

#[test]
fn an_address_the_host_gives_up_can_be_dropped_again() {
    if !privileged() {
        return;
    }
    let cable = Cable::new();
    cable.host.ip("addr add 198.51.100.99/32 dev lo");
    let site = Site::new(&CONFIG.replace("[\"bt0\"]", "[\"lo\"]"));
    site.write("mine.txt", "198.51.100.99\n");
    let daemon = start_in(&cable.host, &site);
    assert!(reaches_itself(&cable.host, "198.51.100.99"));

    // Gone for the guard, and back for the socket below, without a cycle in between that would protect it again.
    cable.host.ip("addr del 198.51.100.99/32 dev lo");
    daemon.reload();
    cable.host.ip("addr add 198.51.100.99/32 dev lo");
    assert!(!reaches_itself(&cable.host, "198.51.100.99"), "or the tests of the guard prove nothing");
    daemon.reload();
    assert!(reaches_itself(&cable.host, "198.51.100.99"));
}

#[test]
fn a_missing_interface_is_said_once_and_stops_nothing() {
    if !privileged() {
        return;
    }
    let rig = Rig::start(&CONFIG.replace("[\"bt0\"]", "[\"bt9\", \"bt0\"]"), LISTED);
    let said = rig.daemon.log.all("bt9");
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!((said[0].level(), said[0].message()), ("WARN", "not filtered: interface bt9 does not exist"));
    rig.assert_arrivals(1, &["clean"]);
}

#[test]
fn an_interface_that_comes_back_is_filtered_again() {
    if !privileged() {
        return;
    }
    let rig = Rig::start(CONFIG, LISTED);
    rig.cable.host.ip("link del bt0");
    let mark = rig.daemon.log.mark();
    rig.daemon.reload();
    rig.daemon.log.wait_from(mark, "not filtered: interface bt0 does not exist");
    rig.cable.replug();
    rig.daemon.reload();
    assert_arrivals(&[Line::v4(&rig.cable), Line::v6(&rig.cable)], 1, &["clean"]);
}

#[test]
fn without_privileges_it_answers_and_says_in_one_line_that_the_filter_is_off() {
    let site = Site::new(CONFIG);
    site.write("mine.txt", LISTED);
    let daemon = Daemon::start(if needs::root() { site.command_of_nobody() } else { site.command() });
    let said = daemon.log.all("the packet filter is off");
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0].level(), "WARN");
    assert!(said[0].message().contains("CAP_BPF"), "{}", said[0].raw);
    assert_eq!(daemon.dns().about("198.51.100.66", "bl.example"), "127.0.0.2");
    daemon.reload();
    daemon.stop();
}
