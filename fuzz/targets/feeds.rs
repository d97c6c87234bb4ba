//! Feeds: any body is read to entries and rejects that add up, or refused as a whole.
//!
//! Input: one letter for the format (p, s, t, j, n, c, h, d, r, a, u), one for the rules (bits: see [`rules`]), the body.

#![no_main]

use blackthorn::core::entry::Entry;
use blackthorn::core::feed::{Column, Format, MAX_REJECTS, Parsed, Rules, WIDEST_EVER, find, parse};
use blackthorn::core::network::Network;
use blackthorn::core::span::{Bits, Span};
use blackthorn::core::special;
use blackthorn_fuzz::Input;
use libfuzzer_sys::fuzz_target;

/// Limit for a decoded body: lets a small gzip body hit it.
const MAX_BYTES: u64 = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let rules = rules(input.byte(), input.byte());
    let body = input.rest();
    let Ok(parsed) = parse(&rules, body) else { return };
    counts_add_up(&rules, &parsed);
    let (first_v4, first_v6) = (parsed.entries.v4.first(), parsed.entries.v6.first());
    entries_are_sound(&rules, &parsed, &parsed.entries.v4, &special::V4, Network::V4);
    entries_are_sound(&rules, &parsed, &parsed.entries.v6, &special::V6, Network::V6);
    survives_writing(&parsed);
    let places = first_v4.map(|e| (e.line, e.span.first.to_ip())).into_iter();
    for (line, address) in places.chain(first_v6.map(|e| (e.line, e.span.first.to_ip()))) {
        let found = find(&rules, body, &[address]).expect("as before");
        // The first address of a wide IPv6 prefix may be an IPv4-mapped one, which counts as IPv4.
        if Network::host(address).first() == address {
            assert!(found[0].lines.iter().any(|source| source.line == line), "{address} of line {line}");
        }
    }
});

/// Bits of `options`: 1 strict, 2 special-use space kept, 4 a column by number, 8 a column by name, 16 a score needed,
/// 32 narrow networks only.
fn rules(format: u8, options: u8) -> Rules {
    let format = match format {
        b's' => Format::ScoreTsv,
        b't' => Format::SpamhausText,
        b'j' => Format::SpamhausJson,
        b'n' => Format::Netset,
        b'c' => Format::Csv,
        b'h' => Format::Hosts,
        b'd' => Format::Domains,
        b'r' => Format::Resolver,
        b'a' => Format::Adblock,
        b'u' => Format::Urls,
        _ => Format::Plain,
    };
    let is_set = |bit: u8| options & bit != 0;
    let column = if is_set(8) {
        Some(Column::Name("dst_ip".to_owned()))
    } else {
        is_set(4).then_some(Column::Number(2))
    };
    let mut rules = Rules { column, min_score: u32::from(is_set(16)), ..Rules::new(format) };
    (rules.strict, rules.keep_special_use, rules.max_bytes) = (is_set(1), is_set(2), MAX_BYTES);
    if is_set(32) {
        (rules.widest_v4, rules.widest_v6) = (24, 48);
    }
    rules
}

fn counts_add_up(rules: &Rules, parsed: &Parsed) {
    let Parsed { entries, domains, rejects, counts, .. } = parsed;
    assert!(counts.lines <= rules.max_bytes);
    assert_eq!(counts.lines, counts.comments + counts.rows());
    assert!(counts.repaired.max(counts.cut).max(counts.ports).max(counts.notes) <= counts.accepted);
    // Cutting special-use space out of a network leaves one part more than there are such spaces, at most.
    let parts = 1 + special::V4.len().max(special::V6.len()) as u64;
    let listed = (entries.len() + domains.len()) as u64;
    // A row may name many domains.
    assert!(listed >= counts.accepted && (rules.format.lists_domains() || listed <= counts.accepted * parts));
    assert!(rules.format.lists_domains() || domains.is_empty());
    assert_eq!(rejects.len() as u64, counts.rejected_total().min(MAX_REJECTS as u64));
    for reject in rejects {
        assert!((1..=counts.lines).contains(&reject.line.into()), "{reject:?}");
        assert!(!reject.text.chars().any(char::is_control), "{reject:?}");
    }
}

fn entries_are_sound<A: Bits>(
    rules: &Rules,
    parsed: &Parsed,
    entries: &[Entry<A>],
    special: &[Span<A>],
    network: fn(Span<A>) -> Network,
) {
    assert!(entries.is_sorted_by_key(|entry| entry.line));
    let widest = if A::WIDTH == 32 { rules.widest_v4 } else { rules.widest_v6 }.max(WIDEST_EVER);
    for entry in entries {
        assert!((1..=parsed.counts.lines).contains(&entry.line.into()));
        assert!(entry.span.first <= entry.span.last);
        let network = network(entry.span);
        assert!(network.size() <= 1 << (A::WIDTH - widest), "{network} is too wide");
        assert!(rules.keep_special_use || !special.iter().any(|s| s.overlaps(&entry.span)), "{network}");
        assert_eq!(network.to_string().parse(), Ok(network));
    }
}

/// What was read, written as a plain list, is read as the same.
fn survives_writing(parsed: &Parsed) {
    let v4 = parsed.entries.v4.iter().map(|entry| Network::V4(entry.span));
    let networks = || v4.clone().chain(parsed.entries.v6.iter().map(|entry| Network::V6(entry.span)));
    let text: String = networks().map(|network| format!("{network}\n")).collect();
    let rules =
        Rules { keep_special_use: true, strict: true, widest_v6: WIDEST_EVER, ..Rules::new(Format::Plain) };
    let again = parse(&rules, text.as_bytes()).expect("a list of ours");
    assert_eq!(again.counts.rejected_total(), 0, "{:?}", again.rejects);
    let spans = |parsed: &Parsed| {
        let v4: Vec<_> = parsed.entries.v4.iter().map(|entry| entry.span).collect();
        (v4, parsed.entries.v6.iter().map(|entry| entry.span).collect::<Vec<_>>())
    };
    assert_eq!(spans(&again), spans(parsed));
}
