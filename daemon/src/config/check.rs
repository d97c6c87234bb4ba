//! From the file as written to a [`Config`] the rest of the program can rely on.
//!
//! Every value is checked even when others are wrong. What cannot be used is reported and left out, so a result
//! with errors in the report is not a configuration; the caller drops it.

mod access;
mod dns;
mod values;

use super::problem::{Place, Report, quoted};
use super::warnings::Places;
use super::{Config, Control, Exclude, Feed, Filter, Source, ZoneAccess, names, raw, units, warnings};
use crate::core::entry::FeedId;
use crate::core::feed::{self, Column, FORMATS, Format};
use crate::core::filter_plan::Mode;
use crate::core::gate;
use crate::core::listing::FeedIndex;
use crate::core::text::{TextError, check_text};
use crate::core::zone::{Ent, ZoneFeed, ZoneLive, ZoneSpec};
use std::collections::{BTreeMap, HashSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use values::{did_you_mean, domain, network};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Longest path of a unix socket, in bytes (`sun_path` of unix(7) without its final zero).
const MAX_SOCKET_PATH: usize = 107;

/// Checks the file read as `root`. `base` is the directory relative paths start from.
pub(super) fn check(root: raw::Root, path: PathBuf, base: &Path, report: &mut Report<'_>) -> Config {
    let places = Places::of(&root);
    let mut check = Check { base, report, feeds: BTreeMap::new(), domain_feeds: HashSet::new() };
    let state_dir = check.path_or(root.state_dir, "/var/lib/blackthorn", "state_dir");
    let dns = check.dns(inner(root.dns));
    let feeds = check.feeds(&list(root.feed));
    let (zones, zone_access) = check.zones(list(root.zone)).into_iter().unzip();
    let exclude = check.exclude(inner(root.exclude));
    let filter = check.filter(inner(root.filter));
    let control = check.control(inner(root.control));
    let config = Config {
        path,
        state_dir,
        dns,
        feeds,
        zones,
        zone_access,
        exclude,
        filter,
        control,
        warnings: Vec::new(),
    };
    warnings::warn(&config, &places, report);
    config
}

struct Check<'a, 'r> {
    base: &'a Path,
    report: &'a mut Report<'r>,
    /// Number of each feed by its id, ids of feeds with other errors included.
    feeds: BTreeMap<String, FeedIndex>,
    /// Those whose format lists domains.
    domain_feeds: HashSet<FeedIndex>,
}

impl Check<'_, '_> {
    fn feeds(&mut self, raw: &[Spanned<raw::Feed>]) -> Vec<Feed> {
        self.number_feeds(raw);
        raw.iter().filter_map(|feed| self.feed(feed.span(), feed.get_ref())).collect()
    }

    fn number_feeds(&mut self, raw: &[Spanned<raw::Feed>]) {
        for (index, feed) in raw.iter().enumerate() {
            let Some(id) = &feed.get_ref().id else { continue };
            let number = u16::try_from(index).map(FeedIndex).ok().filter(|&number| number != FeedIndex::TEST);
            let Some(number) = number else {
                let hint = format!("at most {} feeds fit one generation", FeedIndex::TEST.0);
                self.report.error(feed.span(), "too many feeds".into(), quoted(id.get_ref()), &hint);
                return;
            };
            let format = feed.get_ref().format.as_ref().and_then(|name| Format::from_name(name.get_ref()));
            if format.is_some_and(Format::lists_domains) {
                self.domain_feeds.insert(number);
            }
            if self.feeds.insert(id.get_ref().clone(), number).is_some() {
                self.bad("id in [[feed]]", id, "another feed has this id");
            }
        }
    }

    fn feed(&mut self, at: Place, raw: &raw::Feed) -> Option<Feed> {
        let id = self.parse(raw.id.as_ref(), "id in [[feed]]", FeedId::new);
        let source = self.source(raw.source.as_ref());
        let rules = self.feed_rules(at, raw);
        let gate = gate::Rules {
            may_be_empty: flag(raw.may_be_empty.as_ref()),
            max_rejects_percent: self.number(raw.max_rejects.as_ref(), "max_rejects in [[feed]]", 5, 0..=100),
        };
        let refresh = self.refresh(raw.refresh.as_ref(), source.as_ref());
        let key = "timeout in [[feed]]";
        let timeout = self.duration(raw.timeout.as_ref(), key, 5 * MINUTE, (SECOND, HOUR), "");
        Some(Feed { id: id?, source: source?, refresh, rules: rules?, gate, timeout })
    }

    fn feed_rules(&mut self, at: Place, raw: &raw::Feed) -> Option<feed::Rules> {
        let format = self.format(raw.format.as_ref());
        let column = self.column(raw.column.as_ref(), format, at);
        let min_score = self.min_score(raw.min_score.as_ref(), format);
        let (key, range) = ("widest_ipv4 in [[feed]]", feed::WIDEST_EVER..=32);
        let widest_v4 = self.number(raw.widest_ipv4.as_ref(), key, feed::DEFAULT_WIDEST_V4, range);
        let (key, range) = ("widest_ipv6 in [[feed]]", feed::WIDEST_EVER..=128);
        let widest_v6 = self.number(raw.widest_ipv6.as_ref(), key, feed::DEFAULT_WIDEST_V6, range);
        let strict = flag(raw.strict.as_ref());
        let keep = [("drop", false), ("keep", true)];
        let keep_special_use = self.one_of(raw.special_use.as_ref(), "special_use in [[feed]]", &keep);
        let max_bytes = self.max_size(raw.max_size.as_ref());
        let format = format?;
        Some(feed::Rules {
            format,
            column,
            min_score,
            widest_v4,
            widest_v6,
            strict,
            keep_special_use,
            max_bytes,
        })
    }

    fn source(&mut self, value: Option<&Spanned<String>>) -> Option<Source> {
        let value = value?;
        match Source::parse(value.get_ref(), self.base) {
            Ok(source) => Some(source),
            Err(error) => {
                // The text itself is not repeated: it may hold a key (G18).
                let what = "bad source in [[feed]]".to_owned();
                self.report.error(value.span(), what, error.to_string(), "");
                None
            }
        }
    }

    fn format(&mut self, value: Option<&Spanned<String>>) -> Option<Format> {
        self.parse(value, "format in [[feed]]", |text| {
            Format::from_name(text).ok_or_else(|| {
                let names = FORMATS.map(|info| info.name);
                format!("{}allowed: {}", did_you_mean(text, &names), names.join(", "))
            })
        })
    }

    fn column(
        &mut self,
        raw: Option<&Spanned<raw::Column>>,
        format: Option<Format>,
        feed: Place,
    ) -> Option<Column> {
        let is_csv = format.map(|format| format == Format::Csv);
        let Some(raw) = raw else {
            if is_csv == Some(true) {
                let hint = "format \"csv\" needs it: the name of the address column, or its number from 1";
                self.report.error(feed, "missing key in [[feed]]".into(), "column".into(), hint);
            }
            return None;
        };
        let at = raw.span();
        let found = match raw.get_ref() {
            raw::Column::Name(name) => quoted(name),
            raw::Column::Number(number) => number.to_string(),
        };
        let hint = match raw.get_ref() {
            _ if is_csv == Some(false) => "leave it out: only format \"csv\" has columns",
            raw::Column::Name(name) if !name.trim().is_empty() => return Some(Column::Name(name.clone())),
            raw::Column::Name(_) => "write a name from the header line, or a number from 1",
            raw::Column::Number(number) => match u16::try_from(*number) {
                Ok(number) if number > 0 => return Some(Column::Number(number)),
                _ => "allowed: 1 to 65535",
            },
        };
        self.report.error(at, "bad column in [[feed]]".into(), found, hint);
        None
    }

    fn min_score(&mut self, value: Option<&Spanned<u64>>, format: Option<Format>) -> u32 {
        if let (Some(value), Some(format)) = (value, format.filter(|&format| !has_scores(format))) {
            let hint = format!("leave it out: format \"{}\" has no scores", format.name());
            self.report.error(
                value.span(),
                "bad min_score in [[feed]]".into(),
                value.get_ref().to_string(),
                &hint,
            );
            return 0;
        }
        self.number(value, "min_score in [[feed]]", 0, 0..=u32::MAX)
    }

    fn max_size(&mut self, value: Option<&Spanned<String>>) -> u64 {
        let parse = |text: &str| match units::size(text) {
            Ok(size) if (1 << 10..=4 << 30).contains(&size) => Ok(size),
            Ok(_) => Err("allowed: \"1KiB\" to \"4GiB\"".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        self.parse(value, "max_size in [[feed]]", parse).unwrap_or(feed::DEFAULT_MAX_BYTES)
    }

    fn refresh(&mut self, value: Option<&Spanned<String>>, source: Option<&Source>) -> Duration {
        let (default, least, why) = match source {
            Some(Source::Url(_)) => (DAY, MINUTE, "; publishers block those who ask more often"),
            Some(Source::Path(_)) | None => (MINUTE, SECOND, ""),
        };
        self.duration(value, "refresh in [[feed]]", default, (least, 90 * DAY), why)
    }

    fn zones(&mut self, raw: Vec<Spanned<raw::Zone>>) -> Vec<(ZoneSpec, ZoneAccess)> {
        let name = |zone: &Spanned<raw::Zone>| names::zone_name(zone.get_ref().name.as_ref()?.get_ref()).ok();
        let names: HashSet<String> = raw.iter().filter_map(name).collect();
        let mut seen = HashSet::new();
        raw.into_iter().filter_map(|zone| self.zone(zone.into_inner(), &names, &mut seen)).collect()
    }

    /// `names` holds the names of all zones, `seen` those of the zones before.
    fn zone(
        &mut self,
        raw: raw::Zone,
        names: &HashSet<String>,
        seen: &mut HashSet<String>,
    ) -> Option<(ZoneSpec, ZoneAccess)> {
        let name = self.parse(raw.name.as_ref(), "name in [[zone]]", |text| {
            let name = names::zone_name(text)?;
            names::nesting(&name, names)?;
            if seen.insert(name.clone()) { Ok(name) } else { Err("another zone has this name".to_owned()) }
        });
        // With a bad name the rest is checked all the same, as for a zone with a short name.
        let zone = name.as_deref().unwrap_or("bl.example");
        let code = self.parse(raw.code.as_ref(), "code in [[zone]]", names::code);
        let text = self.parse(raw.text.as_ref(), "text in [[zone]]", |text| answer_text(text, zone));
        let defaults = Defaults { zone, code: code.unwrap_or(Ipv4Addr::new(127, 0, 0, 2)), text };
        let mut members = HashSet::new();
        let feeds: Vec<ZoneFeed> = list(raw.feeds)
            .into_iter()
            .filter_map(|member| self.zone_feed(member.into_inner().0, &defaults, &mut members))
            .collect();
        let domains = feeds.iter().any(|member| self.domain_feeds.contains(&member.feed));
        let live = self.zone_live(raw.live.map(Spanned::into_inner), &defaults);
        let ttl = self.ttl(raw.ttl.as_ref(), "ttl in [[zone]]", 10 * MINUTE);
        let negative_ttl = self.ttl(raw.negative_ttl.as_ref(), "negative_ttl in [[zone]]", 5 * MINUTE);
        let ns = self.each(&list(raw.ns), "ns in [[zone]]", names::host_name);
        let contact = self.parse(raw.contact.as_ref(), "contact in [[zone]]", names::contact);
        let ent = [("exact", Ent::Exact), ("always", Ent::Always)];
        let ent = self.one_of(raw.ent.as_ref(), "ent in [[zone]]", &ent);
        let max_age = raw.max_age.as_ref();
        let max_age = max_age
            .map(|_| self.duration(max_age, "max_age in [[zone]]", DAY, (MINUTE, 365 * DAY), "").as_secs());
        let retired = self.parse(raw.retired.as_ref(), "retired in [[zone]]", |text| answer_text(text, zone));
        let access = ZoneAccess {
            clients: self.clients(raw.clients, "[[zone]]", Some(zone)),
            keys: raw.keys.and_then(|path| self.path(&path, "keys in [[zone]]")),
        };
        // A year is far below 32 bits.
        let max_age = max_age.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX));
        let spec = ZoneSpec {
            name: name?,
            feeds,
            domains,
            live,
            ttl,
            negative_ttl,
            ns,
            contact,
            ent,
            max_age,
            retired,
        };
        Some((spec, access))
    }

    /// `seen` holds the feeds of the zone before.
    fn zone_feed(
        &mut self,
        raw: raw::ZoneFeed,
        defaults: &Defaults<'_>,
        seen: &mut HashSet<FeedIndex>,
    ) -> Option<ZoneFeed> {
        let text = |text: &str| answer_text(text, defaults.zone);
        let own_code = self.parse(raw.code.as_ref(), "code in feeds of [[zone]]", names::code);
        let own_text = self.parse(raw.text.as_ref(), "text in feeds of [[zone]]", text);
        let id = raw.id?;
        let feed = self.known_feed(&id, "feeds in [[zone]]", seen)?;
        let of_domains = self.domain_feeds.contains(&feed);
        let text = own_text.or_else(|| defaults.text.clone()).or_else(|| {
            self.parse(Some(&id), "default text in [[zone]] for feed", |id| {
                let default = if of_domains { names::default_domain_text } else { names::default_text };
                text(&default(id, defaults.zone))
            })
        })?;
        Some(ZoneFeed { feed, code: own_code.unwrap_or(defaults.code), text })
    }

    fn zone_live(&mut self, raw: Option<raw::Live>, defaults: &Defaults<'_>) -> Option<ZoneLive> {
        let raw = raw.map_or(Some(raw::ZoneLive::default()), |raw::Live(table)| table)?;
        let text = |text: &str| answer_text(text, defaults.zone);
        let code = self.parse(raw.code.as_ref(), "code in live of [[zone]]", names::code);
        let own_text = self.parse(raw.text.as_ref(), "text in live of [[zone]]", text);
        // Below the longest zone names there is room for no text; codes say enough.
        let default = || text(&names::default_text("live", defaults.zone)).unwrap_or_default();
        let text = own_text.or_else(|| defaults.text.clone()).unwrap_or_else(default);
        Some(ZoneLive { code: code.unwrap_or(defaults.code), text })
    }

    fn exclude(&mut self, raw: raw::Exclude) -> Exclude {
        let networks = self.each(&list(raw.networks), "networks in [exclude]", network);
        let domains = self.each(&list(raw.domains), "domains in [exclude]", domain);
        let files = list(raw.files);
        let files = files.iter().filter_map(|file| self.path(file, "files in [exclude]")).collect();
        Exclude { networks, domains, files }
    }

    fn filter(&mut self, raw: raw::Filter) -> Filter {
        let interfaces = self.each_once(&list(raw.interfaces), "interfaces in [filter]", names::interface);
        let mut members = HashSet::new();
        let feeds = list(raw.feeds)
            .iter()
            .filter_map(|id| self.known_feed(id, "feeds in [filter]", &mut members))
            .collect();
        let modes = [("auto", Mode::Auto), ("native", Mode::Native), ("generic", Mode::Generic)];
        let mode = self.one_of(raw.mode.as_ref(), "mode in [filter]", &modes);
        let monitor = [("drop", false), ("monitor", true)];
        let enforce = !self.one_of(raw.action.as_ref(), "action in [filter]", &monitor);
        Filter { interfaces, feeds, mode, enforce }
    }

    fn control(&mut self, raw: raw::Control) -> Control {
        let at = raw.socket.as_ref().map(Spanned::span).unwrap_or_default();
        let socket = self.path_or(raw.socket, "/run/blackthorn/control.sock", "socket in [control]");
        if socket.as_os_str().len() > MAX_SOCKET_PATH {
            let hint =
                format!("the path of a unix socket has at most {MAX_SOCKET_PATH} bytes; give a shorter one");
            self.report.error(at, "bad socket in [control]".into(), quoted(&socket.to_string_lossy()), &hint);
        }
        Control { socket }
    }
}

/// What a zone has for feeds without a code or text of their own.
struct Defaults<'a> {
    zone: &'a str,
    code: Ipv4Addr,
    text: Option<String>,
}

/// Does an entry of this format come with a score?
fn has_scores(format: Format) -> bool {
    format == Format::ScoreTsv
}

/// A TXT template that fits the answers of `zone`.
fn answer_text(text: &str, zone: &str) -> Result<String, TextError> {
    check_text(zone, text).map(|()| text.to_owned())
}

/// A switch that is off unless it is turned on.
fn flag(value: Option<&Spanned<bool>>) -> bool {
    value.is_some_and(|value| *value.get_ref())
}

/// The table behind a key, or one with nothing in it.
fn inner<T: Default>(value: Option<Spanned<T>>) -> T {
    value.map(Spanned::into_inner).unwrap_or_default()
}

/// The list behind a key, or an empty one.
fn list<T>(value: Option<Spanned<Vec<T>>>) -> Vec<T> {
    inner(value)
}
