//! `blackthorn status`: what the running daemon serves and how it fares.

use super::text::{age, ago, bytes, columns, counted, number, section};
use super::{Verdict, client, output, wait};
use crate::cli;
use crate::control::report::{LiveCounts, Process, Reload, Status};
use crate::dns::{CertificateStatus, Endpoint};
use crate::engine::status::{
    FeedState, FeedStatus, FilterStatus, GenerationStatus, HoldStatus, VerifierStatus, ZoneStatus,
};
use crate::engine::unix_now;
use crate::stats::{Counter, DnsStats, ZoneStats};
use std::collections::BTreeMap;
use std::error::Error;

/// Asks the daemon and prints its answer.
pub(super) fn run(args: &cli::Status) -> Result<Verdict, Box<dyn Error>> {
    let client = client(&args.daemon)?;
    let status = wait(client.status())??;
    output::show(args.form.json, &status, |status| text(status, unix_now()))?;
    Ok(Verdict::Yes)
}

fn text(status: &Status, now: u64) -> String {
    let Status { process, engine, live, dns, zones, hits } = status;
    let title = format!(
        "blackthorn {}, pid {}, up {}\n",
        process.version,
        process.pid,
        age(now.saturating_sub(process.started_at))
    );
    title
        + &section("config", &config(process, now))
        + &section("dns", &listeners(process, now))
        + &section("queries", &queries(dns))
        + &hits_of_feeds(hits)
        + &section("generation", &generation(&engine.generation, engine.hold.as_ref(), now))
        + &section("live", &[self::live(live)])
        + &section("feeds", &feeds(&engine.feeds))
        + &section("zones", &self::zones(&engine.zones, zones, now))
        + &section("filter", &filter(&engine.filter))
        + &section("verifier", &verifier(&engine.verifier, now))
        + &section("warnings", &engine.warnings)
}

fn config(process: &Process, now: u64) -> Vec<String> {
    let reload = process.reload.as_ref().map(|Reload { at, error }| match error {
        None => format!("reloaded {}", ago(now, *at)),
        Some(error) => format!("reload {} REFUSED, the old one stays in force: {error}", ago(now, *at)),
    });
    [process.config.clone()].into_iter().chain(reload).collect()
}

fn listeners(process: &Process, now: u64) -> Vec<String> {
    let plain = process.listen.iter().map(ToString::to_string);
    let encrypted =
        process.encrypted.iter().map(|Endpoint { service, address }| format!("{address} {service}"));
    let certificate = process.certificate.iter().flat_map(|certificate| self::certificate(certificate, now));
    plain.chain(encrypted).chain(certificate).collect()
}

fn certificate(
    CertificateStatus { file, loaded_at, expires_at, error }: &CertificateStatus,
    now: u64,
) -> Vec<String> {
    let ends = match expires_at {
        None => String::new(),
        Some(at) if *at <= now => ", EXPIRED".to_owned(),
        Some(at) => format!(", expires in {}", age(at - now)),
    };
    let refused =
        error.as_ref().map(|error| format!("certificate NOT CHANGED, the one before stays in use: {error}"));
    [format!("certificate {file}, read {}{ends}", ago(now, *loaded_at))].into_iter().chain(refused).collect()
}

fn queries(dns: &DnsStats) -> Vec<String> {
    let transports = [
        (&dns.udp, "by UDP"),
        (&dns.tcp, "by TCP"),
        (&dns.tls, "by TLS"),
        (&dns.https, "by HTTPS"),
        (&dns.quic, "by QUIC"),
    ];
    let mut taken = counts(&transports);
    if dns.connections.get() > 0 {
        taken.push(counted(dns.connections.get(), "connection", "connections"));
    }
    let rcodes = [
        (&dns.rcodes.noerror, "NOERROR"),
        (&dns.rcodes.nxdomain, "NXDOMAIN"),
        (&dns.rcodes.refused, "REFUSED"),
        (&dns.rcodes.servfail, "SERVFAIL"),
        (&dns.rcodes.formerr, "FORMERR"),
        (&dns.rcodes.notimp, "NOTIMP"),
        (&dns.rcodes.notauth, "NOTAUTH"),
        (&dns.rcodes.badvers, "BADVERS"),
        (&dns.rcodes.badcookie, "BADCOOKIE"),
    ];
    let access = [
        (&dns.access.keyed, "with a key"),
        (&dns.access.refused, "refused to the client"),
        (&dns.access.quota, "beyond a quota"),
        (&dns.access.emptied, "answered empty"),
        (&dns.access.coded, "answered with the code for all"),
        (&dns.access.uncounted, "not counted against a quota"),
    ];
    let dropped = [
        (&dns.dropped.no_query, "dropped: no query"),
        (&dns.dropped.port, "dropped for their port"),
        (&dns.dropped.access, "dropped for their client"),
        (&dns.dropped.rate, "dropped above the rate limit"),
    ];
    let trouble = [
        (&dns.truncated, "truncated"),
        (&dns.slipped, "slipped through the rate limit"),
        (&dns.socket_errors, "socket errors"),
        (&dns.crowded_out, "connections closed to make room"),
        (&dns.failed_handshakes, "failed handshakes"),
        (&dns.unlogged, "missing in the query log"),
    ];
    let mut lines = vec![
        taken.join(", "),
        format!("{} listed, {} not listed", number(dns.listed.get()), number(dns.not_listed.get())),
        counts(&rcodes).join(", "),
        counts(&access).join(", "),
        [counts(&dropped), counts(&trouble)].concat().join(", "),
    ];
    if let (Some(half), Some(most)) = (dns.latency.quantile(500), dns.latency.quantile(990)) {
        lines.push(format!(
            "answered by UDP within {} us (half of them), {} us (99 %)",
            number(half),
            number(most)
        ));
    }
    lines.retain(|line| !line.is_empty());
    lines
}

