//! Written: the entries behind an explanation, as somebody wrote them in the feed, with their line numbers.
//!
//! The generation keeps no lines. The stored copy of each feed that names an address is read again, so this takes as
//! long as parsing those feeds, and as much memory; it belongs on a thread that may block, one at a time.

use crate::collector::read_file;
use crate::config::{Config, Feed, Source};
use crate::core::explain::{DomainExplanation, Explanation};
use crate::core::feed::{Found, SourceLine, domain_name, find, find_domains};
use crate::store::Store;
use std::net::IpAddr;

/// Fills in the lines of every explanation: from the state directory of `config`, else from the feed's file. Says what
/// could not be found; nothing of that makes an explanation wrong.
pub fn fill_lines(
    config: &Config,
    addresses: &mut [Explanation],
    domains: &mut [DomainExplanation],
) -> Vec<String> {
    let store = Store::open_read_only(&config.state_dir).map_err(|error| error.to_string());
    let mut notes = Vec::new();
    for feed in &config.feeds {
        let id = feed.id.as_str();
        let mut asked: Vec<IpAddr> = Vec::new();
        let mut names: Vec<Vec<u8>> = Vec::new();
        let mut slots: Vec<Lines<'_>> = Vec::new();
        for explanation in &mut *addresses {
            if let Some(named) = explanation.feeds.iter_mut().find(|named| named.feed == id) {
                asked.push(explanation.address);
                slots.push((&mut named.lines, &mut named.more_lines));
            }
        }
        for explanation in &mut *domains {
            let Ok(name) = domain_name(&explanation.domain) else { continue };
            if let Some(named) = explanation.feeds.iter_mut().find(|named| named.feed == id) {
                names.push(name);
                slots.push((&mut named.lines, &mut named.more_lines));
            }
        }
        if !slots.is_empty()
            && let Err(problem) = fill_feed(feed, store.as_ref(), &asked, &names, slots)
        {
            notes.push(format!("feed {}: entries as written are not shown: {problem}", feed.id));
        }
    }
    notes
}

/// Where the lines of one explanation go, and the number of those left out.
type Lines<'e> = (&'e mut Vec<SourceLine>, &'e mut u64);

/// `slots` are those of the addresses, then those of the names.
fn fill_feed(
    feed: &Feed,
    store: Result<&Store, &String>,
    addresses: &[IpAddr],
    names: &[Vec<u8>],
    slots: Vec<Lines<'_>>,
) -> Result<(), String> {
    let find = |body: &[u8]| -> Result<Vec<Found>, String> {
        let mut found = Vec::new();
        if !addresses.is_empty() {
            found = find(&feed.rules, body, addresses).map_err(|error| error.to_string())?;
        }
        if !names.is_empty() {
            found.extend(find_domains(&feed.rules, body, names).map_err(|error| error.to_string())?);
        }
        Ok(found)
    };
    let mut found = find(&body(feed, store)?)?;
    if found.iter().any(|found| found.lines.is_empty())
        && let Source::Path(path) = &feed.source
        && let Ok(file) = read_file(path, feed.rules.max_bytes)
    {
        // Changed while no daemon ran, or in use without being stored: the disk is full.
        found = find(&file)?;
    }
    let mut gone = 0;
    for ((lines, more), found) in slots.into_iter().zip(found) {
        gone += usize::from(found.lines.is_empty());
        (*lines, *more) = (found.lines, found.more);
    }
    match gone {
        0 => Ok(()),
        // Between publishing and this, the feed was fetched again.
        _ => Err(format!("the stored copy does not have {gone} of them any more; ask again")),
    }
}

/// The stored copy; for a feed that is a file and has none, the file.
pub(super) fn body(feed: &Feed, store: Result<&Store, &String>) -> Result<Vec<u8>, String> {
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
