//! What can go wrong with generation files.

use crate::core::generation_file::Damage;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a file gives no generation.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file system does not give it.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// File or directory.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// What is in it is no generation of this release.
    #[error("cannot use {path}: {damage}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        damage: Damage,
    },
    /// It was renamed.
    #[error("cannot use {path}: it holds generation {found}; give it back its name")]
    Serial {
        /// The file.
        path: PathBuf,
        /// The serial inside.
        found: u32,
    },
}

/// Why a file was not written or removed.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The file system refused.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// The directory cannot be read.
    #[error("{path}: {error}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        error: Box<OpenError>,
    },
    /// The generation cannot be put into bytes.
    #[error("{path}: {damage}")]
    Form {
        /// The file.
        path: PathBuf,
        /// Why.
        damage: Damage,
    },
}