/// How often the feeds listed something, if they did.
fn hits_of_feeds(hits: &BTreeMap<String, u64>) -> String {
    let each: Vec<[String; 2]> = hits.iter().map(|(feed, count)| [feed.clone(), number(*count)]).collect();
    if each.is_empty() { String::new() } else { section("hits", &columns(&each, &[1])) }
}

/// What was counted at all.
fn counts(counters: &[(&Counter, &str)]) -> Vec<String> {
    let counted = counters.iter().filter(|(count, _)| count.get() > 0);
    counted.map(|(count, name)| format!("{} {name}", number(count.get()))).collect()
}

fn generation(generation: &GenerationStatus, hold: Option<&HoldStatus>, now: u64) -> Vec<String> {
    if generation.serial == 0 {
        return vec!["none yet".to_owned()];
    }
    let mut lines = vec![
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
    ];
    if generation.domains > 0 {
        let domains = counted(generation.domains, "domain", "domains");
        lines.insert(2, format!("{domains}, table {}", bytes(generation.domain_bytes)));
    }
    lines.extend(hold.map(|hold| {
        let waiting = if hold.waiting { ", something new waits" } else { "" };
        let rollback = hold.rolled_back_to.map(|to| format!(" by a rollback to {to}")).unwrap_or_default();
        format!("HELD since {}{rollback}{waiting}; end it with `blackthorn resume`", ago(now, hold.since))
    }));
    lines
}

