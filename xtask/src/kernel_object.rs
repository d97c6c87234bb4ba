//! The committed kernel object and its manifest: what it was built from and with.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The object, from the root of the repository.
pub(crate) const OBJECT: &str = "ebpf/prebuilt/blackthorn.o";
/// Its manifest.
pub(crate) const MANIFEST: &str = "ebpf/prebuilt/manifest.json";

/// Everything that decides the bytes of the object.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// SHA-256 of the object.
    pub(crate) object: String,
    /// `rustc --version`.
    pub(crate) toolchain: String,
    /// `bpf-linker --version`.
    pub(crate) linker: String,
    /// Compiler flags, without the ones that hide the place of the checkout.
    pub(crate) flags: Vec<String>,
    /// SHA-256 of each source file, by its path from the root of the repository.
    pub(crate) sources: BTreeMap<String, String>,
}

impl Manifest {
    /// The committed manifest.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let text = fs::read_to_string(root.join(MANIFEST)).with_context(|| format!("reading {MANIFEST}"))?;
        serde_json::from_str(&text).with_context(|| format!("reading {MANIFEST}"))
    }

    /// Replaces the committed manifest.
    pub(crate) fn write(&self, root: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(root.join(MANIFEST), text).with_context(|| format!("writing {MANIFEST}"))
    }
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Every file that goes into the object, with its hash: program and shared crate, manifests and lock file, but not
/// the tests of the shared crate.
pub(crate) fn sources(root: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = vec![
        root.join("ebpf/common/Cargo.toml"),
        root.join("ebpf/program/Cargo.toml"),
        root.join("ebpf/program/Cargo.lock"),
    ];
    rust_files(&root.join("ebpf/common/src"), &mut files)?;
    rust_files(&root.join("ebpf/program/src"), &mut files)?;
    files
        .into_iter()
        .map(|path| {
            let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
            Ok((name, sha256(&bytes)))
        })
        .collect()
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, files)?;
        } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
    Ok(())
}
