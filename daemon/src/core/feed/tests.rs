//! One test per case of the edge-case table, by its id, through [`parse`].

use super::*;
use crate::core::network::Network;

mod properties;

fn rules(format: Format) -> Rules {
    Rules::new(format)
}

fn plain(text: impl AsRef<[u8]>) -> Parsed {
    parse(&rules(Format::Plain), text.as_ref()).unwrap()
}

/// The entries as text, IPv4 first.
fn listed(parsed: &Parsed) -> Vec<String> {
    let v4 = parsed.entries.v4.iter().map(|e| Network::V4(e.span).to_string());
    v4.chain(parsed.entries.v6.iter().map(|e| Network::V6(e.span).to_string())).collect()
}

/// The reason for which a plain list refuses its only line.
#[track_caller]
fn refusal(line: &str) -> RejectReason {
    refusal_under(&rules(Format::Plain), line)
}

#[track_caller]
fn refusal_under(rules: &Rules, line: &str) -> RejectReason {
    let parsed = parse(rules, line.as_bytes()).unwrap();
    assert!(parsed.entries.is_empty(), "{line} gave {:?}", listed(&parsed));
    assert_eq!(parsed.rejects.len(), 1, "{line}: {:?}", parsed.counts);
    assert_eq!((parsed.rejects[0].line, parsed.rejects[0].text.as_str()), (1, line));
    parsed.rejects[0].reason
}

#[test]
fn f01_f02_f03_addresses_prefixes_and_ranges() {
    let parsed = plain(
        "# header\n\n192.0.2.7\n2001:db8:85a3::8a2e:370:7334\n198.51.100.0/24\n2001:db8::/32\n\
         198.51.100.0-198.51.100.255\n198.51.100.0 - 198.51.100.37\n2001:db8::1-2001:db8::ff",
    );
    assert_eq!(
        listed(&parsed),
        [
            "192.0.2.7",
            "198.51.100.0/24",
            "198.51.100.0/24",
            "198.51.100.0-198.51.100.37",
            "2001:db8:85a3::8a2e:370:7334",
            "2001:db8::/32",
            "2001:db8::1-2001:db8::ff"
        ]
    );
    assert_eq!(parsed.rejects, []);
    assert_eq!(parsed.entries.v4[3].line, 8);
    assert_eq!((parsed.counts.lines, parsed.counts.comments, parsed.counts.accepted), (9, 2, 7));
}

#[test]
fn f03_bad_ranges_are_rejected() {
    use RejectReason::*;
    assert_eq!(refusal("192.0.2.9-192.0.2.1"), ReversedRange);
    assert_eq!(refusal("192.0.2.9-2001:db8::"), MixedRange);
    assert_eq!(refusal("192.0.2.0/25-192.0.2.128/25"), PrefixLength);
    assert_eq!(refusal("192.0.2.1-192.0.2.300"), OctetRange);
    assert_eq!(refusal("192.0.2.1-192.0.2.128/25"), NotAnAddress);
    assert_eq!(refusal("192.0.2.1-"), Empty);
}

#[test]
fn f04_f05_f07_spellings_of_other_formats_are_rejected() {
    use RejectReason::*;
    assert_eq!(refusal("127.0.0.1-255"), NumberForm);
    assert_eq!(refusal("127.16-127.31"), NumberForm);
    assert_eq!(refusal("127/24"), NumberForm);
    assert_eq!(refusal("192.0.2.0/255.255.255.0"), PrefixLength);
    assert_eq!(refusal("192.0.2.0 255.255.255.0"), TrailingText);
    assert_eq!(refusal("192.0.2.10;7"), NotAnAddress);
    assert_eq!(refusal("192.0.2.11,100"), NotAnAddress);
}

#[test]
fn e01_other_encodings() {
    assert_eq!(listed(&plain("\u{feff}192.0.2.1")), ["192.0.2.1"]);
    let utf16: Vec<u8> =
        "\u{feff}192.0.2.1\n2001:db8::1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(listed(&plain(utf16)), ["192.0.2.1", "2001:db8::1"]);
    // A few Latin-1 bytes do no harm in a note, and are no address.
    let mut latin1 = b"192.0.2.1 # Z\xfcrich\n\xa0192.0.2.2\n".to_vec();
    latin1.extend(b"# padding\n".repeat(40));
    let parsed = plain(latin1);
    assert_eq!(listed(&parsed), ["192.0.2.1"]);
    assert_eq!(parsed.rejects[0].reason, RejectReason::NotAnAddress);
}

