//! The store on real directories: restarts, crashes, damage, a second daemon, a full disk, readers beside it.

use super::{Event, LastGood, OUTCOMES_KEPT, Opened, Outcome, Store, StoreError};
use crate::config::source::Source;
use crate::core::entry::FeedId;
use crate::core::validators::Validators;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use tempfile::TempDir;

fn feed(name: &str) -> FeedId {
    FeedId::new(name).unwrap()
}

fn source(text: &str) -> Source {
    Source::parse(text, Path::new("/")).unwrap()
}

fn open(dir: &Path) -> Store {
    let Opened { store, recovered } = Store::open(dir).unwrap();
    assert_eq!(recovered, None);
    store
}

fn copy(body: &[u8], fetched_at: u64) -> LastGood {
    let validators = Validators { etag: Some("\"v1\"".to_owned()), last_modified: None };
    LastGood::new(
        &source("https://example.org/list?key=1"),
        body.to_vec(),
        validators,
        fetched_at,
        "{}".to_owned(),
    )
}

fn large() -> Vec<u8> {
    (0..100_000u32)
        .flat_map(|n| format!("192.0.2.{}\n", n.wrapping_mul(2_654_435_761)).into_bytes())
        .collect()
}

/// The files as a kill at this moment would leave them.
fn as_after_a_kill(dir: &Path) -> TempDir {
    let image = tempfile::tempdir().unwrap();
    for name in names(dir) {
        fs::copy(dir.join(&name), image.path().join(&name)).unwrap();
    }
    image
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn everything_is_there_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("new/state");
    let (small, big) = (copy(b"192.0.2.1\n", 10), copy(&large(), 20));
    {
        let mut store = open(&state);
        assert_eq!(store.last_good(&feed("small")).unwrap(), None);
        store.accept(&feed("small"), &small).unwrap();
        store.accept(&feed("big"), &big).unwrap();
        store.record_unchanged(&feed("small"), 30).unwrap();
        store.record_failure(&feed("small"), 40, "the server answered 500").unwrap();
    }
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(state.join("blackthorn.db")).unwrap().permissions().mode() & 0o777, 0o600);

    let store = open(&state);
    assert_eq!(store.last_good(&feed("small")).unwrap(), Some(small));
    assert_eq!(store.last_good(&feed("big")).unwrap(), Some(big));
    assert_eq!(
        store.outcomes(&feed("small"), 10).unwrap(),
        [
            Outcome { at: 40, event: Event::Failed("the server answered 500".to_owned()) },
            Outcome { at: 30, event: Event::Unchanged },
            Outcome { at: 10, event: Event::Accepted },
        ]
    );
    assert_eq!(store.outcomes(&feed("small"), 1).unwrap().len(), 1);
    assert_eq!(store.outcomes(&feed("nobody"), 10).unwrap(), []);
}

#[test]
fn a_new_copy_takes_the_place_of_the_old() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    store.accept(&feed("mine"), &copy(b"192.0.2.1\n", 10)).unwrap();
    store.accept(&feed("mine"), &copy(b"192.0.2.2\n", 20)).unwrap();
    assert_eq!(store.last_good(&feed("mine")).unwrap(), Some(copy(b"192.0.2.2\n", 20)));
}

#[test]
fn validators_belong_to_their_source() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let (same, other) = (source("https://example.org/list?key=1"), source("https://example.org/list?key=2"));
    let copy = copy(b"192.0.2.1\n", 10);
    store.accept(&feed("mine"), &copy).unwrap();
    let known = Validators { etag: Some("\"v1\"".to_owned()), last_modified: None };
    assert_eq!(store.validators(&feed("mine"), &same).unwrap(), Some(known.clone()));
    assert_eq!(store.validators(&feed("mine"), &other).unwrap(), None);
    assert_eq!(store.validators(&feed("nobody"), &same).unwrap(), None);
    assert_eq!(copy.validators_for(&same), Some(&known));
    assert_eq!(copy.validators_for(&other), None);
    let without = LastGood::new(&same, Vec::new(), Validators::default(), 0, String::new());
    assert_eq!(without.validators_for(&same), None);
}

