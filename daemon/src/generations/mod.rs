//! Generations on disk: written before they are live, mapped and served at the next start, kept for a while. Home of
//! memmap2.
//!
//! `state_dir/generations/NNNNNNNNNN.gen`, one for each serial; what is in one is the business of
//! [`crate::core::generation_file`]. A file is written aside, flushed, and renamed, so whatever bears the name is whole,
//! and it is never changed afterwards: what maps it reads the same bytes for as long as it likes, also when the name is
//! gone.

mod error;
mod huge;
mod mapped;
mod since;
#[cfg(test)]
mod tests;

pub use error::{OpenError, WriteError};
pub use huge::in_huge_pages;
pub use since::fill_since;

use crate::core::generation::Generation;
use crate::core::generation_file::{GenerationFile, encode};
use mapped::map;
use std::cmp::Reverse;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Where in the state directory the files are.
const DIRECTORY: &str = "generations";
/// How the name of a file ends, and of one that is being written.
const SUFFIX: &str = ".gen";
const UNFINISHED: &str = ".gen.new";
/// Digits of a serial in a name, so that names sort like serials.
const DIGITS: usize = 10;

/// The generation files of a state directory.
#[derive(Clone, Debug)]
pub struct Generations {
    dir: PathBuf,
}

/// A file that is there, whatever is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The serial in its name.
    pub serial: u32,
    /// Its length in bytes.
    pub bytes: u64,
    /// When it was written.
    pub written: SystemTime,
}

/// How long files are kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Most files.
    pub count: usize,
    /// Greatest age.
    pub age: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { count: 20, age: Duration::from_secs(7 * 86_400) }
    }
}

/// The newest generation that can be served, and what was passed over to find it.
#[derive(Debug, Default)]
pub struct Newest {
    /// The generation; `None` if no file has one.
    pub generation: Option<Generation>,
    /// Newer files that cannot be used, newest first.
    pub skipped: Vec<OpenError>,
    /// Highest serial of any file, usable or not; 0 without files.
    pub highest: u32,
}

impl Generations {
    /// The files of this state directory. Nothing is read or created.
    pub fn new(state_dir: &Path) -> Self {
        Self { dir: state_dir.join(DIRECTORY) }
    }

    /// Where the file of a serial is, or would be.
    pub fn path(&self, serial: u32) -> PathBuf {
        self.dir.join(format!("{serial:0DIGITS$}{SUFFIX}"))
    }

    /// Every file, newest serial first. Files of other names are left alone.
    ///
    /// # Errors
    /// When the directory cannot be read; that there is none is no error.
    pub fn list(&self) -> Result<Vec<Found>, OpenError> {
        let mut found = Vec::new();
        for (name, path) in self.names()? {
            let Some(serial) = serial_of(&name) else { continue };
            // Gone in the meantime: then it is not there.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            found.push(Found { serial, bytes: metadata.len(), written });
        }
        found.sort_unstable_by_key(|file| Reverse(file.serial));
        Ok(found)
    }

    fn names(&self) -> Result<Vec<(String, PathBuf)>, OpenError> {
        let unreadable = |error| OpenError::Unreadable { path: self.dir.clone(), error };
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(unreadable)?,
        };
        let named = |entry: io::Result<fs::DirEntry>| {
            let entry = entry.map_err(unreadable)?;
            Ok((entry.file_name().to_string_lossy().into_owned(), entry.path()))
        };
        entries.map(named).collect()
    }

    /// Maps the file of a serial; its data is checked when it is asked for.
    ///
    /// # Errors
    /// When there is none, or it is not the generation its name says.
    pub fn open(&self, serial: u32) -> Result<GenerationFile, OpenError> {
        let path = self.path(serial);
        let bytes = map(&path)?;
        match GenerationFile::open(bytes) {
            Ok(file) if file.manifest().serial == serial => Ok(file),
            Ok(file) => Err(OpenError::Serial { path, found: file.manifest().serial }),
            Err(damage) => Err(OpenError::Damaged { path, damage }),
        }
    }

    /// The whole generation of a serial, large arrays in place.
    ///
    /// # Errors
    /// As [`Self::open`], and when any part of it is damaged.
    pub fn generation(&self, serial: u32) -> Result<Generation, OpenError> {
        let generation = self.open(serial)?.generation();
        generation.map_err(|damage| OpenError::Damaged { path: self.path(serial), damage })
    }

    /// The newest generation that is undamaged.
    pub fn newest(&self) -> Newest {
        let mut newest = Newest::default();
        let files = match self.list() {
            Ok(files) => files,
            Err(error) => {
                newest.skipped.push(error);
                Vec::new()
            }
        };
        newest.highest = files.first().map_or(0, |file| file.serial);
        for file in files {
            match self.generation(file.serial) {
                Ok(generation) => {
                    newest.generation = Some(generation);
                    break;
                }
                Err(error) => newest.skipped.push(error),
            }
        }
        newest
    }

    /// Writes the file of a generation, whole or not at all, and so that it is there after a loss of power. One that
    /// bears its name is replaced.
    ///
    /// # Errors
    /// Which step failed; nothing is left behind.
    pub fn write(&self, generation: &Generation) -> Result<(), WriteError> {
        let target = self.path(generation.serial);
        let encoded =
            encode(generation).map_err(|damage| WriteError::Form { path: target.clone(), damage })?;
        let failed = |error| WriteError::File { path: target.clone(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(failed)?;
        let unfinished = self.dir.join(format!("{:0DIGITS$}{UNFINISHED}", generation.serial));
        let write = || {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            for chunk in encoded.chunks() {
                file.write_all(chunk)?;
            }
            file.sync_all()?;
            fs::rename(&unfinished, &target)?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|error| {
            // If this fails as well, the next removal of old files takes it.
            let _ = fs::remove_file(&unfinished);
            failed(error)
        })
    }

    /// Removes the file of a serial.
    ///
    /// # Errors
    /// When it stays; that there was none is no error.
    pub fn remove(&self, serial: u32) -> Result<(), WriteError> {
        let path = self.path(serial);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(WriteError::File { path, error }),
            _ => Ok(()),
        }
    }

    /// Removes the files that are too many or too old, and what a crash left unfinished; never those in `spare`.
    /// Returns the serials removed.
    ///
    /// # Errors
    /// The first failure; what could be removed is.
    pub fn retain(
        &self,
        retention: Retention,
        spare: &[u32],
        now: SystemTime,
    ) -> Result<Vec<u32>, WriteError> {
        let unreadable = |error| WriteError::Directory { path: self.dir.clone(), error: Box::new(error) };
        let mut failure = None;
        let mut remove = |path: PathBuf| match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                failure.get_or_insert(WriteError::File { path, error });
                false
            }
            _ => true,
        };
        for (name, path) in self.names().map_err(unreadable)? {
            if name.ends_with(UNFINISHED) {
                remove(path);
            }
        }
        let mut removed = Vec::new();
        for (place, file) in self.list().map_err(unreadable)?.into_iter().enumerate() {
            // A file from the future, on a clock set back, is new.
            let age = now.duration_since(file.written).unwrap_or_default();
            let old = place >= retention.count || age > retention.age;
            if old && !spare.contains(&file.serial) && remove(self.path(file.serial)) {
                removed.push(file.serial);
            }
        }
        match failure {
            None => Ok(removed),
            Some(failure) => Err(failure),
        }
    }
}

/// The serial in the name of a file.
fn serial_of(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(SUFFIX)?;
    let well_formed = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| well_formed)
}
