//! One test per format, through [`parse`], and what holds for every body.

use super::*;
use crate::core::domain::dotted;
use crate::core::feed::{FORMATS, Format, MAX_REJECTS, parse};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn parsed(format: Format, text: &str) -> Parsed {
    parse(&Rules::new(format), text.as_bytes()).unwrap()
}

/// The entries as text with their lines, then the addresses.
fn listed(parsed: &Parsed) -> Vec<String> {
    let name = |entry: DomainEntry<'_>| {
        let mark = if entry.excluded { "!" } else { "" };
        let scope = match entry.scope {
            Scope::Exact => "",
            Scope::Subtree => ".",
            Scope::Below => "*.",
        };
        format!("{} {mark}{scope}{}", entry.line, dotted(entry.name))
    };
    let v4 = parsed.entries.v4.iter().map(|e| format!("{} {}", e.line, Network::V4(e.span)));
    let v6 = parsed.entries.v6.iter().map(|e| format!("{} {}", e.line, Network::V6(e.span)));
    parsed.domains.iter().map(name).chain(v4).chain(v6).collect()
}

fn refusals(parsed: &Parsed) -> Vec<(u32, &str, RejectReason)> {
    parsed.rejects.iter().map(|reject| (reject.line, &*reject.text, reject.reason)).collect()
}

#[test]
fn f29_names_of_hosts_files() {
    let text = "# hosts\n127.0.0.1 localhost localhost.localdomain\n::1 ip6-localhost ip6-loopback\n\
        fe80::1%lo0 localhost\n255.255.255.255 broadcasthost\n0.0.0.0 0.0.0.0\n\
        0.0.0.0 tracker.example\n0.0.0.0\tA.example. b.example  # note\r\n127.0.0.1 localhost c.example#x\n\
        0.0.0.0 d.example printer.local\n0.0.0.0 x.invalid\n";
    let list = parsed(Format::Hosts, text);
    assert_eq!(
        listed(&list),
        ["7 tracker.example", "8 a.example", "8 b.example", "9 c.example", "10 d.example"]
    );
    let counts = &list.counts;
    assert_eq!((counts.lines, counts.comments, counts.not_applicable), (11, 1, 5));
    assert_eq!((counts.accepted, counts.notes, counts.cut, counts.special_use), (4, 2, 1, 1));
    assert_eq!(list.rejects, []);

    let bad =
        "0.0.0.0\nbad.example\nbad.example 0.0.0.0\n0.0.0.0 com\n0.0.0.0 good.example 192.0.2.1\n0.0.0.0 *\n";
    let list = parsed(Format::Hosts, bad);
    assert_eq!(
        refusals(&list),
        [
            (1, "0.0.0.0", RejectReason::HostsForm),
            (2, "bad.example", RejectReason::HostsForm),
            (3, "bad.example 0.0.0.0", RejectReason::HostsForm),
            (4, "0.0.0.0 com", RejectReason::TopLevel),
            (5, "0.0.0.0 good.example 192.0.2.1", RejectReason::AddressName),
            (6, "0.0.0.0 *", RejectReason::TopLevel),
        ]
    );
    assert!(list.domains.is_empty(), "a bad name refuses its line");
}

#[test]
fn f30_plain_domains() {
    let text = "# list\n\nBAD.Example.\n.b\u{fc}cher.example ; note\n*.xn--bcher-kva.example // note\n\
        _a.b-c.example\nwww.bad.example\n\u{a0}odd.example\u{a0}\ntest\n";
    let list = parsed(Format::Domains, text);
    assert_eq!(
        listed(&list),
        [
            "3 bad.example",
            "4 .xn--bcher-kva.example",
            "5 *.xn--bcher-kva.example",
            "6 _a.b-c.example",
            "7 www.bad.example",
            "8 odd.example"
        ]
    );
    assert_eq!((list.counts.comments, list.counts.notes), (2, 2));
    assert_eq!((list.counts.repaired, list.counts.special_use), (1, 1));
    assert_eq!(list.rejects, []);

    let refused = |line: &str| match refusals(&parsed(Format::Domains, line))[..] {
        [(1, text, reason)] if text == line => reason,
        ref other => panic!("{line}: {other:?}"),
    };
    for line in [".", "*", "*.", "com", ".com", "*.com", "COM."] {
        assert_eq!(refused(line), RejectReason::TopLevel, "{line}");
    }
    for line in ["!good.example", "-bad.example", "@@bad.example"] {
        assert_eq!(refused(line), RejectReason::Negated, "{line}");
    }
    for line in ["192.0.2.1", "2001:db8::1", ".192.0.2.1", "*.0.2.1"] {
        assert_eq!(refused(line), RejectReason::AddressName, "{line}");
    }
    assert_eq!(refused("bad.example spam source"), RejectReason::TrailingText);
    assert_eq!(refused("http://bad.example/"), RejectReason::NameCharacter);
    assert_eq!(refused("..bad.example"), RejectReason::LabelLength);
}