/// What operators did by hand; `blackthorn live` has the list.
fn live(LiveCounts { blocks, allows }: &LiveCounts) -> String {
    format!("{}, {}", counted(*blocks, "block", "blocks"), counted(*allows, "allow", "allows"))
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

fn zones(zones: &[ZoneStatus], counters: &BTreeMap<String, ZoneStats>, now: u64) -> Vec<String> {
    let line = |zone: &ZoneStatus| {
        let asked = counters.get(&zone.name).map(|counters| {
            let ZoneStats { questions, listed, .. } = counters;
            format!("{} questions, {} listed", number(questions.get()), number(listed.get()))
        });
        let state = match zone.expires_at {
            _ if zone.retired => "closed".to_owned(),
            _ if !zone.loaded => "NO DATA, answers SERVFAIL".to_owned(),
            Some(at) if at <= now => format!("EXPIRED {}, answers SERVFAIL", ago(now, at)),
            _ => String::new(),
        };
        [zone.name.clone(), zone.feeds.join(", "), asked.unwrap_or_default(), state]
    };
    columns(&zones.iter().map(line).collect::<Vec<_>>(), &[])
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

fn verifier(verifier: &VerifierStatus, now: u64) -> Vec<String> {
    let Some(last) = &verifier.last else { return vec!["nothing was compared yet".to_owned()] };
    let kernel = if last.kernel { ", in the kernel too" } else { "" };
    let outcome = match last.mismatches {
        0 => "all agree".to_owned(),
        wrong => format!("{} WRONG", number(wrong)),
    };
    vec![
        format!(
            "{}: {} with {} by DNS{kernel}: {outcome}",
            ago(now, last.at),
            counted(last.addresses, "address", "addresses"),
            counted(last.questions, "question", "questions"),
        ),
        format!(
            "{} since the start, {} wrong, {}",
            counted(verifier.rounds, "round", "rounds"),
            number(verifier.mismatches),
            counted(verifier.repairs, "repair", "repairs"),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Service;
    use crate::engine::status::{EngineStatus, FilterCounter, InterfaceState, LastRound};
    use std::time::Duration;

    const NOW: u64 = 1_795_000_000;

    fn feed(id: &str, state: FeedState) -> FeedStatus {
        FeedStatus {
            id: id.to_owned(),
            source: "lists/a.txt".to_owned(),
            format: "plain".to_owned(),
            state,
            loaded: true,
            fetched_at: None,
            checked_at: None,
            last_error: None,
            sha256: None,
            counts: Default::default(),
        }
    }

    fn zone(loaded: bool) -> ZoneStatus {
        ZoneStatus { name: String::new(), loaded, feeds: Vec::new(), expires_at: None, retired: false }
    }

    fn process() -> Process {
        Process {
            version: "1.2.3".to_owned(),
            pid: 4711,
            started_at: NOW - 7_200,
            config: "/etc/blackthorn/blackthorn.toml".to_owned(),
            listen: vec!["127.0.0.1:5300".parse().unwrap(), "[::1]:5300".parse().unwrap()],
            encrypted: Vec::new(),
            certificate: None,
            reload: None,
        }
    }

    #[test]
    fn a_busy_daemon() {
        let dns = DnsStats::default();
        (0..1_234).for_each(|_| dns.udp.add_one());
        dns.tcp.add_one();
        dns.connections.add_one();
        dns.listed.add_one();
        dns.rcodes.noerror.add_one();
        dns.rcodes.refused.add_one();
        dns.dropped.rate.add_one();
        dns.truncated.add(2);
        dns.access.quota.add_one();
        dns.latency.bucket(Duration::from_micros(30)).add_one();
        let asked = ZoneStats::default();
        asked.questions.add(1_235);
        asked.listed.add_one();
        let reload = Reload { at: NOW - 300, error: Some("b.toml:3: unknown key".to_owned()) };
        let interface = |name: &str, mode: Option<&str>, note: Option<&str>| InterfaceState {
            name: name.to_owned(),
            mode: mode.map(str::to_owned),
            note: note.map(str::to_owned),
        };
        let counter =
            |reason: &str, packets, bytes| FilterCounter { reason: reason.to_owned(), packets, bytes };
        let status = Status {
            process: Process { reload: Some(reload), ..process() },
            engine: EngineStatus {
                generation: GenerationStatus {
                    serial: 1_794_999_999,
                    built_at: NOW - 180,
                    took_ms: 1_200,
                    segments_v4: 1_000,
                    segments_v6: 1,
                    addresses_v4: 120_430,
                    domains: 2_000,
                    domain_bytes: 53_248,
                    listings: 12,
                    table_bytes: 530_944,
                    exclusions: 9,
                    protections: 20,
                },
                feeds: vec![
                    feed("a", FeedState::Ok),
                    feed("b", FeedState::Failing),
                    feed("c", FeedState::Ok),
                    feed("d", FeedState::Failing),
                    feed("e", FeedState::Waiting),
                ],
                zones: vec![
                    ZoneStatus {
                        name: "bl.example".to_owned(),
                        feeds: vec!["a".to_owned(), "b".to_owned()],
                        ..zone(true)
                    },
                    ZoneStatus { name: "new.example".to_owned(), feeds: vec!["e".to_owned()], ..zone(false) },
                    ZoneStatus { name: "old.example".to_owned(), expires_at: Some(NOW - 60), ..zone(true) },
                    ZoneStatus { name: "gone.example".to_owned(), retired: true, ..zone(true) },
                ],
                filter: FilterStatus {
                    action: "drop".to_owned(),
                    note: None,
                    interfaces: vec![
                        interface("eth0", Some("native"), None),
                        interface("wg0", None, Some("no such interface")),
                    ],
                    counters: vec![counter("drop-listed", 12_345, 2_048), counter("pass-clean", 1, 60)],
                },
                hold: Some(HoldStatus {
                    serial: 1_794_999_999,
                    since: NOW - 120,
                    rolled_back_to: Some(1_794_999_000),
                    waiting: true,
                }),
                verifier: VerifierStatus {
                    last: Some(LastRound {
                        at: NOW - 60,
                        serial: 1_794_999_999,
                        addresses: 2_011,
                        questions: 1_024,
                        kernel: true,
                        mismatches: 1,
                        example: Some("192.0.2.1: the kernel says not listed".to_owned()),
                        problems: Vec::new(),
                    }),
                    rounds: 7,
                    mismatches: 3,
                    repairs: 1,
                },
                warnings: vec!["state directory: no space left".to_owned()],
            },
            live: LiveCounts { blocks: 1_234, allows: 1 },
            dns,
            zones: BTreeMap::from([("bl.example".to_owned(), asked)]),
            hits: BTreeMap::from([("a".to_owned(), 1_200), ("other".to_owned(), 7)]),
        };
        assert_eq!(
            text(&status, NOW),
            "\
blackthorn 1.2.3, pid 4711, up 2h
  config      /etc/blackthorn/blackthorn.toml
              reload 5m ago REFUSED, the old one stays in force: b.toml:3: unknown key
  dns         127.0.0.1:5300
              [::1]:5300
  queries     1,234 by UDP, 1 by TCP, 1 connection
              1 listed, 0 not listed
              1 NOERROR, 1 REFUSED
              1 beyond a quota
              1 dropped above the rate limit, 2 truncated
              answered by UDP within 32 us (half of them), 32 us (99 %)
  hits        a      1,200
              other      7
  generation  1794999999, built 3m ago in 1,200 ms
              120,430 IPv4 addresses in 1,000 segments, 1 IPv6 segment
              2,000 domains, table 52.0 KiB
              12 listings, table 518.5 KiB
              9 exclusions, 20 protections
              HELD since 2m ago by a rollback to 1794999000, something new waits; end it with `blackthorn resume`
  live        1,234 blocks, 1 allow
  feeds       2 ok
              1 waiting: e
              2 FAILING: b, d
  zones       bl.example    a, b  1,235 questions, 1 listed
              new.example   e                                NO DATA, answers SERVFAIL
              old.example                                    EXPIRED 1m ago, answers SERVFAIL
              gone.example                                   closed
  filter      drop
              eth0  native
              wg0   NOT ATTACHED  no such interface
              drop-listed  12,345 packets   2.0 KiB
              pass-clean         1 packet  60 bytes
  verifier    1m ago: 2,011 addresses with 1,024 questions by DNS, in the kernel too: 1 WRONG
              7 rounds since the start, 3 wrong, 1 repair
  warnings    state directory: no space left
"
        );
    }

    #[test]
    fn a_daemon_that_has_just_started() {
        let engine = EngineStatus {
            filter: FilterStatus {
                action: "off".to_owned(),
                note: Some("no interface is configured".to_owned()),
                ..FilterStatus::default()
            },
            ..EngineStatus::default()
        };
        let process = Process { started_at: NOW, reload: Some(Reload { at: NOW, error: None }), ..process() };
        let live = LiveCounts::default();
        let shown = text(
            &Status {
                process,
                engine,
                live,
                dns: DnsStats::default(),
                zones: BTreeMap::new(),
                hits: BTreeMap::new(),
            },
            NOW,
        );
        assert!(shown.starts_with("blackthorn 1.2.3, pid 4711, up 0s\n"), "{shown}");
        for line in [
            "              reloaded just now\n",
            "  generation  none yet\n",
            "  live        0 blocks, 0 allows\n",
            "  feeds       0 ok\n",
            "  zones       none\n",
            "  filter      off: no interface is configured\n",
            "  verifier    nothing was compared yet\n",
            "  warnings    none\n",
        ] {
            assert!(shown.contains(line), "{line}{shown}");
        }
    }

    #[test]
    fn what_is_encrypted_is_shown_with_its_certificate() {
        let certificate = |expires_at, error: Option<&str>| CertificateStatus {
            file: "/etc/c.pem".to_owned(),
            loaded_at: NOW - 60,
            expires_at,
            error: error.map(str::to_owned),
        };
        let shown = |certificate| {
            let endpoint = |service| Endpoint { service, address: "192.0.2.1:853".parse().unwrap() };
            let encrypted = vec![endpoint(Service::Tls), endpoint(Service::Quic)];
            listeners(&Process { encrypted, certificate: Some(certificate), ..process() }, NOW).split_off(2)
        };
        assert_eq!(
            shown(certificate(Some(NOW + 864_000), None)),
            [
                "192.0.2.1:853 tls",
                "192.0.2.1:853 quic",
                "certificate /etc/c.pem, read 1m ago, expires in 10d"
            ]
        );
        assert_eq!(
            shown(certificate(Some(NOW), Some("k.pem: bad"))).split_off(2),
            [
                "certificate /etc/c.pem, read 1m ago, EXPIRED",
                "certificate NOT CHANGED, the one before stays in use: k.pem: bad"
            ]
        );
        assert_eq!(shown(certificate(None, None))[2], "certificate /etc/c.pem, read 1m ago");
    }
}
