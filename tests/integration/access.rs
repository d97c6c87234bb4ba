//! Who is answered, and what is remembered of it: keys, clients, quotas, expiry and the log of questions.

use crate::dns::said;
use crate::harness::{PATIENCE, Site};
use hickory_proto::rr::RecordType::{A, SOA, TXT};
use std::fs;
use std::time::Instant;

const KEY: &str = "k3y-0123456789abcdef";

/// A daemon with a list, and these lines for server and zone.
fn site(dns: &str, zone: &str) -> Site {
    let site = Site::new(&config(dns, zone));
    site.write("mine.txt", "192.0.2.7\n");
    site.write("keys.txt", format!("# key and holder\n{KEY} somebody\n"));
    site
}

fn config(dns: &str, zone: &str) -> String {
    format!(
        r#"
        [dns]
        listen = ["127.0.0.1:0"]
        {dns}
        [[feed]]
        id = "mine"
        source = "mine.txt"
        format = "plain"
        [[zone]]
        name = "bl.example"
        feeds = ["mine"]
        {zone}
        "#
    )
}

#[test]
fn without_the_key_nothing_is_told_and_the_key_is_told_to_nobody() {
    let site = site(
        r#"query_log = { file = "queries.json" }"#,
        r#"clients = { default = "refuse" }
           keys = "keys.txt""#,
    );
    let daemon = site.start();
    let ask = |name: &str| said(&daemon.dns().ask(&format!("{name}bl.example"), A));
    assert_eq!(ask("7.2.0.192."), "REFUSED");
    assert_eq!(ask(&format!("7.2.0.192.{KEY}.")), "127.0.0.2");
    assert_eq!(ask(&format!("8.2.0.192.{KEY}.")), "NXDOMAIN");
    assert_eq!(ask(&format!("7.2.0.192.{KEY}0.")), "REFUSED");
    // Another key, from the next reload on, for all questions that come after it.
    let other = KEY.replace('k', "j");
    site.write("keys.txt", format!("{other} somebody"));
    daemon.reload();
    assert_eq!(ask(&format!("7.2.0.192.{KEY}.")), "REFUSED");
    assert_eq!(ask(&format!("7.2.0.192.{other}.")), "127.0.0.2");
    // A broken file changes nothing.
    site.write("keys.txt", &other);
    let refusal = daemon.refused_reload();
    assert!(refusal.contains("keys.txt: line 1: write the key and, behind a blank, a name"), "{refusal}");
    assert_eq!(ask(&format!("7.2.0.192.{other}.")), "127.0.0.2");

    let (_, status) = site.json(&["status"]);
    assert_eq!(status["dns"]["access"]["keyed"], 4, "{status}");
    assert_eq!(status["dns"]["access"]["refused"], 3);
    assert_eq!(status["zones"]["bl.example"]["questions"], 7);
    assert_eq!(status["zones"]["bl.example"]["listed"], 3);
    assert_eq!(status["dns"]["types"]["a"], 7);
    assert_eq!(status["hits"]["mine"], 3);
    let log = daemon.log.text();
    daemon.stop();
    let lines = fs::read_to_string(site.path("queries.json")).unwrap();
    assert_eq!(lines.lines().count(), 7, "{lines}");
    assert!(lines.contains(r#""name":"7.2.0.192.*.bl.example","type":"A","rcode":"NOERROR","listed":true}"#));
    assert!(lines.contains(r#""name":"7.2.0.192.bl.example","type":"A","rcode":"REFUSED"}"#), "{lines}");
    for secret in [KEY, &other] {
        assert!(!lines.contains(secret) && !log.contains(secret));
    }
}

#[test]
fn a_log_of_questions_that_was_moved_away_begins_anew_at_a_reload() {
    let site = site(r#"query_log = { file = "queries.json" }"#, "");
    let daemon = site.start();
    daemon.dns().ask("7.2.0.192.bl.example", A);
    // The thread writes when it has nothing else to do.
    let file = site.path("queries.json");
    let deadline = Instant::now() + PATIENCE;
    while fs::read_to_string(&file).unwrap().lines().count() < 1 {
        assert!(Instant::now() < deadline, "nothing is written");
        std::thread::yield_now();
    }
    fs::rename(&file, site.path("queries.json.1")).unwrap();
    daemon.reload();
    daemon.dns().ask("7.2.0.192.bl.example", TXT);
    daemon.stop();
    let count = |name: &str| fs::read_to_string(site.path(name)).unwrap().lines().count();
    assert_eq!((count("queries.json.1"), count("queries.json")), (1, 1));
}

#[test]
fn a_quota_is_used_up_refilled_by_none_but_a_new_one_and_said_once() {
    let site = site("quota = { queries = 10 }", "");
    let daemon = site.start();
    let ask = || said(&daemon.dns().ask("7.2.0.192.bl.example", A));
    let answers: Vec<String> = (0..14).map(|_| ask()).collect();
    assert!(answers[..11].iter().all(|answer| answer == "127.0.0.2"), "{answers:?}");
    assert!(answers[11..].iter().all(|answer| answer == "REFUSED"), "{answers:?}");
    daemon.reload();
    assert_eq!(ask(), "REFUSED");
    let log = daemon.log.text();
    for message in ["80 % used", "answering on for 5 minutes", "refusing until it is renewed"] {
        assert_eq!(log.matches(message).count(), 1, "{message}: {log}");
    }
    site.configure(&config("quota = { queries = 20 }", ""));
    daemon.reload();
    assert_eq!(ask(), "127.0.0.2");
}

#[test]
fn old_data_is_servfail_until_the_feed_is_confirmed() {
    let site = site("", r#"max_age = "1h""#);
    site.start().stop();
    // The list is gone, and was last seen two hours ago.
    fs::remove_file(site.path("mine.txt")).unwrap();
    let database = rusqlite::Connection::open(site.path("state/blackthorn.db")).unwrap();
    for change in ["UPDATE outcome SET at = at - 7200", "UPDATE last_good SET fetched_at = fetched_at - 7200"]
    {
        assert!(database.execute(change, ()).unwrap() > 0, "{change}");
    }
    drop(database);
    let daemon = site.start();
    let ask = || said(&daemon.dns().ask("7.2.0.192.bl.example", A));
    assert_eq!(ask(), "SERVFAIL");
    assert_eq!(said(&daemon.dns().ask("bl.example", SOA)), "SERVFAIL");
    let (_, status) = site.json(&["status"]);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    assert!(status["engine"]["zones"][0]["expires_at"].as_u64().unwrap() < now.as_secs(), "{status}");
    // The same list as before: nothing new is published, but it is confirmed.
    site.write("mine.txt", "192.0.2.7\n");
    daemon.reload();
    assert_eq!(ask(), "127.0.0.2");
}

#[test]
fn a_closed_list_says_so_and_a_new_name_of_the_server_is_told_after_a_reload() {
    let site = site(r#"version = "one""#, r#"retired = "gone, see https://bl.example""#);
    let daemon = site.start();
    assert_eq!(said(&daemon.dns().ask("bl.example", TXT)), "gone, see https://bl.example");
    assert_eq!(said(&daemon.dns().ask("7.2.0.192.bl.example", A)), "NXDOMAIN");
    assert_eq!(said(&daemon.dns().ask("2.0.0.127.bl.example", A)), "NXDOMAIN");
    assert!(!daemon.dns().ask("bl.example", SOA).answers.is_empty());
    let version = || daemon.dns().ask_chaos("version.bind");
    assert_eq!(version(), "one");
    site.configure(&config(r#"version = "two""#, ""));
    daemon.reload();
    assert_eq!(version(), "two");
    assert_eq!(said(&daemon.dns().ask("7.2.0.192.bl.example", A)), "127.0.0.2");
}