#[test]
fn e02_control_blanks_and_nul() {
    assert_eq!(listed(&plain("192.0.2.1\r\n\x0c192.0.2.2\x0b\r\n\r\n")), ["192.0.2.1", "192.0.2.2"]);
    // A lone CR is a blank as well, so the second address is trailing text.
    assert_eq!(plain("192.0.2.1\r192.0.2.2").rejects[0].reason, RejectReason::TrailingText);
    assert_eq!(parse(&rules(Format::Plain), b"192.0.2.1\0"), Err(BodyError::Nul { offset: 9 }));
}

#[test]
fn e03_comments_per_format() {
    let text = "# a\n; b\n// c\n192.0.2.1 # d\n192.0.2.2 ; e\n192.0.2.3 // f\n192.0.2.4#g\n";
    let parsed = plain(text);
    assert_eq!((parsed.counts.comments, parsed.counts.accepted, parsed.counts.notes), (3, 3, 3));
    assert_eq!(parsed.rejects.len(), 1);
    let parsed = parse(&rules(Format::SpamhausText), text.as_bytes()).unwrap();
    assert_eq!((parsed.counts.comments, parsed.counts.accepted, parsed.counts.rejected_total()), (1, 1, 5));
}

#[test]
fn e04_unicode_blanks_and_dashes_are_repaired() {
    let parsed = plain(
        "\u{a0}192.0.2.1\u{200b}\n192.0.2.3\u{2013}192.0.2.9\n2001:db8::1 \u{2212} 2001:db8::9\n\u{a0}\n\
         192.0.2.2\n\u{feff}# note\n192.0.2.4\u{a0}# note\n",
    );
    assert_eq!(
        listed(&parsed),
        ["192.0.2.1", "192.0.2.3-192.0.2.9", "192.0.2.2", "192.0.2.4", "2001:db8::1-2001:db8::9"]
    );
    assert_eq!((parsed.counts.repaired, parsed.counts.comments), (4, 2));
    assert_eq!(parsed.rejects, []);
    // A zero-width blank separates; it never joins two numbers into one.
    assert_eq!(refusal("192.0.2.1\u{200b}2"), RejectReason::TrailingText);
}

#[test]
fn e05_leading_zeros_are_rejected() {
    for text in ["010.0.0.1", "192.0.02.1", "192.0.2.001", "192.0.02.0/24", "198.051.100.000"] {
        assert_eq!(refusal(text), RejectReason::LeadingZero, "{text}");
    }
    assert_eq!(refusal("192.0.2.1-192.0.2.009"), RejectReason::LeadingZero);
    assert_eq!(refusal("192.0.2.0/024"), RejectReason::PrefixLength);
    assert_eq!(listed(&plain("192.0.2.0\n")), ["192.0.2.0"]);
}

#[test]
fn e06_hex_integer_and_short_forms_are_rejected() {
    for text in ["0x0A000001", "0xc0.0.2.1", "3221225985", "192.1", "192.0.2", "10", "192.0.2/24", "192.0.2."]
    {
        assert_eq!(refusal(text), RejectReason::NumberForm, "{text}");
    }
}

#[test]
fn e07_host_bits_are_masked_or_rejected() {
    let text = "192.0.2.77/24\n2001:db8::1/32\n192.0.2.0/24\n";
    let parsed = plain(text);
    assert_eq!(listed(&parsed), ["192.0.2.0/24", "192.0.2.0/24", "2001:db8::/32"]);
    assert_eq!((parsed.counts.accepted, parsed.counts.repaired), (3, 2));
    let strict = Rules { strict: true, ..rules(Format::Plain) };
    let parsed = parse(&strict, text.as_bytes()).unwrap();
    assert_eq!(listed(&parsed), ["192.0.2.0/24"]);
    assert_eq!(parsed.counts.rejected[&RejectReason::HostBits], 2);
}

