//! Files there and back, what is passed over, what is removed, and how far back a listing goes.

use super::*;
use crate::core::entry::FeedId;
use crate::core::explain::{NamedBy, Since, explain};
use crate::core::fixture;
use crate::core::generation::Part;
use crate::core::generation_file::Damage;
use crate::core::live_table::LiveTable;
use crate::core::merge::HeldBack;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::UNIX_EPOCH;
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(86_400);

fn state() -> (TempDir, Generations) {
    let dir = tempfile::tempdir().unwrap();
    let files = Generations::new(dir.path());
    (dir, files)
}

/// A generation in which feeds `a`, `b`, ... list these networks.
fn generation(serial: u32, entries: &[(u16, &str)]) -> Generation {
    let part = |id| Part {
        id: FeedId::new(id).unwrap(),
        flat: None,
        copy: None,
        held_back: HeldBack::default(),
        filtered: false,
    };
    let zones = [fixture::zone("bl.example", &[(0, "127.0.0.2", "")])];
    let built_at = u64::from(serial) * 10;
    Generation {
        serial,
        built_at,
        parts: ["a", "b"].map(part).into(),
        ..fixture::generation(&zones, entries)
    }
}

fn write(files: &Generations, serials: &[u32]) {
    for &serial in serials {
        files.write(&generation(serial, &[(0, "192.0.2.0/24")])).unwrap();
    }
}

fn serials(files: &Generations) -> Vec<u32> {
    files.list().unwrap().iter().map(|file| file.serial).collect()
}

