//! `lookup --why-not`: every reason why an address is not listed, from the running daemon and from disk.

use crate::harness::{Mark, Site};
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
id = "scored"
source = "scored.tsv"
format = "score-tsv"
min_score = 3

[[zone]]
name = "bl.example"
feeds = ["web", "scored"]

[[zone]]
name = "web.example"
feeds = ["web"]
"#,
        publisher.url()
    )
}

fn feed<'a>(report: &'a Value, address: usize, id: &str) -> Option<&'a Value> {
    report["why_not"][address]["feeds"].as_array().unwrap().iter().find(|feed| feed["feed"] == id)
}

#[test]
fn quarantine_scores_and_zones_are_told() {
    let publisher = Publisher::new(Reply::List("203.0.113.9\n"));
    let site = Site::new(&config(&publisher));
    site.write("scored.tsv", "192.0.2.7\t2\n192.0.2.8\t3\n");
    let daemon = site.start();
    daemon.wait_loaded(Mark::START, "web");
    publisher.set(Reply::Body("text/plain", "<html>gone</html>"));
    let mark = daemon.hup();
    daemon.log.wait_feed(mark, "web", "quarantined");
    site.wait_status("the quarantine", |status| status["engine"]["feeds"][0]["state"] == "quarantined");

    let ask = ["lookup", "192.0.2.7", "192.0.2.8", "203.0.113.9", "--why-not"];
    for round in ["daemon", "disk"] {
        let (code, report) = site.json(&ask);
        assert_eq!((code, report["origin"].as_str()), (1, Some(round)), "{report:#}");
        let left_out = &feed(&report, 0, "scored").unwrap()["left_out"][0];
        assert_eq!(
            (&left_out["line"], &left_out["reason"]),
            (&1.into(), &"its score is below min_score = 3".into())
        );
        let web = feed(&report, 0, "web").unwrap();
        assert!(web["problem"].as_str().unwrap().contains("web page"), "{web}");
        assert!(web["since"].as_u64().is_some() && web["names_it"] == false, "{web}");
        assert_eq!(feed(&report, 2, "web").unwrap()["names_it"], true, "its last good copy");
        assert!(feed(&report, 1, "scored").is_none());
        let zones = report["why_not"][1]["zones"].as_array().unwrap();
        assert_eq!(zones.len(), 1, "{zones:?}");
        assert_eq!(zones[0]["reason"], "it shows web, and the address is on scored only");
        if round == "daemon" {
            let (_, plain) = site.json(&ask[..4]);
            assert_eq!(plain["why_not"].as_array().unwrap().len(), 0);
            daemon.signal(libc::SIGTERM);
            daemon.log.wait_for_end();
        }
    }
}
