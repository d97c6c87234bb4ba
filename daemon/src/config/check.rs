//! From the file as written to a [`Config`] the rest of the program can rely on.
//!
//! Every value is checked even when others are wrong. What cannot be used is reported and left out, so a result
//! with errors in the report is not a configuration; the caller drops it.

use super::problem::{Place, Report, quoted, shown};
use super::warnings::Places;
use super::{Config, Control, Dns, Exclude, Feed, Filter, Source, names, nearest, raw, units, warnings};
use crate::core::entry::FeedId;
use crate::core::feed::{self, Column, Format};
use crate::core::filter_plan::Mode;
use crate::core::gate;
use crate::core::listing::FeedIndex;
use crate::core::network::{Network, NetworkError};
use crate::core::zone::{ZoneFeed, ZoneSpec};
use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Longest path of a unix socket, in bytes (`sun_path` of unix(7) without its final zero).
const MAX_SOCKET_PATH: usize = 107;

/// Checks the file read as `root`. `base` is the directory relative paths start from.
pub(super) fn check(root: raw::Root, path: PathBuf, base: &Path, report: &mut Report<'_>) -> Config {
    let places = Places::of(&root);
    let mut check = Check { base, report, feeds: HashMap::new() };
    let state_dir = check.path_or(root.state_dir, "/var/lib/blackthorn", "state_dir");
    let dns = check.dns(inner(root.dns));
    let feeds = check.feeds(list(root.feed));
    let zones = check.zones(list(root.zone));
    let exclude = check.exclude(inner(root.exclude));
    let filter = check.filter(inner(root.filter));
    let control = check.control(inner(root.control));
    let config =
        Config { path, state_dir, dns, feeds, zones, exclude, filter, control, warnings: Vec::new() };
    warnings::warn(&config, &places, report);
    config
}

struct Check<'a, 'r> {
    base: &'a Path,
    report: &'a mut Report<'r>,
    /// Number of each feed by its id, ids of feeds with other errors included.
    feeds: HashMap<String, FeedIndex>,
}

impl Check<'_, '_> {
    fn dns(&mut self, raw: raw::Dns) -> Dns {
        let Some(listen) = raw.listen else {
            return Dns { listen: vec![SocketAddr::from(([127, 0, 0, 1], 5300))] };
        };
        let hint = "write an address and a port, such as \"127.0.0.1:5300\" or \"[::1]:5300\"";
        let parse = |text: &str| text.parse().map_err(|_| hint);
        Dns { listen: self.each(listen.get_ref(), "listen in [dns]", parse) }
    }

    fn feeds(&mut self, raw: Vec<Spanned<raw::Feed>>) -> Vec<Feed> {
        self.number_feeds(&raw);
        raw.into_iter().filter_map(|feed| self.feed(feed.span(), feed.into_inner())).collect()
    }

    fn number_feeds(&mut self, raw: &[Spanned<raw::Feed>]) {
        for (index, feed) in raw.iter().enumerate() {
            let Some(id) = &feed.get_ref().id else { continue };
            let number = u16::try_from(index).map(FeedIndex).ok().filter(|&number| number != FeedIndex::TEST);
            let Some(number) = number else {
                let hint = format!("at most {} feeds fit one generation", FeedIndex::TEST.0);
                self.report.error(feed.span(), "too many feeds".into(), quoted(id.get_ref()), hint);
                return;
            };
            if self.feeds.insert(id.get_ref().clone(), number).is_some() {
                self.bad("id in [[feed]]", id, "another feed has this id");
            }
        }
    }

    fn feed(&mut self, at: Place, raw: raw::Feed) -> Option<Feed> {
        let id = self.parse(raw.id.as_ref(), "id in [[feed]]", FeedId::new);
        let source = self.source(raw.source.as_ref());
        let format = self.format(raw.format.as_ref());
        let column = self.column(raw.column, format, at);
        let min_score = self.number(raw.min_score.as_ref(), "min_score in [[feed]]", 0, 0..=u32::MAX);
        if let (Some(value), Some(format)) = (&raw.min_score, format)
            && !names::has_scores(format)
        {
            let what = format!("min_score in [[feed]] with format \"{}\"", names::format_name(format));
            self.report.error(
                value.span(),
                what,
                value.get_ref().to_string(),
                "this format has no scores".into(),
            );
        }
        let rules = format.map(|format| feed::Rules {
            format,
            column,
            min_score,
            widest_v4: self.number(raw.widest_ipv4.as_ref(), "widest_ipv4 in [[feed]]", 8, 8..=32),
            widest_v6: self.number(raw.widest_ipv6.as_ref(), "widest_ipv6 in [[feed]]", 19, 8..=128),
            strict: inner(raw.strict),
            keep_special_use: self.one_of(
                raw.special_use.as_ref(),
                "special_use in [[feed]]",
                &[("drop", false), ("keep", true)],
            ),
            max_bytes: self.size(
                raw.max_size.as_ref(),
                "max_size in [[feed]]",
                256 << 20,
                (1 << 10, 4 << 30),
            ),
        });
        let gate = gate::Rules {
            may_be_empty: inner(raw.may_be_empty),
            max_rejects_percent: self.number(raw.max_rejects.as_ref(), "max_rejects in [[feed]]", 5, 0..=100),
        };
        let refresh = self.refresh(raw.refresh.as_ref(), source.as_ref());
        let timeout = self.duration(raw.timeout.as_ref(), "timeout in [[feed]]", 5 * MINUTE, (SECOND, HOUR));
        let connect_timeout = {
            let default = timeout.min(10 * SECOND);
            self.duration(
                raw.connect_timeout.as_ref(),
                "connect_timeout in [[feed]]",
                default,
                (SECOND, timeout),
            )
        };
        Some(Feed { id: id?, source: source?, refresh, rules: rules?, gate, connect_timeout, timeout })
    }

