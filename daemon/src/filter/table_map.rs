//! Table maps: made, filled and frozen. From then on nobody writes to them: the kernel program looks into one, and the
//! daemon reads the same pages, so that a table is in memory once.

use super::{FilterError, bpf, kernel_error};
use crate::core::slab::Bytes;
use crate::core::table::Table;
use blackthorn_common::abi::CHUNK_BYTES;
use libc::{c_int, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;

// Entries of an array map lie behind each other at multiples of 8 bytes, so an image in chunks is in one piece.
const _: () = assert!(CHUNK_BYTES.is_multiple_of(8));

/// A table map with an image in it, which nobody can change any more.
#[derive(Debug)]
pub(super) struct FrozenMap {
    map: OwnedFd,
    words: usize,
}

impl FrozenMap {
    /// A new map of `chunks` chunks that begins with `words`.
    pub(super) fn new(chunks: u32, words: &[u32]) -> Result<Self, FilterError> {
        let map = bpf::create_table(chunks).map_err(|error| match error.raw_os_error() {
            Some(libc::ENOMEM) => FilterError::Memory { bytes: chunks as usize * CHUNK_BYTES },
            _ => kernel_error("create a table map", &error),
        })?;
        fill(map.as_fd(), words).map_err(|error| kernel_error("fill a table map", &error))?;
        bpf::freeze(map.as_fd()).map_err(|error| kernel_error("freeze a table map", &error))?;
        Ok(Self { map, words: words.len() })
    }

    /// The image as a table that is read where it is. The table keeps the map, whatever becomes of `self`.
    pub(super) fn table(&self) -> Result<Table, FilterError> {
        const DOING: &str = "let the daemon read its own table map";
        let bytes = self.words * size_of::<u32>();
        let mapping = Mapping::new(self.map.as_fd(), bytes, libc::PROT_READ)
            .map_err(|error| kernel_error(DOING, &error))?;
        let pages: Arc<dyn Bytes> = Arc::new(Pages(mapping));
        Table::within(&pages, 0, bytes).map_err(|error| kernel_error(DOING, &error))
    }
}

impl AsFd for FrozenMap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

impl From<FrozenMap> for OwnedFd {
    fn from(frozen: FrozenMap) -> Self {
        frozen.map
    }
}

/// Writes `words` into a map that nobody else knows yet. No writable mapping is left: freezing fails while there is one.
fn fill(map: BorrowedFd<'_>, words: &[u32]) -> io::Result<()> {
    let mapping = Mapping::new(map, size_of_val(words), libc::PROT_READ | libc::PROT_WRITE)?;
    // SAFETY: the mapping is as long as `words`, writable, fresh (so it overlaps nothing) and on a page.
    unsafe { mapping.start.cast::<u32>().copy_from_nonoverlapping(NonNull::from(words).cast(), words.len()) };
    Ok(())
}

/// The pages of a frozen map, for reading. All are there from the beginning: no access to them waits or fails.
struct Pages(Mapping);

// SAFETY: a mapping has one place until it is dropped, and keeps its map. Only frozen maps are mapped like this: no system
// call and no mapping writes to them any more, and no program of ours does. (One that root loads for this purpose could.)
unsafe impl Bytes for Pages {
    fn bytes(&self) -> &[u8] {
        // SAFETY: as many initialised bytes as were mapped, readable while `self` lives, and unchanged as said above.
        unsafe { std::slice::from_raw_parts(self.0.start.as_ptr().cast(), self.0.bytes) }
    }
}

/// A mapping of the first bytes of a map.
struct Mapping {
    start: NonNull<c_void>,
    bytes: usize,
}

// SAFETY: the address range belongs to the process, not to a thread, and the mapping to its one owner.
unsafe impl Send for Mapping {}
// SAFETY: shared references only read address and length.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `bytes` bytes, at least one; fails when the map is smaller.
    fn new(map: BorrowedFd<'_>, bytes: usize, protection: c_int) -> io::Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice touches no memory of ours; arguments are checked
        // by the kernel.
        let start =
            unsafe { libc::mmap(ptr::null_mut(), bytes, protection, libc::MAP_SHARED, map.as_raw_fd(), 0) };
        match NonNull::new(start) {
            Some(start) if start.as_ptr() != libc::MAP_FAILED => Ok(Self { start, bytes }),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `new` mapped; whatever borrows from it borrows from `self`.
        let result = unsafe { libc::munmap(self.start.as_ptr(), self.bytes) };
        debug_assert_eq!(result, 0, "munmap of a whole mapping does not fail");
    }
}