#[test]
fn f31_resolver_rules() {
    let text = "# dnsmasq\naddress=/bad.example/0.0.0.0\naddress=/a.example/b.example/::\naddress=/c.example/#\n\
        address=/d.example/\nserver=/e.example/\nlocal=/f.example/\nserver=/corp.example/192.0.2.53\n\
        server:\nlocal-zone: \"g.example\" always_nxdomain\nlocal-zone: h.example. static\n\
        local-zone: \"ok.example\" transparent\nlocal-data: \"g.example A 0.0.0.0\"\naddress=/*.i.example/\n";
    let list = parsed(Format::Resolver, text);
    assert_eq!(
        listed(&list),
        [
            "2 .bad.example",
            "3 .a.example",
            "3 .b.example",
            "4 .c.example",
            "5 .d.example",
            "6 .e.example",
            "7 .f.example",
            "10 .g.example",
            "11 .h.example",
            "14 *.i.example"
        ]
    );
    assert_eq!((list.counts.comments, list.counts.not_applicable), (2, 3));
    assert_eq!(list.rejects, []);

    for (line, reason) in [
        ("address=/#/0.0.0.0", RejectReason::TopLevel),
        ("address=//0.0.0.0", RejectReason::TopLevel),
        ("address=/com/0.0.0.0", RejectReason::TopLevel),
        ("local=/192.0.2.1/", RejectReason::AddressName),
        ("address=/bad.example", RejectReason::UnknownRule),
        ("address=/a.example/*.b.example/", RejectReason::UnknownRule),
        ("local-zone: \"bad.example\"", RejectReason::UnknownRule),
        ("local-zone: \"bad.example\" sometimes", RejectReason::UnknownRule),
        ("local-zone: \"bad.example static", RejectReason::BadQuote),
        ("local-zone: \".\" refuse", RejectReason::TopLevel),
        ("bad.example", RejectReason::UnknownRule),
    ] {
        assert_eq!(refusals(&parsed(Format::Resolver, line)), [(1, line, reason)]);
    }
}

#[test]
fn f32_content_filters() {
    let text = "[Adblock Plus 2.0]\n! Title: example\n# note\n||bad.example^\n||Worse.example^$important\n\
        ||192.0.2.4^\n||[2001:db9::4]^$all\n@@||good.bad.example^\n||*.deep.example^\n";
    let list = parsed(Format::Adblock, text);
    assert_eq!(
        listed(&list)[..4],
        ["4 .bad.example", "5 .worse.example", "8 !.good.bad.example", "9 *.deep.example"]
    );
    assert_eq!((list.counts.comments, list.counts.rejected_total()), (3, 0));

    let passed_over = "||cdn.example/banner.js$script\n||bad.example^$third-party\n||bad.example\n\
        ||bad.*^\n||b*d.example^\n||bad.example^path\n||bad.example:8080/^\nsite.example##.banner\n##.ad\n\
        /banner[0-9]+/\n@@||192.0.2.4^\n@@/good/\n&ad=\nbad.example\n|https://bad.example|\n";
    let list = parsed(Format::Adblock, passed_over);
    assert_eq!(listed(&list), [""; 0]);
    assert_eq!((list.counts.not_applicable, list.counts.lines), (15, 15));

    let list = parsed(Format::Adblock, "||com^\n||^\n@@||net^\n||a..example^\n");
    let reasons: Vec<RejectReason> = list.rejects.iter().map(|reject| reject.reason).collect();
    use RejectReason::{Empty, LabelLength, TopLevel};
    assert_eq!(reasons, [TopLevel, Empty, TopLevel, LabelLength]);
}