    fn source(&mut self, value: Option<&Spanned<String>>) -> Option<Source> {
        let value = value?;
        match Source::parse(value.get_ref(), self.base) {
            Ok(source) => Some(source),
            Err(error) => {
                // The text itself is not repeated: it may hold a key (G18).
                let what = "bad source in [[feed]]".to_owned();
                self.report.error(value.span(), what, error.to_string(), String::new());
                None
            }
        }
    }

    fn format(&mut self, value: Option<&Spanned<String>>) -> Option<Format> {
        self.parse(value, "format in [[feed]]", |text| {
            names::FORMATS.iter().find(|(name, _)| *name == text).map(|(_, format)| *format).ok_or_else(
                || {
                    let names: Vec<&str> = names::FORMATS.iter().map(|(name, _)| *name).collect();
                    format!("{}allowed: {}", did_you_mean(text, &names), names.join(", "))
                },
            )
        })
    }

    fn column(
        &mut self,
        raw: Option<Spanned<raw::Column>>,
        format: Option<Format>,
        feed: Place,
    ) -> Option<Column> {
        let is_csv = format.map(|format| format == Format::Csv);
        let Some(raw) = raw else {
            if is_csv == Some(true) {
                let hint = "format \"csv\" needs it: the name of the address column, or its number from 1";
                self.report.error(feed, "missing key in [[feed]]".into(), "column".into(), hint.into());
            }
            return None;
        };
        let at = raw.span();
        let found = match raw.get_ref() {
            raw::Column::Name(name) => quoted(name),
            raw::Column::Number(number) => number.to_string(),
        };
        let hint = match raw.into_inner() {
            _ if is_csv == Some(false) => "leave it out: only format \"csv\" has columns",
            raw::Column::Name(name) if !name.trim().is_empty() => return Some(Column::Name(name)),
            raw::Column::Name(_) => "write a name from the header line, or a number from 1",
            raw::Column::Number(number) => match u16::try_from(number) {
                Ok(number) if number > 0 => return Some(Column::Number(number)),
                _ => "allowed: 1 to 65535",
            },
        };
        self.report.error(at, "bad column in [[feed]]".into(), found, hint.into());
        None
    }

    fn refresh(&mut self, value: Option<&Spanned<String>>, source: Option<&Source>) -> Duration {
        let (what, longest) = ("refresh in [[feed]]", 90 * DAY);
        match source {
            Some(Source::Url(_)) => self.duration(value, what, DAY, (MINUTE, longest)),
            Some(Source::Path(_)) | None => self.duration(value, what, MINUTE, (SECOND, longest)),
        }
    }

    fn zones(&mut self, raw: Vec<Spanned<raw::Zone>>) -> Vec<ZoneSpec> {
        let mut seen = HashSet::new();
        raw.into_iter().filter_map(|zone| self.zone(zone.into_inner(), &mut seen)).collect()
    }

