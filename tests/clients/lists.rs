//! What the daemon serves to all clients: lists of addresses and of domains, and zones that fail in all ways.

use crate::harness::Site;

/// The zone of the list.
pub(crate) const ZONE: &str = "bl.example";
/// The zone of the list of domains.
pub(crate) const DOMAIN_ZONE: &str = "dbl.example";
/// A zone whose feed never loads: SERVFAIL.
pub(crate) const UNLOADED: &str = "unloaded.example";
/// A zone that is not ours: REFUSED.
pub(crate) const FOREIGN: &str = "foreign.example";
/// The list, for others: REFUSED.
pub(crate) const CLOSED: &str = "closed.example";
/// The list, for others: all is listed, with a code that says so.
pub(crate) const CODED: &str = "coded.example";

/// Addresses that are listed, the last two by networks around them.
pub(crate) const LISTED: [&str; 5] =
    ["127.0.0.2", "192.0.2.9", "2001:db8:1::5", "198.51.100.77", "2001:db8:2:3:4:5:6:7"];
/// Addresses that are not, of which some share all but the last part of their names with others.
pub(crate) const UNLISTED: [&str; 5] =
    ["127.0.0.1", "192.0.2.10", "2001:db8:1::6", "203.0.113.4", "2001:db8:3::1"];

/// Domains that are listed: one with those below, one alone, and the test entry.
pub(crate) const LISTED_DOMAINS: [&str; 4] =
    ["bad.example.com", "mail.bad.example.com", "exact.example.org", "test"];
/// Domains that are not.
pub(crate) const UNLISTED_DOMAINS: [&str; 4] =
    ["good.example.com", "x.exact.example.org", "example.net", "invalid"];

/// A site with these lists, whose daemon listens there: TOML.
pub(crate) fn site(listen: &str) -> Site {
    let site = Site::new(&format!(
        r#"
[dns]
listen = {listen}

[[feed]]
id = "mine"
source = "mine.txt"
format = "plain"
refresh = "1d"

[[feed]]
id = "names"
source = "names.txt"
format = "domains"
refresh = "1d"

[[feed]]
id = "missing"
source = "missing.txt"
format = "plain"
refresh = "1d"

[[zone]]
name = "{ZONE}"
feeds = ["mine"]
text = "Listed, see https://bl.example/?q=$"

[[zone]]
name = "{DOMAIN_ZONE}"
feeds = ["names"]
code = "127.0.1.2"
text = "Listed, see https://bl.example/?q=$"

[[zone]]
name = "{UNLOADED}"
feeds = ["missing"]

[[zone]]
name = "{CLOSED}"
feeds = ["mine"]
clients = {{ default = "refuse" }}

[[zone]]
name = "{CODED}"
feeds = ["mine"]
clients = {{ default = "code", code = "127.255.255.254" }}
"#
    ));
    site.write("mine.txt", "192.0.2.9\n2001:db8:1::5\n198.51.100.0/24\n2001:db8:2::/48\n");
    site.write("names.txt", ".bad.example.com\nexact.example.org\n");
    site
}

/// What a resolver has to know of the zone of addresses, and the same of that of domains.
pub(crate) fn both_zones(settings: &str) -> String {
    format!("{settings}\n{}", settings.replace(ZONE, DOMAIN_ZONE))
}

/// The text of a listed address or domain.
pub(crate) fn text(listed: &str) -> String {
    format!("Listed, see https://bl.example/?q={listed}")
}
