//! Domains of a zone: what it says of names that are no addresses, and which of them it shows at all.

use super::{Listed, Zone};
use crate::core::domain_table::{DomainPresence, DomainTable};
use crate::core::listing::ListingId;
use crate::core::name::QuestionName;
use crate::core::presence::Presence;
use crate::core::table::Table;
use blackthorn_common::payload::Payload;
use std::collections::HashMap;
use std::sync::Arc;

/// The tables zones are views of.
#[derive(Clone, Copy, Debug)]
pub struct Tables<'a> {
    /// Address → payload.
    pub addresses: &'a Table,
    /// Domain → payload.
    pub domains: &'a DomainTable,
}

/// What a zone shows at all. Zones that show the same share it.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Its addresses.
    pub(in crate::core) addresses: Arc<Presence>,
    /// The names above its domains; none where the zone has no domains.
    pub(in crate::core) domains: Arc<DomainPresence>,
}

/// What a zone knows of a name.
#[derive(Clone, Copy, Debug)]
pub enum Named<'z> {
    /// It is listed.
    Listed(&'z Listed),
    /// It is not, but names below it are.
    Above,
    /// Neither.
    Unlisted,
}

impl Zone {
    /// What the zone says of the name made of the first `labels` labels of a question, which are those in front of it.
    /// `None` where the zone has no domains.
    pub fn named(&self, table: &DomainTable, name: &QuestionName<'_>, labels: usize) -> Option<Named<'_>> {
        if !self.spec.domains {
            return None;
        }
        let found = table.find(name, labels);
        let visible = |payload: Payload| self.answer_of(ListingId(payload.listing()));
        Some(match visible(found.payload) {
            Some(listed) => Named::Listed(listed),
            None if self.shown.domains.exists_below(&found, |payload| visible(payload).is_some()) => {
                Named::Above
            }
            None => Named::Unlisted,
        })
    }

    /// Could the zone list this name at all? It has domains, and the name is not one that must never be listed
    /// (RFC 5782 section 2.2).
    pub fn may_list_domain(&self, name: &QuestionName<'_>, labels: usize) -> bool {
        let top = labels.checked_sub(1).map(|top| name.label(top)).unwrap_or_default();
        self.spec.domains && !top.eq_ignore_ascii_case(b"invalid")
    }

    /// The names above the domains the zone shows.
    pub(in crate::core) fn domain_presence(&self) -> &DomainPresence {
        &self.shown.domains
    }
}

/// Collects what zones show, each thing once.
pub(super) struct Collector<'a> {
    tables: Tables<'a>,
    addresses: HashMap<Vec<bool>, Arc<Presence>>,
    domains: HashMap<Vec<bool>, Arc<DomainPresence>>,
    /// For zones without domains.
    no_domains: Arc<DomainPresence>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(tables: Tables<'a>) -> Self {
        Self { tables, addresses: HashMap::new(), domains: HashMap::new(), no_domains: Arc::default() }
    }

    /// What a zone shows of which these listings are visible.
    pub(super) fn shown(&mut self, visible: Vec<bool>, with_domains: bool) -> Shown {
        let Tables { addresses, domains } = self.tables;
        let is =
            |visible: &[bool], listing: u32| visible.get(listing as usize).is_some_and(|&visible| visible);
        let collect = |visible: &Vec<bool>| {
            Arc::new(DomainPresence::collect(domains, |payload| is(visible, payload.listing())))
        };
        let domains = if with_domains {
            shared(&mut self.domains, visible.clone(), collect)
        } else {
            Arc::clone(&self.no_domains)
        };
        let collect =
            |visible: &Vec<bool>| Arc::new(Presence::collect(addresses, |listing| is(visible, listing)));
        Shown { addresses: shared(&mut self.addresses, visible, collect), domains }
    }
}

/// What was collected before, or is now.
fn shared<T>(
    known: &mut HashMap<Vec<bool>, Arc<T>>,
    visible: Vec<bool>,
    collect: impl FnOnce(&Vec<bool>) -> Arc<T>,
) -> Arc<T> {
    Arc::clone(known.entry(visible).or_insert_with_key(collect))
}
