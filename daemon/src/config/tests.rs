//! Configurations as people write them, right and wrong.

use super::annotated::{Shown, render};
use super::*;
use crate::core::feed::{Column, Format};
use proptest::prelude::*;
use std::fs;

/// Every sample with its name, from `config/` at the root.
fn samples() -> Vec<(PathBuf, String)> {
    let dir = directory();
    let mut samples: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect();
    samples.sort();
    assert!(samples.len() >= 3, "{samples:?}");
    samples
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config")
}

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse(text, Path::new("x.toml"), Path::new("/etc/blackthorn"))
}

fn messages(text: &str) -> Vec<String> {
    parse(text).unwrap_err().problems.iter().map(ToString::to_string).collect()
}

/// A feed and a zone to which a test adds what it is about.
const FEED: &str = "[[feed]]\nid = \"mine\"\nsource = \"mine.txt\"\nformat = \"plain\"\n";
const ZONE: &str = "[[zone]]\nname = \"bl.example\"\nfeeds = [\"mine\"]\n";

#[test]
fn samples_load_without_warnings() {
    for (path, _) in samples() {
        let config = Config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(config.warnings, [], "{}", path.display());
        assert!(config.state_dir.is_absolute() && config.control.socket.is_absolute());
        assert!(!config.feeds.is_empty() && !config.zones.is_empty());
    }
}

#[test]
fn files_of_samples_exist() {
    for (path, _) in samples() {
        let config = Config::load(&path).unwrap();
        let sources = config.feeds.iter().filter_map(|feed| match &feed.source {
            Source::Path(path) => Some(path),
            Source::Url(_) => None,
        });
        for file in sources.chain(&config.exclude.files) {
            assert!(file.is_file(), "{} names {}", path.display(), file.display());
        }
    }
}

#[test]
fn bogus_keys_are_refused_at_every_level() {
    let mut tried = 0;
    for (path, text) in samples() {
        for (broken, line) in with_bogus_key(&text) {
            let errors = Config::parse(&broken, &path, &directory()).unwrap_err();
            let [problem] = errors.problems.as_slice() else { panic!("{errors}") };
            assert!(problem.what.starts_with("unknown key in "), "{problem}");
            assert_eq!((problem.found.as_str(), problem.line), ("bogus", Some(line)), "{problem}");
            assert!(problem.hint.starts_with("allowed: "), "{problem}");
            tried += 1;
        }
    }
    // Seven kinds of tables; the annotated sample has each once, the others some of them several times.
    assert!(tried > 30, "{tried}");
}

/// The text with an unknown key at the top, behind each header and in each inline table, and the line of that key.
fn with_bogus_key(text: &str) -> Vec<(String, u32)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut broken = vec![(format!("bogus = 1\n{text}"), 1)];
    for (i, line) in lines.iter().enumerate() {
        let mut changed: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        let number = u32::try_from(i).unwrap() + 1;
        if line.starts_with('[') {
            changed.insert(i + 1, "bogus = 1".into());
            broken.push((changed.join("\n"), number + 1));
        } else if !line.starts_with('#') && line.contains(" }") {
            changed[i] = line.replace(" }", ", bogus = 1 }");
            broken.push((changed.join("\n"), number));
        }
    }
    broken
}

#[test]
fn annotated_sample_is_up_to_date() {
    let path = directory().join("blackthorn.toml");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, annotated()).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == annotated(),
        "config/blackthorn.toml differs from the code; run: BLESS=1 cargo test -p blackthorn annotated"
    );
}

#[test]
fn annotated_sample_tells_the_true_defaults() {
    let digest = |text: &str| parse(text).unwrap_or_else(|errors| panic!("{errors}")).digest();
    let (short, long) = (render(Shown::Required), render(Shown::Defaults));
    assert_ne!(short, long);
    // The only default that fits no sample with other keys at work: a format has scores or columns, not both.
    assert_eq!(digest(&short), digest(&long));
}

#[test]
fn annotated_examples_are_accepted() {
    let text: String = annotated()
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
                .unwrap_or(line)
        })
        .filter(|line| !line.starts_with("min_score"))
        .map(|line| format!("{line}\n"))
        .collect();
    let text = text.replace("format = \"score-tsv\"", "format = \"csv\"");
    let config = parse(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    assert_eq!(config.feeds[0].rules.column, Some(Column::Name("dst_ip".into())));
    assert_eq!(config.zones[0].contact.as_deref(), Some("hostmaster.bl.example"));
}

