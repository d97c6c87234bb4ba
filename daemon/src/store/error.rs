//! Why the store could not do it.

use crate::core::entry::FeedId;
use rusqlite::ErrorCode;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What went wrong, with which file, and what to do.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The state directory cannot be made.
    #[error("cannot create the state directory {}: {error}; create it, or change state_dir", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another daemon has it.
    #[error(
        "another blackthorn uses the state directory {}; stop it, or give this one its own state_dir",
        .path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Written by a later release.
    #[error(
        "{} was written by a newer blackthorn (schema {found}, this one knows {known}); upgrade, or move it away",
        .path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The newest this program knows.
        known: u32,
    },
    /// For readers: there is nothing to read yet.
    #[error("{} cannot be read yet: {reason}; start the daemon once", .path.display())]
    NotReady {
        /// The database.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// No space left.
    #[error("no space left for {}; free some, nothing that was stored is lost", .path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// It exists, but may not be written.
    #[error("{} cannot be opened or written: {reason}; check owner, mode and mount options", .path.display())]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The database is damaged. Mended by opening it again.
    #[error("{} is damaged: {reason}; restart the daemon to set it aside and begin anew", .path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// One body is not what was stored.
    #[error("the stored copy of feed {feed} is damaged; fetch the feed again")]
    BodyDamaged {
        /// The feed.
        feed: FeedId,
    },
    /// Anything else SQLite has to say.
    #[error("{} cannot be used: {error}", .path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What it said.
        error: rusqlite::Error,
    },
}

impl StoreError {
    /// Sorts SQLite's errors by what can be done about them.
    pub(super) fn from_sqlite(path: &Path, error: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Corrupt { path, reason: error.to_string() }
            }
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::NotWritable { path, reason: error.to_string() }
            }
            _ => Self::Sqlite { path, error },
        }
    }

    /// Sorts I/O errors by what can be done about them.
    pub(super) fn from_io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::NotWritable { path, reason: error.to_string() },
        }
    }
}