#[test]
fn f33_hosts_of_urls() {
    let text = "# urls\nhttp://198.51.101.5:52873/bin.sh\nhxxp://bad[.]example/x#y\nhttps://[2600::5]:8443/a\n\
        hxxps[:]//worse(.)example?q\nhttp://user:p@evil.example:80\nftp://Files.Example./\n\
        http://a.example\\b c\nhttp://localhost/\n";
    let list = parsed(Format::Urls, text);
    assert_eq!(
        listed(&list),
        [
            "3 bad.example",
            "5 worse.example",
            "6 evil.example",
            "7 files.example",
            "8 a.example",
            "2 198.51.101.5",
            "4 2600::5"
        ]
    );
    assert_eq!((list.counts.comments, list.counts.special_use), (1, 1));
    assert_eq!(list.rejects, []);

    for (line, reason) in [
        ("bad.example/x", RejectReason::NotAUrl),
        ("http:///x", RejectReason::NotAUrl),
        ("://bad.example", RejectReason::NotAUrl),
        ("http://com/x", RejectReason::TopLevel),
        ("http://3232235777/", RejectReason::AddressName),
        ("http://0x7f.1/", RejectReason::AddressName),
        ("http://b%61d.example/", RejectReason::NameCharacter),
        ("http://bad.example /x", RejectReason::TrailingText),
    ] {
        assert_eq!(refusals(&parsed(Format::Urls, line)), [(1, line, reason)]);
    }
}

#[test]
fn addresses_among_names_follow_the_rules_of_addresses() {
    let list = parsed(Format::Urls, "http://10.0.0.1/x\nhttp://[::ffff:198.51.101.1]/\n");
    assert_eq!(listed(&list), ["2 198.51.101.1"]);
    assert_eq!(list.counts.special_use, 1);
    // Scores of other formats change nothing.
    let rules = Rules { min_score: 9, ..Rules::new(Format::Urls) };
    assert_eq!(parse(&rules, b"http://198.51.101.1/").unwrap().counts.accepted, 1);
    assert!(parse(&rules, b"<!doctype html>").is_err());
}

/// Bodies made of what such lists are made of, in the wrong order.
fn list_like() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&str] = &[
        "bad.example",
        "B\u{fc}cher",
        "com",
        "xn--",
        ".",
        "*",
        "*.",
        "www.",
        "192.0.2.1",
        "[2001:db8::1]",
        "::1",
        "0.0.0.0 ",
        "localhost",
        "ip6-x",
        "test",
        "||",
        "@@",
        "^",
        "$important",
        "$",
        ",",
        "/",
        "//",
        "://",
        "hxxp",
        "[.]",
        "(.)",
        "[:]//",
        "address=/",
        "server=/",
        "local-zone: ",
        "\"",
        " static",
        "#",
        "##",
        "! ",
        "; ",
        "\n",
        "\n",
        "\n",
        "\r",
        "\t",
        " ",
        "\u{a0}",
        "\u{2013}",
        "-",
        "_",
        "a",
        "1",
    ];
    let piece = prop_oneof![
        9 => select(PIECES).prop_map(|s| s.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 1..4),
    ];
    vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn every_line_is_counted_once(format in Format::Hosts as usize..FORMATS.len(), body in list_like()) {
        let Ok(list) = parse(&Rules::new(FORMATS[format].format), &body) else { return Ok(()) };
        let counts = &list.counts;
        let classes = counts.comments + counts.accepted + counts.special_use + counts.not_applicable;
        prop_assert_eq!(counts.lines, classes + counts.rejected_total());
        prop_assert_eq!(list.rejects.len() as u64, counts.rejected_total().min(MAX_REJECTS as u64));
        prop_assert!((list.domains.len() + list.entries.len()) as u64 >= counts.accepted);
        prop_assert!(counts.repaired.max(counts.cut).max(counts.notes) <= counts.accepted);
        let lines: Vec<u32> = list.domains.iter().map(|entry| entry.line).collect();
        prop_assert!(lines.is_sorted() && lines.iter().all(|&line| line >= 1 && u64::from(line) <= counts.lines));
        for entry in list.domains.iter() {
            let labels: Vec<&[u8]> = crate::core::domain::labels(entry.name).unwrap().collect();
            prop_assert!(labels.len() >= 2);
            prop_assert!(!labels[labels.len() - 1].iter().all(u8::is_ascii_digit));
            let legal = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
            prop_assert!(labels.concat().iter().all(legal));
        }
    }

    /// Whatever a plain list writes is read as it was meant.
    #[test]
    fn plain_names_come_back(names in vec(("[a-z0-9_-]{1,10}", "[a-z]{1,8}", 0..3usize), 1..20)) {
        let marks = ["", ".", "*."];
        let written: Vec<String> =
            names.iter().map(|(a, b, mark)| format!("{}x{a}.{b}x", marks[*mark])).collect();
        let list = parsed(Format::Domains, &written.join("\r\n"));
        let expected: Vec<String> = written.iter().zip(1..).map(|(name, line)| format!("{line} {name}")).collect();
        prop_assert_eq!(listed(&list), expected);
    }
}
