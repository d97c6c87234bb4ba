//! Names of questions: reading, matching with zones and reading back to addresses agree with the slow and obvious way,
//! whatever the case of the letters.
//!
//! Input: a number of labels for a second zone, then octets as they may follow the header of a message.

#![no_main]

use blackthorn::core::name::{Asked, DomainName, MAX_LABEL, MAX_NAME, QuestionName};
use blackthorn::core::network::fold;
use blackthorn::core::span::Span;
use blackthorn_fuzz::Input;
use libfuzzer_sys::fuzz_target;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let depth = usize::from(input.byte());
    let octets = input.rest();
    let Some(name) = QuestionName::read(octets) else {
        assert_eq!(labels(octets), None);
        return;
    };
    let labels = labels(octets).expect("read by the other way");
    assert_eq!(name.labels(), labels.len());
    assert_eq!(name.wire().len(), labels.iter().map(|label| label.len() + 1).sum::<usize>() + 1);
    for (index, label) in labels.iter().enumerate() {
        assert_eq!(name.label(index), *label);
        assert_eq!(usize::from(name.wire()[name.start(index)]), label.len());
    }
    assert_eq!((name.label(labels.len()), name.start(labels.len())), (&b""[..], name.wire().len() - 1));

    // The same in other letters: every second one changes its case. Length octets are no letters.
    let swap = |(i, octet): (usize, u8)| match octet {
        b'a'..=b'z' | b'A'..=b'Z' if i % 2 == 0 => octet ^ 0x20,
        other => other,
    };
    let swapped: Vec<u8> = name.wire().iter().copied().enumerate().map(swap).collect();
    let swapped = QuestionName::read(&swapped).expect("as long as before");

    // A fixed zone, one from the name itself, and one that is read as text.
    let own = labels.get(depth.min(labels.len())..).and_then(text);
    let zones = [Some("bl.example".to_owned()), own, std::str::from_utf8(octets).ok().map(str::to_owned)];
    for zone in zones.into_iter().flatten().filter_map(|text| configured(&text)) {
        let of_zone = self::labels(zone.wire()).expect("a whole name");
        let below = depth_below(&labels, &of_zone);
        assert_eq!(name.depth_below(&zone), below);
        assert_eq!(swapped.depth_below(&zone), below);
        let above = labels.len() < of_zone.len() && depth_below(&of_zone, &labels).is_some();
        assert_eq!(name.is_above(&zone), above);
        assert_eq!(swapped.is_above(&zone), above);
        let count = below.unwrap_or(labels.len());
        let asked = Asked::read(&name, count);
        assert_eq!(asked, reference(&labels[..count]));
        assert_eq!(Asked::read(&swapped, count), asked);
    }
});

/// The labels of a name, one by one.
fn labels(mut octets: &[u8]) -> Option<Vec<&[u8]>> {
    let mut labels = Vec::new();
    let mut len = 1;
    loop {
        let (&count, rest) = octets.split_first()?;
        let count = usize::from(count);
        if count == 0 {
            return (len <= MAX_NAME).then_some(labels);
        }
        if count > MAX_LABEL || rest.len() < count {
            return None;
        }
        let (label, rest) = rest.split_at(count);
        len += count + 1;
        labels.push(label);
        octets = rest;
    }
}

/// The labels as one writes them, where they can be written.
fn text(labels: &[&[u8]]) -> Option<String> {
    let labels: Result<Vec<&str>, _> = labels.iter().map(|label| std::str::from_utf8(label)).collect();
    labels.ok().map(|labels| labels.join("."))
}

/// A configured name; it has to be one exactly if the rules for names say so.
fn configured(text: &str) -> Option<DomainName> {
    let labels: Vec<&str> = text.split('.').collect();
    let legal = |label: &&str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let fits = labels.iter().map(|label| label.len() + 1).sum::<usize>() < MAX_NAME;
    let name = DomainName::parse(text);
    assert_eq!(name.is_ok(), labels.iter().all(legal) && fits, "{text:?}");
    let name = name.ok()?;
    assert_eq!(name.labels(), labels.len());
    assert_eq!(name.below(&name), Some(&b""[..]));
    Some(name)
}

/// How many labels stand in front of the zone.
fn depth_below(name: &[&[u8]], zone: &[&[u8]]) -> Option<usize> {
    let depth = name.len().checked_sub(zone.len())?;
    name[depth..].iter().zip(zone).all(|(a, b)| a.eq_ignore_ascii_case(b)).then_some(depth)
}

/// What the labels in front of a zone ask for, by way of texts that the standard library reads.
fn reference(front: &[&[u8]]) -> Asked {
    if front.is_empty() {
        return Asked::Apex;
    }
    let reversed: Option<Vec<String>> =
        front.iter().rev().map(|label| String::from_utf8(label.to_vec()).ok()).collect();
    let Some(labels) = reversed.filter(|labels| labels.iter().all(|label| !label.contains('.'))) else {
        return Asked::NotAnAddress;
    };
    let (v4, v6) = (v4(&labels), v6(&labels));
    match (v4, v6) {
        (None, None) => Asked::NotAnAddress,
        (Some(span), _) if labels.len() == 4 => {
            Asked::Address { address: Ipv4Addr::from(span.first).into(), above: v6 }
        }
        (_, Some(span)) if labels.len() == 32 => {
            Asked::Address { address: fold(IpAddr::V6(Ipv6Addr::from(span.first))), above: None }
        }
        _ => Asked::Partial { v4, v6 },
    }
}

fn v4(labels: &[String]) -> Option<Span<u32>> {
    let missing = 4usize.checked_sub(labels.len())?;
    let text = [labels.join("."), ".0".repeat(missing)].concat();
    let address: Ipv4Addr = text.parse().ok()?;
    Some(Span::prefix(address.into(), 8 * labels.len() as u8))
}

fn v6(labels: &[String]) -> Option<Span<u128>> {
    let is_digit = |label: &String| label.len() == 1 && label.bytes().all(|b| b.is_ascii_hexdigit());
    if labels.len() > 32 || !labels.iter().all(is_digit) {
        return None;
    }
    let address = u128::from_str_radix(&format!("{:0<32}", labels.concat()), 16).ok()?;
    Some(Span::prefix(address, 4 * labels.len() as u8))
}
