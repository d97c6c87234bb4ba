//! Zones: how a DNSBL query root turns listings into answers.
//!
//! A zone is a view. It names the feeds that answer in it, each with a code and a text; compiled against the listings
//! of a generation it is an array from listing number to answer, so that one table serves every zone.

use super::listing::FeedIndex;
use std::net::Ipv4Addr;

/// A zone as configured, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneSpec {
    /// Query root, absolute, lower case, without the final dot: `bl.example`.
    pub name: String,
    /// Feeds that answer here, in configuration order.
    pub feeds: Vec<ZoneFeed>,
    /// TTL of positive answers, in seconds.
    pub ttl: u32,
    /// TTL of negative answers (SOA MINIMUM), in seconds.
    pub negative_ttl: u32,
    /// Name servers (absolute, without final dot). Empty: the zone names itself.
    pub ns: Vec<String>,
    /// SOA RNAME in domain form; `None`: `hostmaster.` and the zone.
    pub contact: Option<String>,
}

/// One feed's part in a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneFeed {
    /// Which feed.
    pub feed: FeedIndex,
    /// A record of its listings, in 127.0.0.0/8.
    pub code: Ipv4Addr,
    /// TXT template; `$` stands for the queried address, `$$` for a dollar sign.
    pub text: String,
}
