//! The few `bpf(2)` calls that aya does not offer in the form needed: table maps that can be mapped and frozen, and
//! links that never fall back to another way of attaching. Every unsafe block of the filter is here or in `table_map`.

use blackthorn_common::abi::{CHUNK_BYTES, MMAPABLE};
use libc::{c_int, c_long};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

// Commands and constants of include/uapi/linux/bpf.h and if_link.h.
const MAP_CREATE: c_int = 0;
const MAP_UPDATE_ELEM: c_int = 2;
const MAP_DELETE_ELEM: c_int = 3;
const MAP_FREEZE: c_int = 22;
const LINK_CREATE: c_int = 28;
const LINK_UPDATE: c_int = 29;
const LINK_DETACH: c_int = 34;
const MAP_TYPE_ARRAY: u32 = 2;
const ATTACH_XDP: u32 = 37;

/// In the driver (`XDP_FLAGS_DRV_MODE`).
pub(super) const NATIVE: u32 = 1 << 2;
/// In the network stack (`XDP_FLAGS_SKB_MODE`).
pub(super) const GENERIC: u32 = 1 << 1;

#[repr(C)]
#[derive(Default)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    name: [u8; 16],
}

/// Key and value are addresses.
#[repr(C)]
struct MapUpdate {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The key is an address.
#[repr(C)]
struct MapDelete {
    map_fd: u32,
    pad: u32,
    key: u64,
}

#[repr(C)]
struct MapFreeze {
    map_fd: u32,
}

#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// Attributes of `BPF_LINK_DETACH`.
#[repr(C)]
struct LinkDetach {
    link_fd: u32,
}

impl Attributes for LinkDetach {
    const COMMAND: c_int = LINK_DETACH;
}

/// Takes the program off the interface now, whoever else holds the link open (Linux 5.9).
pub(super) fn detach(link: BorrowedFd<'_>) -> io::Result<()> {
    bpf(&LinkDetach { link_fd: number(link) }).map(drop)
}

#[repr(C)]
struct LinkUpdate {
    link_fd: u32,
    new_prog_fd: u32,
    flags: u32,
    old_prog_fd: u32,
}

/// An attribute block of `bpf(2)`: plain integers without padding, in the order the kernel expects for the command.
trait Attributes {
    const COMMAND: c_int;
}

impl Attributes for MapCreate {
    const COMMAND: c_int = MAP_CREATE;
}
impl Attributes for MapUpdate {
    const COMMAND: c_int = MAP_UPDATE_ELEM;
}
impl Attributes for MapDelete {
    const COMMAND: c_int = MAP_DELETE_ELEM;
}
impl Attributes for MapFreeze {
    const COMMAND: c_int = MAP_FREEZE;
}
impl Attributes for LinkCreate {
    const COMMAND: c_int = LINK_CREATE;
}
impl Attributes for LinkUpdate {
    const COMMAND: c_int = LINK_UPDATE;
}

fn bpf<A: Attributes>(attributes: &A) -> io::Result<c_long> {
    // SAFETY: the pointer and size describe a live block of integers for the command; the kernel takes fields behind
    // its end as zero and does not write to it for any of these commands. Keys and
    // values they point to live as long as the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, A::COMMAND, ptr::from_ref(attributes), size_of::<A>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// As [`bpf`], for commands that return a new file descriptor.
fn bpf_fd<A: Attributes>(attributes: &A) -> io::Result<OwnedFd> {
    let fd = c_int::try_from(bpf(attributes)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just opened this descriptor for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The number of an open descriptor as `bpf(2)` takes it.
fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// A new, empty table map of `chunks` chunks. The kernel takes all its memory at once.
pub(super) fn create_table(chunks: u32) -> io::Result<OwnedFd> {
    let mut name = [0; 16];
    name[..8].copy_from_slice(b"bt_table");
    bpf_fd(&MapCreate {
        map_type: MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: CHUNK_BYTES as u32,
        max_entries: chunks,
        map_flags: MMAPABLE,
        name,
        ..MapCreate::default()
    })
}

/// Puts a map into slot 0 of an array of maps. Returns when no program uses what was there before.
pub(super) fn set_slot(maps: BorrowedFd<'_>, map: BorrowedFd<'_>) -> io::Result<()> {
    let (slot, value) = (0u32, number(map));
    let (key, value) = (ptr::from_ref(&slot) as u64, ptr::from_ref(&value) as u64);
    bpf(&MapUpdate { map_fd: number(maps), pad: 0, key, value, flags: 0 }).map(drop)
}

/// Empties slot 0 of an array of maps, which must be full. Returns when no program uses what was there before.
pub(super) fn empty_slot(maps: BorrowedFd<'_>) -> io::Result<()> {
    let slot = 0u32;
    bpf(&MapDelete { map_fd: number(maps), pad: 0, key: ptr::from_ref(&slot) as u64 }).map(drop)
}

/// Ends every writing from user space, for ever. Fails with `EBUSY` while a writable mapping exists.
pub(super) fn freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    bpf(&MapFreeze { map_fd: number(map) }).map(drop)
}

/// Attaches an XDP program in the mode `flags` and nothing else. Dropping the descriptor detaches.
pub(super) fn attach(program: BorrowedFd<'_>, ifindex: u32, flags: u32) -> io::Result<OwnedFd> {
    bpf_fd(&LinkCreate { prog_fd: number(program), target_ifindex: ifindex, attach_type: ATTACH_XDP, flags })
}

/// Exchanges the program behind a link, without a packet in between that meets neither.
pub(super) fn replace(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    bpf(&LinkUpdate { link_fd: number(link), new_prog_fd: number(program), flags: 0, old_prog_fd: 0 })
        .map(drop)
}

/// Index of an interface in the network namespace of this thread.
pub(super) fn interface_index(name: &std::ffi::CStr) -> io::Result<u32> {
    // SAFETY: the argument is a C string that lives through the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// Hardware type (`ARPHRD_*`) of an interface in the network namespace of this thread.
pub(super) fn interface_type(name: &std::ffi::CStr) -> io::Result<u16> {
    // SAFETY: no pointers; a new descriptor or an error comes back.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and known to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: `ifreq` is plain data for which zero bytes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.count_bytes() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.to_bytes()) {
        *to = from.cast_signed();
    }
    // SAFETY: SIOCGIFHWADDR reads the name from and writes the address to the `ifreq` it is given.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFHWADDR, &raw mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the ioctl succeeded, so the union holds the hardware address, whose family is the type.
    Ok(unsafe { request.ifr_ifru.ifru_hwaddr.sa_family })
}
