//! The tables, and how an older database becomes a current one.

use rusqlite::{Connection, TransactionBehavior};

/// One step per schema version, the first from an empty file to version 1. Steps are never changed, only added.
const STEPS: [&str; 2] = [
    "
    -- The body comes last: the other columns are read without it.
    CREATE TABLE last_good (
        feed          TEXT PRIMARY KEY,
        source        TEXT NOT NULL,
        sha256        BLOB NOT NULL,
        etag          TEXT,
        last_modified TEXT,
        fetched_at    INTEGER NOT NULL,
        counts        TEXT NOT NULL,
        size          INTEGER NOT NULL,
        gzip          INTEGER NOT NULL,
        body          BLOB NOT NULL
    ) STRICT;
    CREATE TABLE outcome (
        id     INTEGER PRIMARY KEY AUTOINCREMENT,
        feed   TEXT NOT NULL,
        at     INTEGER NOT NULL,
        event  TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT;
    CREATE INDEX outcome_by_feed ON outcome (feed, id);
    CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT;
",
    "
    -- Ids rise, so that of overlapping entries the later one is known after a restart.
    CREATE TABLE live_entry (
        id         INTEGER PRIMARY KEY AUTOINCREMENT,
        network    TEXT NOT NULL UNIQUE,
        action     TEXT NOT NULL,
        reason     TEXT NOT NULL,
        by         INTEGER NOT NULL,
        added_at   INTEGER NOT NULL,
        expires_at INTEGER
    ) STRICT;
    CREATE TABLE audit (
        id   INTEGER PRIMARY KEY AUTOINCREMENT,
        at   INTEGER NOT NULL,
        by   INTEGER NOT NULL,
        what TEXT NOT NULL
    ) STRICT;
",
];

/// The schema version this program reads and writes.
pub(super) const CURRENT: u32 = STEPS.len() as u32;

/// The version of a database; 0 for an empty one. One that is not ours may be negative, which counts as newer.
pub(super) fn version(db: &Connection) -> rusqlite::Result<u32> {
    let stored: i32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(u32::try_from(stored).unwrap_or(u32::MAX))
}

/// Brings the database from version `from` to [`CURRENT`], wholly or not at all. Also proves that it can be written.
pub(super) fn migrate(db: &mut Connection, from: u32) -> rusqlite::Result<()> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in STEPS.iter().skip(from as usize) {
        tx.execute_batch(step)?;
    }
    if from != CURRENT {
        tx.pragma_update(None, "user_version", CURRENT)?;
    }
    tx.commit()
}

/// Are all tables there, with their columns?
pub(super) fn check(db: &Connection) -> rusqlite::Result<()> {
    for columns in [
        "SELECT feed, source, sha256, etag, last_modified, fetched_at, counts, size, gzip, body FROM last_good",
        "SELECT id, feed, at, event, detail FROM outcome INDEXED BY outcome_by_feed WHERE feed = ''",
        "SELECT key, value FROM meta",
        "SELECT id, network, action, reason, by, added_at, expires_at FROM live_entry",
        "SELECT id, at, by, what FROM audit",
    ] {
        db.prepare(columns)?;
    }
    Ok(())
}