    /// `seen` holds the names of the zones before.
    fn zone(&mut self, raw: raw::Zone, seen: &mut HashSet<String>) -> Option<ZoneSpec> {
        let name = self.parse(raw.name.as_ref(), "name in [[zone]]", |text| {
            let name = names::zone_name(text)?;
            if seen.insert(name.clone()) { Ok(name) } else { Err("another zone has this name".to_owned()) }
        });
        // With a bad name the rest is checked all the same, as for a zone with a short name.
        let zone = name.as_deref().unwrap_or("bl.example");
        let code = self.parse(raw.code.as_ref(), "code in [[zone]]", names::code);
        let text = self.parse(raw.text.as_ref(), "text in [[zone]]", |text| names::answer_text(text, zone));
        let defaults = Defaults { zone, code: code.unwrap_or(Ipv4Addr::new(127, 0, 0, 2)), text };
        let mut members = HashSet::new();
        let feeds = list(raw.feeds)
            .into_iter()
            .filter_map(|member| self.zone_feed(member.into_inner().0, &defaults, &mut members))
            .collect();
        let ttl = self.ttl(raw.ttl.as_ref(), "ttl in [[zone]]", 10 * MINUTE);
        let negative_ttl = self.ttl(raw.negative_ttl.as_ref(), "negative_ttl in [[zone]]", 5 * MINUTE);
        let ns = self.each(&list(raw.ns), "ns in [[zone]]", names::host_name);
        let contact = self.parse(raw.contact.as_ref(), "contact in [[zone]]", names::contact);
        Some(ZoneSpec { name: name?, feeds, ttl, negative_ttl, ns, contact })
    }

    /// `seen` holds the feeds of the zone before.
    fn zone_feed(
        &mut self,
        raw: raw::ZoneFeed,
        defaults: &Defaults<'_>,
        seen: &mut HashSet<FeedIndex>,
    ) -> Option<ZoneFeed> {
        let text = |text: &str| names::answer_text(text, defaults.zone);
        let own_code = self.parse(raw.code.as_ref(), "code in feeds of [[zone]]", names::code);
        let own_text = self.parse(raw.text.as_ref(), "text in feeds of [[zone]]", text);
        let id = raw.id?;
        let feed = self.known_feed(&id, "feeds in [[zone]]", seen)?;
        let text = own_text.or_else(|| defaults.text.clone()).or_else(|| {
            self.parse(Some(&id), "default text in [[zone]] for feed", |id| {
                text(&names::default_text(id, defaults.zone))
            })
        })?;
        Some(ZoneFeed { feed, code: own_code.unwrap_or(defaults.code), text })
    }

    fn exclude(&mut self, raw: raw::Exclude) -> Exclude {
        let networks = self.each(&list(raw.networks), "networks in [exclude]", network);
        let files = list(raw.files);
        let files = files.iter().filter_map(|file| self.path(file, "files in [exclude]")).collect();
        Exclude { networks, files }
    }

