//! Explain domains: everything a generation knows of one name, for `lookup`.

use super::{Reservation, Since, ZoneVerdict};
use crate::core::delta::TEST_FEED;
use crate::core::domain::{Scope, dotted, labels, pattern};
use crate::core::domain_table::DomainTable;
use crate::core::feed::SourceLine;
use crate::core::generation::{Generation, Part};
use crate::core::listing::{FeedIndex, ListingId, Listings};
use crate::core::name::QuestionName;
use crate::core::subject::{Spelled, Subject};
use crate::core::zone::{Named, Zone};
use blackthorn_common::payload::Payload;
use serde::{Deserialize, Serialize};

/// What is known of one domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainExplanation {
    /// The domain, in lower case and A-labels.
    pub domain: String,
    /// Does any feed of the generation list it, exclusions taken out?
    pub listed: bool,
    /// Serial of the generation that was asked.
    pub serial: u32,
    /// Feeds with a word on it, whether or not an exclusion overrules them.
    pub feeds: Vec<DomainNamedBy>,
    /// What each zone of domains answers.
    pub zones: Vec<ZoneVerdict>,
    /// Exclusions that speak for it, and where they are written.
    pub exclusions: Vec<Reservation>,
}

/// A feed with a word on the domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainNamedBy {
    /// Feed id.
    pub feed: String,
    /// The entry that decides, as `example.com`, `.example.com` or `*.example.com`.
    pub entry: String,
    /// Does it list the domain? If not, it is an exception of the feed itself.
    pub listed: bool,
    /// The entries that speak for it as written; filled in by whoever can read the stored body.
    #[serde(default)]
    pub lines: Vec<SourceLine>,
    /// How many more there are.
    #[serde(default)]
    pub more_lines: u64,
    /// Since which generation the feed has listed it without a break; filled in by whoever can read the files.
    #[serde(default)]
    pub since: Option<Since>,
}

/// Explains one domain, in wire form and lower case without the root, as a generation has it.
pub fn explain_domain(generation: &Generation, name: &[u8]) -> DomainExplanation {
    let members = listed_by(&generation.domains, &generation.listings, name);
    let parts = (0..).map(FeedIndex).zip(&generation.parts);
    let mut feeds: Vec<DomainNamedBy> =
        parts.filter_map(|(feed, part)| named_by(generation, feed, part, name)).collect();
    if members.contains(&FeedIndex::TEST) {
        feeds.push(named(TEST_FEED, pattern(name, Scope::Exact), true));
    }
    let exclusions = generation
        .exclusions
        .domain_reasons(name)
        .map(|reserved| Reservation { network: reserved.pattern(), reason: reserved.reason.clone() });
    DomainExplanation {
        domain: dotted(name),
        listed: !members.is_empty(),
        serial: generation.serial,
        feeds,
        zones: generation.zones.iter().filter_map(|zone| verdict(generation, zone, name)).collect(),
        exclusions: exclusions.collect(),
    }
}

/// Feeds that list a name in wire form.
pub fn listed_by(table: &DomainTable, listings: &Listings, name: &[u8]) -> Vec<FeedIndex> {
    members(listings, find(table, name).payload)
}

fn members(listings: &Listings, payload: Payload) -> Vec<FeedIndex> {
    listings.members(ListingId(payload.listing())).iter().map(|member| member.feed).collect()
}

fn find(table: &DomainTable, name: &[u8]) -> crate::core::domain_table::Found {
    let mut labels: Vec<&[u8]> = labels(name).into_iter().flatten().collect();
    labels.reverse();
    table.find_labels(labels)
}

fn named(feed: &str, entry: String, listed: bool) -> DomainNamedBy {
    DomainNamedBy { feed: feed.to_owned(), entry, listed, lines: Vec::new(), more_lines: 0, since: None }
}

fn named_by(generation: &Generation, feed: FeedIndex, part: &Part, name: &[u8]) -> Option<DomainNamedBy> {
    let (entry, listed) = match &part.flat {
        Some(flat) => {
            let (entry, scope, listed) = flat.domains.deciding(name)?;
            (pattern(&entry, scope), listed)
        }
        // A generation from a file: what it lists is in the image.
        None => {
            let (entry, scope) = entry_in_image(generation, feed, name)?;
            (pattern(entry, scope), true)
        }
    };
    Some(named(part.id.as_str(), entry, listed))
}

/// The widest entry of a feed under which all names down to this one are listed.
fn entry_in_image<'n>(generation: &Generation, feed: FeedIndex, name: &'n [u8]) -> Option<(&'n [u8], Scope)> {
    let lists = |payload: Payload| members(&generation.listings, payload).contains(&feed);
    let found = find(&generation.domains, name);
    if !lists(found.payload) {
        return None;
    }
    let mut entry = (name, if lists(found.below) { Scope::Subtree } else { Scope::Exact });
    let mut rest = name;
    while let Some(parent) = rest.split_first().and_then(|(&len, behind)| behind.get(usize::from(len)..)) {
        let found = find(&generation.domains, parent);
        if parent.is_empty() || !lists(found.below) {
            break;
        }
        entry = (parent, if lists(found.payload) { Scope::Subtree } else { Scope::Below });
        rest = parent;
    }
    Some(entry)
}

/// What a zone of domains answers; `None` for zones of addresses alone, and where the question would be too long.
fn verdict(generation: &Generation, zone: &Zone, name: &[u8]) -> Option<ZoneVerdict> {
    let wire = [name, zone.name().wire()].concat();
    let question = QuestionName::read(&wire)?;
    let labels = question.labels().checked_sub(zone.name().labels())?;
    let listed = match zone.named(&generation.domains, &question, labels)? {
        Named::Listed(listed) if zone.loaded => Some(listed),
        Named::Listed(_) | Named::Above | Named::Unlisted => None,
    };
    let mut spelled = Spelled::default();
    let texts = listed.map_or(Vec::new(), |listed| match listed.texts() {
        [] => Vec::new(),
        texts => spelled.texts(texts, Subject::Domain { labels }, &question).expanded().collect(),
    });
    Some(ZoneVerdict {
        zone: zone.spec().name.clone(),
        loaded: zone.loaded,
        codes: listed.iter().flat_map(|listed| listed.codes()).map(ToString::to_string).collect(),
        texts,
    })
}
