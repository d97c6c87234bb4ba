//! Feeds of domains: every format, from its file to answers, over restarts and reloads, with what excludes.

use crate::dns::{Dns, said};
use crate::harness::Site;
use hickory_proto::rr::RecordType;

const ZONE: &str = "rhs.example";

/// One feed of each format, in a zone that also lists addresses.
const CONFIG: &str = r#"
[[feed]]
id = "names"
source = "names.txt"
format = "domains"
refresh = "1d"
[[feed]]
id = "hosts"
source = "hosts.txt"
format = "hosts"
refresh = "1d"
[[feed]]
id = "rules"
source = "rules.txt"
format = "resolver"
refresh = "1d"
[[feed]]
id = "ads"
source = "ads.txt"
format = "adblock"
refresh = "1d"
[[feed]]
id = "urls"
source = "urls.txt"
format = "urls"
refresh = "1d"
[[feed]]
id = "plain"
source = "plain.txt"
format = "plain"
refresh = "1d"
[[zone]]
name = "rhs.example"
feeds = [
    { id = "names", code = "127.0.0.2", text = "$ is bad" },
    { id = "hosts", code = "127.0.0.3" },
    { id = "rules", code = "127.0.0.4", text = "" },
    { id = "ads", code = "127.0.0.5", text = "" },
    { id = "urls", code = "127.0.0.6", text = "seen at $" },
    { id = "plain", code = "127.0.0.7", text = "" },
]
[[zone]]
name = "ip.example"
feeds = ["urls", "plain"]
[[zone]]
name = "only.example"
feeds = ["plain"]
[exclude]
domains = [".safe.example.com", "good.example.net"]
files = ["allow.txt"]
"#;

fn site() -> Site {
    let site = Site::new(CONFIG);
    site.write(
        "names.txt",
        ".example.com\nexact.example.org\n*.below.example.org\nB\u{fc}cher.example\nco.kr\n",
    );
    site.write("hosts.txt", "127.0.0.1 localhost\n0.0.0.0 www.example.com\n0.0.0.0 good.example.net\n");
    site.write("rules.txt", "address=/bad.example.net/0.0.0.0\n");
    site.write("ads.txt", "||example.com^\n@@||shop.example.com^\n");
    site.write("urls.txt", "http://192.0.2.5/x\nhttp://evil.example.org/\nhttp://x.safe.example.com/\n");
    site.write("plain.txt", "198.51.100.0/24\n");
    site.write("allow.txt", "# ours\nlocal.example.com\n192.0.2.77\n");
    site
}

/// What the zone says of a name, A records.
fn codes(dns: &Dns, name: &str) -> String {
    said(&dns.ask(&format!("{name}.{ZONE}"), RecordType::A))
}

fn texts(dns: &Dns, name: &str) -> String {
    said(&dns.ask(&format!("{name}.{ZONE}"), RecordType::TXT))
}

/// Names and what is said of them.
fn expected(dns: &Dns) {
    for (name, answer) in [
        ("example.com", "127.0.0.2 127.0.0.5"),
        ("www.example.com", "127.0.0.2 127.0.0.3 127.0.0.5"),
        ("WwW.eXample.com", "127.0.0.2 127.0.0.3 127.0.0.5"),
        ("x.y.www.example.com", "127.0.0.2 127.0.0.5"),
        // An exception of one feed takes out that feed.
        ("shop.example.com", "127.0.0.2"),
        ("a.shop.example.com", "127.0.0.2"),
        ("exact.example.org", "127.0.0.2"),
        ("x.exact.example.org", "NXDOMAIN"),
        ("below.example.org", "NODATA"),
        ("x.below.example.org", "127.0.0.2"),
        ("xn--bcher-kva.example", "127.0.0.2"),
        ("bad.example.net", "127.0.0.4"),
        ("x.bad.example.net", "127.0.0.4"),
        ("evil.example.org", "127.0.0.6"),
        ("x.evil.example.org", "NXDOMAIN"),
        // Exclusions, in the configuration and in a file.
        ("safe.example.com", "NXDOMAIN"),
        ("x.safe.example.com", "NXDOMAIN"),
        ("good.example.net", "NXDOMAIN"),
        ("local.example.com", "NODATA"),
        ("x.local.example.com", "127.0.0.2 127.0.0.5"),
        // Names above listed ones exist.
        ("com", "NODATA"),
        ("org", "NODATA"),
        ("example.org", "NODATA"),
        ("example.net", "NODATA"),
        ("example", "NODATA"),
        ("net.example", "NXDOMAIN"),
        // A public suffix is not taken.
        ("co.kr", "NXDOMAIN"),
        ("example.co.kr", "NXDOMAIN"),
        // Test entries.
        ("test", "127.0.0.2"),
        ("TEST", "127.0.0.2"),
        ("x.test", "NXDOMAIN"),
        ("invalid", "NXDOMAIN"),
        ("x.invalid", "NXDOMAIN"),
        // Addresses in the same zone.
        ("5.2.0.192", "127.0.0.6"),
        ("7.100.51.198", "127.0.0.7"),
        ("2.0.0.127", "127.0.0.2"),
        ("1.0.0.127", "NXDOMAIN"),
        ("100.51.198", "NODATA"),
        ("4.3.2.1", "NXDOMAIN"),
        ("x.7.100.51.198", "NXDOMAIN"),
    ] {
        assert_eq!(codes(dns, name), answer, "{name}");
    }
}