    fn filter(&mut self, raw: raw::Filter) -> Filter {
        let mut seen = HashSet::new();
        let interfaces = self.each(&list(raw.interfaces), "interfaces in [filter]", |text| {
            let name = names::interface(text)?;
            if seen.insert(name.clone()) { Ok(name) } else { Err("it is in the list already") }
        });
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
            self.report.error(at, "bad socket in [control]".into(), quoted(&socket.to_string_lossy()), hint);
        }
        Control { socket }
    }

    // The kinds of values.

    /// Reports a value that cannot be used. `key` says where it stands: `ttl in [[zone]]`.
    fn bad(&mut self, key: &str, value: &Spanned<String>, hint: &str) {
        self.report.error(value.span(), format!("bad {key}"), quoted(value.get_ref()), hint.into());
    }

    /// Parses a value, if there is one; the error of `parse` says what would be right.
    fn parse<T, E: ToString>(
        &mut self,
        value: Option<&Spanned<String>>,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = value?;
        parse(value.get_ref()).map_err(|hint| self.bad(key, value, &hint.to_string())).ok()
    }

    /// Parses every element of a list.
    fn each<T, E: ToString>(
        &mut self,
        values: &[Spanned<String>],
        key: &str,
        mut parse: impl FnMut(&str) -> Result<T, E>,
    ) -> Vec<T> {
        values.iter().filter_map(|value| self.parse(Some(value), key, &mut parse)).collect()
    }

    /// One of a few words, or the default of the type.
    fn one_of<T: Copy + Default>(
        &mut self,
        value: Option<&Spanned<String>>,
        key: &str,
        words: &[(&str, T)],
    ) -> T {
        let find = |text: &str| {
            words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
                let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                format!("allowed: {}", words.join(", "))
            })
        };
        self.parse(value, key, find).unwrap_or_default()
    }

    fn number<T: TryFrom<u64> + PartialOrd + std::fmt::Display>(
        &mut self,
        value: Option<&Spanned<u64>>,
        key: &str,
        default: T,
        range: std::ops::RangeInclusive<T>,
    ) -> T {
        let Some(value) = value else { return default };
        if let Some(number) = T::try_from(*value.get_ref()).ok().filter(|number| range.contains(number)) {
            return number;
        }
        let hint = format!("allowed: {} to {}", range.start(), range.end());
        self.report.error(value.span(), format!("bad {key}"), value.get_ref().to_string(), hint);
        default
    }

    fn duration(
        &mut self,
        value: Option<&Spanned<String>>,
        key: &str,
        default: Duration,
        (least, most): (Duration, Duration),
    ) -> Duration {
        let parse = |text: &str| {
            let duration = units::duration(text).map_err(|e| e.to_string())?;
            if (least..=most).contains(&duration) {
                return Ok(duration);
            }
            let reason = if least == MINUTE && duration < least {
                "; publishers block those who ask more often"
            } else {
                ""
            };
            let (least, most) = (units::format_duration(least), units::format_duration(most));
            Err(format!("allowed: \"{least}\" to \"{most}\"{reason}"))
        };
        self.parse(value, key, parse).unwrap_or(default)
    }

    fn ttl(&mut self, value: Option<&Spanned<String>>, key: &str, default: Duration) -> u32 {
        let ttl = self.duration(value, key, default, (SECOND, 7 * DAY));
        // Seven days are far below 32 bits.
        u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX)
    }

    fn size(
        &mut self,
        value: Option<&Spanned<String>>,
        key: &str,
        default: u64,
        (least, most): (u64, u64),
    ) -> u64 {
        let parse = |text: &str| {
            let size = units::size(text).map_err(|e| e.to_string())?;
            let allowed = (least..=most).contains(&size);
            if allowed {
                Ok(size)
            } else {
                Err(format!("allowed: {} KiB to {} GiB", least >> 10, most >> 30))
            }
        };
        self.parse(value, key, parse).unwrap_or(default)
    }

    fn path(&mut self, value: &Spanned<String>, key: &str) -> Option<PathBuf> {
        let usable = |text: &str| !text.is_empty() && !text.contains('\0');
        self.parse(
            Some(value),
            key,
            |text| if usable(text) { Ok(self.base.join(text)) } else { Err("give a path") },
        )
    }

    fn path_or(&mut self, value: Option<Spanned<String>>, default: &str, key: &str) -> PathBuf {
        value.and_then(|value| self.path(&value, key)).unwrap_or_else(|| default.into())
    }

    /// The number of a feed that is named once only.
    fn known_feed(
        &mut self,
        id: &Spanned<String>,
        key: &str,
        seen: &mut HashSet<FeedIndex>,
    ) -> Option<FeedIndex> {
        let name = id.get_ref();
        match self.feeds.get(name) {
            None if self.feeds.is_empty() => {
                self.bad(key, id, "no feed is configured; add a [[feed]] with this id");
            }
            None => {
                let hint = if self.report.has_room() {
                    let mut known: Vec<&str> = self.feeds.keys().map(String::as_str).collect();
                    known.sort_unstable();
                    format!(
                        "there is no such feed; {}known: {}",
                        did_you_mean(name, &known),
                        enumerate(&known)
                    )
                } else {
                    String::new()
                };
                self.bad(key, id, &hint);
            }
            Some(&feed) if seen.insert(feed) => return Some(feed),
            Some(_) => self.bad(key, id, "it is in the list already"),
        }
        None
    }
}

/// What a zone has for feeds without a code or text of their own.
struct Defaults<'a> {
    zone: &'a str,
    code: Ipv4Addr,
    text: Option<String>,
}

/// A network as configured: exact, so that a slip of the pen excludes nothing that was not meant.
fn network(text: &str) -> Result<Network, String> {
    text.parse::<Network>().map_err(|error| match error {
        NetworkError::HostBits => {
            let masked = text.split_once('/').and_then(|(address, len)| {
                Network::prefix_masked(address.trim().parse().ok()?, len.parse().ok()?).ok()
            });
            let meant =
                masked.map(|network| format!("; write {network} or the bare address")).unwrap_or_default();
            format!("{error}{meant}")
        }
        _ => format!(
            "{error}; write an address, a prefix such as 192.0.2.0/24 or 2001:db8::/32, or first-last"
        ),
    })
}

fn did_you_mean(word: &str, names: &[&str]) -> String {
    nearest(word, names.iter().copied()).map(|name| format!("did you mean {name}? ")).unwrap_or_default()
}

/// The first names of a list that may be long.
fn enumerate(names: &[&str]) -> String {
    let some: Vec<String> = names.iter().take(10).map(|name| shown(name)).collect();
    match names.len().saturating_sub(10) {
        0 => some.join(", "),
        more => format!("{} and {more} more", some.join(", ")),
    }
}

/// The table behind a key, or one with nothing in it.
fn inner<T: Default>(value: Option<Spanned<T>>) -> T {
    value.map(Spanned::into_inner).unwrap_or_default()
}

/// The list behind a key, or an empty one.
fn list<T>(value: Option<Spanned<Vec<T>>>) -> Vec<T> {
    inner(value)
}