#[test]
fn e08_host_prefixes_are_hosts() {
    let parsed = plain("192.0.2.1/32\n192.0.2.1\n2001:db8::1/128\n2001:db8::1\n");
    assert_eq!(parsed.entries.v4[0].span, parsed.entries.v4[1].span);
    assert_eq!(parsed.entries.v6[0].span, parsed.entries.v6[1].span);
    assert_eq!(parsed.counts.repaired, 0);
}

#[test]
fn e09_wide_prefixes_are_rejected() {
    use RejectReason::TooWide;
    let wide = ["0.0.0.0/0", "224.0.0.0/3", "64.0.0.0/7", "64.0.0.0-66.0.0.0", "0.0.0.0-255.255.255.255"];
    for text in wide.into_iter().chain(["::/0", "2000::/3", "2a00::/7", "2400::-2600::"]) {
        assert_eq!(refusal(text), TooWide, "{text}");
        let everything = Rules { widest_v4: 0, widest_v6: 0, keep_special_use: true, ..rules(Format::Plain) };
        assert_eq!(refusal_under(&everything, text), TooWide, "{text} whatever the rules say");
    }
    assert_eq!(listed(&plain("64.0.0.0/8\n2400::/19\n")), ["64.0.0.0/8", "2400::/19"]);
    assert_eq!(refusal("2400::/18"), TooWide);
    let narrow = Rules { widest_v4: 20, widest_v6: 32, ..rules(Format::Plain) };
    for text in ["198.51.96.0/19", "198.51.96.0-198.51.112.0", "2001:db8::/31"] {
        assert_eq!(refusal_under(&narrow, text), TooWide, "{text}");
    }
    assert_eq!(parse(&narrow, b"198.51.96.0/20\n2001:db8::/32\n").unwrap().counts.accepted, 2);
}

#[test]
fn e10_prefix_lengths_out_of_range_are_rejected() {
    for text in [
        "192.0.2.0/33",
        "192.0.2.0/64",
        "2001:db8::/129",
        "192.0.2.0/",
        "192.0.2.0/-1",
        "192.0.2.0/+8",
        "192.0.2.0/4294967304",
        "192.0.2.0/24/24",
        "192.0.2.0/x",
    ] {
        assert_eq!(refusal(text), RejectReason::PrefixLength, "{text}");
    }
}

#[test]
fn e11_octets_out_of_range_reject_their_line_only() {
    assert_eq!(refusal("942.180.233.122"), RejectReason::OctetRange);
    assert_eq!(refusal("192.0.2.256/32"), RejectReason::OctetRange);
    assert_eq!(listed(&plain("192.0.2.1\n942.180.233.122\n192.0.2.2\n")), ["192.0.2.1", "192.0.2.2"]);
}

#[test]
fn e12_ports_are_dropped_where_the_format_has_them() {
    let rows = ["192.0.2.1:443", "[2001:db8::1]:443"];
    for row in rows {
        assert_eq!(refusal(row), RejectReason::Port, "{row}");
    }
    let parsed = parse(&rules(Format::Csv), rows.join("\n").as_bytes()).unwrap();
    assert_eq!(listed(&parsed), ["192.0.2.1", "2001:db8::1"]);
    assert_eq!((parsed.counts.accepted, parsed.counts.ports), (2, 2));
    assert_eq!(refusal("192.0.2.1:65536"), RejectReason::NotAnAddress);
    assert_eq!(listed(&plain("2001:db8::1:443")), ["2001:db8::1:443"]);
}

#[test]
fn e13_mapped_becomes_ipv4_and_compatible_is_rejected() {
    let parsed = plain("::ffff:203.0.113.10\n::ffff:cb00:710a\n::ffff:203.0.113.0/120\n");
    assert_eq!(listed(&parsed), ["203.0.113.10", "203.0.113.10", "203.0.113.0/24"]);
    for text in ["::203.0.113.10", "::cb00:710a", "::/96", "::2", "::ffff:203.0.113.10/90", "::1-::5"] {
        assert_eq!(refusal(text), RejectReason::Ipv4Compatible, "{text}");
    }
    // A mapped prefix is as wide as the IPv4 prefix it stands for.
    assert_eq!(refusal("::ffff:0:0/96"), RejectReason::TooWide);
}

