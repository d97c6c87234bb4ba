//! Since: from which generation on a feed has listed an address, as far back as files are kept.

use super::Generations;
use crate::core::domain_table::DomainTable;
use crate::core::explain::{DomainExplanation, Explanation, Since, listed_by};
use crate::core::feed::domain_name;
use crate::core::listing::{ListingId, Listings};
use crate::core::table::Table;
use std::net::IpAddr;
use std::path::Path;

/// Fills in since when each feed has listed each address and domain without a break, from the files of `state_dir`. Addresses the
/// feed names but an exclusion holds back are not listed, and stay without. Reads each file once, newest first, until no
/// question is left open; an unusable file ends the search, because nothing is known of its time.
pub fn fill_since(state_dir: &Path, addresses: &mut [Explanation], domains: &mut [DomainExplanation]) {
    let files = Generations::new(state_dir);
    let Ok(list) = files.list() else { return };
    let serials = addresses.iter().map(|e| e.serial).chain(domains.iter().map(|e| e.serial));
    let Some(newest) = serials.max() else { return };
    let mut open: Vec<(Asked, &str, &mut Option<Since>)> = Vec::new();
    for explanation in addresses.iter_mut().filter(|explanation| explanation.listed) {
        for named in &mut explanation.feeds {
            open.push((Asked::Address(explanation.address), &named.feed, &mut named.since));
        }
    }
    for explanation in domains.iter_mut().filter(|explanation| explanation.listed) {
        let Ok(name) = domain_name(&explanation.domain) else { continue };
        for named in explanation.feeds.iter_mut().filter(|named| named.listed) {
            open.push((Asked::Domain(name.clone()), &named.feed, &mut named.since));
        }
    }
    for file in list.into_iter().filter(|file| file.serial <= newest) {
        if open.is_empty() {
            return;
        }
        let Ok(past) = Past::open(&files, file.serial) else { return };
        open.retain_mut(|(asked, feed, since)| {
            let listed = past.lists(feed, asked);
            if listed {
                **since = Some(past.since);
            }
            listed
        });
    }
}

/// What a question is about.
enum Asked {
    Address(IpAddr),
    /// In wire form.
    Domain(Vec<u8>),
}

/// A generation as far as this question needs it.
struct Past {
    since: Since,
    feeds: Vec<String>,
    table: Table,
    domains: DomainTable,
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
            domains: file.domains().map_err(damaged)?,
            listings: file.listings().map_err(damaged)?,
        })
    }

    fn lists(&self, feed: &str, asked: &Asked) -> bool {
        let members = match asked {
            Asked::Address(address) => {
                let listing = ListingId(self.table.lookup(*address).listing());
                self.listings.members(listing).iter().map(|member| member.feed).collect()
            }
            Asked::Domain(name) => listed_by(&self.domains, &self.listings, name),
        };
        members.iter().any(|number| self.feeds.get(usize::from(number.0)).is_some_and(|id| id == feed))
    }
}
