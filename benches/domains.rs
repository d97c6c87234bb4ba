//! Lookup time, memory and build time of the domain table beside a hash map of whole names: listed names, names nobody
//! listed, and names far below both.

mod measure;

use blackthorn::core::domain::Scope;
use blackthorn::core::domain_table::{DomainRule, DomainTable};
use blackthorn::core::name::QuestionName;
use blackthorn::generations::in_huge_pages;
use blackthorn_common::payload::{Class, Payload};
use blackthorn_testkit::domains::{listed_names, wire};
use blackthorn_testkit::random::Random;
use criterion::Criterion;
use measure::{Aim, Clock, Group, Samples, criterion, report, size};
use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::hint::black_box;

const PROBES: usize = 1 << 17;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = criterion();
    for count in [100_000, 2_000_000] {
        measure(&mut criterion, count)?;
    }
    Ok(())
}

fn measure(criterion: &mut Criterion, count: usize) -> Result<(), Box<dyn Error>> {
    let names = distinct(1, count);
    let rules: Vec<DomainRule<'_>> = names.iter().zip(0..).map(|(name, value)| rule(name, value)).collect();
    let (built, table) = Clock::Thread.time(|| DomainTable::compile(&rules));
    let table = table?;
    // As in the daemon.
    let table = in_huge_pages(&table)?.unwrap_or(table);
    let case = size(count);
    let once = |value: f64, unit| Samples::new(vec![value], unit);
    report("domains, build", &case, &once(built.as_secs_f64() * 1000.0, "ms"), None, Aim::None);
    let octets = (table.words().len() * 4) as f64;
    report("domains, memory for each", &case, &once(octets / count as f64, "B"), None, Aim::AtMost(32.0));

    let mut peer: HashMap<&[u8], Payload> = HashMap::new();
    peer.extend(rules.iter().map(|rule| (rule.name, rule.payload)));
    let listed: HashSet<&[u8]> = names.iter().map(|name| &name[..]).collect();
    let mut random = Random::new(7);
    let mut pick = || names[random.below(names.len() as u64) as usize].clone();
    let hits: Vec<Vec<u8>> = (0..PROBES).map(|_| pick()).collect();
    let deep: Vec<Vec<u8>> =
        hits.iter().map(|name| [wire("a.b.c.d.e.f.g.h"), name.clone()].concat()).collect();
    let mut misses = listed_names(2, PROBES + PROBES / 2);
    misses.retain(|name| !listed.contains(&name[..]));
    misses.truncate(PROBES);
    for (what, probes) in [("hit", hits), ("miss", misses), ("deep", deep)] {
        lookups(criterion, &format!("{what}, {case}"), &table, &peer, &probes)?;
    }
    Ok(())
}

/// Every second name with all below it, in one of eight listings.
fn rule(name: &[u8], value: u32) -> DomainRule<'_> {
    let scope = if value.is_multiple_of(2) { Scope::Subtree } else { Scope::Exact };
    DomainRule { name, scope, payload: Payload::new(Class::Answer, 1 + value % 8).unwrap_or_default() }
}

/// The names under a zone, as questions; looked up in table and map. The map is asked for the whole name only, so its
/// answer is that of an exact list.
fn lookups(
    criterion: &mut Criterion,
    case: &str,
    table: &DomainTable,
    peer: &HashMap<&[u8], Payload>,
    probes: &[Vec<u8>],
) -> Result<(), Box<dyn Error>> {
    // One behind the other, so that they are in the caches in time, as what was just received is.
    let messages: Vec<u8> =
        probes.iter().flat_map(|name| [name, &b"\x02bl\x07example\0"[..]].concat()).collect();
    let mut rest = &messages[..];
    let mut questions: Vec<QuestionName<'_>> = Vec::with_capacity(probes.len());
    while let Some(question) = QuestionName::read(rest) {
        rest = rest.get(question.wire().len()..).unwrap_or_default();
        questions.push(question);
    }
    let names: Vec<u8> = probes.concat();
    let mut rest = &names[..];
    let mut probes_in_a_row: Vec<&[u8]> = Vec::with_capacity(probes.len());
    for probe in probes {
        let (front, behind) = rest.split_at(probe.len());
        probes_in_a_row.push(front);
        rest = behind;
    }
    let find_all = |()| {
        for question in &questions {
            black_box(table.find(question, question.labels() - 2));
        }
        Ok(())
    };
    let get_all = |()| {
        for probe in &probes_in_a_row {
            black_box(peer.get(probe));
        }
        Ok(())
    };
    let what = "lookup of domains";
    let mut group = Group::new(criterion, Clock::Thread, what, case);
    let (ours, theirs) = (group.time("ours", || (), find_all)?, group.time("peer", || (), get_all)?);
    let each = |all: Samples| all.map("ns", |time| time / probes.len() as f64);
    if let Some(ours) = ours {
        report(what, case, &each(ours), theirs.map(each).as_ref(), Aim::AtMost(300.0));
    }
    Ok(())
}

/// `count` different names.
fn distinct(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let mut names = listed_names(seed, count * 3);
    names.sort_unstable();
    names.dedup();
    let mut random = Random::new(seed);
    names.sort_by_cached_key(|_| random.bits());
    names.truncate(count);
    assert_eq!(names.len(), count, "three times as many were made");
    names
}