#[test]
fn keys_do_not_reach_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let source = source("https://user:hunter2@example.org/list?key=s3cret");
    let copy = LastGood::new(&source, b"192.0.2.1\n".to_vec(), Validators::default(), 0, String::new());
    store.accept(&feed("mine"), &copy).unwrap();
    for name in names(dir.path()) {
        let bytes = fs::read(dir.path().join(&name)).unwrap();
        for secret in [&b"hunter2"[..], b"s3cret"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{name}");
        }
    }
}

#[test]
fn outcomes_and_their_texts_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    // Some hundred commits, none of which has to survive.
    store.db.pragma_update(None, "synchronous", "OFF").unwrap();
    store.record_unchanged(&feed("other"), 1).unwrap();
    for at in 0..u64::from(OUTCOMES_KEPT) + 5 {
        store.record_failure(&feed("mine"), at, &"é".repeat(5000)).unwrap();
    }
    let outcomes = store.outcomes(&feed("mine"), u32::MAX).unwrap();
    assert_eq!(outcomes.len(), OUTCOMES_KEPT as usize);
    assert_eq!(outcomes.last().unwrap(), &Outcome { at: 5, event: Event::Failed("é".repeat(1000)) });
    assert_eq!(store.outcomes(&feed("other"), 10).unwrap().len(), 1, "others keep theirs");
}

#[test]
fn only_silent_and_unwanted_feeds_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    for name in ["kept", "old", "recent"] {
        store.accept(&feed(name), &copy(b"192.0.2.1\n", 10)).unwrap();
    }
    store.record_failure(&feed("recent"), 100, "cut").unwrap();
    store.record_failure(&feed("never-worked"), 10, "cut").unwrap();
    assert_eq!(store.prune(&[feed("kept")], 10).unwrap(), 0);
    assert_eq!(store.prune(&[feed("kept")], 100).unwrap(), 2);
    assert!(store.last_good(&feed("kept")).unwrap().is_some());
    assert!(store.last_good(&feed("recent")).unwrap().is_some());
    assert_eq!(store.last_good(&feed("old")).unwrap(), None);
    assert_eq!(store.outcomes(&feed("old"), 10).unwrap(), []);
    assert_eq!(store.outcomes(&feed("never-worked"), 10).unwrap(), []);
}

#[test]
fn the_published_generation_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap().store;
    assert_eq!(store.published().unwrap(), None);
    store.record_published(7, "ab").unwrap();
    store.record_published(u32::MAX, "cd").unwrap();
    drop(store);
    let store = Store::open(dir.path()).unwrap().store;
    assert_eq!(store.published().unwrap(), Some((u32::MAX, "cd".to_owned())));
}

#[test]
fn a_kill_keeps_what_was_committed_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    store.accept(&feed("mine"), &copy(b"192.0.2.1\n", 10)).unwrap();
    let committed = as_after_a_kill(dir.path());

    // Large enough that SQLite writes part of it to the log before the commit.
    store.db.pragma_update(None, "cache_size", 1).unwrap();
    let log = || fs::metadata(dir.path().join("blackthorn.db-wal")).unwrap().len();
    let before = log();
    let tx = store.db.transaction().unwrap();
    tx.execute("UPDATE last_good SET body = zeroblob(4194304), size = 4194304", []).unwrap();
    tx.execute("DELETE FROM outcome", []).unwrap();
    let torn = as_after_a_kill(dir.path());
    assert!(log() > before, "nothing was written before the commit");
    drop(tx);

    for image in [committed, torn] {
        let store = open(image.path());
        assert_eq!(store.last_good(&feed("mine")).unwrap(), Some(copy(b"192.0.2.1\n", 10)));
        assert_eq!(store.outcomes(&feed("mine"), 10).unwrap().len(), 1);
    }
    assert_eq!(store.last_good(&feed("mine")).unwrap(), Some(copy(b"192.0.2.1\n", 10)));
}

#[test]
fn two_daemons_never_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(&error, StoreError::InUse { path } if path == dir.path()), "{error}");
    assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
    drop(first);
    open(dir.path());
}