#[test]
fn e14_transition_space_is_taken_host_by_host() {
    let hosts = ["2002:c000:207::/48", "2002:c000:207::1", "2001:0:c000:207::/64", "64:ff9b::c000:207"];
    assert_eq!(
        listed(&plain(hosts.join("\n"))),
        ["2002:c000:207::/48", "2002:c000:207::1", "2001:0:c000:207::/64", "64:ff9b::c000:207"]
    );
    for text in [
        "2002::/20",
        "2002:c000::/47",
        "2001:0:c000:206::/63",
        "2001::/32",
        "2001::/24",
        "64:ff9b::/96",
        "64:ff9b::1-64:ff9b::2",
    ] {
        assert_eq!(refusal(text), RejectReason::TransitionSpace, "{text}");
    }
}

#[test]
fn e15_zone_ids_are_rejected_and_brackets_stripped() {
    assert_eq!(refusal("fe80::1%eth0"), RejectReason::ZoneId);
    assert_eq!(refusal("[fe80::1%eth0]"), RejectReason::ZoneId);
    let parsed = plain("[2001:db8::1]\n[2001:db8::]/48\n[192.0.2.1]\n");
    assert_eq!(listed(&parsed), ["192.0.2.1", "2001:db8::1", "2001:db8::/48"]);
    assert_eq!(parsed.counts.repaired, 3);
    assert_eq!(refusal("[2001:db8::1"), RejectReason::NotAnAddress);
}

#[test]
fn e16_special_use_is_removed_and_counted() {
    let special = "10.1.2.3\n172.16.0.0/12\n192.168.7.0/24\n127.0.0.2\n169.254.1.1\n100.64.0.0/10\n0.0.0.0\n\
        239.1.1.1\n::\n::1\nfd00::1\nfe80::1\nfe80::/10\nff02::1\n";
    let parsed = plain(format!("{special}9.255.0.0-10.0.0.1\n192.0.2.1\n"));
    assert_eq!(listed(&parsed), ["9.255.0.0/16", "192.0.2.1"]);
    assert_eq!((parsed.counts.special_use, parsed.counts.cut, parsed.counts.accepted), (14, 1, 2));
    assert_eq!(parsed.counts.rejected_total(), 0);
}

#[test]
fn e16_a_cut_entry_keeps_its_line_in_every_part() {
    let parsed = plain("# one\n172.0.0.0/8\n");
    assert_eq!(listed(&parsed), ["172.0.0.0/12", "172.32.0.0-172.255.255.255"]);
    assert!(parsed.entries.v4.iter().all(|e| e.line == 2));
    assert_eq!(parsed.counts.accepted, 1);
}

#[test]
fn e16_bogon_lists_keep_special_use() {
    let bogons = Rules { keep_special_use: true, widest_v6: 8, ..rules(Format::Plain) };
    let parsed = parse(&bogons, b"10.0.0.0/8\n172.0.0.0/8\nfe80::/10\n::1\n").unwrap();
    assert_eq!(listed(&parsed), ["10.0.0.0/8", "172.0.0.0/8", "fe80::/10", "::1"]);
    assert_eq!((parsed.counts.special_use, parsed.counts.cut), (0, 0));
}

#[test]
fn e18_punctuation_is_rejected() {
    for text in [",", "-", "/", "...", ":", "\"\""] {
        assert_eq!(refusal(text), RejectReason::Empty, "{text}");
    }
}

