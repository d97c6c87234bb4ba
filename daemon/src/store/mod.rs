//! The store: last good copies of feeds, what came of each fetch, and the serial, in one SQLite database. Home of
//! rusqlite.
//!
//! One daemon owns a state directory; `open` sees to that, and to a database that is new, old, too new or broken.
//! A body, its validators and its outcome are written in one transaction, so whatever is found after a crash belongs
//! together (G16). Calls block on the disk: they belong on a thread that may.

mod body;
mod error;
mod open;
mod schema;
#[cfg(test)]
mod tests;

pub use error::StoreError;
pub use open::{Claim, Opened, Recovered};

use crate::config::source::Source;
use crate::core::entry::FeedId;
use crate::core::validators::Validators;
use body::Packed;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::PathBuf;

/// Outcomes kept per feed; older ones are dropped as new ones come in.
pub const OUTCOMES_KEPT: u32 = 200;
/// Longest explanation of a failure that is kept, in characters.
const LONGEST_DETAIL: usize = 1000;

/// An open database.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    path: PathBuf,
    /// Held for as long as the store is open; none for readers.
    _lock: Option<File>,
}

/// The last copy of a feed that passed the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastGood {
    /// [`Source::identity`] of where it came from.
    pub source: String,
    /// The body as fetched.
    pub body: Vec<u8>,
    /// SHA-256 of the body.
    pub sha256: [u8; 32],
    /// When it was fetched, in seconds since 1970.
    pub fetched_at: u64,
    /// What parsing made of it, as JSON; the store does not look inside.
    pub counts: String,
    validators: Validators,
}

impl LastGood {
    /// A copy as it was fetched; hashes the body.
    pub fn new(
        source: &Source,
        body: Vec<u8>,
        validators: Validators,
        fetched_at: u64,
        counts: String,
    ) -> Self {
        let sha256 = Sha256::digest(&body).into();
        Self { source: source.identity(), body, sha256, fetched_at, counts, validators }
    }

    /// The validators to ask `source` with: none if the copy came from elsewhere, or had none.
    pub fn validators_for(&self, source: &Source) -> Option<&Validators> {
        (self.source == source.identity() && !self.validators.is_empty()).then_some(&self.validators)
    }
}

/// What came of one fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// When, in seconds since 1970.
    pub at: u64,
    /// What.
    pub event: Event,
}

/// What can come of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new body became the last good copy.
    Accepted,
    /// The source still has the last good copy.
    Unchanged,
    /// Fetch, parse or gate failed; the last good copy stays. Says why, in at most 1000 characters.
    Failed(String),
}