fn names(dir: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(dir.path().join("generations")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn change(files: &Generations, serial: u32, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(files.path(serial)).unwrap();
    change(&mut bytes);
    // A new file under the name, as a damaged disk or a copy would have it: the old one may be mapped.
    fs::remove_file(files.path(serial)).unwrap();
    fs::write(files.path(serial), bytes).unwrap();
}

#[test]
fn what_was_written_is_served_and_nobody_else_can_read_it() {
    let (dir, files) = state();
    assert!(serials(&files).is_empty(), "no directory is no error");
    assert!(files.newest().generation.is_none());
    write(&files, &[7, 4_000_000_000]);
    assert_eq!(names(&dir), ["0000000007.gen", "4000000000.gen"]);
    let mode = fs::metadata(files.path(7)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let newest = files.newest();
    assert_eq!((newest.highest, newest.skipped.len()), (4_000_000_000, 0));
    let served = newest.generation.unwrap();
    // The file may go while it is served.
    files.remove(4_000_000_000).unwrap();
    files.remove(4_000_000_000).unwrap();
    assert_eq!(served.serial, 4_000_000_000);
    assert!(served.table.lookup("192.0.2.7".parse().unwrap()).is_listed());
    assert_eq!(serials(&files), [7]);
}

#[test]
fn a_damaged_file_gives_way_to_the_one_before() {
    let (_dir, files) = state();
    write(&files, &[1, 2, 3, 4, 5, 6]);
    change(&files, 6, |bytes| bytes.truncate(bytes.len() / 2));
    change(&files, 5, |bytes| bytes[12..16].copy_from_slice(&0u32.to_ne_bytes()));
    change(&files, 4, |bytes| bytes[8..12].reverse());
    change(&files, 3, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    fs::rename(files.path(1), files.path(2)).unwrap();
    write(&files, &[1]);
    let newest = files.newest();
    assert_eq!((newest.generation.unwrap().serial, newest.highest), (1, 6));
    let said: Vec<String> = newest.skipped.iter().map(ToString::to_string).collect();
    let expected = [
        " bytes instead of ",
        "it has format version 0, this release reads version 2",
        "it was written on a machine of the other byte order",
        "the checksum of its image is wrong",
        "it holds generation 1; give it back its name",
    ];
    assert_eq!(said.len(), expected.len(), "{said:?}");
    for (said, (expected, serial)) in said.iter().zip(expected.into_iter().zip([6, 5, 4, 3, 2])) {
        assert!(said.contains(expected), "{said}");
        assert!(said.contains(&files.path(serial).display().to_string()), "{said}");
    }
}

#[test]
fn too_large_a_file_is_not_even_mapped() {
    let (_dir, files) = state();
    write(&files, &[1, 2]);
    let found = 5 << 30;
    // Takes no room: all of it is a hole.
    OpenOptions::new().write(true).open(files.path(2)).unwrap().set_len(found).unwrap();
    let newest = files.newest();
    assert!(
        matches!(newest.skipped[..], [OpenError::Damaged { damage: Damage::TooLarge { found: f }, .. }] if f == found)
    );
    assert_eq!(newest.generation.unwrap().serial, 1);
}

#[test]
fn an_empty_file_and_strange_names_do_no_harm() {
    let (dir, files) = state();
    write(&files, &[1]);
    for name in
        ["0000000009.gen", "9.gen", "99999999999.gen", "+000000009.gen", "4294967296.gen", "notes.txt"]
    {
        fs::write(dir.path().join("generations").join(name), "").unwrap();
    }
    assert_eq!(serials(&files), [9, 1]);
    assert_eq!(files.newest().generation.unwrap().serial, 1);
}

#[test]
fn old_files_are_removed_but_never_those_spared() {
    let (dir, files) = state();
    write(&files, &[1, 2, 3, 4, 5]);
    fs::write(dir.path().join("generations/0000000003.gen.new"), "half").unwrap();
    fs::write(dir.path().join("generations/notes.txt"), "mine").unwrap();
    let by_count = Retention { count: 2, age: DAY };
    let now = SystemTime::now();
    assert_eq!(files.retain(by_count, &[1], now).unwrap(), [3, 2]);
    assert_eq!(serials(&files), [5, 4, 1]);
    assert_eq!(names(&dir).last().unwrap(), "notes.txt");
    let by_age = Retention { count: 20, age: DAY };
    assert_eq!(files.retain(by_age, &[4], now + DAY / 2).unwrap(), [0u32; 0]);
    assert_eq!(files.retain(by_age, &[4], now + 2 * DAY).unwrap(), [5, 1]);
    assert_eq!(files.retain(by_age, &[4], UNIX_EPOCH).unwrap(), [0u32; 0], "a clock set back");
    assert_eq!(names(&dir), ["0000000004.gen", "notes.txt"]);
}

#[test]
fn a_write_that_fails_says_so_and_leaves_nothing() {
    let (dir, files) = state();
    fs::write(dir.path().join("generations"), "in the way").unwrap();
    let error = files.write(&generation(7, &[])).unwrap_err();
    assert!(error.to_string().contains("0000000007.gen: "), "{error}");
    fs::remove_file(dir.path().join("generations")).unwrap();
    // A directory in the place of the file: everything works but the renaming.
    fs::create_dir_all(files.path(7).join("x")).unwrap();
    files.write(&generation(7, &[])).unwrap_err();
    assert_eq!(names(&dir), ["0000000007.gen"]);
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn since_goes_back_to_the_last_break() {
    let (dir, files) = state();
    let both = [(0, "192.0.2.0/24"), (1, "192.0.2.7")];
    files.write(&generation(1, &both)).unwrap();
    files.write(&generation(2, &[(0, "192.0.2.0/24")])).unwrap();
    files.write(&generation(3, &both)).unwrap();
    files.write(&generation(4, &both)).unwrap();
    files.write(&generation(5, &[])).unwrap();
    let ask = |serial: u32| -> Vec<Option<Since>> {
        let now = generation(serial, &both);
        let mut explained = [explain(&now, &LiveTable::default(), "192.0.2.7".parse().unwrap())];
        fill_since(dir.path(), &mut explained, &mut []);
        explained[0].feeds.iter().map(|named: &NamedBy| named.since).collect()
    };
    let since = |serial| Some(Since { serial, built_at: u64::from(serial) * 10 });
    assert_eq!(ask(4), [since(1), since(3)], "a file newer than the answer does not count");
    assert_eq!(ask(2), [since(1), None]);
    assert_eq!(ask(6), [None, None], "the newest file is an older generation, which lists nothing");
    change(&files, 2, |bytes| bytes.truncate(9));
    assert_eq!(ask(4), [since(3), since(3)], "what is behind a damaged file is not known");
}