/// Opens a directory whose database is broken, and checks that it was set aside and a working one made.
fn recovers(dir: &Path) -> String {
    let broken = fs::read(dir.join("blackthorn.db")).unwrap();
    let Opened { mut store, recovered } = Store::open(dir).unwrap();
    let recovered = recovered.expect("taken for a good database");
    assert!(fs::read(&recovered.moved_to).unwrap() == broken, "the broken file is not kept as it was");
    let name = recovered.moved_to.file_name().unwrap().to_str().unwrap();
    let (_, stamp) = name.split_once("blackthorn.db.corrupt-").unwrap();
    assert!(stamp.split('.').all(|part| part.parse::<u64>().is_ok()), "{name}");
    assert_eq!(store.last_good(&feed("mine")).unwrap(), None);
    store.accept(&feed("mine"), &copy(b"192.0.2.1\n", 10)).unwrap();
    recovered.reason
}

/// A cleanly closed store with one large copy.
fn filled() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).accept(&feed("mine"), &copy(&large(), 10)).unwrap();
    dir
}

#[test]
fn what_is_no_database_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("blackthorn.db"), "not a database\n".repeat(1000)).unwrap();
    fs::write(dir.path().join("blackthorn.db-wal"), "not a log").unwrap();
    assert!(recovers(dir.path()).contains("not a database"));
    // And once more within the same second.
    fs::write(dir.path().join("blackthorn.db"), "not a database\n".repeat(1000)).unwrap();
    recovers(dir.path());
    let names = names(dir.path());
    let aside =
        |suffix: &str| names.iter().filter(|n| n.contains(".corrupt-") && n.ends_with(suffix)).count();
    assert_eq!(aside("") - aside("-wal") - aside("-shm"), 2, "{names:?}");
    assert_eq!(aside("-wal"), 1, "its log goes with it: {names:?}");
}

#[test]
fn damaged_pages_are_found_on_opening() {
    let dir = filled();
    let file = fs::OpenOptions::new().write(true).open(dir.path().join("blackthorn.db")).unwrap();
    let pages = file.metadata().unwrap().len() / 4096;
    assert!(pages > 20);
    for page in 1..pages {
        // The head of every page: types of nodes, pointers of overflow chains.
        file.write_all_at(&[0xee; 16], page * 4096).unwrap();
    }
    recovers(dir.path());
}

#[test]
fn a_cut_database_is_set_aside() {
    let dir = filled();
    let file = fs::OpenOptions::new().write(true).open(dir.path().join("blackthorn.db")).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    recovers(dir.path());
}

#[test]
fn a_foreign_schema_is_set_aside() {
    for (version, change) in
        [(1, "DROP TABLE meta"), (1, "ALTER TABLE outcome RENAME detail TO d"), (0, "DROP TABLE meta")]
    {
        let dir = filled();
        let db = rusqlite::Connection::open(dir.path().join("blackthorn.db")).unwrap();
        db.execute_batch(change).unwrap();
        db.pragma_update(None, "user_version", version).unwrap();
        drop(db);
        recovers(dir.path());
    }
}

#[test]
fn a_body_that_rotted_is_not_handed_out() {
    let dir = filled();
    let store = open(dir.path());
    for change in ["size = size + 1", "gzip = 0", "sha256 = zeroblob(32)", "body = zeroblob(100)"] {
        let tx = store.db.unchecked_transaction().unwrap();
        tx.execute(&format!("UPDATE last_good SET {change}"), []).unwrap();
        let read = store.last_good(&feed("mine"));
        assert!(matches!(read, Err(StoreError::BodyDamaged { .. })), "{change}: {read:?}");
    }
}

#[test]
fn a_newer_database_is_left_alone() {
    let dir = filled();
    let db = rusqlite::Connection::open(dir.path().join("blackthorn.db")).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let before = names(dir.path());
    for error in [Store::open(dir.path()).unwrap_err(), Store::open_read_only(dir.path()).unwrap_err()] {
        assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
    }
    assert_eq!(names(dir.path()), before);
}

