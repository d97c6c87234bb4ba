//! What people are told: wrong input, exact message.

use super::{FEED, ZONE, messages, parse};
use crate::config::MAX_ERRORS;

/// Adds `line` to a feed, a zone or another table and expects exactly `expected`, of which the file name is left out.
/// The feed starts at line 1, what is added to it stands in line 5.
#[test]
fn every_wrong_value_says_what_would_be_right() {
    let feed = |line: &str| format!("{FEED}{line}");
    let zone = |line: &str| format!("{FEED}{ZONE}{line}");
    let table = |header: &str, line: &str| format!("{FEED}{header}\n{line}");
    for (text, expected) in [
        // Who is answered.
        (table("[dns]", "udp_size = 300"), "6: bad udp_size in [dns]: 300; allowed: 512 to 4096"),
        (
            table("[dns]", "nsid = \"a\u{e9}\""),
            "6: bad nsid in [dns]: \"a\u{e9}\"; write 1 to 100 characters of printable ASCII",
        ),
        (
            table("[dns]", "clients = { deny = [] }"),
            "6: unknown key in clients: deny; allowed: default, allow, refuse, drop, empty, coded, code, text",
        ),
        (
            table("[dns]", "clients = { default = \"deny\" }"),
            "6: bad default in clients of [dns]: \"deny\"; allowed: allow, refuse, drop, empty, code",
        ),
        (
            table("[dns]", "clients = { coded = [\"192.0.2.1\"] }"),
            "6: missing key in clients of [dns]: code; add code = \"127.255.255.254\", or use \"refuse\", which no mail server takes for a listing",
        ),
        (
            table("[dns]", "clients = { default = \"code\", code = \"127.0.0.1\" }"),
            "6: bad code in clients of [dns]: \"127.0.0.1\"; code 127.0.0.1 tells clients that the list is broken; use 127.0.0.2 or above",
        ),
        (
            zone("clients = { allow = [\"192.0.2.1/24\"] }"),
            "8: bad allow in clients of [[zone]]: \"192.0.2.1/24\"; address bits are set behind the prefix; write 192.0.2.0/24 or the bare address",
        ),
        (
            table("[dns.rate_limit]", "ipv4_prefix = 4"),
            "6: bad ipv4_prefix in [dns.rate_limit]: 4; allowed: 8 to 32",
        ),
        (table("[dns.quota]", "queries = 0"), "6: bad queries in [dns.quota]: 0; allowed: 1 to 2147483647"),
        (
            table("[dns.quota]", "period = \"60d\""),
            "6: bad period in [dns.quota]: \"60d\"; allowed: \"1m\" to \"31d\"",
        ),
        (zone("ent = \"never\""), "8: bad ent in [[zone]]: \"never\"; allowed: exact, always"),
        (zone("max_age = \"1s\""), "8: bad max_age in [[zone]]: \"1s\"; allowed: \"1m\" to \"365d\""),
        (
            zone("retired = \"caf\u{e9}\""),
            "8: bad retired in [[zone]]: \"caf\u{e9}\"; text holds '\u{e9}'; only printable ASCII on one line reaches every mail log intact",
        ),
        // Keys and types.
        (
            feed("refesh = \"1h\""),
            "5: unknown key in [[feed]]: refesh; did you mean refresh? allowed: id, source, format, refresh, column, min_score, strict, widest_ipv4, widest_ipv6, special_use, may_be_empty, max_rejects, max_size, timeout",
        ),
        (
            feed("refresh = 3600"),
            "5: wrong type for refresh in [[feed]]: 3600; must be a string, such as refresh = \"1h\"",
        ),
        (
            feed("strict = \"yes\""),
            "5: wrong type for strict in [[feed]]: a string; must be true or false, such as strict = false",
        ),
        (
            feed("max_rejects = -1"),
            "5: wrong type for max_rejects in [[feed]]: -1; must be a whole number, 0 or more, such as max_rejects = 5",
        ),
        (
            feed("max_rejects = 0.5"),
            "5: wrong type for max_rejects in [[feed]]: 0.5; must be a whole number, 0 or more, such as max_rejects = 5",
        ),
        (
            feed("max_size = 1979-05-27"),
            "5: wrong type for max_size in [[feed]]: 1979-05-27; must be a string, such as max_size = \"256MiB\"",
        ),
        (
            zone("ns = \"ns.example\""),
            "8: wrong type for ns in [[zone]]: a string; must be a list, such as ns = [\"ns1.bl.example\"]",
        ),
        (
            table("[feeds]", "x = 1"),
            "5: unknown key in the top level: feeds; did you mean feed? allowed: state_dir, dns, feed, zone, exclude, filter, control",
        ),
        (
            table("[zone]", "name = \"bl.example\""),
            "5: wrong type for zone in the top level: a table; must be a list, such as [[zone]]",
        ),
        (
            table("[[dns]]", "listen = []"),
            "5: wrong type for dns in the top level: a list; must be a table, such as [dns]",
        ),
        (
            "[[feed]]\nid = \"a\"\nformat = \"plain\"".into(),
            "1: missing key in [[feed]]: source; add it, such as source = \"lists/scored.tsv\"",
        ),
        (
            "\n[[zone]]\nname = \"bl.example\"".into(),
            "2: missing key in [[zone]]: feeds; add it, such as feeds = [{ id = \"scored\", code = \"127.0.0.4\" }]",
        ),
        // Feeds.
        (
            feed("refresh = \"1 h\""),
            "5: bad refresh in [[feed]]: \"1 h\"; a duration is numbers with d, h, m or s in this order, such as \"24h\", \"90s\" or \"1h30m\"",
        ),
        (feed("refresh = \"91d\""), "5: bad refresh in [[feed]]: \"91d\"; allowed: \"1s\" to \"90d\""),
        (
            FEED.replace("mine.txt", "https://x.example/\"\nrefresh = \"59s"),
            "4: bad refresh in [[feed]]: \"59s\"; allowed: \"1m\" to \"90d\"; publishers block those who ask more often",
        ),
        (
            FEED.replace("\"mine\"", "\"My feed\""),
            "2: bad id in [[feed]]: \"My feed\"; a feed id is 1 to 64 of a-z 0-9 . _ - and starts with a letter or digit",
        ),
        (
            FEED.replace("mine.txt", "ftp://u:secret@x.example/?k=secret"),
            "3: bad source in [[feed]]: the scheme ftp:// is not supported; use http://, https:// or a plain path",
        ),
        (
            FEED.replace("\"plain\"", "\"plian\""),
            "4: bad format in [[feed]]: \"plian\"; did you mean plain? allowed: plain, score-tsv, spamhaus-text, spamhaus-json, netset, csv, hosts, domains, resolver, adblock, urls",
        ),
        (
            FEED.replace("\"plain\"", "\"csv\""),
            "1: missing key in [[feed]]: column; format \"csv\" needs it: the name of the address column, or its number from 1",
        ),
        (
            FEED.replace("\"plain\"", "\"csv\"\ncolumn = 0"),
            "5: bad column in [[feed]]: 0; allowed: 1 to 65535",
        ),
        (
            FEED.replace("\"plain\"", "\"csv\"\ncolumn = \" \""),
            "5: bad column in [[feed]]: \" \"; write a name from the header line, or a number from 1",
        ),
        (
            feed("column = \"ip\""),
            "5: bad column in [[feed]]: \"ip\"; leave it out: only format \"csv\" has columns",
        ),
        (
            feed("min_score = 3"),
            "5: bad min_score in [[feed]]: 3; leave it out: format \"plain\" has no scores",
        ),
        (feed("widest_ipv4 = 7"), "5: bad widest_ipv4 in [[feed]]: 7; allowed: 8 to 32"),
        (feed("widest_ipv6 = 129"), "5: bad widest_ipv6 in [[feed]]: 129; allowed: 8 to 128"),
        (feed("max_rejects = 101"), "5: bad max_rejects in [[feed]]: 101; allowed: 0 to 100"),
        (feed("special_use = \"maybe\""), "5: bad special_use in [[feed]]: \"maybe\"; allowed: drop, keep"),
        (
            feed("max_size = \"1TB\""),
            "5: bad max_size in [[feed]]: \"1TB\"; a size is a number with B, KB, MB, GB, KiB, MiB or GiB, such as \"64KiB\" or \"10MB\"",
        ),
        (feed("max_size = \"5GiB\""), "5: bad max_size in [[feed]]: \"5GiB\"; allowed: \"1KiB\" to \"4GiB\""),
        (feed("timeout = \"2h\""), "5: bad timeout in [[feed]]: \"2h\"; allowed: \"1s\" to \"1h\""),
        (format!("{FEED}{FEED}"), "6: bad id in [[feed]]: \"mine\"; another feed has this id"),
        // Zones.
        (
            ZONE.into(),
            "3: bad feeds in [[zone]]: \"mine\"; no feed is configured; add a [[feed]] with this id",
        ),
        (
            format!("{FEED}{}", ZONE.replace("\"mine\"", "\"mien\"")),
            "7: bad feeds in [[zone]]: \"mien\"; there is no such feed; did you mean mine? known: mine",
        ),
        (
            format!("{FEED}{}", ZONE.replace("\"mine\"", "\"mine\", \"mine\"")),
            "7: bad feeds in [[zone]]: \"mine\"; it is in the list already",
        ),
        (
            format!("{FEED}{}", ZONE.replace("\"mine\"", "7")),
            "7: wrong type for feeds in [[zone]]: 7; must be feed ids or tables, such as feeds = [{ id = \"scored\", code = \"127.0.0.4\" }]",
        ),
        (
            format!("{FEED}{}", ZONE.replace("\"mine\"", "{ code = \"127.0.0.9\" }")),
            "7: missing key in feeds of [[zone]]: id; add it, such as id = \"scored\"",
        ),
        (
            format!("{FEED}{}", ZONE.replace("\"mine\"", "{ id = \"mine\", code = \"128.0.0.9\" }")),
            "7: bad code in feeds of [[zone]]: \"128.0.0.9\"; code 128.0.0.9 is outside of 127.0.0.0/8",
        ),
        (
            zone("code = \"127.0.0.1\""),
            "8: bad code in [[zone]]: \"127.0.0.1\"; code 127.0.0.1 tells clients that the list is broken; use 127.0.0.2 or above",
        ),
        (
            zone("code = \"127.255.255.7\""),
            "8: bad code in [[zone]]: \"127.255.255.7\"; code 127.255.255.7 is read as an error by clients; keep out of 127.255.255.0/24",
        ),
        (
            zone("text = \"zwei\\nZeilen\""),
            "8: bad text in [[zone]]: \"zwei\\nZeilen\"; text holds '\\n'; only printable ASCII on one line reaches every mail log intact",
        ),
        (zone("ttl = \"0s\""), "8: bad ttl in [[zone]]: \"0s\"; allowed: \"1s\" to \"7d\""),
        (zone("negative_ttl = \"8d\""), "8: bad negative_ttl in [[zone]]: \"8d\"; allowed: \"1s\" to \"7d\""),
        (
            zone("ns = [\"a..b\"]"),
            "8: bad ns in [[zone]]: \"a..b\"; `a..b` has an empty label; write the name as in `bl.example`, without a final dot",
        ),
        (
            zone("contact = \"a.b@c\""),
            "8: bad contact in [[zone]]: \"a.b@c\"; write a mail address without a dot before the @, such as hostmaster@bl.example",
        ),
        (
            zone(&ZONE.replace("bl.example", "BL.example.")),
            "9: bad name in [[zone]]: \"BL.example.\"; another zone has this name",
        ),
        (
            zone(&ZONE.replace("bl.example", "7.bl.example")),
            "9: bad name in [[zone]]: \"7.bl.example\"; zone `7.bl.example` hides addresses of `bl.example`: the label in front of `bl.example` must have two or more characters, not all of them digits",
        ),
        (
            format!("{FEED}{}", ZONE.replace("bl.example", "a\\u001b[31m")),
            "6: bad name in [[zone]]: \"a\\u{1b}[31m\"; `a\\u{1b}[31m` holds `\\u{1b}`; a name is made of letters, digits, `-`, `_` and dots (write xn-- names as such)",
        ),
        // The rest.
        (
            table("[dns]", "listen = [\"127.0.0.1\"]"),
            "6: bad listen in [dns]: \"127.0.0.1\"; write an address and a port, such as \"127.0.0.1:5300\" or \"[::1]:5300\"",
        ),
        (
            table("[exclude]", "networks = [\"192.0.2.9/24\"]"),
            "6: bad networks in [exclude]: \"192.0.2.9/24\"; address bits are set behind the prefix; write 192.0.2.0/24 or the bare address",
        ),
        (
            table("[exclude]", "networks = [\"192.0.2.0/33\"]"),
            "6: bad networks in [exclude]: \"192.0.2.0/33\"; prefix length must be 0 to 32; write an address, a prefix such as 192.0.2.0/24 or 2001:db8::/32, or first-last",
        ),
        (table("[exclude]", "files = [\"\"]"), "6: bad files in [exclude]: \"\"; give a path"),
        (
            table("[filter]", "interfaces = [\"eth0/1\"]"),
            "6: bad interfaces in [filter]: \"eth0/1\"; an interface name has 1 to 15 bytes without blanks, / and :, such as eth0",
        ),
        (
            table("[filter]", "interfaces = [\"eth0\", \"eth0\"]"),
            "6: bad interfaces in [filter]: \"eth0\"; it is in the list already",
        ),
        (
            table("[filter]", "feeds = [\"all\"]"),
            "6: bad feeds in [filter]: \"all\"; there is no such feed; known: mine",
        ),
        (
            table("[filter]", "mode = \"fast\""),
            "6: bad mode in [filter]: \"fast\"; allowed: auto, native, generic",
        ),
        (
            table("[filter]", "action = \"reject\""),
            "6: bad action in [filter]: \"reject\"; allowed: drop, monitor",
        ),
        (
            table("[control]", &format!("socket = \"/{}\"", "s".repeat(107))),
            "6: bad socket in [control]: \"/sssssssssssssssssssssssssssssssssssssssssssssssssssssssssss...\"; the path of a unix socket has at most 107 bytes; give a shorter one",
        ),
        // No TOML at all.
        (feed("refresh = 1h"), "5:11: not TOML: string values must be quoted, expected literal string"),
        (feed("strict = true\nstrict = true"), "6:1: not TOML: duplicate key"),
    ] {
        assert_eq!(messages(&text), [format!("x.toml:{expected}")], "{text}");
    }
}

