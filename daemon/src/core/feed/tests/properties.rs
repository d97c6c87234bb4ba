//! What holds for every body, hostile or not.

use super::{listed, rules};
use crate::core::feed::token::{Spelling, common_v4, leading_v4, read};
use crate::core::feed::*;
use crate::core::network::Network;
use crate::core::span::Span;
use crate::core::special;
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};

/// Rules of every format, CSV by name and by number, each also as bogon list and strict.
fn any_rules() -> impl Strategy<Value = Rules> {
    let column =
        prop_oneof![Just(None), Just(Some(Column::Number(2))), Just(Some(Column::Name("ip".into()))),];
    (0..FORMATS.len(), column, any::<bool>(), any::<bool>(), 0..3u32).prop_map(
        |(format, column, strict, keep_special_use, min_score)| {
            let rules = rules(FORMATS[format].format);
            Rules { column, strict, keep_special_use, min_score, widest_v6: 8, ..rules }
        },
    )
}

/// Bodies made of what lists are made of, in the wrong order.
fn list_like() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&str] = &[
        "192.0.2.1",
        "10.0.0.0/8",
        "9.0.0.0/8",
        "2001:db8::/32",
        "::ffff:1.2.3.4",
        "255",
        ".",
        "/",
        "-",
        " - ",
        ":",
        "::",
        "%",
        "[",
        "]",
        "0",
        "1",
        "\n",
        "\n",
        "\n",
        "\r",
        "\t",
        " ",
        ",",
        "\"",
        "#",
        "; ",
        "//",
        "!",
        "# END 2 entries",
        "; EOF",
        "ip,ip",
        "\u{a0}",
        "\u{2013}",
        "{\"cidr\":\"",
        "\"}",
        "{\"type\":\"metadata\",\"records\":2}",
        "# Entries : 2 subnets",
        "fc00::/7",
        "2002::",
    ];
    let piece = prop_oneof![
        9 => proptest::sample::select(PIECES).prop_map(|s| s.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 1..4),
    ];
    vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn lines_of(text: &[u8]) -> u64 {
    let ends = text.iter().filter(|&&b| b == b'\n').count();
    (ends + usize::from(text.last().is_some_and(|&b| b != b'\n'))) as u64
}

fn check(rules: &Rules, body: &[u8]) -> Result<(), TestCaseError> {
    let Ok(parsed) = parse(rules, body) else { return Ok(()) };
    let Parsed { entries, rejects, counts, .. } = &parsed;
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    // Neither gzip nor UTF-16 passes for text here, so lines can be counted in the body.
    prop_assert_eq!(counts.lines, lines_of(text));
    let classes = counts.comments
        + counts.accepted
        + counts.special_use
        + counts.below_min_score
        + counts.not_applicable;
    prop_assert_eq!(counts.lines, classes + counts.rejected_total());
    prop_assert!(counts.repaired.max(counts.cut).max(counts.ports).max(counts.notes) <= counts.accepted);
    prop_assert!(entries.len() as u64 >= counts.accepted);
    prop_assert_eq!(rejects.len() as u64, counts.rejected_total().min(MAX_REJECTS as u64));
    // Rejects point at their line and show it.
    let written: Vec<&[u8]> = text.split(|&b| b == b'\n').collect();
    for reject in rejects {
        let line = written[reject.line as usize - 1];
        prop_assert_eq!(&reject.text, &reject::printable(lines::trim(line)));
    }
    // Entries point at lines in order, and never touch special-use space.
    let numbers = |found: &mut dyn Iterator<Item = u32>| found.collect::<Vec<_>>();
    for numbers in
        [numbers(&mut entries.v4.iter().map(|e| e.line)), numbers(&mut entries.v6.iter().map(|e| e.line))]
    {
        prop_assert!(numbers.is_sorted() && numbers.iter().all(|&n| n >= 1 && u64::from(n) <= counts.lines));
    }
    if !rules.keep_special_use {
        prop_assert!(!entries.v4.iter().any(|e| special::V4.iter().any(|s| s.overlaps(&e.span))));
        prop_assert!(!entries.v6.iter().any(|e| special::V6.iter().any(|s| s.overlaps(&e.span))));
    }
    Ok(())
}

