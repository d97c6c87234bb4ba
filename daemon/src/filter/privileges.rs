//! Which of the needed capabilities this thread lacks, so that refusals can be told in words.

use std::fs;

/// What loading and attaching takes.
pub(super) const NEEDED: &str = "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are needed";

// Bit numbers of include/uapi/linux/capability.h.
const NET_ADMIN: u32 = 12;
const SYS_ADMIN: u32 = 21;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// The names of missing capabilities; empty when none is, or when the kernel does not tell.
pub(super) fn missing() -> Vec<&'static str> {
    fs::read_to_string("/proc/thread-self/status")
        .ok()
        .and_then(|status| effective(&status))
        .map_or_else(Vec::new, missing_from)
}

/// The set of effective capabilities in a `/proc/../status` text.
fn effective(status: &str) -> Option<u64> {
    let hex = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(hex.trim(), 16).ok()
}

fn missing_from(effective: u64) -> Vec<&'static str> {
    let has = |bit: u32| effective >> bit & 1 == 1;
    // CAP_SYS_ADMIN includes the two younger ones.
    [
        ("CAP_BPF", has(BPF) || has(SYS_ADMIN)),
        ("CAP_NET_ADMIN", has(NET_ADMIN)),
        ("CAP_PERFMON", has(PERFMON) || has(SYS_ADMIN)),
    ]
    .into_iter()
    .filter(|(_, present)| !present)
    .map(|(name, _)| name)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        assert_eq!(missing_from(u64::MAX), [""; 0]);
        assert_eq!(missing_from(0), ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"]);
        assert_eq!(missing_from(1 << SYS_ADMIN), ["CAP_NET_ADMIN"]);
        assert_eq!(missing_from(1 << NET_ADMIN | 1 << BPF), ["CAP_PERFMON"]);
    }

    #[test]
    fn the_set_is_read_from_the_status_text() {
        let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t000001ffffffffff\nCapBnd:\t0\n";
        assert_eq!(effective(status), Some(0x1ff_ffff_ffff));
        assert_eq!(effective("Name:\tx\n"), None);
        assert_eq!(effective("CapEff:\tzz\n"), None);
    }
}
