//! Mapped: a generation file as shared bytes.

use super::OpenError;
use crate::core::generation_file::{Damage, MAX_BYTES};
use crate::core::slab::Bytes;
use memmap2::Mmap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// A mapping of a whole file.
struct Mapped(Mmap);

// SAFETY: a mapping has one place until it is dropped. Its bytes do not change: files of generations are renamed into
// their directory when they are complete, and neither we nor anybody but the owner of the state directory (mode 0700)
// can write to them; a removed file stays what it is while it is mapped.
unsafe impl Bytes for Mapped {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Maps a file for reading.
///
/// # Errors
/// When it cannot be opened or mapped, or is longer than any generation.
pub(super) fn map(path: &Path) -> Result<Arc<dyn Bytes>, OpenError> {
    let unreadable = |error| OpenError::Unreadable { path: path.to_owned(), error };
    let file = File::open(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?.len();
    if found > MAX_BYTES {
        return Err(OpenError::Damaged { path: path.to_owned(), damage: Damage::TooLarge { found } });
    }
    // SAFETY: nobody writes to or cuts the file while it is mapped; see the contract above.
    let mapping = unsafe { Mmap::map(&file) }.map_err(unreadable)?;
    Ok(Arc::new(Mapped(mapping)))
}