#[test]
fn all_errors_come_at_once_in_the_order_of_the_file() {
    let text = format!(
        "bogus = 1\n{FEED}refresh = 5\nstrict = 1\n[[feed]]\nid = \"X\"\n{ZONE}ttl = \"0s\"\n[filter]\nfeeds = [\"none\"]\n"
    );
    let heads: Vec<String> =
        messages(&text).iter().map(|m| m.split(';').next().unwrap().to_owned()).collect();
    assert_eq!(
        heads,
        [
            "x.toml:1: unknown key in the top level: bogus",
            "x.toml:6: wrong type for refresh in [[feed]]: 5",
            "x.toml:7: wrong type for strict in [[feed]]: 1",
            "x.toml:8: missing key in [[feed]]: source",
            "x.toml:8: missing key in [[feed]]: format",
            "x.toml:9: bad id in [[feed]]: \"X\"",
            "x.toml:13: bad ttl in [[zone]]: \"0s\"",
            "x.toml:15: bad feeds in [filter]: \"none\"",
        ]
    );
}

#[test]
fn a_feed_with_errors_is_still_known_to_zones() {
    let text = format!("{FEED}strict = 1\n{ZONE}");
    assert_eq!(messages(&text).len(), 1);
}

#[test]
fn texts_that_do_not_fit_are_refused_even_if_they_are_ours() {
    let long = ["a".repeat(60), "b".repeat(60), "c".repeat(60)].join(".");
    let feed = FEED.replace("\"mine\"", &format!("\"{}\"", "f".repeat(64)));
    let zone = format!("[[zone]]\nname = \"{long}\"\nfeeds = [\"{}\"]\n", "f".repeat(64));
    let messages = messages(&format!("{feed}{zone}"));
    assert!(messages[0].contains("bad default text in [[zone]] for feed: \"fff"), "{messages:?}");
    assert!(
        messages[0].contains(
            "text takes up to 318 octets with an address filled in, at most 236 fit a reply of 512"
        ),
        "{messages:?}"
    );
    assert!(parse(&format!("{feed}{zone}text = \"Listed\"\n")).is_ok());
}

