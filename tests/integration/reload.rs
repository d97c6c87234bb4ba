//! SIGHUP: what changes, what must not, and what nobody may notice.

use crate::dns::{owner, said};
use crate::harness::{Daemon, Site};
use crate::load;
use hickory_proto::rr::RecordType::{A, SOA};
use std::net::SocketAddr;

const CONFIG: &str = r#"
[[feed]]
id = "mine"
source = "mine.txt"
format = "plain"

[[zone]]
name = "bl.example"
feeds = ["mine"]
"#;

fn start() -> (Site, Daemon) {
    let site = Site::new(CONFIG);
    site.write("mine.txt", "192.0.2.7\n2001:db8::7\n");
    let daemon = site.start();
    (site, daemon)
}

/// What the zone of [`CONFIG`] says.
fn about(daemon: &Daemon, address: &str) -> String {
    daemon.dns().about(address, "bl.example")
}

#[test]
fn a_changed_list_changes_answers_and_raises_the_serial() {
    let (site, daemon) = start();
    let before = daemon.dns().serial("bl.example");
    assert_eq!([about(&daemon, "192.0.2.7"), about(&daemon, "192.0.2.8")], ["127.0.0.2", "NXDOMAIN"]);
    assert_eq!([about(&daemon, "2001:db8::7"), about(&daemon, "2001:db8::8")], ["127.0.0.2", "NXDOMAIN"]);

    site.write("mine.txt", "192.0.2.8\n2001:db8::8\n");
    daemon.reload();
    assert_eq!([about(&daemon, "192.0.2.7"), about(&daemon, "192.0.2.8")], ["NXDOMAIN", "127.0.0.2"]);
    assert_eq!([about(&daemon, "2001:db8::7"), about(&daemon, "2001:db8::8")], ["NXDOMAIN", "127.0.0.2"]);
    assert!(daemon.dns().serial("bl.example") > before);
}

#[test]
fn what_changes_no_answer_changes_no_serial() {
    let (site, daemon) = start();
    let before = daemon.dns().serial("bl.example");
    daemon.reload();
    assert_eq!(daemon.dns().serial("bl.example"), before, "nothing changed");
    site.write("mine.txt", "# the same in other words\n2001:db8::7/128\n192.0.2.7\n192.0.2.7\n");
    daemon.reload();
    assert_eq!(daemon.dns().serial("bl.example"), before, "only comments and order changed");
    site.configure(&CONFIG.replace("[[zone]]", "refresh = \"5m\"\n[[zone]]"));
    daemon.reload();
    assert_eq!(daemon.dns().serial("bl.example"), before, "only the schedule changed");
}

#[test]
fn a_broken_configuration_is_refused_with_its_line() {
    let (site, daemon) = start();
    let before = daemon.dns().serial("bl.example");
    site.write("mine.txt", "192.0.2.8\n");
    for (config, says) in [
        (CONFIG.replace("format = \"plain\"", "format = \"plian\""), "blackthorn.toml:6: bad format"),
        (CONFIG.replace("format =", "fromat ="), "blackthorn.toml:6:"),
        (CONFIG.replace("feeds = [\"mine\"]", "feeds = [\"yours\"]"), "blackthorn.toml:10:"),
        (CONFIG.replace("feeds = [\"mine\"]", "feeds = [\"mine\""), "blackthorn.toml:"),
        (format!("{CONFIG}[exclude]\nfiles = [\"none.txt\"]\n"), "none.txt: cannot be read: No such file"),
    ] {
        site.configure(&config);
        let said = daemon.refused_reload();
        assert!(said.contains(says), "{says:?} is missing in {said:?}");
        assert_eq!(about(&daemon, "192.0.2.7"), "127.0.0.2", "the old list stays too");
        assert_eq!(about(&daemon, "192.0.2.8"), "NXDOMAIN");
        assert_eq!(daemon.dns().serial("bl.example"), before);
    }
    assert!(daemon.log.all("exclude: ").is_empty(), "what is refused is not announced as a change");
    site.configure(CONFIG);
    daemon.reload();
    assert_eq!(about(&daemon, "192.0.2.8"), "127.0.0.2", "mended");
}

