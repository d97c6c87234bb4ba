//! Feeds over HTTP: good publishers, bad ones, and that the bad ones harm nobody else.

use crate::harness::{Daemon, Mark, Site};
use crate::http::{Publisher, Reply};
use std::time::Instant;

const GOOD: &str = "192.0.2.7\n2001:db8::7\n";

/// A feed of each publisher, in one zone, with the codes 127.0.0.2, .3 and so on; `more` goes into the first feed.
fn config(publishers: &[(&str, &Publisher)], more: &str) -> String {
    let (mut feeds, mut members) = (String::new(), Vec::new());
    for (code, (id, publisher)) in (2..).zip(publishers) {
        let more = if code == 2 { more } else { "" };
        feeds += &format!(
            "[[feed]]\nid = \"{id}\"\nsource = \"{}\"\nformat = \"plain\"\n{more}\n",
            publisher.url()
        );
        members.push(format!("{{ id = \"{id}\", code = \"127.0.0.{code}\" }}"));
    }
    format!("{feeds}[[zone]]\nname = \"bl.example\"\nfeeds = [{}]\n", members.join(", "))
}

fn about(daemon: &Daemon, address: &str) -> String {
    daemon.dns().about(address, "bl.example")
}

#[test]
fn the_second_fetch_asks_only_for_something_newer() {
    let publisher = Publisher::new(Reply::List(GOOD));
    let site = Site::new(&config(&[("web", &publisher)], ""));
    let daemon = site.start();
    daemon.wait_loaded(Mark::START, "web");
    assert_eq!([about(&daemon, "192.0.2.7"), about(&daemon, "2001:db8::7")], ["127.0.0.2", "127.0.0.2"]);
    assert!(!publisher.request(1).contains("if-none-match"), "there is nothing to compare with yet");

    let serial = daemon.dns().serial("bl.example");
    daemon.reload();
    let request = publisher.request(2);
    assert!(request.contains("if-none-match: \""), "{request}");
    // The answer to the third request comes after the second was dealt with.
    publisher.set(Reply::List("192.0.2.8\n"));
    let mark = daemon.hup();
    daemon.wait_loaded(mark, "web");
    assert!(publisher.request(3).contains("if-none-match: \""), "not modified keeps the validators");
    assert_eq!([about(&daemon, "192.0.2.7"), about(&daemon, "192.0.2.8")], ["NXDOMAIN", "127.0.0.2"]);
    assert!(daemon.dns().serial("bl.example") > serial);
}

#[test]
fn validators_outlive_a_restart() {
    let publisher = Publisher::new(Reply::List(GOOD));
    let site = Site::new(&config(&[("web", &publisher)], ""));
    let daemon = site.start();
    daemon.wait_loaded(Mark::START, "web");
    daemon.stop();

    let daemon = site.start();
    daemon.reload();
    assert!(publisher.request(2).contains("if-none-match: \""));
    assert_eq!(about(&daemon, "192.0.2.7"), "127.0.0.2");
}

#[test]
fn a_zone_without_any_data_says_that_it_is_not_ready() {
    let publisher = Publisher::new(Reply::Status("503 Service Unavailable"));
    let site = Site::new(&config(&[("web", &publisher)], ""));
    let daemon = site.start();
    assert_eq!(about(&daemon, "192.0.2.7"), "SERVFAIL", "no list is not an empty list");
    publisher.set(Reply::List(GOOD));
    let mark = daemon.hup();
    daemon.wait_loaded(mark, "web");
    assert_eq!([about(&daemon, "192.0.2.7"), about(&daemon, "192.0.2.9")], ["127.0.0.2", "NXDOMAIN"]);
}

#[test]
fn a_bad_answer_is_said_and_harms_no_other_feed() {
    let page = "<html><head><title>Sign in</title></head><body>Welcome</body></html>\n";
    let cases = [
        ("gone", Reply::Status("404 Not Found"), "404"),
        ("down", Reply::Status("500 Internal Server Error"), "500"),
        ("page", Reply::Body("text/html", page), "web page"),
        ("disguised", Reply::Body("text/plain", page), "quarantined"),
        ("empty", Reply::Body("text/plain", ""), "no entries"),
        ("cut", Reply::Cut(GOOD), "cut short"),
        ("garbage", Reply::Body("application/octet-stream", "\0\x01\x02 \u{fffd}\n\0\0\n"), "quarantined"),
    ];
    let good = Publisher::new(Reply::List("203.0.113.9\n"));
    let bad: Vec<Publisher> = cases.iter().map(|_| Publisher::new(Reply::List(GOOD))).collect();
    let mut publishers = vec![("good", &good)];
    publishers.extend(cases.iter().map(|(id, ..)| *id).zip(&bad));
    let site = Site::new(&config(&publishers, ""));
    let daemon = site.start();
    for (id, _) in &publishers {
        daemon.log.wait_feed(Mark::START, id, "feed loaded");
    }
    daemon.reload();
    let before = about(&daemon, "192.0.2.7");
    assert_eq!(before.split(' ').count(), cases.len(), "{before}");

    good.set(Reply::List("203.0.113.10\n"));
    for (publisher, (_, reply, _)) in bad.iter().zip(&cases) {
        publisher.set(reply.clone());
    }
    let mark = daemon.hup();
    for (id, _, says) in &cases {
        let event = daemon.log.wait_feed(mark, id, says);
        assert_eq!(event.level(), "WARN");
        assert!(event.message().ends_with("the last good copy stays in use"), "{}", event.raw);
    }
    daemon.wait_loaded(mark, "good");
    assert_eq!(about(&daemon, "192.0.2.7"), before, "last good copies");
    assert_eq!([about(&daemon, "203.0.113.9"), about(&daemon, "203.0.113.10")], ["NXDOMAIN", "127.0.0.2"]);
}

#[test]
fn a_publisher_that_hangs_delays_nobody() {
    let (hanging, good) = (Publisher::new(Reply::Silence), Publisher::new(Reply::List(GOOD)));
    let site = Site::new(&config(&[("hanging", &hanging), ("good", &good)], "timeout = \"10m\""));
    // Ready at all means: without waiting for the one that hangs.
    let daemon = site.start();
    hanging.request(1);
    daemon.wait_loaded(Mark::START, "good");
    assert_eq!(about(&daemon, "192.0.2.7"), "127.0.0.3");

    good.set(Reply::List("192.0.2.8\n"));
    let mark = daemon.hup();
    daemon.wait_loaded(mark, "good");
    hanging.request(2);
    assert_eq!(about(&daemon, "192.0.2.8"), "127.0.0.3");
    daemon.stop();
}

#[test]
fn a_publisher_that_hangs_is_given_up_in_time() {
    let hanging = Publisher::new(Reply::Silence);
    let site = Site::new(&config(&[("hanging", &hanging)], "timeout = \"1s\""));
    let started = Instant::now();
    let daemon = site.start();
    let event = daemon.log.wait_feed(Mark::START, "hanging", "within 1 s");
    assert!(event.message().ends_with("it has no data yet"), "{}", event.raw);
    assert!(started.elapsed().as_millis() >= 1000, "given up too early");
}
