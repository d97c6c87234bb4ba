//! Why not: what keeps an address off the lists although somebody may expect it there.
//!
//! Beside what an explanation says of exclusions, three things can: a feed that has no good copy, or an old one; lines of a
//! stored copy that its feed's own rules leave out; a zone that does not show the feeds that list the address. Of a body
//! that was refused nothing is kept but the reason, so whether it lists the address is not known.
//!
//! Every stored copy is read again, up to six times if it names the address, so this belongs on a thread that may block, one at a time.

use super::status::{FeedState, FeedStatus};
use super::written::body;
use crate::config::{Config, Feed};
use crate::core::explain::{Explanation, ZoneVerdict};
use crate::core::feed::{Found, Rules, SourceLine, WIDEST_EVER, find};
use crate::store::{Event, OUTCOMES_KEPT, Store};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Everything that keeps one address off the lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyNot {
    /// The address.
    pub address: IpAddr,
    /// Feeds that may lack it, or leave it out; the others are left out here.
    pub feeds: Vec<FeedGap>,
    /// Zones that do not list it, and why.
    pub zones: Vec<ZoneGap>,
}

/// What is to be said of one feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedGap {
    /// Feed id.
    pub feed: String,
    /// Where it stands.
    pub state: FeedState,
    /// Since when it has been failing without a pause, as far as outcomes are kept, in seconds since 1970.
    pub since: Option<u64>,
    /// Why.
    pub problem: Option<String>,
    /// Has it any data in use?
    pub loaded: bool,
    /// Does the data in use name the address, before exclusions?
    pub names_it: bool,
    /// Lines of the stored copy that hold the address and are not in force.
    pub left_out: Vec<LeftOut>,
}

/// A line that is not in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Line number in the decoded body, from 1.
    pub line: u32,
    /// The line.
    pub text: String,
    /// Why it is left out.
    pub reason: String,
}

/// A zone that does not list the address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneGap {
    /// Query root.
    pub zone: String,
    /// Why.
    pub reason: String,
}

/// Finds out for every explanation. `feeds` is the status of the configured feeds. Also says what could not be found out.
pub fn why_not(
    config: &Config,
    feeds: &[FeedStatus],
    explanations: &[Explanation],
) -> (Vec<WhyNot>, Vec<String>) {
    let store = Store::open_read_only(&config.state_dir).map_err(|error| error.to_string());
    let zones = |e: &Explanation| e.zones.iter().filter_map(|zone| zone_gap(config, e, zone)).collect();
    let why = |e: &Explanation| WhyNot { address: e.address, feeds: Vec::new(), zones: zones(e) };
    let mut all: Vec<WhyNot> = explanations.iter().map(why).collect();
    let mut notes = Vec::new();
    for feed in &config.feeds {
        let Some(status) = feeds.iter().find(|status| status.id == feed.id.as_str()) else { continue };
        let mut left_out = vec![Vec::new(); explanations.len()];
        if status.loaded {
            match read(feed, store.as_ref(), explanations) {
                Ok(found) => left_out = found,
                Err(why) => notes.push(format!("feed {}: lines left out are not known: {why}", feed.id)),
            }
        }
        let since = store.as_ref().ok().and_then(|store| failing_since(store, feed));
        for ((why, explanation), left_out) in all.iter_mut().zip(explanations).zip(left_out) {
            if status.state != FeedState::Ok || !status.loaded || !left_out.is_empty() {
                why.feeds.push(FeedGap {
                    feed: status.id.clone(),
                    state: status.state,
                    since,
                    problem: status.last_error.clone(),
                    loaded: status.loaded,
                    names_it: names(explanation, feed),
                    left_out,
                });
            }
        }
    }
    (all, notes)
}

fn names(explanation: &Explanation, feed: &Feed) -> bool {
    explanation.feeds.iter().any(|named| named.feed == feed.id.as_str())
}

/// When the failures began that have not ended yet.
fn failing_since(store: &Store, feed: &Feed) -> Option<u64> {
    let outcomes = store.outcomes(&feed.id, OUTCOMES_KEPT).ok()?;
    let failures = outcomes.iter().take_while(|outcome| matches!(outcome.event, Event::Failed(_)));
    failures.last().map(|outcome| outcome.at)
}

