//! Live entries on disk, and who asked for them.

use super::{Store, StoreError, open};
use crate::core::live_set::{Action, LiveEntry};
use crate::core::network::Network;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, TransactionBehavior, params};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// Rows kept of who changed live entries; older ones are dropped as new ones come in.
pub const AUDIT_KEPT: u32 = 10_000;

/// Who did what to the live entries, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// When, in seconds since 1970.
    pub at: u64,
    /// User id of the one at the other end of the control socket.
    pub by: u32,
    /// What, in words.
    pub what: String,
}

/// What a batch does to the stored live entries.
#[derive(Clone, Debug)]
pub enum LiveChange {
    /// Store this entry; one for the same network goes.
    Set(Arc<LiveEntry>),
    /// Forget the entry for this network.
    Remove(Network),
}

/// Writes live entries on a connection of its own, because feeds may take their time on the other.
#[derive(Debug)]
pub struct LiveWriter {
    db: Connection,
    path: PathBuf,
}

impl Store {
    /// A second connection, for live entries.
    ///
    /// # Errors
    /// When the database cannot be opened for writing.
    pub fn live_writer(&self) -> Result<LiveWriter, StoreError> {
        let path = self.path.clone();
        let db = open::connect_again(&path).map_err(|error| StoreError::from_sqlite(&path, error))?;
        Ok(LiveWriter { db, path })
    }

    /// The stored live entries, in the order they came, those that are over included.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn live_entries(&self) -> Result<Vec<LiveEntry>, StoreError> {
        self.read(|db| {
            db.prepare(
                "SELECT network, action, reason, by, added_at, expires_at FROM live_entry ORDER BY id",
            )?
            .query_map([], entry)?
            .collect()
        })
    }

    /// The newest rows of who changed live entries, newest first, at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn audit(&self, limit: u32) -> Result<Vec<Audit>, StoreError> {
        self.read(|db| {
            db.prepare("SELECT at, by, what FROM audit ORDER BY id DESC LIMIT ?")?
                .query_map([limit], |row| Ok(Audit { at: row.get(0)?, by: row.get(1)?, what: row.get(2)? }))?
                .collect()
        })
    }
}

impl LiveWriter {
    /// Stores a batch, all of it or nothing.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn apply(&mut self, changes: &[LiveChange], audit: &[Audit]) -> Result<(), StoreError> {
        self.write(changes, audit).map_err(|error| StoreError::from_sqlite(&self.path, error))
    }

    fn write(&mut self, changes: &[LiveChange], audit: &[Audit]) -> rusqlite::Result<()> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut set = tx.prepare_cached(
                "REPLACE INTO live_entry (network, action, reason, by, added_at, expires_at)
                 VALUES (?, ?, ?, ?, ?, ?)",
            )?;
            let mut remove = tx.prepare_cached("DELETE FROM live_entry WHERE network = ?")?;
            for change in changes {
                match change {
                    LiveChange::Set(entry) => set.execute(params![
                        entry.network.to_string(),
                        entry.action.name(),
                        entry.reason,
                        entry.by,
                        entry.added_at,
                        entry.expires_at,
                    ])?,
                    LiveChange::Remove(network) => remove.execute([network.to_string()])?,
                };
            }
            let mut note = tx.prepare_cached("INSERT INTO audit (at, by, what) VALUES (?, ?, ?)")?;
            for row in audit {
                note.execute(params![row.at, row.by, row.what])?;
            }
            let kept = "DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?";
            tx.prepare_cached(kept)?.execute([AUDIT_KEPT])?;
        }
        tx.commit()
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<LiveEntry> {
    let text: String = row.get(0)?;
    let network = Network::from_str(&text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))?;
    let action = match row.get_ref(1)?.as_str()? {
        "allow" => Action::Allow,
        _ => Action::Block,
    };
    Ok(LiveEntry {
        network,
        action,
        reason: row.get(2)?,
        by: row.get(3)?,
        added_at: row.get(4)?,
        expires_at: row.get(5)?,
    })
}
