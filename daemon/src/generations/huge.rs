//! Huge: a large table in memory of few, large pages.
//!
//! A lookup of a name nobody asked for lately waits for memory at two or three places far apart. With pages of 4 KiB each of
//! them also needs the address of its page, which for a table of tens of MiB is in no cache either.

use crate::core::domain_table::DomainTable;
use crate::core::slab::{Bytes, as_bytes};
use memmap2::{Advice, Mmap, MmapMut};
use std::io;
use std::sync::Arc;

/// Smaller tables find the addresses of their pages in the cache, in bytes.
const FROM: usize = 8 << 20;

/// A mapping without a file.
struct Anonymous(Mmap);

// SAFETY: a mapping has one place until it is dropped; it is read-only, and nobody else knows of it.
unsafe impl Bytes for Anonymous {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The same table in huge pages, as far as the system has any (transparent huge pages, see madvise(2)); `None` when it is
/// too small to gain by it.
///
/// # Errors
/// When there is no memory for a second copy.
pub fn in_huge_pages(table: &DomainTable) -> io::Result<Option<DomainTable>> {
    let bytes = as_bytes(table.words());
    if bytes.len() < FROM {
        return Ok(None);
    }
    let mut mapping = MmapMut::map_anon(bytes.len())?;
    // A system without them has the pages it has.
    let _ = mapping.advise(Advice::HugePage);
    mapping.copy_from_slice(bytes);
    let owner: Arc<dyn Bytes> = Arc::new(Anonymous(mapping.make_read_only()?));
    DomainTable::within(&owner, 0, bytes.len()).map(Some).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::domain_table::SortedRules;
    use blackthorn_common::payload::{Class, Payload};

    #[test]
    fn large_tables_say_the_same_there() {
        let listed = Payload::new(Class::Answer, 1);
        let mut rules = SortedRules::default();
        for number in 0..500_000 {
            rules.push(format!("\x03com\x09{number:09}").as_bytes(), listed, None);
        }
        let table = DomainTable::compile_sorted(&rules).unwrap();
        let moved = in_huge_pages(&table).unwrap().unwrap();
        assert!(moved == table && moved.is_intact());
        assert_ne!(moved.words().as_ptr(), table.words().as_ptr());
        assert_eq!(moved.find_labels([&b"com"[..], b"000000007"]).payload, listed.unwrap());
        assert!(in_huge_pages(&DomainTable::default()).unwrap().is_none());
    }
}
