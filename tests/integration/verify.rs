//! The daemon checks itself: rounds of verification begin by themselves, find nothing wrong, and are shown.

use crate::harness::Site;

const CONFIG: &str = r#"
[[feed]]
id = "mine"
source = "mine.txt"
format = "plain"

[[feed]]
id = "never"
source = "never.txt"
format = "plain"

[[zone]]
name = "bl.example"
feeds = ["mine"]

[[zone]]
name = "empty.example"
feeds = ["never"]

[dns]
listen = ["127.0.0.1:0", "[::1]:0"]
"#;

#[test]
fn every_publication_is_verified_and_the_status_shows_it() {
    let site = Site::new(CONFIG);
    site.write("mine.txt", "192.0.2.0/28\n198.51.100.7\n2001:db8::/48\n");
    let daemon = site.start();
    let status = site.wait_status("a round", |status| status["engine"]["verifier"]["rounds"] != 0);
    let verifier = &status["engine"]["verifier"];
    let last = &verifier["last"];
    assert!(last["addresses"].as_u64().unwrap() > 40, "{last}");
    assert_eq!(
        last["questions"].as_u64().unwrap(),
        2 * last["addresses"].as_u64().unwrap(),
        "two addresses, one zone with data"
    );
    assert_eq!((&last["mismatches"], &verifier["repairs"]), (&0.into(), &0.into()), "{verifier}");
    assert_eq!(last["problems"].as_array().unwrap().len(), 0, "{last}");
    assert_eq!(last["serial"], status["engine"]["generation"]["serial"]);

    site.write("mine.txt", "192.0.2.0/28\n");
    daemon.reload();
    let serial = daemon.dns().serial("bl.example");
    let status = site.wait_status("a round over the new generation", |status| {
        status["engine"]["verifier"]["last"]["serial"] == serial
    });
    assert_eq!(status["engine"]["verifier"]["mismatches"], 0, "{status:#}");
    assert!(daemon.log.all("verification").is_empty(), "{}", daemon.log.text());
}

#[test]
fn listening_elsewhere_after_a_reload_is_no_mismatch() {
    let site = Site::new(CONFIG);
    site.write("mine.txt", "192.0.2.0/28\n");
    let daemon = site.start();
    site.configure(&CONFIG.replace("\"127.0.0.1:0\", ", ""));
    site.write("mine.txt", "192.0.2.0/27\n");
    daemon.reload();
    let serial = daemon.dns().serial("bl.example");
    let status = site.wait_status("a round over the new generation", |status| {
        status["engine"]["verifier"]["last"]["serial"] == serial
    });
    let last = &status["engine"]["verifier"]["last"];
    assert_eq!(last["questions"], last["addresses"], "one address, one zone: {last}");
    assert_eq!((&last["mismatches"], last["problems"].as_array().unwrap().len()), (&0.into(), 0), "{last}");
}
