//! Names: what a table says, read back name by name, for comparisons and for feeds whose copy is lost.

use super::DomainTable;
use super::record::{self, Record};
use crate::core::name::MAX_NAME;
use blackthorn_common::payload::Payload;

/// A name with something said of it. Other names are as their parents say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableName<'a> {
    /// Its labels in wire form and lower case, without the root.
    pub wire: &'a [u8],
    /// Of the name itself; `None`: as its parents say.
    pub name: Option<Payload>,
    /// Of the names below it; `None`: as its parents say.
    pub below: Option<Payload>,
}

impl DomainTable {
    /// Shows every name with something said of it, in no order that means anything. Linear in the octets of all names; of
    /// a damaged image, only names that lead up to the zone.
    pub fn each_name(&self, mut show: impl FnMut(TableName<'_>)) {
        let mut wire = Vec::with_capacity(MAX_NAME);
        let mut rest = self.records();
        while let Some((record, behind)) = Record::read(rest) {
            rest = behind;
            if (record.name.is_some() || record.below.is_some()) && self.spell(&record, &mut wire).is_some() {
                show(TableName { wire: &wire, name: record.name, below: record.below });
            }
        }
    }

    /// Writes the name of a record: its labels up to the zone.
    fn spell(&self, record: &Record<'_>, wire: &mut Vec<u8>) -> Option<()> {
        wire.clear();
        let mut at = *record;
        loop {
            // Bounds the way up as well, because no label is empty.
            if at.label.is_empty() || wire.len() + 1 + at.label.len() >= MAX_NAME {
                return None;
            }
            wire.push(at.label.len() as u8);
            wire.extend_from_slice(at.label);
            if at.parent == record::ROOT {
                return Some(());
            }
            at = Record::read(self.records().get(at.parent as usize..)?)?.0;
        }
    }
}
