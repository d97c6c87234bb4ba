//! Policy: who is answered, and how far. What of the server's settings decides replies, apart from the generation.
//!
//! A zone's own list of clients takes the place of the server's. Whoever shows a key of the zone is answered from
//! anywhere. Quotas are for those who are answered: a key has one of its own, other clients have theirs by address.

use super::access::{Access, Action};
use super::coverage::Coverage;
use super::keys::{self, Holder, Keys};
use super::name::{DomainName, QuestionName};
use super::quota::{Quotas, Standing};
use super::zone::{Listed, Zone};
use std::net::IpAddr;
use std::sync::Arc;

/// TTL of the answer that is the same for every name, in seconds: who mends his access is not to wait long.
pub const CODED_TTL: u32 = 60;

/// Settings of the server. The default answers everybody and tells nothing of itself.
#[derive(Debug, Default)]
pub struct Policy {
    /// What `version.bind` and `version.server` say in class CH (RFC 4892); `None`: REFUSED.
    pub version: Option<Box<str>>,
    /// What `hostname.bind` and `id.server` say in class CH; `None`: REFUSED.
    pub hostname: Option<Box<str>>,
    /// Clients where a zone has no list of its own.
    pub clients: Clients,
    /// What zones have of their own, in the order of the configuration; a zone that is not among them is refused, such as
    /// one of an older generation. `None`: there is no configuration, and all zones are for everybody.
    pub zones: Option<Vec<ZonePolicy>>,
    /// How much those who are answered may ask.
    pub quota: Option<Quota>,
}

/// What a zone has of its own.
#[derive(Debug)]
pub struct ZonePolicy {
    /// The zone.
    pub name: DomainName,
    /// Its clients; `None`: those of the server.
    pub clients: Option<Clients>,
    /// Its keys.
    pub keys: Keys,
}

/// What is done with the queries of clients, by address. The default answers all.
#[derive(Debug, Default)]
pub struct Clients {
    access: Access,
    coded: Option<Listed>,
}

impl Clients {
    /// `coded` is what clients with [`Action::Code`] hear; without it they are refused.
    pub fn new(access: Access, coded: Option<Listed>) -> Self {
        Self { access, coded }
    }

    /// Does this client hear nothing?
    pub fn ignores(&self, client: IpAddr) -> bool {
        self.access.action(client) == Action::Drop
    }
}

/// Counts of queries, and who is not counted.
#[derive(Clone, Debug)]
pub struct Quota {
    /// The counts, which outlive a reload that leaves their settings alone.
    pub quotas: Arc<Quotas>,
    /// Clients without a quota.
    pub exempt: Coverage,
}

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'p> {
    /// Its address.
    pub client: IpAddr,
    /// Time of the question, in seconds since 1970.
    pub now: u64,
    /// The settings in force.
    pub policy: &'p Policy,
    /// Is it this server, checking itself? Then it is answered, and counted nowhere.
    pub ourselves: bool,
}

/// How far a query is answered.
#[derive(Clone, Copy, Debug)]
pub enum Admission<'p> {
    /// In full.
    Full,
    /// As if nothing was listed.
    Empty,
    /// As if everything was listed, with this.
    Coded(&'p Listed),
    /// With REFUSED.
    Refused,
    /// Not at all.
    Ignored,
}

/// What became of a query at the door.
#[derive(Clone, Copy, Debug)]
pub struct Admitted<'p> {
    /// How far it is answered.
    pub admission: Admission<'p>,
    /// The key it has shown.
    pub key: Option<Holder<'p>>,
    /// Number of the label that is a key, or may be one that is mistyped; never to be shown.
    pub secret: Option<usize>,
    /// Where that leaves its quota; `None`: it has none.
    pub standing: Option<Standing>,
}

impl Admitted<'_> {
    fn full() -> Self {
        Self { admission: Admission::Full, key: None, secret: None, standing: None }
    }
}

impl Policy {
    /// The settings of a zone, which is probably the one with this number.
    pub fn zone(&self, number: usize, zone: &Zone) -> Option<&ZonePolicy> {
        let fits = |policy: &&ZonePolicy| policy.name == *zone.name();
        // A generation from a file may have other zones than the configuration, or in another order.
        let zones = self.zones.as_deref().unwrap_or_default();
        zones.get(number).filter(fits).or_else(|| zones.iter().find(fits))
    }
}

impl<'p> Asker<'p> {
    /// Judges a query for a zone, given with its number and how many labels of the name lie in front of it; `None`: for no
    /// zone of ours. Counts it against its quota.
    pub fn admit(&self, name: &QuestionName<'_>, zone: Option<(usize, &Zone, usize)>) -> Admitted<'p> {
        let policy = self.policy;
        if self.ourselves {
            return Admitted::full();
        }
        let Some((number, zone, depth)) = zone else {
            return Admitted { admission: self.by_address(&policy.clients), ..Admitted::full() };
        };
        let own = policy.zone(number, zone);
        if own.is_none() && policy.zones.is_some() {
            return Admitted { admission: Admission::Refused, ..Admitted::full() };
        }
        // In front of the zone, and nowhere else: keys are no part of an address or domain.
        let label = depth.checked_sub(1).filter(|_| own.is_some_and(|own| !own.keys.is_empty()));
        let secret = label.filter(|&label| name.label(label).len() >= keys::SHORTEST);
        let key = secret.and_then(|label| own?.keys.holder(name.label(label)));
        let clients = own.and_then(|own| own.clients.as_ref()).unwrap_or(&policy.clients);
        let admission = if key.is_some() { Admission::Full } else { self.by_address(clients) };
        let admitted = Admitted { admission, key, secret, standing: None };
        match (admission, &policy.quota) {
            (Admission::Full, Some(quota)) => self.count(quota, admitted),
            _ => admitted,
        }
    }

    fn by_address(&self, clients: &'p Clients) -> Admission<'p> {
        match clients.access.action(self.client) {
            Action::Allow => Admission::Full,
            Action::Refuse => Admission::Refused,
            Action::Drop => Admission::Ignored,
            Action::Empty => Admission::Empty,
            Action::Code => clients.coded.as_ref().map_or(Admission::Refused, Admission::Coded),
        }
    }

    fn count(&self, quota: &Quota, admitted: Admitted<'p>) -> Admitted<'p> {
        let standing = match admitted.key {
            Some(key) => quota.quotas.of_key(key.identity, self.now),
            None if quota.exempt.find(self.client).is_some() => return admitted,
            None => quota.quotas.of_client(self.client, self.now),
        };
        let admission = if standing.is_answered() { admitted.admission } else { Admission::Refused };
        Admitted { admission, standing: Some(standing), ..admitted }
    }
}
