//! The socket file: made before privileges are dropped, never taken from a daemon that lives, removed at the end.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Owner and group may connect; connecting takes the right to write.
const MODE: u32 = 0o660;

/// Why there is no control socket.
#[derive(Debug, Error)]
pub enum ControlError {
    /// It cannot be made.
    #[error("control socket {}: cannot {doing}: {error}; check control.socket and the rights on its directory", path.display())]
    Failed {
        /// The socket.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why not.
        error: io::Error,
    },
    /// A daemon serves it.
    #[error("control socket {}: another blackthorn answers there; stop it, or give this one its own control.socket", .0.display())]
    InUse(PathBuf),
    /// Something else has the name, and is left alone.
    #[error("control socket {}: a file that is no socket is in the way; remove it, or change control.socket", .0.display())]
    NotASocket(PathBuf),
}

/// A bound control socket that is not served yet.
#[derive(Debug)]
pub struct Bound {
    pub(super) listener: UnixListener,
    pub(super) file: SocketFile,
}

/// The file of a bound socket; dropping it removes the file.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode: by the end, the path may belong to somebody else.
    identity: (u64, u64),
}

/// Binds the control socket with mode 0660. Makes its directory if that is missing, and replaces a socket that nobody
/// answers on.
///
/// # Errors
/// When a daemon answers there, or the socket cannot be made.
pub fn bind(path: &Path) -> Result<Bound, ControlError> {
    let failed = |doing| move |error| ControlError::Failed { path: path.to_owned(), doing, error };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed("make its directory"))?;
    }
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("look at it")(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(ControlError::NotASocket(path.to_owned())),
        Ok(_) => match UnixStream::connect(path) {
            // Left behind by a crash.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(failed("remove what a crash left there"))?;
            }
            Err(error) => return Err(failed("tell if it is in use")(error)),
            Ok(_) => return Err(ControlError::InUse(path.to_owned())),
        },
    }
    let listener = UnixListener::bind(path).map_err(failed("bind it"))?;
    let made = fs::symlink_metadata(path).map_err(failed("look at it"))?;
    let file = SocketFile { path: path.to_owned(), identity: (made.dev(), made.ino()) };
    fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(failed("set its mode"))?;
    listener.set_nonblocking(true).map_err(failed("prepare it"))?;
    Ok(Bound { listener, file })
}

impl SocketFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) == self.identity);
        // What cannot be removed is found to be stale by the next start.
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), "cannot remove the control socket: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_directory_and_socket_and_removes_the_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/blackthorn/control.sock");
        let bound = bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        drop(bound);
        assert!(!path.exists());
    }

    #[test]
    fn replaces_a_stale_socket_but_not_a_live_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        // Closing a listener leaves its file behind, as a crash does.
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let first = bind(&path).unwrap();
        let error = bind(&path).unwrap_err();
        assert!(matches!(error, ControlError::InUse(_)));
        assert!(error.to_string().contains("another blackthorn answers there"), "{error}");
        assert!(UnixStream::connect(&path).is_ok(), "the first one goes on");
        drop(first);
        drop(bind(&path).unwrap());
    }

    #[test]
    fn leaves_other_files_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path), Err(ControlError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        let error = bind(&path.join("below/a/file")).unwrap_err();
        assert!(error.to_string().contains("cannot make its directory"), "{error}");
    }

    #[test]
    fn does_not_remove_the_socket_of_a_successor() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let old = bind(&path).unwrap();
        fs::rename(&path, dir.path().join("moved")).unwrap();
        let new = bind(&path).unwrap();
        drop(old);
        assert!(path.exists());
        drop(new);
        assert!(!path.exists());
    }
}
