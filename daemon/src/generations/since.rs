//! Since: from which generation on a feed has listed an address, as far back as files are kept.

use super::Generations;
use crate::core::explain::{Explanation, NamedBy, Since};
use crate::core::listing::{ListingId, Listings};
use crate::core::table::Table;
use std::net::IpAddr;
use std::path::Path;

/// Fills in since when each feed has listed each address without a break, from the files of `state_dir`. Addresses the
/// feed names but an exclusion holds back are not listed, and stay without. Reads each file once, newest first, until no
/// question is left open; an unusable file ends the search, because nothing is known of its time.
pub fn fill_since(state_dir: &Path, explanations: &mut [Explanation]) {
    let files = Generations::new(state_dir);
    let Ok(list) = files.list() else { return };
    let Some(newest) = explanations.iter().map(|explanation| explanation.serial).max() else { return };
    let mut open: Vec<(IpAddr, &mut NamedBy)> = explanations
        .iter_mut()
        .filter(|explanation| explanation.listed)
        .flat_map(|explanation| explanation.feeds.iter_mut().map(|named| (explanation.address, named)))
        .collect();
    for file in list.into_iter().filter(|file| file.serial <= newest) {
        if open.is_empty() {
            return;
        }
        let Ok(past) = Past::open(&files, file.serial) else { return };
        open.retain_mut(|(address, named)| {
            let listed = past.lists(&named.feed, *address);
            if listed {
                named.since = Some(past.since);
            }
            listed
        });
    }
}

/// A generation as far as this question needs it.
struct Past {
    since: Since,
    feeds: Vec<String>,
    table: Table,
    listings: Listings,
}

impl Past {
    fn open(files: &Generations, serial: u32) -> Result<Self, super::OpenError> {
        let file = files.open(serial)?;
        let damaged = |damage| super::OpenError::Damaged { path: files.path(serial), damage };
        Ok(Self {
            since: Since { serial, built_at: file.manifest().built_at },
            feeds: file.manifest().feeds.iter().map(|feed| feed.id.clone()).collect(),
            table: file.table().map_err(damaged)?,
            listings: file.listings().map_err(damaged)?,
        })
    }

    fn lists(&self, feed: &str, address: IpAddr) -> bool {
        let listing = ListingId(self.table.lookup(address).listing());
        let is_it = |number: u16| self.feeds.get(usize::from(number)).is_some_and(|id| id == feed);
        self.listings.members(listing).iter().any(|member| is_it(member.feed.0))
    }
}
