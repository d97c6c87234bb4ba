//! Clock: CPU time of threads and processes.

use std::io;
use std::time::Duration;

/// What a CPU clock shows, such as that of this thread, `CLOCK_THREAD_CPUTIME_ID`.
pub(crate) fn cpu_time(clock: libc::clockid_t) -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec, which the call fills in.
    match unsafe { libc::clock_gettime(clock, &raw mut time) } {
        0 => Ok(Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))),
        _ => Err(io::Error::last_os_error()),
    }
}