#[test]
fn names_of_every_format_are_answered_and_survive_restarts() {
    let site = site();
    let daemon = site.start();
    let dns = daemon.dns();
    expected(&dns);
    assert_eq!(
        texts(&dns, "Www.Example.Com"),
        "www.example.com is bad www.example.com is listed by feed hosts in rhs.example"
    );
    assert_eq!(texts(&dns, "a.b.exact.example.org"), "NXDOMAIN");
    assert_eq!(texts(&dns, "bad.example.net"), "NODATA");
    assert_eq!(texts(&dns, "evil.example.org"), "seen at evil.example.org");
    assert_eq!(texts(&dns, "5.2.0.192"), "seen at 192.0.2.5");
    assert_eq!(said(&dns.ask("com.rhs.example", RecordType::NS)), "NODATA");
    assert_eq!(said(&dns.ask("example.com.rhs.example", RecordType::AAAA)), "NODATA");
    // A zone without feeds of domains knows no names, whatever other zones list.
    assert_eq!(said(&dns.ask("test.only.example", RecordType::A)), "NXDOMAIN");
    assert_eq!(said(&dns.ask("example.com.ip.example", RecordType::A)), "NXDOMAIN");
    assert_eq!(said(&dns.ask("evil.example.org.ip.example", RecordType::A)), "127.0.0.2");

    let serial = dns.serial(ZONE);
    daemon.kill9();
    // From its file alone: the lists are gone.
    for list in ["names.txt", "hosts.txt", "rules.txt", "ads.txt", "urls.txt", "plain.txt"] {
        std::fs::remove_file(site.path(list)).unwrap();
    }
    let daemon = site.start();
    let dns = daemon.dns();
    assert_eq!(dns.serial(ZONE), serial);
    expected(&dns);
    daemon.stop();
}

#[test]
fn changes_come_with_a_reload_and_bad_lists_do_not() {
    let site = site();
    let daemon = site.start();
    let dns = daemon.dns();
    site.write("names.txt", "new.example.com\n");
    daemon.reload();
    assert_eq!(codes(&dns, "new.example.com"), "127.0.0.2 127.0.0.5");
    assert_eq!(codes(&dns, "exact.example.org"), "NXDOMAIN");
    let before = dns.serial(ZONE);
    site.write("names.txt", "<html>gone</html>\n");
    daemon.reload();
    site.write("names.txt", "# given up\n");
    daemon.reload();
    assert_eq!(codes(&dns, "new.example.com"), "127.0.0.2 127.0.0.5");
    assert_eq!(dns.serial(ZONE), before);
    let (_, feeds) = site.json(&["feeds"]);
    assert_eq!(feeds["feeds"][0]["state"], "quarantined");
    assert_eq!(feeds["feeds"][0]["counts"]["domains"], 1);
    assert_eq!(feeds["feeds"][1]["counts"]["excluded_domains"], 1);
    // The last exclusion goes, and with it what it held back.
    site.configure(&CONFIG.replace(", \"good.example.net\"", ""));
    daemon.reload();
    assert_eq!(codes(&dns, "good.example.net"), "127.0.0.3");
    daemon.stop();
}

