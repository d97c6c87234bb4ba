//! The allocator: large buffers go back to the system when they are freed.
//!
//! Building a generation takes buffers of many MiB and frees them again, and with a packet filter the table itself as
//! well. By default glibc learns from the first of them to keep such buffers for the next time, which is the next
//! generation, hours later.

/// From this size on, in bytes, a buffer is a mapping of its own. Smaller ones are not worth the page faults.
#[cfg(target_env = "gnu")]
const MAPPED_FROM: libc::c_int = 1 << 20;

/// Makes every buffer of 1 MiB or more go back when it is freed. Without effect on other allocators than glibc's.
pub fn give_back_large_buffers() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes two integers and may be called at any time; memory already handed out is not touched.
    let taken = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM) };
    #[cfg(target_env = "gnu")]
    debug_assert_eq!(taken, 1, "the size is within what glibc allows");
}
