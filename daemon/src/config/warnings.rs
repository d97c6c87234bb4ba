//! What is allowed but probably not meant.

use super::Config;
use super::problem::{Place, Report};
use super::raw::Root;
use super::source::Source;
use crate::core::listing::FeedIndex;
use crate::core::network::Network;
use std::collections::HashSet;
use toml::Spanned;

/// Where things stand in the file.
pub(super) struct Places {
    dns: Place,
    feeds: Vec<Place>,
    zones: Vec<Place>,
    exclude: Place,
    filter: Place,
}

impl Places {
    pub(super) fn of(root: &Root) -> Self {
        Self {
            dns: root.dns.as_ref().map(Spanned::span).unwrap_or_default(),
            feeds: elements(root.feed.as_ref()),
            zones: elements(root.zone.as_ref()),
            exclude: root.exclude.as_ref().map(Spanned::span).unwrap_or_default(),
            filter: root.filter.as_ref().map(Spanned::span).unwrap_or_default(),
        }
    }
}

fn elements<T>(list: Option<&Spanned<Vec<Spanned<T>>>>) -> Vec<Place> {
    list.map(|list| list.get_ref().iter().map(Spanned::span).collect()).unwrap_or_default()
}

/// Warns of what stands out in `config`, which had no errors: every feed and zone of the file is in it.
pub(super) fn warn(config: &Config, places: &Places, report: &mut Report<'_>) {
    let filtering = !config.filter.interfaces.is_empty();
    if config.feeds.is_empty() {
        report.warn(0..0, "no feed is configured".into(), "add a [[feed]], otherwise nothing is ever listed");
    }
    if config.zones.is_empty() && config.dns.is_on() {
        report.warn(
            0..0,
            "no zone is configured".into(),
            "add a [[zone]], or turn DNS off with listen = [] in [dns]",
        );
    }
    for (zone, at) in config.zones.iter().zip(&places.zones) {
        if zone.feeds.is_empty() {
            report.warn(at.clone(), format!("no feed answers in zone {}", zone.name), "name one in feeds");
        }
    }
    if filtering && config.filter.feeds.is_empty() {
        let hint = "name feeds, otherwise nothing is dropped";
        report.warn(places.filter.clone(), "the filter has interfaces but no feeds".into(), hint);
    }
    let dns = &config.dns;
    if dns.certificate.is_some() && [&dns.tls, &dns.https, &dns.quic].iter().all(|listen| listen.is_empty()) {
        let what = "there is a certificate, but nothing encrypted".into();
        report.warn(
            places.dns.clone(),
            what,
            "name addresses in listen of [dns.tls], [dns.https] or [dns.quic]",
        );
    }
    let everything = |network: &Network| network.prefix_len() == Some(0);
    if config.exclude.networks.iter().any(everything) {
        let what = "a whole address family is excluded".into();
        report.warn(places.exclude.clone(), what, "nothing of it is ever listed or dropped");
    }
    feeds(config, places, report);
}

fn feeds(config: &Config, places: &Places, report: &mut Report<'_>) {
    let filtered: HashSet<FeedIndex> = config.filter.feeds.iter().copied().collect();
    let in_zones = config.zones.iter().flat_map(|zone| zone.feeds.iter().map(|member| member.feed));
    let used: HashSet<FeedIndex> = filtered.iter().copied().chain(in_zones).collect();
    for ((number, feed), at) in (0..FeedIndex::TEST.0).map(FeedIndex).zip(&config.feeds).zip(&places.feeds) {
        if !used.contains(&number) {
            let what = format!("feed {} is in no zone and not in the filter", feed.id);
            report.warn(at.clone(), what, "only `blackthorn lookup` tells of it");
        }
        if feed.rules.keep_special_use && filtered.contains(&number) {
            let what = format!("feed {} keeps special-use addresses and is in the filter", feed.id);
            report.warn(at.clone(), what, "private neighbours of this host may be dropped; exclude them");
        }
        if feed.rules.format.lists_domains() && filtered.contains(&number) {
            let what = format!("feed {} lists domains and is in the filter", feed.id);
            report.warn(at.clone(), what, "of it only addresses among the domains are dropped");
        }
        if matches!(&feed.source, Source::Url(url) if url.scheme() == "http") {
            let what = format!("feed {} is fetched over plain http", feed.id);
            report.warn(
                at.clone(),
                what,
                "anyone on the way can change it; use https if the publisher offers it",
            );
        }
    }
}