fn zone_gap(config: &Config, explanation: &Explanation, verdict: &ZoneVerdict) -> Option<ZoneGap> {
    if !verdict.codes.is_empty() {
        return None;
    }
    let spec = config.zones.iter().find(|zone| zone.name == verdict.zone);
    let shown: Vec<&str> = spec
        .map_or(&[][..], |zone| &zone.feeds)
        .iter()
        .filter_map(|f| Some(config.feed_id(f.feed)?.as_str()))
        .collect();
    let named_here = explanation.feeds.iter().any(|named| shown.contains(&named.feed.as_str()));
    let reason = if !verdict.loaded {
        "none of its feeds has data, so it answers SERVFAIL".to_owned()
    } else if named_here && !explanation.exclusions.is_empty() {
        "an exclusion holds the address back".to_owned()
    } else if named_here {
        "the live generation is older than its configuration".to_owned()
    } else if explanation.feeds.is_empty() {
        "none of its feeds lists the address".to_owned()
    } else {
        let feeds: Vec<&str> = explanation.feeds.iter().map(|named| named.feed.as_str()).collect();
        format!("it shows {}, and the address is on {} only", shown.join(", "), feeds.join(", "))
    };
    Some(ZoneGap { zone: verdict.zone.clone(), reason })
}

/// For each explanation the lines of the feed's stored copy that hold the address and are not in force.
fn read(
    feed: &Feed,
    store: Result<&Store, &String>,
    explanations: &[Explanation],
) -> Result<Vec<Vec<LeftOut>>, String> {
    let body = body(feed, store)?;
    let addresses: Vec<IpAddr> = explanations.iter().map(|e| e.address).collect();
    let look = |rules: &Rules| find(rules, &body, &addresses).map_err(|error| error.to_string());
    let all = look(&Relaxation::all(&feed.rules))?;
    if all.iter().all(|found| found.lines.is_empty()) {
        return Ok(vec![Vec::new(); addresses.len()]);
    }
    let taken = look(&feed.rules)?;
    // One rule at a time: a line that comes back without a rule was left out because of it.
    let single: Vec<(String, Vec<Found>)> = Relaxation::EACH
        .iter()
        .filter(|relaxation| relaxation.apply(&feed.rules) != feed.rules)
        .map(|relaxation| Ok((relaxation.reason(&feed.rules), look(&relaxation.apply(&feed.rules))?)))
        .collect::<Result<_, String>>()?;
    let has = |found: Option<&Found>, line: &SourceLine| {
        found.is_some_and(|found| found.lines.iter().any(|other| other.line == line.line))
    };
    let left_out = |(place, found): (usize, &Found)| {
        let named = explanations.get(place).is_some_and(|explanation| names(explanation, feed));
        let reason = |line: &SourceLine| {
            if has(taken.get(place), line) {
                return (!named).then(|| "it waits for the next generation".to_owned());
            }
            let because = single.iter().find(|(_, found)| has(found.get(place), line));
            Some(
                because
                    .map_or_else(|| "several rules of the feed together".to_owned(), |(why, _)| why.clone()),
            )
        };
        let line = |line: &SourceLine| {
            Some(LeftOut { line: line.line, text: line.text.clone(), reason: reason(line)? })
        };
        found.lines.iter().filter_map(line).collect()
    };
    Ok(all.iter().enumerate().map(|(place, found)| left_out((place, found))).collect())
}

/// A rule of a feed, made to keep everything.
#[derive(Clone, Copy)]
enum Relaxation {
    Score,
    SpecialUse,
    WidthV4,
    WidthV6,
    HostBits,
}

impl Relaxation {
    const EACH: [Self; 5] = [Self::Score, Self::SpecialUse, Self::WidthV4, Self::WidthV6, Self::HostBits];

    fn all(rules: &Rules) -> Rules {
        Self::EACH.iter().fold(rules.clone(), |rules, relaxation| relaxation.apply(&rules))
    }

    fn apply(self, rules: &Rules) -> Rules {
        let mut rules = rules.clone();
        match self {
            Self::Score => rules.min_score = 0,
            Self::SpecialUse => rules.keep_special_use = true,
            Self::WidthV4 => rules.widest_v4 = WIDEST_EVER,
            Self::WidthV6 => rules.widest_v6 = WIDEST_EVER,
            Self::HostBits => rules.strict = false,
        }
        rules
    }

