//! What differs between two configurations, and whether a reload can apply it.

use super::{CertificateFiles, Config, ConnectionLimits, Dns, Exclude, Feed, Filter, ZoneAccess, units};
use crate::core::entry::FeedId;
use crate::core::listing::FeedIndex;
use crate::core::zone::ZoneSpec;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

/// Differences between the running and a new configuration, one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What the running process cannot change; it goes on with the old setting until it is restarted.
    pub restart: Vec<String>,
    /// What a reload applies.
    pub reload: Vec<String>,
}

impl Config {
    /// What changes from this configuration to `new`. Feeds and zones are matched by name: their order alone is no
    /// change.
    pub fn changes(&self, new: &Self) -> Changes {
        let mut changes = Changes::default();
        if self.state_dir != new.state_dir {
            let (old, new) = (self.state_dir.display(), new.state_dir.display());
            changes.restart.push(format!("state_dir: {old} to {new}"));
        }
        if self.control != new.control {
            let (old, new) = (self.control.socket.display(), new.control.socket.display());
            changes.restart.push(format!("control.socket: {old} to {new}"));
        }
        if self.dns.workers != new.dns.workers {
            let name =
                |workers: Option<NonZeroUsize>| workers.map_or("one for each core".into(), |n| n.to_string());
            let (old, new) = (name(self.dns.workers), name(new.dns.workers));
            changes.restart.push(format!("dns.workers: {old} to {new}"));
        }
        dns(&self.dns, &new.dns, &mut changes.reload);
        if asked(&self.dns) != asked(&new.dns) {
            changes.reload.push("dns: clients, limits or what it says of itself changed".into());
        }
        by_name("feed", feeds(self), &feeds(new), &mut changes.reload);
        by_name("zone", zones(self), &zones(new), &mut changes.reload);
        if self.exclude != new.exclude {
            changes.reload.push(exclude(&self.exclude, &new.exclude));
        }
        if filter(self) != filter(new) {
            changes.reload.push("filter: changed".into());
        }
        changes
    }
}

/// Where the DNSBL server answers, and on how many connections.
fn dns(old: &Dns, new: &Dns, lines: &mut Vec<String>) {
    for (name, old, new) in [
        ("dns.listen", &old.listen, &new.listen),
        ("dns.tls.listen", &old.tls, &new.tls),
        ("dns.https.listen", &old.https, &new.https),
        ("dns.quic.listen", &old.quic, &new.quic),
    ] {
        if old != new {
            lines.push(format!("{name}: {old:?} to {new:?}"));
        }
    }
    if old.connections != new.connections {
        lines.push(format!("dns: {} to {}", limits(old.connections), limits(new.connections)));
    }
    if old.certificate != new.certificate {
        let name = |files: &Option<CertificateFiles>| {
            files.as_ref().map_or("none".to_owned(), |files| files.certificate.display().to_string())
        };
        let (old, new) = (name(&old.certificate), name(&new.certificate));
        lines.push(format!("dns.tls.certificate and key: {old} to {new}"));
    }
}

fn limits(limits: ConnectionLimits) -> String {
    let ConnectionLimits { idle, total, per_client } = limits;
    let idle = units::format_duration(idle);
    format!("{total} connections, {per_client} per client, silent for {idle} at most")
}

/// Adds a line for everything added, removed or changed, in the order of the names.
fn by_name<T: PartialEq>(
    what: &str,
    old: BTreeMap<&str, T>,
    new: &BTreeMap<&str, T>,
    lines: &mut Vec<String>,
) {
    let mut verdicts: BTreeMap<&str, &str> = BTreeMap::new();
    for name in new.keys().filter(|name| !old.contains_key(*name)) {
        verdicts.insert(name, "added");
    }
    for (name, value) in old {
        match new.get(name) {
            None => _ = verdicts.insert(name, "removed"),
            Some(other) if *other != value => _ = verdicts.insert(name, "changed"),
            Some(_) => {}
        }
    }
    lines.extend(verdicts.iter().map(|(name, verdict)| format!("{what} {name}: {verdict}")));
}

fn feeds(config: &Config) -> BTreeMap<&str, &Feed> {
    config.feeds.iter().map(|feed| (feed.id.as_str(), feed)).collect()
}

/// A zone, its clients, and its feeds by name: the number of a feed changes when another is put before it.
type ZoneView<'a> = (ZoneSpec, Option<&'a ZoneAccess>, Vec<Option<&'a FeedId>>);

fn zones(config: &Config) -> BTreeMap<&str, ZoneView<'_>> {
    let view = |(number, zone): (usize, &ZoneSpec)| {
        let feeds = zone.feeds.iter().map(|member| config.feed_id(member.feed)).collect();
        let mut zone = zone.clone();
        for member in &mut zone.feeds {
            member.feed = FeedIndex(0);
        }
        (zone, config.zone_access.get(number), feeds)
    };
    let zones = config.zones.iter().enumerate();
    zones.map(|(number, zone)| (zone.name.as_str(), view((number, zone)))).collect()
}

/// Who is asked about what, without where and by whom it is answered.
fn asked(dns: &Dns) -> Dns {
    let Dns { listen, workers, connections, tls, https, quic, certificate, .. } = Dns::default();
    Dns { listen, workers, connections, tls, https, quic, certificate, ..dns.clone() }
}

fn filter(config: &Config) -> (Filter, Vec<Option<&FeedId>>) {
    let feeds = config.filter.feeds.iter().map(|&feed| config.feed_id(feed)).collect();
    (Filter { feeds: Vec::new(), ..config.filter.clone() }, feeds)
}

fn exclude(old: &Exclude, new: &Exclude) -> String {
    let count = |exclude: &Exclude| {
        let Exclude { networks, domains, files } = exclude;
        format!("{} networks, {} domains and {} files", networks.len(), domains.len(), files.len())
    };
    format!("exclude: {} to {}", count(old), count(new))
}