#[test]
fn a_bad_line_in_an_exclusion_file_refuses_the_reload() {
    let (site, daemon) = start();
    site.write("allow.txt", "# ours\n192.0.2.7\nmail example\n");
    site.configure(&format!("{CONFIG}[exclude]\nfiles = [\"allow.txt\"]\n"));
    let said = daemon.refused_reload();
    assert!(said.contains("allow.txt:3: `mail example`"), "{said}");
    assert_eq!(about(&daemon, "192.0.2.7"), "127.0.0.2");

    site.write("allow.txt", "# ours\n192.0.2.7\n");
    daemon.reload();
    assert_eq!(about(&daemon, "192.0.2.7"), "NXDOMAIN");
}

#[test]
fn a_removed_zone_is_refused_and_a_new_one_answers() {
    let (site, daemon) = start();
    site.configure(&CONFIG.replace("bl.example", "new.example"));
    daemon.reload();
    assert_eq!(about(&daemon, "192.0.2.7"), "REFUSED");
    assert_eq!(said(&daemon.dns().ask("bl.example", SOA)), "REFUSED");
    assert_eq!(daemon.dns().about("192.0.2.7", "new.example"), "127.0.0.2");
}

#[test]
fn a_removed_feed_is_gone_and_comes_back_from_its_copy() {
    let (site, daemon) = start();
    let two = CONFIG.replace(
        "[[zone]]",
        "[[feed]]\nid = \"other\"\nsource = \"other.txt\"\nformat = \"plain\"\n[[zone]]",
    );
    let two = two.replace("[\"mine\"]", "[\"other\", \"mine\"]");
    site.write("other.txt", "192.0.2.99\n");
    site.configure(&two);
    daemon.reload();
    assert_eq!(about(&daemon, "192.0.2.99"), "127.0.0.2");
    site.configure(CONFIG);
    daemon.reload();
    assert_eq!(about(&daemon, "192.0.2.99"), "NXDOMAIN");
    assert_eq!(about(&daemon, "192.0.2.7"), "127.0.0.2", "the other feed keeps its place");

    std::fs::remove_file(site.path("other.txt")).unwrap();
    site.configure(&two);
    daemon.reload();
    assert_eq!(about(&daemon, "192.0.2.99"), "127.0.0.2");
}

/// [`CONFIG`] with these addresses to answer on.
fn listening(addresses: &[SocketAddr]) -> String {
    let addresses: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    format!("{CONFIG}[dns]\nlisten = [{}]\n", addresses.join(", "))
}

fn any_port(host: &str) -> SocketAddr {
    SocketAddr::new(host.parse().unwrap(), 0)
}

#[test]
fn the_listen_address_can_change() {
    let (site, daemon) = start();
    let (first, old) = (daemon.address(), daemon.dns());
    site.configure(&listening(&[any_port("127.0.0.1"), any_port("127.0.0.2")]));
    daemon.reload();
    let second = daemon.address();
    assert_eq!(second.ip(), any_port("127.0.0.2").ip());
    assert_eq!(about(&daemon, "192.0.2.7"), "127.0.0.2", "one more");
    assert_eq!(old.about("192.0.2.7", "bl.example"), "127.0.0.2", "and the first goes on");

    site.configure(&listening(&[any_port("127.0.0.2")]));
    let mark = daemon.hup();
    let closed = daemon.log.wait_from(mark, "stopped answering dns");
    assert_eq!(closed.field("address"), first.to_string());
    daemon.log.wait_from(mark, "reloaded");
    assert_eq!(about(&daemon, "192.0.2.7"), "127.0.0.2");
    assert!(std::net::TcpStream::connect(first).is_err(), "the first is closed");
}

#[test]
fn a_refused_reload_leaves_the_listeners_alone() {
    let (site, daemon) = start();
    let before = daemon.address();
    let holder = std::net::UdpSocket::bind(any_port("127.0.0.1")).unwrap();
    let taken = holder.local_addr().unwrap();
    site.configure(&listening(&[any_port("127.0.0.2"), taken]));
    let said = daemon.refused_reload();
    assert!(said.contains(&format!("cannot listen on {taken} (udp): in use")), "{said}");

    let new = listening(&[any_port("127.0.0.2")]);
    site.configure(&format!("{new}[exclude]\nfiles = [\"none.txt\"]\n"));
    daemon.refused_reload();
    let moved = daemon
        .log
        .all("stopped answering dns")
        .iter()
        .any(|event| event.field("address") == before.to_string());
    assert!(!moved, "the old address was closed for a reload that was refused");
    assert_eq!(about(&daemon, "192.0.2.7"), "127.0.0.2");
}

