//! Reads a feed from a file, unless it is the copy we have.

use super::error::{Cause, Phase};
use super::{FetchLimits, Fetched};
use crate::core::validators::Validators;
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file that changed less than this ago may change again without its times showing it: they move in steps of the
/// kernel's clock tick, or of up to two seconds on some file systems.
const SETTLED: Duration = Duration::from_secs(2);

/// Reads `path` within the limits, on a thread that may block.
pub(super) async fn read(
    path: &Path,
    limits: &FetchLimits,
    validators: Option<&Validators>,
) -> Result<Fetched, Cause> {
    let (path, known, max_bytes) = (path.to_owned(), validators.cloned(), limits.max_bytes);
    let reading =
        tokio::task::spawn_blocking(move || read_at(&path, max_bytes, known.as_ref(), SystemTime::now()));
    match tokio::time::timeout(limits.timeout, reading).await {
        Ok(Ok(result)) => result,
        Ok(Err(lost)) => Err(Cause::Internal(lost.to_string())),
        // The thread cannot be stopped; it ends when the file system answers.
        Err(_) => Err(Cause::Timeout { phase: Phase::File, limit: limits.timeout }),
    }
}

/// Reads `path`, which has at most `max_bytes`, on this thread.
pub(super) fn read_whole(path: &Path, max_bytes: u64) -> Result<Vec<u8>, Cause> {
    let (file, before) = open(path)?;
    read_unchanged(&file, &before, max_bytes)
}

fn read_at(
    path: &Path,
    max_bytes: u64,
    known: Option<&Validators>,
    now: SystemTime,
) -> Result<Fetched, Cause> {
    let (file, before) = open(path)?;
    let etag = Some(fingerprint(&before));
    if known.is_some_and(|known| known.etag == etag) {
        return Ok(Fetched::NotModified);
    }
    let bytes = read_unchanged(&file, &before, max_bytes)?;
    let validators =
        if settled(&before, now) { Validators { etag, last_modified: None } } else { Validators::default() };
    Ok(Fetched::Body { bytes, validators })
}

fn open(path: &Path) -> Result<(File, Metadata), Cause> {
    // Looked at before it is opened: opening a device can have effects.
    regular(std::fs::metadata(path).map_err(Cause::File)?.file_type())?;
    // Should it have become a FIFO since, opening does not wait for a writer.
    let file =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(Cause::File)?;
    let before = file.metadata().map_err(Cause::File)?;
    regular(before.file_type())?;
    Ok((file, before))
}

fn read_unchanged(file: &File, before: &Metadata, max_bytes: u64) -> Result<Vec<u8>, Cause> {
    let bytes = read_capped(file, before.len(), max_bytes)?;
    if fingerprint(&file.metadata().map_err(Cause::File)?) != fingerprint(before) {
        return Err(Cause::Changing);
    }
    Ok(bytes)
}

fn regular(kind: FileType) -> Result<(), Cause> {
    Err(Cause::NotAFile(match kind {
        _ if kind.is_file() => return Ok(()),
        _ if kind.is_dir() => "directory",
        _ if kind.is_fifo() => "FIFO",
        _ if kind.is_socket() => "socket",
        _ => "device",
    }))
}

fn read_capped(file: &File, size: u64, max_bytes: u64) -> Result<Vec<u8>, Cause> {
    if size > max_bytes {
        return Err(Cause::TooLarge(max_bytes));
    }
    // The size is checked again while reading: files in /proc say 0, others grow.
    let mut bytes = Vec::new();
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(Cause::File)?;
    if bytes.len() as u64 > max_bytes { Err(Cause::TooLarge(max_bytes)) } else { Ok(bytes) }
}

/// Differs whenever the content differs, once the file has [`settled`]: the change time moves with every write and
/// cannot be set back, the inode with every replacement.
fn fingerprint(meta: &Metadata) -> String {
    let (modified, changed) = ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
    format!("{}.{:09}-{}.{:09}-{}-{}", modified.0, modified.1, changed.0, changed.1, meta.size(), meta.ino())
}

fn settled(meta: &Metadata, now: SystemTime) -> bool {
    let changed = u64::try_from(meta.ctime()).unwrap_or(0);
    UNIX_EPOCH + Duration::from_secs(changed) + SETTLED < now
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn later() -> SystemTime {
        SystemTime::now() + Duration::from_secs(10)
    }

    fn body(fetched: Fetched) -> (Vec<u8>, Validators) {
        match fetched {
            Fetched::Body { bytes, validators } => (bytes, validators),
            Fetched::NotModified => panic!("not modified"),
        }
    }

    #[test]
    fn an_unchanged_file_is_not_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list.txt");
        std::fs::write(&path, "192.0.2.1\n").unwrap();
        let (bytes, validators) = body(read_at(&path, 100, None, later()).unwrap());
        assert_eq!(bytes, b"192.0.2.1\n");
        assert_eq!(read_at(&path, 100, Some(&validators), later()).unwrap(), Fetched::NotModified);

        // Same size, new inode.
        std::fs::write(dir.path().join("new"), "192.0.2.2\n").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        assert_eq!(body(read_at(&path, 100, Some(&validators), later()).unwrap()).0, b"192.0.2.2\n");
    }

    #[test]
    fn a_file_just_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list.txt");
        std::fs::write(&path, "192.0.2.1\n").unwrap();
        let (_, validators) = body(read_at(&path, 100, None, SystemTime::now()).unwrap());
        assert!(validators.is_empty());
    }

    #[test]
    fn the_cap_is_the_last_size_that_fits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list.txt");
        std::fs::write(&path, [b'#'; 10]).unwrap();
        assert_eq!(body(read_at(&path, 10, None, later()).unwrap()).0.len(), 10);
        assert!(matches!(read_at(&path, 9, None, later()), Err(Cause::TooLarge(9))));
        // Says it is empty, and is not.
        assert!(matches!(read_at(Path::new("/proc/self/status"), 9, None, later()), Err(Cause::TooLarge(9))));
    }

    #[test]
    fn only_regular_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |path: &Path| match read_at(path, 10, None, later()) {
            Err(Cause::NotAFile(kind)) => kind,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(dir.path()), "directory");
        assert_eq!(refused(Path::new("/dev/zero")), "device");
        let _socket = UnixListener::bind(dir.path().join("socket")).unwrap();
        assert_eq!(refused(&dir.path().join("socket")), "socket");
        let fifo = dir.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        assert_eq!(refused(&fifo), "FIFO");
        assert!(matches!(read_at(&dir.path().join("none"), 10, None, later()), Err(Cause::File(_))));
    }
}
