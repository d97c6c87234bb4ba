//! A held generation: what stays, what goes on, and what a reload and a restart make of it.

use crate::harness::{Daemon, Mark, Site};
use crate::http::{Publisher, Reply};

const ZONE: &str = "[[zone]]\nname = \"bl.example\"\nfeeds = [\"mine\"]\n";

fn config(more: &str) -> String {
    format!("[[feed]]\nid = \"mine\"\nsource = \"mine.txt\"\nformat = \"plain\"\n{ZONE}{more}")
}

fn about(daemon: &Daemon, address: &str) -> String {
    daemon.dns().about(address, "bl.example")
}

#[test]
fn what_is_pinned_stays_until_it_is_resumed() {
    let site = Site::new(&config(""));
    site.write("mine.txt", "192.0.2.7\n");
    let daemon = site.start();
    let serial = daemon.dns().serial("bl.example");
    let (code, held) = site.json(&["pin"]);
    assert_eq!((code, &held["changed"], &held["serial"]), (0, &true.into(), &serial.into()), "{held}");
    let (code, again) = site.json(&["pin"]);
    assert_eq!(
        (code, &again["changed"], &again["hold"]["since"]),
        (0, &false.into(), &held["hold"]["since"])
    );

    site.write("mine.txt", "192.0.2.8\n");
    daemon.reload();
    assert_eq!([about(&daemon, "192.0.2.7"), about(&daemon, "192.0.2.8")], ["127.0.0.2", "NXDOMAIN"]);
    assert_eq!(daemon.dns().serial("bl.example"), serial);
    let status = site.wait_status("the hold", |status| status["engine"]["hold"]["waiting"] == true);
    let warnings = status["engine"]["warnings"].to_string();
    assert!(warnings.contains("is held: nothing new is published"), "{warnings}");
    assert_eq!(status["engine"]["feeds"][0]["counts"]["entries_v4"], 1, "collected all the same");
    assert!(!daemon.log.all("something new waits").is_empty());

    let (code, resumed) = site.json(&["resume"]);
    assert_eq!((code, &resumed["changed"], &resumed["hold"]), (0, &true.into(), &serde_json::Value::Null));
    assert_eq!([about(&daemon, "192.0.2.7"), about(&daemon, "192.0.2.8")], ["NXDOMAIN", "127.0.0.2"]);
    assert!(daemon.dns().serial("bl.example") > serial);
    assert_eq!(site.json(&["resume"]).1["changed"], false);
}

#[test]
fn a_reload_while_pinned_changes_feeds_but_neither_zones_nor_exclusions() {
    let publisher = Publisher::new(Reply::List("203.0.113.9\n"));
    let site = Site::new(&config(""));
    site.write("mine.txt", "192.0.2.7\n");
    let daemon = site.start();
    site.json(&["pin"]);

    let web = format!("[[feed]]\nid = \"web\"\nsource = \"{}\"\nformat = \"plain\"\n", publisher.url());
    let other = "[[zone]]\nname = \"new.example\"\nfeeds = [\"web\"]\n";
    site.configure(&config(&format!("{web}{other}[exclude]\nnetworks = [\"192.0.2.7\"]\n")));
    daemon.reload();
    daemon.log.wait_feed(Mark::START, "web", "feed loaded");
    assert_eq!(about(&daemon, "192.0.2.7"), "127.0.0.2", "the exclusion waits");
    assert_eq!(daemon.dns().about("203.0.113.9", "new.example"), "REFUSED", "the zone waits");
    let status = site.wait_status("the feed", |status| status["engine"]["feeds"][1]["loaded"] == true);
    assert_eq!(status["engine"]["zones"].as_array().unwrap().len(), 1, "what is served is shown");

    site.json(&["resume"]);
    assert_eq!(about(&daemon, "192.0.2.7"), "NXDOMAIN");
    assert_eq!(daemon.dns().about("203.0.113.9", "new.example"), "127.0.0.2");
}

#[test]
fn a_hold_outlives_restart_and_kill() {
    let site = Site::new(&config(""));
    site.write("mine.txt", "192.0.2.7\n");
    let daemon = site.start();
    let serial = daemon.dns().serial("bl.example");
    site.json(&["pin"]);
    daemon.kill9();
    let daemon = site.start();
    daemon.log.wait("generations are held");
    assert_eq!(daemon.dns().serial("bl.example"), serial);
    site.write("mine.txt", "192.0.2.8\n");
    daemon.reload();
    assert_eq!([about(&daemon, "192.0.2.7"), about(&daemon, "192.0.2.8")], ["127.0.0.2", "NXDOMAIN"]);
    site.json(&["resume"]);
    daemon.stop();
    let daemon = site.start();
    assert!(daemon.log.all("held").is_empty());
    assert_eq!(about(&daemon, "192.0.2.8"), "127.0.0.2");
}

#[test]
fn a_rollback_brings_an_earlier_generation_back_under_a_higher_serial() {
    let site = Site::new(&config(""));
    site.write("mine.txt", "192.0.2.7\n");
    let daemon = site.start();
    let first = daemon.dns().serial("bl.example");
    site.write("mine.txt", "192.0.2.8\n");
    daemon.reload();
    let second = daemon.dns().serial("bl.example");

    let (code, held) = site.json(&["rollback", &first.to_string()]);
    assert_eq!((code, &held["hold"]["rolled_back_to"]), (0, &first.into()), "{held}");
    assert_eq!([about(&daemon, "192.0.2.7"), about(&daemon, "192.0.2.8")], ["127.0.0.2", "NXDOMAIN"]);
    let third = daemon.dns().serial("bl.example");
    assert!(third > second, "serials only rise");
    assert_eq!(held["serial"], third);
    let status = site.wait_status("the hold", |status| status["engine"]["hold"]["waiting"] == true);
    assert_eq!(status["engine"]["generation"]["serial"], third);

    daemon.stop();

    // Twice: after a change of zones the newest file alone would not do.
    for config in [config(""), config("[[zone]]\nname = \"new.example\"\nfeeds = [\"mine\"]\n")] {
        site.configure(&config);
        let daemon = site.start();
        assert_eq!(daemon.dns().serial("bl.example"), third);
        assert_eq!([about(&daemon, "192.0.2.7"), about(&daemon, "192.0.2.8")], ["127.0.0.2", "NXDOMAIN"]);
        assert_eq!(daemon.dns().about("192.0.2.7", "new.example"), "REFUSED");
        daemon.stop();
    }
    let daemon = site.start();
    site.json(&["resume"]);
    assert_eq!([about(&daemon, "192.0.2.7"), about(&daemon, "192.0.2.8")], ["NXDOMAIN", "127.0.0.2"]);
    assert!(daemon.dns().serial("bl.example") > third);
}

#[test]
fn a_rollback_to_what_is_not_there_changes_nothing() {
    let site = Site::new(&config(""));
    site.write("mine.txt", "192.0.2.7\n");
    let daemon = site.start();
    let serial = daemon.dns().serial("bl.example");
    let refused = site.refused(&["rollback", "7"]);
    assert!(refused.contains("blackthorn generations"), "{refused}");
    assert_eq!(site.json(&["status"]).1["engine"]["hold"], serde_json::Value::Null);
    // To what is live already: no new serial, but held.
    let (_, held) = site.json(&["rollback", &serial.to_string()]);
    assert_eq!((&held["serial"], &held["hold"]["serial"]), (&serial.into(), &serial.into()));
    assert_eq!(held["hold"]["waiting"], false);
    assert_eq!(daemon.dns().serial("bl.example"), serial);
}