#[test]
fn secrets_are_not_repeated() {
    for broken in [
        "[[feed]]\nid = \"a\"\nformat = \"plain\"\nsource = [\"https://x.example/?key=hunter2\"]",
        "[[feed]]\nid = \"a\"\nformat = \"plain\"\nsource = \"gopher://u:hunter2@x.example/\"",
        "[[feed]]\nid = \"a\"\nformat = \"plain\"\nsource = \"https://u:hunter2@x.example:99999/\"",
        "[[feed]]\nid = \"a\"\nformat = \"plain\"\nstrict = \"https://x.example/?key=hunter2\"",
        "[[feed]]\nid = \"a\"\nformat = \"plain\"\nsource = https://x.example/?key=hunter2",
        "[[feed]]\nid = \"a\"\nformat = \"plain\"\nsource = \"https://x.example/?key=hunter2",
    ] {
        let errors = parse(broken).unwrap_err();
        assert!(!format!("{errors} {errors:?}").contains("hunter2"), "{errors}");
    }
}

#[test]
fn floods_of_errors_are_counted() {
    let unknown: String = (0..5_000).map(|i| format!("x{i} = 1\n")).collect();
    let errors = parse(&unknown).unwrap_err();
    assert_eq!((errors.problems.len(), errors.omitted), (MAX_ERRORS, 5_000 - MAX_ERRORS));
    let syntax = parse(&"=\n".repeat(5_000)).unwrap_err();
    assert_eq!(syntax.problems.len(), MAX_ERRORS);
    assert!(syntax.omitted >= 5_000 - MAX_ERRORS);
}

