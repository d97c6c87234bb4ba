//! What the next cycle would change is told exactly, and telling it changes nothing.

use crate::harness::{Daemon, Mark, Site};
use crate::http::{Publisher, Reply};
use serde_json::Value;

fn config(publisher: &Publisher) -> String {
    format!(
        r#"
[[feed]]
id = "web"
source = "{}"
format = "plain"

[[feed]]
id = "mine"
source = "mine.txt"
format = "plain"

[[zone]]
name = "bl.example"
feeds = ["web", "mine"]

[exclude]
networks = ["198.51.100.0/28"]
"#,
        publisher.url()
    )
}

fn start(publisher: &Publisher) -> (Site, Daemon) {
    let site = Site::new(&config(publisher));
    site.write("mine.txt", "192.0.2.7\n");
    let daemon = site.start();
    daemon.wait_loaded(Mark::START, "web");
    (site, daemon)
}

fn feed<'a>(preview: &'a Value, id: &str) -> &'a Value {
    preview["feeds"].as_array().unwrap().iter().find(|feed| feed["id"] == id).unwrap()
}

#[test]
fn a_preview_is_exact_and_touches_nothing() {
    let publisher = Publisher::new(Reply::List("203.0.113.0/24\n2001:db8::/64\n"));
    let (site, daemon) = start(&publisher);
    let serial = daemon.dns().serial("bl.example");
    let (code, preview) = site.json(&["preview"]);
    assert_eq!((code, &preview["changed"]), (1, &false.into()), "{preview:#}");
    assert_eq!(feed(&preview, "web")["outcome"], "unchanged");
    assert!(publisher.request(2).contains("if-none-match"), "asked with the validators at hand");

    publisher.set(Reply::List("203.0.113.0/25\n198.51.100.0/24\n2001:db8::/63\n"));
    site.write("mine.txt", "192.0.2.7\n192.0.2.8\n");
    for _ in 0..2 {
        let (code, preview) = site.json(&["preview"]);
        assert_eq!((code, &preview["changed"]), (0, &true.into()), "{preview:#}");
        let web = feed(&preview, "web");
        assert_eq!(
            (&web["outcome"], &web["entries_before"], &web["entries_after"]),
            (&"changed".into(), &2.into(), &3.into())
        );
        assert_eq!((&web["added"]["v4"], &web["removed"]["v4"]), (&240.into(), &128.into()));
        assert_eq!(web["added"]["v6"].as_f64().unwrap(), 2f64.powi(64));
        assert_eq!(
            (web["excluded_before"].as_f64(), web["excluded_after"].as_f64()),
            (Some(0.0), Some(16.0))
        );
        assert_eq!(feed(&preview, "mine")["added"]["v4"], 1);
        assert_eq!(preview["added"]["v4"], 241);
        assert_eq!(preview["removed"]["v4"], 128);
        let widest: Vec<&str> = preview["widest_added"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["network"].as_str().unwrap())
            .collect();
        assert_eq!(widest[..2], ["198.51.100.128/25", "198.51.100.64/26"], "{widest:?}");
        assert!(widest.contains(&"2001:db8:0:1::/64"), "{widest:?}");
        assert_eq!(preview["widest_removed"][0]["network"], "203.0.113.128/25");
    }
    assert_eq!(daemon.dns().serial("bl.example"), serial);
    assert_eq!(daemon.dns().about("192.0.2.8", "bl.example"), "NXDOMAIN");
    let (_, status) = site.json(&["status"]);
    assert_eq!(status["engine"]["feeds"][0]["counts"]["entries_v4"], 1, "the store's copy is the old one");

    // And it was right.
    let mark = daemon.hup();
    daemon.wait_loaded(mark, "web");
    assert_eq!(daemon.dns().about("198.51.100.16", "bl.example"), "127.0.0.2");
    assert_eq!(site.json(&["preview"]).1["changed"], false);
}

#[test]
fn what_would_fail_or_be_quarantined_says_why() {
    let publisher = Publisher::new(Reply::List("203.0.113.9\n"));
    let (site, daemon) = start(&publisher);
    publisher.set(Reply::Body("text/plain", "<html><body>moved</body></html>"));
    let (code, preview) = site.json(&["preview"]);
    assert_eq!(code, 1, "the last good copies stay: {preview:#}");
    let web = feed(&preview, "web");
    assert_eq!((&web["outcome"], &web["entries_after"]), (&"quarantined".into(), &1.into()));
    assert!(web["problem"].as_str().unwrap().contains("web page"), "{web}");

    publisher.set(Reply::Status("503 Service Unavailable"));
    let (_, preview) = site.json(&["preview"]);
    assert_eq!(feed(&preview, "web")["outcome"], "failing");
    let (_, status) = site.json(&["status"]);
    assert_eq!(status["engine"]["feeds"][0]["state"], "ok", "nothing of it is noted");
    assert_eq!(daemon.dns().about("203.0.113.9", "bl.example"), "127.0.0.2");
}

#[test]
fn the_engine_goes_on_while_a_preview_waits_for_a_feed() {
    let publisher = Publisher::new(Reply::List("203.0.113.9\n"));
    let (site, daemon) = start(&publisher);
    publisher.set(Reply::Silence);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| site.json(&["preview"]));
        publisher.request(2);
        // The hanging feed is no obstacle for the engine.
        site.write("mine.txt", "192.0.2.9\n");
        daemon.reload();
        assert_eq!(daemon.dns().about("192.0.2.9", "bl.example"), "127.0.0.2");
        publisher.set(Reply::List("203.0.113.9\n"));
        drop(publisher);
        let (_, preview) = waiting.join().unwrap();
        assert_eq!(feed(&preview, "web")["outcome"], "failing", "{preview:#}");
    });
}
