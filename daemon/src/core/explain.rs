//! Explain: everything a view knows of one address or domain, for `lookup`.
//!
//! It reads the same table and the same zones as the DNS server and the packet filter, so what it says is what they do.

mod domains;

pub use domains::{DomainExplanation, DomainNamedBy, explain_domain, listed_by};

use super::delta::TEST_FEED;
use super::domain::dotted;
use super::feed::{SourceLine, domain_name};
use super::generation::Generation;
use super::listing::{FeedIndex, ListingId};
use super::live_set::{Action, LiveEntry};
use super::live_table::LiveTable;
use super::network::{Network, fold};
use super::protection::Reservations;
use super::segment::{Segment, find_segment};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// What can be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An address.
    Address(IpAddr),
    /// A domain: labels in wire form and lower case, without the root.
    Domain(Vec<u8>),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let domain = domain_name(text).map_err(|reason| format!("no address and no domain: {reason}"))?;
        Ok(Self::Domain(domain))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Domain(name) => f.write_str(&dotted(name)),
        }
    }
}

/// What is known of one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The address; IPv4-mapped IPv6 is shown as IPv4.
    pub address: IpAddr,
    /// Is it on any list of the generation, or blocked by hand, and not allowed by hand?
    pub listed: bool,
    /// Serial of the generation that was asked.
    pub serial: u32,
    /// Feeds that name the address, whether or not an exclusion overrules them.
    pub feeds: Vec<NamedBy>,
    /// The live entry that decides, if there is one.
    #[serde(default)]
    pub live: Option<LiveVerdict>,
    /// What each zone answers.
    pub zones: Vec<ZoneVerdict>,
    /// Exclusions that hold the address, and where they are written.
    pub exclusions: Vec<Reservation>,
    /// What the packet filter does with packets from the address.
    pub filter: FilterVerdict,
}

/// A feed that names the address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedBy {
    /// Feed id.
    pub feed: String,
    /// The feed's value for it: its score, or 0.
    pub value: u32,
    /// The run of addresses around it that the feed says the same of.
    pub network: String,
    /// Does the packet filter act on this feed?
    pub filtered: bool,
    /// The entries as written; filled in by whoever can read the stored body.
    #[serde(default)]
    pub lines: Vec<SourceLine>,
    /// How many more entries there are.
    #[serde(default)]
    pub more_lines: u64,
    /// Since which generation the feed has listed it without a break; filled in by whoever can read the files of
    /// generations, as far back as they are kept.
    #[serde(default)]
    pub since: Option<Since>,
}

/// The generation from which on a feed lists an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// Its serial.
    pub serial: u32,
    /// When it was built, seconds since 1970.
    pub built_at: u64,
}

/// A live entry, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveVerdict {
    /// Block or allow.
    pub action: Action,
    /// What it was given for.
    pub network: String,
    /// Why; may be empty.
    pub reason: String,
    /// User id of who asked for it.
    pub by: u32,
    /// When, in seconds since 1970.
    pub added_at: u64,
    /// When it is over, in seconds since 1970; `None`: never.
    pub expires_at: Option<u64>,
}

/// What one zone answers about the address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneVerdict {
    /// Query root.
    pub zone: String,
    /// Has the zone data? If not it answers SERVFAIL.
    pub loaded: bool,
    /// A records; empty: not listed there.
    pub codes: Vec<String>,
    /// TXT records.
    pub texts: Vec<String>,
}

/// An exclusion or protection that holds the address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The network as reserved.
    pub network: String,
    /// Why, or where it is written.
    pub reason: String,
}

/// What the packet filter does with packets from the address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterVerdict {
    /// Do the live entries, or else the table, say drop? What happens depends on the filter being on and its action.
    pub drop: bool,
    /// Protections that hold the address.
    pub protections: Vec<Reservation>,
}

/// Explains one address as a generation and the live entries over it have it.
pub fn explain(generation: &Generation, overlay: &LiveTable, address: IpAddr) -> Explanation {
    let address = fold(address);
    let payload = generation.table.lookup(address);
    let zones = generation.zones.iter().map(|zone| {
        let listed = zone.loaded.then(|| zone.shown(&generation.table, overlay, address)).flatten();
        ZoneVerdict {
            zone: zone.spec().name.clone(),
            loaded: zone.loaded,
            codes: listed.iter().flat_map(|l| l.codes()).map(ToString::to_string).collect(),
            texts: listed.iter().flat_map(|l| l.texts()).map(|text| text.expand(address)).collect(),
        }
    });
    Explanation {
        address,
        listed: match overlay.action(address) {
            Some(action) => action == Action::Block,
            None => payload.is_listed(),
        },
        serial: generation.serial,
        feeds: named_by(generation, address, ListingId(payload.listing())),
        live: overlay.deciding(address).map(LiveVerdict::from),
        zones: zones.collect(),
        exclusions: reasons(&generation.exclusions, address),
        filter: FilterVerdict {
            drop: overlay.drops(address).unwrap_or(payload.drops()),
            protections: reasons(&generation.protections, address),
        },
    }
}

