//! Written: the entries behind an explanation, as somebody wrote them in the feed, with their line numbers.
//!
//! The generation keeps no lines. The stored copy of each feed that names an address is read again, so this takes as
//! long as parsing those feeds, and as much memory; it belongs on a thread that may block, one at a time.

use crate::collector::read_file;
use crate::config::{Config, Feed, Source};
use crate::core::explain::{Explanation, NamedBy};
use crate::core::feed::find;
use crate::store::Store;
use std::net::IpAddr;

/// Fills in the lines of every explanation: from the state directory of `config`, else from the feed's file. Says what
/// could not be found; nothing of that makes an explanation wrong.
pub fn fill_lines(config: &Config, explanations: &mut [Explanation]) -> Vec<String> {
    let store = Store::open_read_only(&config.state_dir).map_err(|error| error.to_string());
    let mut notes = Vec::new();
    for feed in &config.feeds {
        let named: Vec<(IpAddr, &mut NamedBy)> =
            explanations.iter_mut().filter_map(|e| Some((e.address, named_by(e, feed)?))).collect();
        if !named.is_empty()
            && let Err(problem) = fill_feed(feed, store.as_ref(), named)
        {
            notes.push(format!("feed {}: entries as written are not shown: {problem}", feed.id));
        }
    }
    notes
}

fn named_by<'e>(explanation: &'e mut Explanation, feed: &Feed) -> Option<&'e mut NamedBy> {
    explanation.feeds.iter_mut().find(|named| named.feed == feed.id.as_str())
}

fn fill_feed(
    feed: &Feed,
    store: Result<&Store, &String>,
    named: Vec<(IpAddr, &mut NamedBy)>,
) -> Result<(), String> {
    let addresses: Vec<IpAddr> = named.iter().map(|(address, _)| *address).collect();
    let find = |body: &[u8]| find(&feed.rules, body, &addresses).map_err(|error| error.to_string());
    let mut found = find(&body(feed, store)?)?;
    if found.iter().any(|found| found.lines.is_empty())
        && let Source::Path(path) = &feed.source
        && let Ok(file) = read_file(path, feed.rules.max_bytes)
    {
        // Changed while no daemon ran, or in use without being stored: the disk is full.
        found = find(&file)?;
    }
    let mut gone = 0;
    for ((_, named), found) in named.into_iter().zip(found) {
        gone += usize::from(found.lines.is_empty());
        (named.lines, named.more_lines) = (found.lines, found.more);
    }
    match gone {
        0 => Ok(()),
        // Between publishing and this, the feed was fetched again.
        _ => Err(format!("the stored copy does not have {gone} of them any more; ask again")),
    }
}

/// The stored copy; for a feed that is a file and has none, the file.
fn body(feed: &Feed, store: Result<&Store, &String>) -> Result<Vec<u8>, String> {
    let stored = store.map_err(String::clone).and_then(|store| {
        let copy = store.last_good(&feed.id).map_err(|error| error.to_string())?;
        copy.ok_or_else(|| "there is no stored copy".to_owned())
    });
    match (stored, &feed.source) {
        (Ok(copy), _) => Ok(copy.body),
        (Err(_), Source::Path(path)) => {
            read_file(path, feed.rules.max_bytes).map_err(|error| error.to_string())
        }
        (Err(problem), Source::Url(_)) => Err(problem),
    }
}
