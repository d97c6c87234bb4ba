//! What the daemon serves to all clients: a list of both families, and a zone that has no data.

use crate::harness::Site;

/// The zone of the list.
pub(crate) const ZONE: &str = "bl.example";
/// A zone whose feed never loads: SERVFAIL.
pub(crate) const UNLOADED: &str = "unloaded.example";
/// A zone that is not ours: REFUSED.
pub(crate) const FOREIGN: &str = "foreign.example";

/// Addresses that are listed, the last two by networks around them.
pub(crate) const LISTED: [&str; 5] =
    ["127.0.0.2", "192.0.2.9", "2001:db8:1::5", "198.51.100.77", "2001:db8:2:3:4:5:6:7"];
/// Addresses that are not, of which some share all but the last part of their names with others.
pub(crate) const UNLISTED: [&str; 5] =
    ["127.0.0.1", "192.0.2.10", "2001:db8:1::6", "203.0.113.4", "2001:db8:3::1"];

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
id = "missing"
source = "missing.txt"
format = "plain"
refresh = "1d"

[[zone]]
name = "{ZONE}"
feeds = ["mine"]
text = "Listed, see https://bl.example/?q=$"

[[zone]]
name = "{UNLOADED}"
feeds = ["missing"]
"#
    ));
    site.write("mine.txt", "192.0.2.9\n2001:db8:1::5\n198.51.100.0/24\n2001:db8:2::/48\n");
    site
}

/// The text of a listed address.
pub(crate) fn text(address: &str) -> String {
    format!("Listed, see https://bl.example/?q={address}")
}
