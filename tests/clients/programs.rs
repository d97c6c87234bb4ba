//! Programs of others: unpacked by `cargo xtask setup` into `tools/clients`, or installed on this machine.

use blackthorn_testkit::needs;
use std::env::consts::ARCH;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A program and the root it was built to lie under.
#[derive(Debug)]
pub(crate) struct Program {
    root: PathBuf,
    /// From the root, such as `usr/sbin/named`.
    path: &'static str,
}

impl Program {
    /// Looks for a path below a root; `None` after [`needs::skip`].
    pub(crate) fn find(path: &'static str) -> Option<Self> {
        let root = [unpacked(), PathBuf::from("/")].into_iter().find(|root| root.join(path).exists());
        if root.is_none() {
            needs::skip(&format!("no /{path} here; `cargo xtask setup` as root gets it"));
        }
        Some(Self { root: root?, path })
    }

    /// Where the program is.
    pub(crate) fn path(&self) -> PathBuf {
        self.root.join(self.path)
    }

    /// Where something is that came with it, by its path from the root.
    pub(crate) fn beside(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

/// Where to look for the libraries that were unpacked with the programs.
pub(crate) fn libraries() -> OsString {
    let folders = ["usr/lib/ARCH-linux-gnu", "lib/ARCH-linux-gnu", "usr/lib/postfix"];
    std::env::join_paths(folders.map(|folder| unpacked().join(folder.replace("ARCH", ARCH)))).unwrap()
}

fn unpacked() -> PathBuf {
    // Without the way up in it, because some programs compare paths.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("tools/clients")
}