#[test]
fn odd_settings_are_warned_of() {
    let warnings = |text: &str| -> Vec<String> {
        parse(text).unwrap().warnings.iter().map(ToString::to_string).collect()
    };
    assert_eq!(warnings(&format!("{FEED}{ZONE}")), [""; 0]);
    let http = FEED.replace("mine.txt", "http://x.example/l");
    assert_eq!(
        warnings(&format!(
            "{http}special_use = \"keep\"\n[filter]\nfeeds = [\"mine\"]\n[[zone]]\nname = \"bl.example\"\nfeeds = []"
        )),
        [
            "x.toml:1: feed mine keeps special-use addresses and is in the filter; private neighbours of this host may be dropped; exclude them",
            "x.toml:1: feed mine is fetched over plain http; anyone on the way can change it; use https if the publisher offers it",
            "x.toml:8: no feed answers in zone bl.example; name one in feeds",
        ]
    );
    assert_eq!(
        warnings(&format!(
            "dns.listen = []\n{FEED}timeout = \"1s\"\n[exclude]\nnetworks = [\"::/0\"]\n[filter]\ninterfaces = [\"eth0\"]"
        )),
        [
            "x.toml:2: feed mine is in no zone and not in the filter; only `blackthorn lookup` tells of it",
            "x.toml:7: a whole address family is excluded; nothing of it is ever listed or dropped",
            "x.toml:9: the filter has interfaces but no feeds; name feeds, otherwise nothing is dropped",
        ]
    );
}
