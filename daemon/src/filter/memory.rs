//! Memory: is there room for one more table map? Asked before one is allocated, because the kernel does not refuse
//! politely: it ends a process, and it may be ours.
//!
//! The table in force is in use already, by kernel and daemon alike, and so is the image the new one is copied from, in
//! memory of our own or in a file. So what must be free is the new map: the image goes when the map is in force, and the
//! old map when its last reader lets go. Maps count as memory of the kernel; reading one in place makes it part of what
//! a process has mapped of files, but not of the copies of files that are taken for reclaimable here.
//!
//! Looked at are the memory limits of our control group and of those around it (version 2), and what the whole system
//! has available. What cannot be read is no obstacle: then the allocation itself has to tell.

use super::FilterError;
use std::fs;
use std::path::Path;

/// Left free for everything else, in bytes. Page tables for reading the largest image take 2 MiB of it.
const RESERVE: u64 = 16 << 20;

/// The least room found, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Room {
    /// Bytes that may still be taken.
    free: u64,
    /// What limits them.
    limit: String,
}

/// Refuses a table map of `bytes` that does not fit beside what is there.
pub(super) fn check(bytes: usize) -> Result<(), FilterError> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    fits(bytes, least(Path::new("/sys/fs/cgroup"), &groups, &meminfo))
}

fn fits(bytes: usize, room: Option<Room>) -> Result<(), FilterError> {
    let needed = bytes as u64 + RESERVE;
    match room {
        Some(Room { free, limit }) if free < needed => {
            Err(FilterError::NoRoom { bytes, free, missing: needed - free, limit })
        }
        _ => Ok(()),
    }
}

/// The least room under any limit. `groups` and `meminfo` are the files of that name in `/proc`.
fn least(root: &Path, groups: &str, meminfo: &str) -> Option<Room> {
    let system = available(meminfo).map(|free| Room { free, limit: "the memory of this system".to_owned() });
    // Version 2 is the line without a controller: `0::/system.slice/blackthorn.service`.
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    let groups = own.into_iter().flat_map(|own| Path::new(own).ancestors());
    groups.filter_map(|group| group_room(&root.join(group))).chain(system).min_by_key(|room| room.free)
}

/// Room under the limit of one control group; `None` without a limit.
fn group_room(group: &Path) -> Option<Room> {
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    let number = |text: String| text.trim().parse::<u64>().ok();
    let (max, current) = (read("memory.max").and_then(number)?, read("memory.current").and_then(number)?);
    // What the kernel gives back before it ends a process: copies of files.
    let reclaimable: u64 = read("memory.stat")
        .map_or(0, |stat| ["inactive_file", "active_file"].iter().filter_map(|key| field(&stat, key)).sum());
    let free = max.saturating_sub(current.saturating_sub(reclaimable));
    Some(Room { free, limit: format!("{} = {} MiB", group.join("memory.max").display(), max >> 20) })
}

/// `MemAvailable` in bytes.
fn available(meminfo: &str) -> Option<u64> {
    Some(field(meminfo, "MemAvailable:")? << 10)
}

/// The number behind a word at the start of a line.
fn field(text: &str, key: &str) -> Option<u64> {
    let mut words = text
        .lines()
        .map(str::split_ascii_whitespace)
        .find_map(|mut words| (words.next() == Some(key)).then_some(words))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       1048576 kB\nMemFree:  1 kB\nMemAvailable:     524288 kB\n";

    fn group(root: &Path, path: &str, max: &str, current: u64, stat: &str) {
        let group = root.join(path);
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("memory.max"), format!("{max}\n")).unwrap();
        fs::write(group.join("memory.current"), format!("{current}\n")).unwrap();
        fs::write(group.join("memory.stat"), stat).unwrap();
    }

    #[test]
    fn the_tightest_limit_counts() {
        let dir = tempfile::tempdir().unwrap();
        let free = |groups: &str| least(dir.path(), groups, MEMINFO).map(|room| room.free >> 20);
        let own = "1:name=systemd:/x\n0::/a.slice/b.service\n";
        assert_eq!(free(own), Some(512), "no group has a limit");
        group(dir.path(), "a.slice/b.service", "max", 0, "");
        assert_eq!(free(own), Some(512));
        group(dir.path(), "a.slice/b.service", &(300u64 << 20).to_string(), 100 << 20, "anon 5\n");
        assert_eq!(free(own), Some(200));
        group(
            dir.path(),
            "a.slice",
            &(200u64 << 20).to_string(),
            150 << 20,
            &format!("anon 1\ninactive_file {}\n", 30 << 20),
        );
        assert_eq!(free(own), Some(80), "the group around it, whose file copies can go");
        group(dir.path(), "", &(1u64 << 20).to_string(), 2 << 20, "");
        assert_eq!(free(own), Some(0), "over its limit");
        assert_eq!(free("4:memory:/old\n"), Some(512), "version 1 only");
        assert_eq!(least(dir.path(), "", ""), None);
    }

    #[test]
    fn a_map_that_does_not_fit_is_refused_with_numbers_and_advice() {
        let room = |mib: u64| Some(Room { free: mib << 20, limit: "/x/memory.max = 100 MiB".to_owned() });
        assert!(fits(64 << 20, room(80)).is_ok());
        assert!(fits(64 << 20, None).is_ok());
        let error = fits(64 << 20, room(50)).unwrap_err().to_string();
        assert_eq!(
            error,
            "a table map of 64 MiB does not fit beside the one in force: 50 MiB are free, limited by /x/memory.max = 100 MiB; \
             the previous table stays in force, allow 30 MiB more or disable a feed"
        );
    }

    #[test]
    fn this_system_has_room_for_the_smallest_map() {
        assert!(check(1).is_ok());
    }
}