impl From<&LiveEntry> for LiveVerdict {
    fn from(entry: &LiveEntry) -> Self {
        Self {
            action: entry.action,
            network: entry.network.to_string(),
            reason: entry.reason.clone(),
            by: entry.by,
            added_at: entry.added_at,
            expires_at: entry.expires_at,
        }
    }
}

fn named_by(generation: &Generation, address: IpAddr, listing: ListingId) -> Vec<NamedBy> {
    let members = generation.listings.members(listing);
    let mut named: Vec<NamedBy> = (0..)
        .map(FeedIndex)
        .zip(&generation.parts)
        .filter_map(|(index, part)| {
            let (network, value) = match (address, &part.flat) {
                (IpAddr::V4(a), Some(flat)) => find_v4(&flat.v4, a)?,
                (IpAddr::V6(a), Some(flat)) => find_v6(&flat.v6, a)?,
                // A generation from a file: what it lists is in the image.
                (_, None) if !members.iter().any(|member| member.feed == index) => return None,
                (IpAddr::V4(a), None) => find_v4(&generation.feed_v4(index), a)?,
                (IpAddr::V6(a), None) => find_v6(&generation.feed_v6(index), a)?,
            };
            let feed = part.id.to_string();
            Some(NamedBy {
                feed,
                value,
                network: network.to_string(),
                filtered: part.filtered,
                lines: Vec::new(),
                more_lines: 0,
                since: None,
            })
        })
        .collect();
    // Members that are no configured feed: the built-in test entries.
    if members.iter().any(|member| generation.part(member.feed).is_none()) {
        named.push(NamedBy {
            feed: TEST_FEED.to_owned(),
            value: 0,
            network: address.to_string(),
            filtered: false,
            lines: Vec::new(),
            more_lines: 0,
            since: None,
        });
    }
    named
}

fn find_v4(segments: &[Segment<u32, u32>], address: Ipv4Addr) -> Option<(Network, u32)> {
    find_segment(segments, address.into()).map(|s| (Network::V4(s.span), s.label))
}

fn find_v6(segments: &[Segment<u128, u32>], address: Ipv6Addr) -> Option<(Network, u32)> {
    find_segment(segments, address.into()).map(|s| (Network::V6(s.span), s.label))
}

fn reasons(reservations: &Reservations, address: IpAddr) -> Vec<Reservation> {
    let shown = |reserved: &super::protection::Reserved| Reservation {
        network: reserved.network.to_string(),
        reason: reserved.reason.clone(),
    };
    reservations.reasons(address).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fixture;
    use crate::core::protection::Reserved;

    fn explained(generation: &Generation, address: &str) -> Explanation {
        explain(generation, &LiveTable::default(), address.parse().unwrap())
    }

    #[test]
    fn zones_say_what_dns_would() {
        let specs = [
            fixture::zone("a.example", &[(0, "127.0.0.2", "see $"), (1, "127.0.0.4", "")]),
            fixture::zone("b.example", &[(1, "127.0.0.9", "b")]),
        ];
        let mut generation = fixture::generation(&specs, &[(0, "192.0.2.0/24"), (1, "2001:db8::/32")]);
        let codes = |e: &Explanation| e.zones.iter().map(|zone| zone.codes.join(" ")).collect::<Vec<_>>();
        let v4 = explained(&generation, "::ffff:192.0.2.7");
        assert_eq!(
            (v4.address.to_string(), v4.listed, v4.serial),
            ("192.0.2.7".to_owned(), true, fixture::SERIAL)
        );
        assert_eq!(codes(&v4), ["127.0.0.2", ""]);
        assert_eq!(v4.zones[0].texts, ["see 192.0.2.7"]);
        assert_eq!(codes(&explained(&generation, "2001:db8::1")), ["127.0.0.4", "127.0.0.9"]);
        let unlisted = explained(&generation, "198.51.100.1");
        assert_eq!((unlisted.listed, codes(&unlisted)), (false, vec![String::new(); 2]));
        // A zone without data answers SERVFAIL, whatever its test entry would say.
        generation.zones[0].loaded = false;
        let test = explained(&generation, "127.0.0.2");
        assert_eq!(codes(&test), ["", "127.0.0.9"]);
        assert_eq!(test.zones[0].texts, [] as [String; 0]);
        assert_eq!(test.feeds[0].feed, "test entry (RFC 5782)");
    }

    #[test]
    fn reservations_come_with_their_reasons() {
        let reserved = |network: &str, reason: &str| {
            let reason = reason.to_owned();
            Reservations::new(vec![Reserved { network: network.parse().unwrap(), reason }])
        };
        let mut generation = fixture::generation(&[], &[]);
        generation.exclusions = reserved("192.0.2.0/24", "allow.txt:7");
        generation.protections = reserved("192.0.2.1", "address of eth0");
        let one = explained(&generation, "192.0.2.1");
        assert_eq!(
            (one.exclusions[0].reason.as_str(), one.exclusions[0].network.as_str()),
            ("allow.txt:7", "192.0.2.0/24")
        );
        assert_eq!(one.filter.protections[0].reason, "address of eth0");
        let other = explained(&generation, "192.0.2.2");
        assert_eq!((other.exclusions.len(), other.filter.protections.len()), (1, 0));
    }
}