impl Store {
    /// Makes `copy` the last good copy of `feed` and notes the success, both or neither.
    ///
    /// # Errors
    /// When the database cannot be written; the copy before stays.
    pub fn accept(&mut self, feed: &FeedId, copy: &LastGood) -> Result<(), StoreError> {
        let packed = Packed::new(&copy.body);
        self.write(|tx| {
            tx.execute(
                "REPLACE INTO last_good
                     (feed, source, sha256, etag, last_modified, fetched_at, counts, size, gzip, body)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    feed.as_str(),
                    copy.source,
                    copy.sha256,
                    copy.validators.etag,
                    copy.validators.last_modified,
                    copy.fetched_at,
                    copy.counts,
                    copy.body.len(),
                    packed.gzip,
                    packed.bytes,
                ],
            )?;
            add_outcome(tx, feed, copy.fetched_at, &Event::Accepted)
        })
    }

    /// Notes that the source still has the last good copy.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn record_unchanged(&mut self, feed: &FeedId, at: u64) -> Result<(), StoreError> {
        self.write(|tx| add_outcome(tx, feed, at, &Event::Unchanged))
    }

    /// Notes a failure; the last good copy stays as it is.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn record_failure(&mut self, feed: &FeedId, at: u64, why: &str) -> Result<(), StoreError> {
        let why = why.chars().take(LONGEST_DETAIL).collect();
        self.write(|tx| add_outcome(tx, feed, at, &Event::Failed(why)))
    }

    /// The last good copy of a feed, if there is one.
    ///
    /// # Errors
    /// [`StoreError::BodyDamaged`] when what is stored is not what was accepted; others when it cannot be read.
    pub fn last_good(&self, feed: &FeedId) -> Result<Option<LastGood>, StoreError> {
        let stored = self.read(|db| {
            db.prepare_cached(
                "SELECT source, sha256, etag, last_modified, fetched_at, counts, size, gzip, body
                 FROM last_good WHERE feed = ?",
            )?
            .query_row([feed.as_str()], |row| {
                let copy = LastGood {
                    source: row.get(0)?,
                    sha256: row.get(1)?,
                    validators: Validators { etag: row.get(2)?, last_modified: row.get(3)? },
                    fetched_at: row.get(4)?,
                    counts: row.get(5)?,
                    body: Vec::new(),
                };
                let size: u64 = row.get(6)?;
                Ok((copy, size, Packed { gzip: row.get(7)?, bytes: row.get(8)? }))
            })
            .optional()
        })?;
        let Some((mut copy, size, packed)) = stored else { return Ok(None) };
        let damaged = || StoreError::BodyDamaged { feed: feed.clone() };
        copy.body = packed.unpack(size).map_err(|_| damaged())?;
        if Sha256::digest(&copy.body)[..] == copy.sha256 { Ok(Some(copy)) } else { Err(damaged()) }
    }

    /// The validators of the last good copy, without its body, if it came from `source`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn validators(&self, feed: &FeedId, source: &Source) -> Result<Option<Validators>, StoreError> {
        let stored = self.read(|db| {
            db.prepare_cached("SELECT etag, last_modified FROM last_good WHERE feed = ? AND source = ?")?
                .query_row([feed.as_str(), &source.identity()], |row| {
                    Ok(Validators { etag: row.get(0)?, last_modified: row.get(1)? })
                })
                .optional()
        })?;
        Ok(stored.filter(|validators| !validators.is_empty()))
    }

    /// The newest outcomes of a feed, newest first, at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn outcomes(&self, feed: &FeedId, limit: u32) -> Result<Vec<Outcome>, StoreError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT at, event, detail FROM outcome WHERE feed = ? ORDER BY id DESC LIMIT ?",
            )?
            .query_map(params![feed.as_str(), limit], |row| {
                let event = match row.get_ref(1)?.as_str()? {
                    "accepted" => Event::Accepted,
                    "unchanged" => Event::Unchanged,
                    _ => Event::Failed(row.get(2)?),
                };
                Ok(Outcome { at: row.get(0)?, event })
            })?
            .collect()
        })
    }

    /// Forgets feeds that are not in `keep` and of which nothing was heard since `older_than`, in seconds since 1970.
    /// Returns how many.
    ///
    /// # Errors
    /// When the database cannot be written; then none is forgotten.
    pub fn prune(&mut self, keep: &[FeedId], older_than: u64) -> Result<usize, StoreError> {
        self.write(|tx| {
            let mut silent: Vec<String> = tx
                .prepare(
                    "SELECT feed FROM (SELECT feed, fetched_at AS at FROM last_good
                                       UNION ALL SELECT feed, at FROM outcome)
                     GROUP BY feed HAVING max(at) < ?",
                )?
                .query_map([older_than], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            silent.retain(|feed| !keep.iter().any(|kept| kept.as_str() == feed));
            for feed in &silent {
                tx.execute("DELETE FROM last_good WHERE feed = ?", [feed])?;
                tx.execute("DELETE FROM outcome WHERE feed = ?", [feed])?;
            }
            Ok(silent.len())
        })
    }

    /// Serial and digest of the last published generation; `None` before the first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn published(&self) -> Result<Option<(u32, String)>, StoreError> {
        let query = "SELECT value ->> 0, value ->> 1 FROM meta WHERE key = 'published'";
        self.read(|db| db.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?))).optional())
    }

    /// Notes serial and digest of a published generation, so that serials go on rising after a restart.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn record_published(&mut self, serial: u32, digest: &str) -> Result<(), StoreError> {
        self.write(|tx| {
            let statement = "REPLACE INTO meta (key, value) VALUES ('published', json_array(?, ?))";
            tx.execute(statement, params![serial, digest]).map(drop)
        })
    }

    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        query(&self.db).map_err(|error| StoreError::from_sqlite(&self.path, error))
    }

    /// Runs `change` in a transaction that is committed only if all of it worked.
    fn write<T>(
        &mut self,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let run = || {
            let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = change(&tx)?;
            tx.commit()?;
            Ok(result)
        };
        run().map_err(|error| StoreError::from_sqlite(&self.path, error))
    }
}

fn add_outcome(tx: &Transaction<'_>, feed: &FeedId, at: u64, event: &Event) -> rusqlite::Result<()> {
    let (name, detail) = match event {
        Event::Accepted => ("accepted", ""),
        Event::Unchanged => ("unchanged", ""),
        Event::Failed(why) => ("failed", why.as_str()),
    };
    tx.prepare_cached("INSERT INTO outcome (feed, at, event, detail) VALUES (?, ?, ?, ?)")?
        .execute(params![feed.as_str(), at, name, detail])?;
    tx.prepare_cached(
        "DELETE FROM outcome WHERE feed = ?1
         AND id <= (SELECT id FROM outcome WHERE feed = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
    )?
    .execute(params![feed.as_str(), OUTCOMES_KEPT])?;
    Ok(())
}