#[test]
fn a_broken_list_is_quarantined_and_the_last_good_answers_stay() {
    let (site, daemon) = start();
    let before = daemon.dns().serial("bl.example");
    let broken: [(&[u8], &str); 4] = [
        (b"<!DOCTYPE html><html><body>Sorry</body></html>\n", "quarantined"),
        (b"", "no entries: the body is empty"),
        (&[0, 159, 146, 150, 0, 255, 10, 13, 10], "quarantined"),
        (b"# all gone\n", "no entries"),
    ];
    for (body, says) in broken {
        site.write("mine.txt", body);
        let mark = daemon.log.mark();
        daemon.reload();
        let event = daemon.log.wait_feed(mark, "mine", says);
        assert!(event.message().contains("the last good copy stays in use"), "{}", event.raw);
        assert_eq!(event.level(), "WARN");
        assert_eq!(about(&daemon, "192.0.2.7"), "127.0.0.2", "after {body:?}");
        assert_eq!(daemon.dns().serial("bl.example"), before);
    }
    site.write("mine.txt", "192.0.2.8\n");
    daemon.reload();
    assert_eq!([about(&daemon, "192.0.2.7"), about(&daemon, "192.0.2.8")], ["NXDOMAIN", "127.0.0.2"]);
}

#[test]
fn a_missing_list_keeps_the_last_good_answers() {
    let (site, daemon) = start();
    std::fs::remove_file(site.path("mine.txt")).unwrap();
    let mark = daemon.log.mark();
    daemon.reload();
    daemon.log.wait_feed(mark, "mine", "the last good copy stays in use");
    assert_eq!(about(&daemon, "192.0.2.7"), "127.0.0.2");
}

#[test]
fn reloads_that_come_faster_than_they_can_be_done_end_in_the_newest_state() {
    let (site, daemon) = start();
    for host in 1..=50 {
        site.write("mine.txt", format!("192.0.2.{host}\n"));
        daemon.hup();
    }
    // One more that is waited for: signals that come together may become one, but none is served before it was sent.
    let mark = daemon.hup();
    daemon.log.wait_from(mark, "reloaded");
    daemon.reload();
    assert_eq!([about(&daemon, "192.0.2.50"), about(&daemon, "192.0.2.49")], ["127.0.0.2", "NXDOMAIN"]);
}

#[test]
fn a_changed_list_is_noticed_without_a_signal() {
    let site = Site::new(&CONFIG.replace("[[zone]]", "refresh = \"1s\"\n[[zone]]"));
    site.write("mine.txt", "192.0.2.7\n");
    let daemon = site.start();
    let mark = daemon.log.mark();
    site.write("mine.txt", "192.0.2.8\n");
    daemon.wait_loaded(mark, "mine");
    assert_eq!([about(&daemon, "192.0.2.7"), about(&daemon, "192.0.2.8")], ["NXDOMAIN", "127.0.0.2"]);
}

#[test]
fn what_only_a_restart_can_change_is_said_and_left() {
    let (site, daemon) = start();
    site.configure(&format!("{CONFIG}[control]\nsocket = \"other.sock\"\n"));
    let mark = daemon.log.mark();
    daemon.reload();
    let event = daemon.log.wait_from(mark, "takes effect at the next start");
    assert!(event.level() == "WARN" && event.message().contains("other.sock"), "{}", event.raw);
    assert!(site.path("control.sock").exists() && !site.path("other.sock").exists());
}

#[test]
fn no_query_is_lost_while_listeners_come_and_go() {
    let (site, daemon) = start();
    let first = daemon.address();
    let questions = [(owner("192.0.2.7", "bl.example"), A), (owner("192.0.2.8", "bl.example"), A)];
    let report = load::during(first, &questions, || {
        for number in 0..10 {
            let both = [any_port("127.0.0.1"), any_port("127.0.0.2")];
            site.configure(&listening(&both[..=number % 2]));
            daemon.reload();
        }
    });
    for client in &report.clients {
        let said = [&client[0], &client[1]]
            .map(|history| history.iter().map(|told| &told.said[..]).collect::<Vec<_>>());
        assert_eq!(said, [["127.0.0.2"], ["NXDOMAIN"]]);
    }
}