#[test]
fn e19_duplicates_are_left_to_flatten() {
    let parsed = plain("192.0.2.1\n192.0.2.0/24\n192.0.2.1\n");
    assert_eq!(parsed.entries.v4.iter().map(|e| e.line).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(parsed.counts.accepted, 3);
}

#[test]
fn e20_glued_lines_are_rejected() {
    for text in ["176.221.42.3254.174.140.223", "192.0.2.1192.0.2.2", "192.0.2.0/24198.51.100.0/24"] {
        assert_eq!(refusal(text), RejectReason::GluedLines, "{text}");
    }
}

#[test]
fn e21_trailing_text_is_rejected() {
    for text in [
        "192.0.2.1 spam source",
        "192.0.2.0/24 AS64500",
        "2001:db8::1 x",
        "192.0.2.1 - 192.0.2.9 x",
        "192.0.2.1 192.0.2.2",
    ] {
        assert_eq!(refusal(text), RejectReason::TrailingText, "{text}");
    }
}

#[test]
fn e22_host_names_are_rejected() {
    for text in [
        "bad.example",
        "bad-host.example",
        "xn--bcher-kva.example",
        "b\u{fc}cher.example",
        "localhost",
        "192-0-2-1.bad.example",
        "1.2.3.4.in-addr.arpa",
    ] {
        assert_eq!(refusal(text), RejectReason::HostName, "{text}");
    }
    assert_eq!(refusal("http://192.0.2.5:52873/bin.sh"), RejectReason::NotAnAddress);
}

#[test]
fn e23_very_long_lines_refuse_the_body_but_for_json() {
    let mut text = b"192.0.2.1\n".to_vec();
    text.extend(b"192.0.2.2,".repeat(10_000));
    for format in [Format::Plain, Format::ScoreTsv, Format::SpamhausText, Format::Netset, Format::Csv] {
        let error = parse(&rules(format), &text).unwrap_err();
        assert!(matches!(error, BodyError::LongLine { line: 2, .. }), "{format:?}: {error}");
    }
    let object = format!("{{\"cidr\":\"192.0.2.0/24\",\"note\":\"{}\"}}", "x".repeat(100_000));
    assert_eq!(parse(&rules(Format::SpamhausJson), object.as_bytes()).unwrap().counts.accepted, 1);
}

#[test]
fn e24_exclusion_marks_are_never_block_entries() {
    for text in [
        "!192.0.2.1",
        "@@192.0.2.1",
        "-192.0.2.1",
        "! 192.0.2.1",
        "!192.0.2.0/24",
        "-2001:db8::1",
        "@@||bad.example^",
        "--192.0.2.1",
    ] {
        assert_eq!(refusal(text), RejectReason::Negated, "{text}");
    }
}

#[test]
fn g02_an_error_page_in_plain_text_has_no_entry() {
    let parsed = plain("404: Not Found");
    assert!(parsed.entries.is_empty());
    assert_eq!(parsed.rejects[0].reason, RejectReason::NotAnAddress);
}

#[test]
fn f47_gzip_works_around_every_format() {
    use std::io::Write;
    for info in &FORMATS {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(info.example.as_bytes()).unwrap();
        let rules = Rules { column: Some(Column::Name("dst_ip".into())), ..rules(info.format) };
        let packed = parse(&rules, &encoder.finish().unwrap()).unwrap();
        assert_eq!(packed, parse(&rules, info.example.as_bytes()).unwrap(), "{}", info.name);
    }
}

#[test]
fn rejects_are_all_counted_and_the_first_are_kept() {
    let mut text = "bad.example\n".repeat(MAX_REJECTS + 5);
    text.push_str("192.0.2.1\n");
    let parsed = plain(text);
    assert_eq!(parsed.rejects.len(), MAX_REJECTS);
    assert_eq!(parsed.rejects[MAX_REJECTS - 1].line, 1000);
    assert_eq!(parsed.counts.rejected[&RejectReason::HostName], MAX_REJECTS as u64 + 5);
    assert_eq!(parsed.entries.v4[0].line, 1006);
}

#[test]
fn counts_and_rejects_have_a_json_form() {
    let parsed = plain("bad.example\n010.0.0.1\n");
    let json = serde_json::to_value(&parsed.counts).unwrap();
    assert_eq!(json["rejected"], serde_json::json!({ "leading-zero": 1, "host-name": 1 }));
    assert_eq!(serde_json::from_value::<Counts>(json).unwrap(), parsed.counts);
    let json = serde_json::to_value(&parsed.rejects[1]).unwrap();
    assert_eq!(json, serde_json::json!({ "line": 2, "text": "010.0.0.1", "reason": "leading-zero" }));
}