    fn reason(self, rules: &Rules) -> String {
        match self {
            Self::Score => format!("its score is below min_score = {}", rules.min_score),
            Self::SpecialUse => "special-use addresses are cut out (special_use = \"drop\")".to_owned(),
            Self::WidthV4 => format!("it is wider than widest_ipv4 = {}", rules.widest_v4),
            Self::WidthV6 => format!("it is wider than widest_ipv6 = {}", rules.widest_v6),
            Self::HostBits => "address bits are set behind the prefix (strict = true)".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::explain::explain;
    use crate::core::live_table::LiveTable;
    use crate::core::validators::Validators;
    use crate::engine::disk::Disk;
    use crate::store::LastGood;
    use std::path::Path;

    const CONFIG: &str = r#"
state_dir = "state"
[[feed]]
id = "scored"
source = "https://feeds.example/scored"
format = "score-tsv"
min_score = 3
widest_ipv4 = 24
strict = true
[[feed]]
id = "other"
source = "other.txt"
format = "plain"
[[feed]]
id = "page"
source = "https://feeds.example/page"
format = "plain"
[[feed]]
id = "never"
source = "https://feeds.example/never"
format = "plain"
[[zone]]
name = "bl.example"
feeds = ["scored", "page"]
[[zone]]
name = "new.example"
feeds = ["never"]
[exclude]
networks = ["203.0.113.0/28"]
"#;

    const SCORED: &str = "198.51.100.1\t2\n198.51.100.2\t3\n10.0.0.1\t9\n203.0.112.0/23\t9\n203.0.113.9\t9\n\
                          192.0.2.1/28\t9\n192.0.2.1/23\t1\n";

    /// Why not, in short: for feeds `id state left out`, for zones `zone: reason`.
    fn answers(addresses: &[&str]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("other.txt"), "198.51.100.1\n").unwrap();
        let config = Config::parse(CONFIG, Path::new("t.toml"), dir.path()).unwrap();
        let mut store = Store::open(&config.state_dir).unwrap().store;
        // Most lines are left out on purpose; enough others keep the gate happy.
        let filler: String = (0..250).map(|n| format!("198.51.101.{n}\t9\n")).collect();
        for (feed, body) in [(0, format!("{SCORED}{filler}")), (2, "198.51.100.3\n".to_owned())] {
            let feed = &config.feeds[feed];
            let good =
                LastGood::new(&feed.source, body.into_bytes(), Validators::default(), 1_000, String::new());
            store.accept(&feed.id, &good).unwrap();
        }
        let page = &config.feeds[2].id;
        store.record_failure(page, 2_000, "a web page").unwrap();
        store.record_failure(page, 3_000, "a web page").unwrap();
        drop(store);
        let disk = Disk::load(&config);
        let generation = disk.generation().unwrap();
        let explanations: Vec<Explanation> = addresses
            .iter()
            .map(|a| explain(&generation, &LiveTable::default(), a.parse().unwrap()))
            .collect();
        let (why, notes) = why_not(&config, &disk.feeds(), &explanations);
        assert_eq!(notes, [] as [String; 0]);
        let gap = |gap: &FeedGap| {
            let left_out: Vec<String> =
                gap.left_out.iter().map(|l| format!("{} {}", l.line, l.reason)).collect();
            format!("{} {:?} {:?} {} [{}]", gap.feed, gap.state, gap.since, gap.names_it, left_out.join("; "))
        };
        let shown = |why: &WhyNot| {
            let zones = why.zones.iter().map(|zone| format!("{}: {}", zone.zone, zone.reason));
            why.feeds.iter().map(gap).chain(zones).collect::<Vec<_>>().join("\n")
        };
        why.iter().map(shown).collect()
    }

    const PAGE: &str = "page Failing Some(2000) false []\nnever Waiting None false []\n";
    const NEW: &str = "new.example: none of its feeds has data, so it answers SERVFAIL";

    #[test]
    fn every_reason_is_found() {
        let addresses = [
            "198.51.100.1",
            "198.51.100.2",
            "10.0.0.1",
            "203.0.112.1",
            "203.0.113.9",
            "192.0.2.2",
            "192.0.3.1",
        ];
        let answers = answers(&addresses);
        let nobody = "bl.example: none of its feeds lists the address";
        let expected = [
            format!(
                "scored Ok None false [1 its score is below min_score = 3]\n{PAGE}\
                 bl.example: it shows scored, page, and the address is on other only\n{NEW}"
            ),
            format!("{PAGE}{NEW}"),
            format!(
                "scored Ok None false [3 special-use addresses are cut out (special_use = \"drop\")]\n{PAGE}{nobody}\n{NEW}"
            ),
            format!("scored Ok None false [4 it is wider than widest_ipv4 = 24]\n{PAGE}{nobody}\n{NEW}"),
            format!(
                "scored Ok None true [4 it is wider than widest_ipv4 = 24]\n{PAGE}bl.example: an exclusion holds the address back\n{NEW}"
            ),
            format!(
                "scored Ok None false [6 address bits are set behind the prefix (strict = true); 7 several rules of the feed together]\n{PAGE}{nobody}\n{NEW}"
            ),
            format!("scored Ok None false [7 several rules of the feed together]\n{PAGE}{nobody}\n{NEW}"),
        ];
        for ((address, answer), expected) in addresses.iter().zip(answers).zip(expected) {
            assert_eq!(answer, expected, "{address}");
        }
    }

    #[test]
    fn the_last_good_copy_of_a_failing_feed_may_name_it() {
        assert!(answers(&["198.51.100.3"])[0].starts_with("page Failing Some(2000) true []\n"));
    }
}