#[test]
fn every_key_arrives() {
    let config = parse(
        r#"
        state_dir = "state"
        dns.listen = ["[::1]:5300", "192.0.2.1:53"]
        [[feed]]
        id = "a"
        source = "lists/a.csv"
        format = "csv"
        refresh = "90s"
        column = 3
        strict = true
        widest_ipv4 = 16
        widest_ipv6 = 32
        special_use = "keep"
        may_be_empty = true
        max_rejects = 7
        max_size = "10MB"
        timeout = "1m"
        connect_timeout = "3s"
        [[feed]]
        id = "b"
        source = "https://feeds.example/b?key=secret"
        format = "score-tsv"
        min_score = 4
        [[zone]]
        name = "BL.Example."
        feeds = ["b", { id = "a", code = "127.0.0.4", text = "Own $" }]
        code = "127.0.0.3"
        text = "All $"
        ttl = "1h"
        negative_ttl = "1m"
        ns = ["ns1.example."]
        contact = "ops@example.org"
        [[zone]]
        name = "two.example"
        feeds = ["a"]
        [exclude]
        networks = ["192.0.2.0/24", "2001:db8::1"]
        files = ["allow.txt", "/srv/allow.txt"]
        [filter]
        interfaces = ["eth0", "eth1"]
        feeds = ["b"]
        mode = "native"
        action = "monitor"
        [control]
        socket = "c.sock"
        "#,
    )
    .unwrap_or_else(|errors| panic!("{errors}"));
    let base = Path::new("/etc/blackthorn");
    assert_eq!(config.path, Path::new("x.toml"));
    assert_eq!(config.state_dir, base.join("state"));
    assert_eq!(config.dns.listen, ["[::1]:5300".parse().unwrap(), "192.0.2.1:53".parse().unwrap()]);
    let [a, b] = config.feeds.as_slice() else { panic!("{:?}", config.feeds) };
    assert_eq!((a.id.as_str(), &a.source), ("a", &Source::Path(base.join("lists/a.csv"))));
    assert_eq!(a.refresh, Duration::from_secs(90));
    assert_eq!((a.timeout, a.connect_timeout), (Duration::from_secs(60), Duration::from_secs(3)));
    assert_eq!(
        a.rules,
        feed::Rules {
            format: Format::Csv,
            column: Some(Column::Number(3)),
            min_score: 0,
            widest_v4: 16,
            widest_v6: 32,
            strict: true,
            keep_special_use: true,
            max_bytes: 10_000_000,
        }
    );
    assert_eq!(a.gate, gate::Rules { may_be_empty: true, max_rejects_percent: 7 });
    assert_eq!(b.source.to_string(), "https://feeds.example/b?***");
    assert_eq!((b.refresh, b.rules.min_score), (Duration::from_secs(86_400), 4));
    let [one, two] = config.zones.as_slice() else { panic!("{:?}", config.zones) };
    let answers: Vec<_> = one.feeds.iter().map(|m| (m.feed.0, m.code.to_string(), m.text.as_str())).collect();
    assert_eq!(answers, [(1, "127.0.0.3".into(), "All $"), (0, "127.0.0.4".into(), "Own $")]);
    assert_eq!((one.name.as_str(), one.ttl, one.negative_ttl), ("bl.example", 3600, 60));
    assert_eq!(
        (one.ns.as_slice(), one.contact.as_deref()),
        (&["ns1.example".to_owned()][..], Some("ops.example.org"))
    );
    assert_eq!((two.ttl, two.negative_ttl, two.ns.len(), two.contact.as_deref()), (600, 300, 0, None));
    assert_eq!(two.feeds[0].code.to_string(), "127.0.0.2");
    assert_eq!(two.feeds[0].text, "Address $ is listed by feed a in two.example");
    let networks: Vec<String> = config.exclude.networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["192.0.2.0/24", "2001:db8::1"]);
    assert_eq!(config.exclude.files, [base.join("allow.txt"), PathBuf::from("/srv/allow.txt")]);
    assert_eq!(
        config.filter,
        Filter {
            interfaces: vec!["eth0".into(), "eth1".into()],
            feeds: vec![FeedIndex(1)],
            mode: Mode::Native,
            enforce: false
        }
    );
    assert_eq!(config.control.socket, base.join("c.sock"));
}

#[test]
fn an_empty_file_has_defaults_and_is_warned_of() {
    let config = parse("").unwrap();
    assert_eq!(config.state_dir, Path::new("/var/lib/blackthorn"));
    assert_eq!(config.control.socket, Path::new("/run/blackthorn/control.sock"));
    assert_eq!(config.dns.listen, ["127.0.0.1:5300".parse().unwrap()]);
    assert!(config.filter.enforce && config.filter.mode == Mode::Auto);
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "x.toml:1: no feed is configured; add a [[feed]], otherwise nothing is ever listed",
            "x.toml:1: no zone is configured; add a [[zone]], or turn DNS off with listen = [] in [dns]",
        ]
    );
    assert_eq!(parse("dns.listen = []").unwrap().warnings.len(), 1);
}