#[test]
fn a_directory_that_cannot_be_made_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let error = Store::open(&dir.path().join("file/state")).unwrap_err();
    assert!(matches!(error, StoreError::Directory { .. }), "{error}");
    fs::create_dir(dir.path().join("blackthorn.db")).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::NotWritable { .. }), "{error}");
}

#[test]
fn a_full_disk_costs_nothing_that_was_stored() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    store.accept(&feed("mine"), &copy(b"192.0.2.1\n", 10)).unwrap();
    let pages: i64 = store.db.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    store.db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    let error = store.accept(&feed("mine"), &copy(&large(), 20)).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert_eq!(store.last_good(&feed("mine")).unwrap(), Some(copy(b"192.0.2.1\n", 10)));
    assert_eq!(store.outcomes(&feed("mine"), 10).unwrap().len(), 1);
}

#[test]
fn readers_work_beside_the_daemon_and_without_it() {
    let dir = tempfile::tempdir().unwrap();
    // Characters that mean something in a URI.
    let state = dir.path().join("a b?c#d%41");
    let mut daemon = open(&state);
    daemon.accept(&feed("mine"), &copy(b"192.0.2.1\n", 10)).unwrap();
    let before = names(&state);
    let mut reader = Store::open_read_only(&state).unwrap();
    assert_eq!(reader.last_good(&feed("mine")).unwrap(), Some(copy(b"192.0.2.1\n", 10)));
    daemon.accept(&feed("mine"), &copy(&large(), 20)).unwrap();
    assert_eq!(reader.last_good(&feed("mine")).unwrap(), Some(copy(&large(), 20)), "sees what is new");
    assert!(matches!(reader.record_published(1, ""), Err(StoreError::NotWritable { .. })));
    assert_eq!(names(&state), before);
    let killed = as_after_a_kill(&state);
    drop((reader, daemon));

    let before = names(&state);
    assert_eq!(before, ["blackthorn.db", "lock"]);
    let reader = Store::open_read_only(&state).unwrap();
    assert_eq!(reader.last_good(&feed("mine")).unwrap(), Some(copy(&large(), 20)));
    assert_eq!(names(&state), before);

    let before = names(killed.path());
    assert!(before.contains(&"blackthorn.db-wal".to_owned()));
    let reader = Store::open_read_only(killed.path()).unwrap();
    assert_eq!(reader.last_good(&feed("mine")).unwrap(), Some(copy(&large(), 20)));
    assert_eq!(names(killed.path()), before);
    drop(reader);
    assert_eq!(names(killed.path()), before);
}

#[test]
fn readers_never_create_or_repair() {
    let dir = tempfile::tempdir().unwrap();
    let not_ready = |state: &Path| {
        let before = names(state);
        let error = Store::open_read_only(state).unwrap_err();
        assert!(matches!(error, StoreError::NotReady { .. }), "{error}");
        assert_eq!(names(state), before);
    };
    not_ready(dir.path());
    fs::write(dir.path().join("blackthorn.db"), "").unwrap();
    not_ready(dir.path());

    let state = tempfile::tempdir().unwrap();
    let _daemon = open(state.path());
    let image = as_after_a_kill(state.path());
    fs::remove_file(image.path().join("blackthorn.db-shm")).unwrap();
    not_ready(image.path());

    fs::write(dir.path().join("blackthorn.db"), "not a database\n".repeat(1000)).unwrap();
    let before = names(dir.path());
    assert!(matches!(Store::open_read_only(dir.path()), Err(StoreError::Corrupt { .. })));
    assert_eq!(names(dir.path()), before);
}

#[test]
fn a_hold_outlives_a_restart_until_it_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    assert_eq!(store.hold().unwrap(), None);
    store.record_hold(Some("first")).unwrap();
    store.record_hold(Some("{\"serial\":7}")).unwrap();
    drop(store);
    let mut store = open(dir.path());
    assert_eq!(store.hold().unwrap().as_deref(), Some("{\"serial\":7}"));
    store.record_hold(None).unwrap();
    drop(store);
    assert_eq!(open(dir.path()).hold().unwrap(), None);
}
