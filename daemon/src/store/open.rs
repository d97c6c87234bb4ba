//! Opening a state directory: creates what is missing, keeps a second daemon out, sets a broken database aside.

use super::{Store, StoreError, schema};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use url::Url;

const DATABASE: &str = "blackthorn.db";
const LOCK: &str = "lock";
/// Readers hold the database for milliseconds.
const BUSY: Duration = Duration::from_secs(5);

/// An open store, and what it took.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// Set when the database was broken and a new, empty one took its place.
    pub recovered: Option<Recovered>,
}

/// A broken database that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Where it lies now.
    pub moved_to: PathBuf,
    /// What was wrong with it.
    pub reason: String,
}

/// A state directory that no other daemon has, with its database still closed.
#[derive(Debug)]
pub struct Claim {
    lock: File,
    path: PathBuf,
}

impl Claim {
    /// Opens the database, creating it if missing.
    ///
    /// # Errors
    /// As for [`Store::open`].
    pub fn open(self) -> Result<Opened, StoreError> {
        let Self { lock, path } = self;
        let (db, recovered) = match open_checked(&path) {
            Ok(db) => (db, None),
            Err(StoreError::Corrupt { reason, .. }) => {
                let moved_to = set_aside(&path)?;
                (open_checked(&path)?, Some(Recovered { moved_to, reason }))
            }
            Err(error) => return Err(error),
        };
        Ok(Opened { store: Store { db, path, _lock: Some(lock) }, recovered })
    }
}

impl Store {
    /// Opens the store in `dir` for the daemon, creating both if missing.
    ///
    /// # Errors
    /// When the directory is in use by another daemon, cannot be made or written, is full, or holds the database of a
    /// newer release. A broken database is no error: see [`Opened::recovered`].
    pub fn open(dir: &Path) -> Result<Opened, StoreError> {
        Self::claim(dir)?.open()
    }

    /// Takes possession of `dir`, creating it if missing, without looking at the database yet.
    ///
    /// # Errors
    /// When the directory is in use by another daemon, or cannot be made or written.
    pub fn claim(dir: &Path) -> Result<Claim, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|error| StoreError::Directory { path: dir.to_owned(), error })?;
        Ok(Claim { lock: lock(dir)?, path: dir.join(DATABASE) })
    }

    /// Opens the store in `dir` for reading, beside a running daemon or without one. Creates, changes and repairs
    /// nothing.
    ///
    /// # Errors
    /// [`StoreError::NotReady`] when there is nothing to read before the daemon has run; others as for [`Self::open`].
    pub fn open_read_only(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(DATABASE);
        let not_ready = |reason| StoreError::NotReady { path: path.clone(), reason };
        let exists = |path: &Path| path.try_exists().map_err(|error| StoreError::from_io(path, &error));
        if !exists(&path)? {
            return Err(not_ready("it does not exist"));
        }
        // Where the daemon left no log, none may be created: the file is read as it is. Where there is one, its index
        // must be there too, and is only read.
        let how = match (exists(&beside(&path, "-wal"))?, exists(&beside(&path, "-shm"))?) {
            (false, _) => "mode=ro&immutable=1",
            (true, true) => "mode=ro&readonly_shm=1",
            (true, false) => return Err(not_ready("a crash left work to finish")),
        };
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
                | OpenFlags::SQLITE_OPEN_URI
                | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let db = Connection::open_with_flags(uri(&path, how), flags)?;
            db.busy_timeout(BUSY)?;
            let version = schema::version(&db)?;
            Ok((db, version))
        };
        let (db, version) = open().map_err(|error| StoreError::from_sqlite(&path, error))?;
        refuse_newer(&path, version)?;
        if version < schema::CURRENT {
            return Err(not_ready("it is empty or from an older release"));
        }
        Ok(Self { db, path, _lock: None })
    }
}

/// Held until the file is closed, so also when the daemon is killed.
fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK);
    let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = open.map_err(|error| StoreError::from_io(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(StoreError::from_io(&path, &error)),
    }
}

fn open_checked(path: &Path) -> Result<Connection, StoreError> {
    // Made here, because SQLite would make it readable for all.
    let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    made.map_err(|error| StoreError::from_io(path, &error))?;

    let failed = |error| StoreError::from_sqlite(path, error);
    let mut db = connect(path).map_err(failed)?;
    let checked = check(&mut db, path);
    if !matches!(checked, Err(StoreError::Corrupt { .. })) {
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(failed)?;
    }
    checked.map(|()| db)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    // Should it turn out to be broken, database and log are set aside as they were found.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.busy_timeout(BUSY)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    // A few commits a minute: each may wait for the disk, and then a serial once given out stays given out.
    db.pragma_update(None, "synchronous", "FULL")?;
    // The log shrinks again after a large body.
    db.pragma_update(None, "journal_size_limit", 16 << 20)?;
    Ok(db)
}

/// Reads all of the database once, and brings it up to date.
fn check(db: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::from_sqlite(path, error);
    let version = schema::version(db).map_err(failed)?;
    refuse_newer(path, version)?;
    let verdict: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if verdict != "ok" {
        return Err(StoreError::Corrupt { path: path.to_owned(), reason: verdict });
    }
    schema::migrate(db, version).map_err(|error| explain_schema(path, error))?;
    schema::check(db).map_err(|error| explain_schema(path, error))
}

fn refuse_newer(path: &Path, found: u32) -> Result<(), StoreError> {
    let known = schema::CURRENT;
    if found > known { Err(StoreError::Newer { path: path.to_owned(), found, known }) } else { Ok(()) }
}

/// Statements that fit our schema and fail without a cause outside the file mean that the file holds another schema.
fn explain_schema(path: &Path, error: rusqlite::Error) -> StoreError {
    let (reason, code) = match &error {
        rusqlite::Error::SqlInputError { msg, .. } => (msg.clone(), Some(ErrorCode::Unknown)),
        other => (other.to_string(), other.sqlite_error_code()),
    };
    match code {
        // SQLite's "SQL logic error".
        Some(ErrorCode::Unknown) => StoreError::Corrupt { path: path.to_owned(), reason },
        _ => StoreError::from_sqlite(path, error),
    }
}

/// Moves the database and its log away, under a name that is free.
fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut target = beside(path, &format!(".corrupt-{now}"));
    for n in 2.. {
        if !target.try_exists().map_err(|error| StoreError::from_io(&target, &error))? {
            break;
        }
        target = beside(path, &format!(".corrupt-{now}.{n}"));
    }
    // The log first: without its database it does no harm, the other way round it would be taken for the new one's.
    for suffix in ["-wal", "-shm", ""] {
        let part = beside(path, suffix);
        match std::fs::rename(&part, beside(&target, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::from_io(&part, &error));
            }
            _ => {}
        }
    }
    Ok(target)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// SQLite takes these options only in a URI, where odd characters of the path have to be escaped.
fn uri(path: &Path, options: &str) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match Url::from_file_path(&absolute) {
        Ok(mut url) => {
            url.set_query(Some(options));
            url.into()
        }
        // Only for paths that are not absolute, and this one is.
        Err(()) => format!("file:{}?{options}", absolute.display()),
    }
}
