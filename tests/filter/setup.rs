//! What every test needs: the privilege check, plans and small tables.

use blackthorn::core::filter_plan::{FilterPlan, Mode};
use blackthorn::core::network::Network;
use blackthorn::core::segment::Segment;
use blackthorn::core::table::Table;
use blackthorn::filter::{Filter, FilterError, InterfaceStatus};
use blackthorn_common::payload::{Class, Payload};

/// IPv4 host that the tables list, and one that they do not.
pub(crate) const LISTED_V4: &str = "198.51.100.66";
pub(crate) const CLEAN_V4: &str = "198.51.100.2";
/// The same for IPv6.
pub(crate) const LISTED_V6: &str = "2001:db8:1::66";
pub(crate) const CLEAN_V6: &str = "2001:db8:1::2";

/// A plan for these interfaces that drops.
pub(crate) fn plan(interfaces: &[&str], mode: Mode) -> FilterPlan {
    FilterPlan { interfaces: interfaces.iter().map(|&name| name.to_owned()).collect(), mode, enforce: true }
}

/// The filter, or `None` after saying why it cannot be tested here.
pub(crate) fn open(plan: &FilterPlan) -> Option<(Filter, Vec<InterfaceStatus>)> {
    privileged().then(|| Filter::open(plan).unwrap_or_else(|why| panic!("{why}")))
}

/// Can the packet filter be tested here? Prints why not, or panics when it must be.
pub(crate) fn privileged() -> bool {
    let Err(why @ FilterError::Privileges { .. }) = Filter::open(&plan(&[], Mode::Auto)) else { return true };
    let required = std::env::var_os("BLACKTHORN_REQUIRE_PRIVILEGED").is_some_and(|value| value == "1");
    assert!(!required, "{why}");
    println!("skipped: {why}");
    false
}

/// A table of disjoint networks.
pub(crate) fn table(networks: &[(&str, Class)]) -> Table {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (number, (network, class)) in (1..).zip(networks) {
        let label = Payload::new(*class, number).unwrap();
        match network.parse().unwrap() {
            Network::V4(span) => v4.push(Segment { span, label }),
            Network::V6(span) => v6.push(Segment { span, label }),
        }
    }
    v4.sort_by_key(|segment| segment.span);
    v6.sort_by_key(|segment| segment.span);
    Table::compile(&v4, &v6).unwrap()
}

/// The table that most tests use: the two listed hosts, and some that only DNS knows.
pub(crate) fn two_hosts() -> Table {
    table(&[
        (LISTED_V4, Class::Drop),
        (LISTED_V6, Class::Drop),
        ("203.0.113.0/24", Class::Answer),
        ("2001:db8:2::/48", Class::Answer),
    ])
}
