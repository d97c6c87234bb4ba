//! The kinds of values: text to numbers, durations, paths, words of a list.

use super::super::problem::{quoted, shown};
use super::super::{nearest, units};
use super::{Check, DAY, SECOND};
use crate::core::domain::Scope;
use crate::core::feed::{RejectReason, domain_pattern};
use crate::core::listing::FeedIndex;
use crate::core::network::{Network, NetworkError};
use std::collections::HashSet;
use std::hash::Hash;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

const TWICE: &str = "it is in the list already";

impl Check<'_, '_> {
    /// Reports a value that cannot be used. `key` says where it stands: `ttl in [[zone]]`.
    pub(super) fn bad(&mut self, key: &str, value: &Spanned<String>, hint: &str) {
        self.report.error(value.span(), format!("bad {key}"), quoted(value.get_ref()), hint);
    }

    /// Parses a value, if there is one; the error of `parse` says what would be right.
    pub(super) fn parse<T, E: ToString>(
        &mut self,
        value: Option<&Spanned<String>>,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = value?;
        parse(value.get_ref()).map_err(|hint| self.bad(key, value, &hint.to_string())).ok()
    }

    /// Parses every element of a list.
    pub(super) fn each<T, E: ToString>(
        &mut self,
        values: &[Spanned<String>],
        key: &str,
        mut parse: impl FnMut(&str) -> Result<T, E>,
    ) -> Vec<T> {
        values.iter().filter_map(|value| self.parse(Some(value), key, &mut parse)).collect()
    }

    /// Parses every element of a list, none of which may come twice.
    pub(super) fn each_once<T: Clone + Eq + Hash, E: ToString>(
        &mut self,
        values: &[Spanned<String>],
        key: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let mut seen = HashSet::new();
        self.each(values, key, |text| {
            let value = parse(text).map_err(|hint| hint.to_string())?;
            if seen.insert(value.clone()) { Ok(value) } else { Err(TWICE.to_owned()) }
        })
    }

    /// One of a few words, or the default of the type.
    pub(super) fn one_of<T: Copy + Default>(
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

    /// A number in a range.
    pub(super) fn number<T: TryFrom<u64> + PartialOrd + std::fmt::Display>(
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
        self.report.error(value.span(), format!("bad {key}"), value.get_ref().to_string(), &hint);
        default
    }

    /// A duration in a range; `why` is added to a complaint about the range.
    pub(super) fn duration(
        &mut self,
        value: Option<&Spanned<String>>,
        key: &str,
        default: Duration,
        (least, most): (Duration, Duration),
        why: &str,
    ) -> Duration {
        let parse = |text: &str| {
            let duration = units::duration(text).map_err(|e| e.to_string())?;
            if (least..=most).contains(&duration) {
                return Ok(duration);
            }
            let (least, most) = (units::format_duration(least), units::format_duration(most));
            Err(format!("allowed: \"{least}\" to \"{most}\"{why}"))
        };
        self.parse(value, key, parse).unwrap_or(default)
    }

    /// A TTL in seconds.
    pub(super) fn ttl(&mut self, value: Option<&Spanned<String>>, key: &str, default: Duration) -> u32 {
        let ttl = self.duration(value, key, default, (SECOND, 7 * DAY), "");
        // Seven days are far below 32 bits.
        u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX)
    }

    /// A path, from the directory of the file.
    pub(super) fn path(&mut self, value: &Spanned<String>, key: &str) -> Option<PathBuf> {
        let usable = |text: &str| !text.is_empty() && !text.contains('\0');
        self.parse(
            Some(value),
            key,
            |text| if usable(text) { Ok(self.base.join(text)) } else { Err("give a path") },
        )
    }

    pub(super) fn path_or(&mut self, value: Option<Spanned<String>>, default: &str, key: &str) -> PathBuf {
        value.and_then(|value| self.path(&value, key)).unwrap_or_else(|| default.into())
    }

    /// The number of a feed that is named once only.
    pub(super) fn known_feed(
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
                    let known: Vec<&str> = self.feeds.keys().map(String::as_str).collect();
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
            Some(_) => self.bad(key, id, TWICE),
        }
        None
    }
}

/// A network as configured: exact, so that a slip of the pen excludes nothing that was not meant.
pub(super) fn network(text: &str) -> Result<Network, String> {
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

/// A domain as configured, with which names are meant.
pub(super) fn domain(text: &str) -> Result<(Vec<u8>, Scope), String> {
    domain_pattern(text).map_err(|reason| match reason {
        RejectReason::TopLevel => {
            "write a domain of two labels or more, or one with a dot in front".to_owned()
        }
        reason => format!("{reason}; write example.com, .example.com or *.example.com"),
    })
}

/// A suggestion, if any name is close.
pub(super) fn did_you_mean(word: &str, names: &[&str]) -> String {
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