/// Networks that pass unchanged: not too wide, and clear of special-use space (80.0.0.0/4 and 2600::/8).
fn any_network() -> impl Strategy<Value = Network> {
    let v4 = |a: u32| 0x5000_0000 | a >> 4;
    let v6 = |a: u128| 0x26 << 120 | a >> 8;
    prop_oneof![
        (any::<u32>(), 8..=32u8).prop_map(move |(a, len)| Network::V4(Span::prefix(v4(a), len))),
        (any::<u128>(), 19..=128u8).prop_map(move |(a, len)| Network::V6(Span::prefix(v6(a), len))),
        (any::<u32>(), 0..100_000u32)
            .prop_map(move |(a, n)| Network::V4(Span { first: v4(a), last: v4(a) + n })),
        (any::<u128>(), any::<u64>())
            .prop_map(move |(a, n)| Network::V6(Span { first: v6(a), last: v6(a) + u128::from(n) })),
    ]
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_totally(rules in any_rules(), body in vec(any::<u8>(), 0..300)) {
        prop_assume!(!body.starts_with(b"\x1f\x8b") && !body.starts_with(b"\xff\xfe") && !body.starts_with(b"\xfe\xff"));
        check(&rules, &body)?;
    }

    #[test]
    fn list_like_bytes_are_read_totally(rules in any_rules(), body in list_like()) {
        check(&rules, &body)?;
    }

    #[test]
    fn damaged_gzip_and_utf16_never_panic(rules in any_rules(), tail in vec(any::<u8>(), 0..100), kind in 0..3usize) {
        let head: &[u8] = [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], b"\xff\xfe", b"\xfe\xff"][kind];
        let _ = parse(&rules, &[head, &tail].concat());
    }

    #[test]
    fn networks_survive_writing_and_reading(networks in vec(any_network(), 0..50)) {
        let text: String = networks.iter().map(|n| format!("{n}\n")).collect();
        let parsed = parse(&rules(Format::Plain), text.as_bytes()).unwrap();
        let of = |v4: bool| networks.iter().filter(move |n| matches!(n, Network::V4(_)) == v4);
        let wanted: Vec<String> = of(true).chain(of(false)).map(ToString::to_string).collect();
        prop_assert_eq!(listed(&parsed), wanted);
        prop_assert_eq!(parsed.counts.repaired, 0);
    }

    /// The short cut for IPv4 is the std parser, only faster.
    #[test]
    fn leading_v4_agrees_with_std(text in "[0-9]{0,4}(\\.[0-9]{0,4}){0,4}[/a-f0-9.]{0,3}") {
        let short_cut = leading_v4(text.as_bytes());
        let whole = short_cut.filter(|(_, rest)| rest.is_empty()).map(|(a, _)| Ipv4Addr::from(a));
        prop_assert_eq!(whole, text.parse::<Ipv4Addr>().ok());
        if let Some((address, rest)) = short_cut {
            let head = &text[..text.len() - rest.len()];
            prop_assert_eq!(head.parse::<Ipv4Addr>().ok(), Some(Ipv4Addr::from(address)));
        }
    }

    /// What the short cut takes, the long way takes too, with the same result.
    #[test]
    fn common_v4_agrees_with_read(text in "[12]?[0-9]?[0-9](\\.[12]?[0-9]?[0-9]){3}(/[0-9]{0,3})?") {
        let spelling = Spelling { strict: true, ports: false };
        let long_way = read(text.as_bytes(), spelling).ok();
        prop_assert_eq!(common_v4(text.as_bytes()), long_way.map(|r| r.network));
    }

    /// Every address std reads is read, and is what std says.
    #[test]
    fn addresses_agree_with_std(address: IpAddr, len in 0..=128u8) {
        let spelling = Spelling { strict: false, ports: false };
        let reading = read(address.to_string().as_bytes(), spelling);
        prop_assert_eq!(reading.map(|r| r.network), Ok(Network::host(address)));
        let reading = read(format!("{address}/{len}").as_bytes(), spelling);
        let wanted = Network::prefix_masked(address, len);
        prop_assert_eq!(reading.ok().map(|r| r.network), wanted.ok());
    }
}
