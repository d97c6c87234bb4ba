//! Configurations as people write them: values that arrive, messages, files, samples.

mod files;
mod messages;
mod samples;

use super::*;
use crate::core::feed::{Column, Format};

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
fn every_key_arrives() {
    let config = parse(
        r#"
        state_dir = "state"
        [dns]
        listen = ["[::1]:5300", "192.0.2.1:53"]
        workers = 3
        tcp_idle = "1m"
        tcp_connections = 2000
        tcp_connections_per_client = 20
        tls = { listen = ["192.0.2.1:853"], certificate = "tls/chain.pem", key = "/srv/key.pem" }
        https.listen = ["192.0.2.1:443"]
        quic.listen = ["192.0.2.1:853"]
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
    let at = |text: &str| text.parse().unwrap();
    assert_eq!(
        config.dns,
        Dns {
            listen: vec![at("[::1]:5300"), at("192.0.2.1:53")],
            workers: NonZeroUsize::new(3),
            connections: ConnectionLimits { idle: Duration::from_secs(60), total: 2000, per_client: 20 },
            tls: vec![at("192.0.2.1:853")],
            https: vec![at("192.0.2.1:443")],
            quic: vec![at("192.0.2.1:853")],
            certificate: Some(CertificateFiles {
                certificate: base.join("tls/chain.pem"),
                key: PathBuf::from("/srv/key.pem")
            }),
            ..Dns::default()
        }
    );
    let [a, b] = config.feeds.as_slice() else { panic!("{:?}", config.feeds) };
    assert_eq!((a.id.as_str(), &a.source), ("a", &Source::Path(base.join("lists/a.csv"))));
    assert_eq!(a.refresh, Duration::from_secs(90));
    assert_eq!(a.timeout, Duration::from_secs(60));
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
    assert_eq!(config.dns, Dns { listen: vec!["127.0.0.1:5300".parse().unwrap()], ..Dns::default() });
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

#[test]
fn generation_digests_follow_what_is_answered() {
    let digest = |text: &str| parse(text).unwrap().generation_digest();
    let base = format!("{FEED}{ZONE}");
    assert_eq!(digest(&base), digest(&format!("# note\n{base}ttl = \"600s\"\n")), "spelling does not count");
    assert_eq!(digest(&base).len(), 64);
    let url = |key: &str| FEED.replace("mine.txt", &format!("https://feeds.example/l?key={key}"));
    assert_ne!(digest(&url("1")), digest(&url("2")), "a changed key counts although it is not shown");
    let with = |other: &str| digest(&format!("{other}{base}"));
    assert_ne!(digest(&base), with("exclude.networks = [\"192.0.2.1\"]\n"));
    assert_ne!(digest(&base), with("exclude.domains = [\".example.com\"]\n"));
    assert_ne!(digest(&base), with("filter.feeds = [\"mine\"]\n"));
    assert_ne!(digest(&base), digest(&format!("{FEED}strict = true\n{ZONE}")));
    assert_ne!(digest(&base), digest(&format!("{base}ttl = \"1h\"\n")));
    for elsewhere in ["dns.listen = []\n", "state_dir = \"/x\"\n"] {
        assert_eq!(digest(&base), with(elsewhere), "{elsewhere} says nothing about answers");
    }
}

#[test]
fn a_certificate_for_nothing_is_warned_of() {
    let tls = "[dns.tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n";
    let warnings = |text: &str| -> Vec<String> {
        parse(&format!("{FEED}{ZONE}{text}")).unwrap().warnings.iter().map(ToString::to_string).collect()
    };
    let [warning] = &warnings(tls)[..] else { panic!() };
    assert!(warning.contains("there is a certificate, but nothing encrypted"), "{warning}");
    for listen in ["listen = [\"[::1]:853\"]", "[dns.quic]\nlisten = [\"[::1]:853\"]"] {
        assert_eq!(warnings(&format!("{tls}{listen}")), [""; 0], "{listen}");
    }
}

#[test]
fn what_is_encrypted_needs_a_certificate_and_ports_of_its_own() {
    let pair = "certificate = \"c.pem\"\nkey = \"k.pem\"\n";
    for (text, expected) in [
        ("[dns.tls]\nlisten = [\"[::1]:853\"]\nkey = \"k.pem\"", "1: missing key in [dns.tls]: certificate"),
        (
            "[dns.quic]\nlisten = [\"[::1]:853\"]\n[dns.tls]\ncertificate = \"c.pem\"",
            "3: missing key in [dns.tls]: key",
        ),
        ("[dns.tls]\nkey = \"\"\ncertificate = \"c.pem\"", "2: bad key in [dns.tls]: \"\"; give a path"),
        (
            "[dns.https]\nlisten = [\"443\"]",
            "2: bad listen in [dns.https]: \"443\"; write an address and a port",
        ),
        (
            &format!("[dns.tls]\n{pair}listen = [\"127.0.0.1:5300\"]"),
            "4: bad listen in [dns.tls]: \"127.0.0.1:5300\"; another listen of [dns] has this address and port",
        ),
        (
            &format!("[dns.tls]\n{pair}listen = [\"[::1]:53\"]\n[dns.https]\nlisten = [\"[::1]:53\"]"),
            "6: bad listen in [dns.https]: \"[::1]:53\"; another listen of [dns] has",
        ),
        ("dns.tcp_idle = \"0s\"", "1: bad tcp_idle in [dns]: \"0s\"; allowed: \"1s\" to \"1h\""),
        ("dns.tcp_connections = 0", "1: bad tcp_connections in [dns]: 0; allowed: 1 to 65536"),
    ] {
        let messages = messages(text);
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert!(messages[0].starts_with(&format!("x.toml:{expected}")), "{expected} is not {messages:?}");
    }
    // TLS and QUIC are sockets of different kinds, and everything may take a free port.
    let apart = format!("[dns.tls]\n{pair}listen = [\"[::1]:853\"]\n[dns.quic]\nlisten = [\"[::1]:853\"]");
    parse(&apart).unwrap();
    let free = format!("dns.listen = [\"[::1]:0\"]\n[dns.tls]\n{pair}listen = [\"[::1]:0\"]");
    parse(&free).unwrap();
}

#[test]
fn changes_of_dns_are_named() {
    let changes = |new: &str| parse("").unwrap().changes(&parse(new).unwrap()).reload.join("\n");
    assert_eq!(
        changes("dns.tls = { listen = [\"[::1]:853\"], certificate = \"c.pem\", key = \"k.pem\" }"),
        "dns.tls.listen: [] to [[::1]:853]\ndns.tls.certificate and key: none to /etc/blackthorn/c.pem"
    );
    assert_eq!(
        changes("dns.tcp_idle = \"30s\"\ndns.tcp_connections = 9"),
        "dns: 1024 connections, 64 per client, silent for 10s at most to 9 connections, 64 per client, silent for 30s \
         at most"
    );
}

#[test]
fn changes_are_told_apart_by_what_applies_them() {
    let old = format!("{FEED}{ZONE}[filter]\nfeeds = [\"mine\"]\n");
    let changes = |new: &str| {
        let changes = parse(&old).unwrap().changes(&parse(new).unwrap());
        (changes.restart.join("\n"), changes.reload.join("\n"))
    };
    let none = || (String::new(), String::new());
    assert_eq!(changes(&old), none());
    let first = FEED.replace("mine", "first");
    assert_eq!(changes(&format!("{first}{old}")), (String::new(), "feed first: added".into()));
    assert_eq!(
        changes("state_dir = \"/x\"\ncontrol.socket = \"/y\"\ndns.listen = [\"[::1]:53\"]"),
        (
            "state_dir: /var/lib/blackthorn to /x\ncontrol.socket: /run/blackthorn/control.sock to /y".into(),
            "dns.listen: [127.0.0.1:5300] to [[::1]:53]\nfeed mine: removed\nzone bl.example: removed\nfilter: changed"
                .into(),
        )
    );
    assert_eq!(
        changes(&format!(
            "{FEED}strict = true\n{ZONE}ttl = \"1h\"\n[exclude]\nnetworks = [\"192.0.2.1\"]\n[filter]\nfeeds = [\"mine\"]"
        )),
        (
            String::new(),
            "feed mine: changed\nzone bl.example: changed\nexclude: 0 networks, 0 domains and 0 files to 1 networks, 0 domains and 0 files".into()
        )
    );
}
