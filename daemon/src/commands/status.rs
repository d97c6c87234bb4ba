//! `blackthorn status`: what the running daemon serves and how it fares.

use super::text::{age, ago, bytes, columns, counted, number, section};
use super::{Verdict, client, output, wait};
use crate::cli;
use crate::control::report::{Process, Reload, Status};
use crate::engine::status::{FeedState, FeedStatus, FilterStatus, GenerationStatus, ZoneStatus};
use crate::engine::unix_now;
use crate::stats::DnsStats;
use std::error::Error;

/// Asks the daemon and prints its answer.
pub(super) fn run(args: &cli::Status) -> Result<Verdict, Box<dyn Error>> {
    let client = client(&args.daemon)?;
    let status = wait(client.status())??;
    output::show(args.form.json, &status, |status| text(status, unix_now()))?;
    Ok(Verdict::Yes)
}

fn text(status: &Status, now: u64) -> String {
    let Status { process, engine, dns } = status;
    let title = format!(
        "blackthorn {}, pid {}, up {}\n",
        process.version,
        process.pid,
        age(now.saturating_sub(process.started_at))
    );
    title
        + &section("config", &config(process, now))
        + &section("dns", &process.listen.iter().map(ToString::to_string).collect::<Vec<_>>())
        + &section("queries", &queries(dns))
        + &section("generation", &generation(&engine.generation, now))
        + &section("feeds", &feeds(&engine.feeds))
        + &section("zones", &columns(&engine.zones.iter().map(zone).collect::<Vec<_>>(), &[]))
        + &section("filter", &filter(&engine.filter))
        + &section("warnings", &engine.warnings)
}

fn config(process: &Process, now: u64) -> Vec<String> {
    let reload = process.reload.as_ref().map(|Reload { at, error }| match error {
        None => format!("reloaded {}", ago(now, *at)),
        Some(error) => format!("reload {} REFUSED, the old one stays in force: {error}", ago(now, *at)),
    });
    [process.config.clone()].into_iter().chain(reload).collect()
}

fn queries(dns: &DnsStats) -> Vec<String> {
    let rcodes = [
        (&dns.rcodes.noerror, "NOERROR"),
        (&dns.rcodes.nxdomain, "NXDOMAIN"),
        (&dns.rcodes.refused, "REFUSED"),
        (&dns.rcodes.servfail, "SERVFAIL"),
        (&dns.rcodes.formerr, "FORMERR"),
        (&dns.rcodes.notimp, "NOTIMP"),
        (&dns.rcodes.badvers, "BADVERS"),
    ];
    let named = |parts: &[String]| parts.join(", ");
    let rcodes: Vec<String> = rcodes
        .iter()
        .filter(|(count, _)| count.get() > 0)
        .map(|(count, name)| format!("{} {name}", number(count.get())))
        .collect();
    let trouble =
        [(&dns.truncated, "truncated"), (&dns.dropped, "dropped"), (&dns.socket_errors, "socket errors")];
    let trouble = trouble.map(|(count, name)| format!("{} {name}", number(count.get())));
    let taken = format!(
        "{} by UDP, {} by TCP on {}",
        number(dns.udp.get()),
        number(dns.tcp.get()),
        counted(dns.connections.get(), "connection", "connections")
    );
    let listed = format!("{} listed, {} not listed", number(dns.listed.get()), number(dns.not_listed.get()));
    let mut lines = vec![taken, listed, named(&rcodes), named(&trouble)];
    lines.retain(|line| !line.is_empty());
    lines
}

fn generation(generation: &GenerationStatus, now: u64) -> Vec<String> {
    if generation.serial == 0 {
        return vec!["none yet".to_owned()];
    }
    vec![
        format!(
            "{}, built {} in {} ms",
            generation.serial,
            ago(now, generation.built_at),
            number(generation.took_ms)
        ),
        format!(
            "{} in {}, {}",
            counted(generation.addresses_v4, "IPv4 address", "IPv4 addresses"),
            counted(generation.segments_v4, "segment", "segments"),
            counted(generation.segments_v6, "IPv6 segment", "IPv6 segments"),
        ),
        format!(
            "{}, table {}",
            counted(generation.listings, "listing", "listings"),
            bytes(generation.table_bytes)
        ),
        format!(
            "{}, {}",
            counted(generation.exclusions, "exclusion", "exclusions"),
            counted(generation.protections, "protection", "protections")
        ),
    ]
}

/// How many feeds are in which state; those that need somebody's attention by name.
fn feeds(feeds: &[FeedStatus]) -> Vec<String> {
    let in_state = |state| feeds.iter().filter(move |feed| feed.state == state).map(|feed| feed.id.as_str());
    let named = |state, what: &str| {
        let ids: Vec<&str> = in_state(state).collect();
        (!ids.is_empty()).then(|| format!("{} {what}: {}", ids.len(), ids.join(", ")))
    };
    let ok = format!("{} ok", in_state(FeedState::Ok).count());
    let others = [
        named(FeedState::Waiting, "waiting"),
        named(FeedState::Failing, "FAILING"),
        named(FeedState::Quarantined, "QUARANTINED"),
    ];
    [Some(ok)].into_iter().chain(others).flatten().collect()
}

fn zone(zone: &ZoneStatus) -> [String; 3] {
    let state = if zone.loaded { "" } else { "NO DATA, answers SERVFAIL" };
    [zone.name.clone(), zone.feeds.join(", "), state.to_owned()]
}

fn filter(filter: &FilterStatus) -> Vec<String> {
    let mut lines = vec![match &filter.note {
        Some(note) => format!("{}: {note}", filter.action),
        None => filter.action.clone(),
    }];
    let interfaces: Vec<[String; 3]> = filter
        .interfaces
        .iter()
        .map(|interface| {
            let mode = interface.mode.clone().unwrap_or_else(|| "NOT ATTACHED".to_owned());
            [interface.name.clone(), mode, interface.note.clone().unwrap_or_default()]
        })
        .collect();
    lines.extend(columns(&interfaces, &[]));
    let counters: Vec<[String; 3]> = filter
        .counters
        .iter()
        .map(|counter| {
            let packets = counted(counter.packets, "packet", "packets");
            [counter.reason.clone(), packets, bytes(counter.bytes)]
        })
        .collect();
    lines.extend(columns(&counters, &[1, 2]));
    lines
}