#[test]
fn lookups_name_the_entry_that_decides() {
    let site = site();
    let daemon = site.start();
    let asked = ["lookup", "www.example.com", "shop.example.com", "x.safe.example.com", "192.0.2.5"];
    for running in [true, false] {
        let (code, report) =
            if running { site.json(&asked) } else { site.json(&[&asked[..], &["--from-disk"]].concat()) };
        assert_eq!(code, 1, "one of them is excluded");
        let domains = report["domains"].as_array().unwrap();
        let shown = |number: usize| -> Vec<String> {
            let feeds = domains[number]["feeds"].as_array().unwrap().iter();
            feeds
                .map(|f| {
                    format!("{} {} {} {}", f["feed"], f["entry"], f["listed"], f["lines"][0]["text"])
                        .replace('"', "")
                })
                .collect()
        };
        assert_eq!(
            shown(0),
            [
                "names .example.com true .example.com",
                "hosts www.example.com true 0.0.0.0 www.example.com",
                "ads .example.com true ||example.com^"
            ]
        );
        assert_eq!(
            shown(1),
            ["names .example.com true .example.com", "ads .shop.example.com false ||example.com^"]
        );
        assert_eq!(domains[2]["listed"], false);
        assert_eq!(domains[2]["exclusions"][0]["network"], ".safe.example.com");
        assert_eq!(domains[2]["exclusions"][0]["reason"], "exclude.domains");
        assert_eq!(domains[0]["zones"][0]["codes"].as_array().unwrap().len(), 3);
        assert_eq!(domains[0]["zones"][0]["texts"][0], "www.example.com is bad");
        assert_eq!(report["addresses"][0]["listed"], true);
    }
    assert_eq!(site.json(&["lookup", "WWW.Example.com.", "test"]).0, 0);
    assert!(site.refused(&["lookup", "a..b"]).contains("a label is empty"));
    daemon.stop();
}

#[test]
fn what_exclusions_cannot_mean_is_refused() {
    let site = site();
    for (domain, said) in [
        ("com", "write a domain of two labels or more"),
        ("*", "write a domain of two labels or more"),
        ("192.0.2.1", "an address"),
        ("a b.example", "a label holds more than"),
    ] {
        site.configure(&CONFIG.replace("good.example.net", domain));
        let refusal = site.refusal();
        assert!(refusal.contains("bad domains in [exclude]") && refusal.contains(said), "{refusal}");
    }
    site.configure(CONFIG);
    site.write("allow.txt", "exämple .com\n");
    assert!(site.refusal().contains("allow.txt:1: `exämple .com`: "), "{}", site.refusal());
}

#[test]
fn changes_of_names_are_told_before_and_after() {
    let site = site();
    let daemon = site.start();
    let before = daemon.dns().serial(ZONE);
    site.write("names.txt", ".example.com\n.new.example.org\n*.below.example.org\nB\u{fc}cher.example\n");
    let (code, preview) = site.json(&["preview"]);
    assert_eq!(code, 0, "{preview:#}");
    assert_eq!(
        preview["names"],
        serde_json::json!({ "added": 1, "removed": 1, "altered": 0 }),
        "{preview:#}"
    );
    assert_eq!(preview["names_added"][0]["network"], ".new.example.org");
    assert_eq!(preview["names_removed"][0]["network"], "exact.example.org");
    assert_eq!(preview["feeds"][0]["names"]["added"], 1);
    assert_eq!(preview["feeds"][1]["names"]["added"], 0);
    daemon.reload();
    let after = daemon.dns().serial(ZONE);
    let (code, diff) = site.json(&["diff", &before.to_string(), &after.to_string()]);
    assert_eq!(code, 1);
    assert_eq!(diff["delta"]["addresses"]["names"]["added"], 1, "{diff:#}");
    assert_eq!(diff["delta"]["feeds"]["names"]["names"]["removed"], 1, "{diff:#}");
    let shown: Vec<_> =
        diff["delta"]["names"].as_array().unwrap().iter().map(|name| &name["network"]).collect();
    assert_eq!(shown, [".new.example.org", "exact.example.org"]);
    daemon.stop();
}

#[test]
fn names_are_verified_through_our_own_port() {
    let site = site();
    let daemon = site.start();
    let status = site.wait_status("a round", |status| status["engine"]["verifier"]["rounds"] != 0);
    let verifier = &status["engine"]["verifier"];
    assert_eq!(verifier["mismatches"], 0, "{verifier:#}");
    assert_eq!(verifier["last"]["problems"].as_array().unwrap().len(), 0, "{verifier:#}");
    let questions = verifier["last"]["questions"].as_u64().unwrap();
    let addresses = verifier["last"]["addresses"].as_u64().unwrap();
    assert!(questions > addresses, "addresses and names: {verifier:#}");
    assert_eq!(status["engine"]["generation"]["domains"], 8, "{status:#}");
    daemon.stop();
}
