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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::network::Network;
    use crate::core::segment::Segment;
    use blackthorn_common::layout::V6_ROOT;
    use blackthorn_common::payload::{Class, Payload};
    use blackthorn_testkit::needs;
    use std::os::fd::FromRawFd;

    /// A table of one host, and its map of one chunk; `None` after saying why not.
    fn frozen() -> Option<(Table, FrozenMap)> {
        if !needs::root() {
            needs::skip("making maps needs root");
            return None;
        }
        let Network::V4(span) = "192.0.2.1".parse().unwrap() else { panic!("an IPv4 address") };
        let label = Payload::new(Class::Drop, 1).unwrap();
        let table = Table::compile(&[Segment { span, label }], &[]).unwrap();
        match FrozenMap::new(1, table.words()) {
            Err(why @ FilterError::Privileges { .. }) => {
                needs::skip(&why.to_string());
                None
            }
            frozen => Some((table, frozen.unwrap())),
        }
    }

    #[test]
    fn the_table_outlives_its_descriptor_and_lies_elsewhere() {
        let Some((table, frozen)) = frozen() else { return };
        let shared = frozen.table().unwrap();
        drop(frozen);
        let copy = shared.clone();
        drop(shared);
        assert!(copy.is_intact() && copy == table);
        assert_ne!(copy.words().as_ptr(), table.words().as_ptr());
        assert!(copy.lookup("192.0.2.1".parse().unwrap()).drops());
    }

    #[test]
    fn nobody_writes_to_a_frozen_map() {
        let Some((_, frozen)) = frozen() else { return };
        let error = Mapping::new(frozen.as_fd(), 4096, libc::PROT_READ | libc::PROT_WRITE).err().unwrap();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        let shared = frozen.table().unwrap();
        let place = shared.words().as_ptr().cast_mut().cast();
        // SAFETY: would make the first page of the mapping writable, which is refused; nothing is written.
        let made_writable = unsafe { libc::mprotect(place, 4096, libc::PROT_READ | libc::PROT_WRITE) };
        assert_eq!(made_writable, -1);
    }

    #[test]
    fn a_map_that_is_shorter_than_its_image_is_not_read() {
        let Some((_, mut frozen)) = frozen() else { return };
        frozen.words = (CHUNK_BYTES + 4096) / 4;
        let error = frozen.table().unwrap_err().to_string();
        assert_eq!(
            error,
            "the kernel refused to let the daemon read its own table map: Invalid argument (os error 22)"
        );
    }

    /// Only a program can still write to a frozen map: what the kernel has there is what the daemon sees.
    #[test]
    fn damage_in_the_kernel_is_seen_by_the_daemon() {
        let Some((_, frozen)) = frozen() else { return };
        let shared = frozen.table().unwrap();
        assert!(shared.is_intact());
        store_from_a_program(frozen.as_fd(), V6_ROOT * 4, 7);
        assert_eq!(shared.words()[V6_ROOT as usize], 7);
        assert!(!shared.is_intact());
    }

    /// Runs a program that stores `value` at the byte `offset` of a map of one entry.
    fn store_from_a_program(map: BorrowedFd<'_>, offset: u32, value: u32) {
        let map = map.as_raw_fd().cast_unsigned();
        // Opcode, registers (target low), offset, value, as in include/uapi/linux/bpf.h.
        let instruction =
            |code: u64, registers: u64, value: u32| code | registers << 8 | u64::from(value) << 32;
        let program: [u64; 5] = [
            instruction(0x18, 0x21, map),   // r1 = where the value of the map is,
            instruction(0, 0, offset),      //      and so many bytes behind
            instruction(0x62, 0x01, value), // *(u32 *)r1 = value
            instruction(0xb7, 0x00, 0),     // r0 = 0
            instruction(0x95, 0x00, 0),     // exit
        ];
        let licence = c"MIT";
        // BPF_PROG_LOAD (5): XDP (6), number of instructions, instructions, licence.
        let load: [u64; 3] = [6 | 5 << 32, program.as_ptr() as u64, licence.as_ptr() as u64];
        // SAFETY: the attributes are integers and addresses of arrays that live through the call.
        let loaded = unsafe { libc::syscall(libc::SYS_bpf, 5, load.as_ptr(), size_of_val(&load)) };
        assert!(loaded >= 0, "{}", io::Error::last_os_error());
        // SAFETY: just opened, and known to nobody else.
        let loaded = unsafe { OwnedFd::from_raw_fd(loaded as c_int) };
        let frame = [0u8; 64];
        // BPF_PROG_TEST_RUN (10): program, result; size in and out; frame in and out.
        let mut run: [u64; 4] =
            [u64::from(loaded.as_raw_fd().cast_unsigned()), frame.len() as u64, frame.as_ptr() as u64, 0];
        // SAFETY: as above; the kernel writes results into the attributes, which are ours alone.
        let ran = unsafe { libc::syscall(libc::SYS_bpf, 10, run.as_mut_ptr(), size_of_val(&run)) };
        assert_eq!(ran, 0, "{}", io::Error::last_os_error());
    }
}
