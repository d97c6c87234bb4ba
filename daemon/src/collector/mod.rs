//! The collector: brings the bodies of feeds in, from files and over HTTP, each feed on its own schedule.
//!
//! [`runner`] decides when and hands over what came of it; [`Fetcher`] does one fetch. In a fetch, `file` reads a
//! path and `http` asks a server, with `redirect` judging where a server may send us and `encoding` undoing its
//! compression. What went wrong, and what the operator can do about it, is in [`error`].
//!
//! Sources are hostile: size, time, redirects and decoded size are bounded here, before anything is parsed. The body
//! is passed on as it is; whether it is a list is for the parser and the gate to say.

pub mod error;
pub mod runner;

mod encoding;
mod file;
mod http;
mod pace;
mod redirect;
#[cfg(test)]
mod script;
#[cfg(test)]
mod tests;

pub use error::FetchError;
pub use redirect::Refusal;

use crate::config::source::Source;
use crate::core::validators::Validators;
use std::path::Path;
use std::time::Duration;

/// Bounds of one fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// Most bytes of a body, counted both as sent and after undoing the transfer's compression. A fetch may hold
    /// both forms at once, each in a buffer that grows by doubling: at most four times as much memory.
    pub max_bytes: u64,
    /// Longest a fetch may take from start to last byte, redirects included.
    pub timeout: Duration,
}

impl Default for FetchLimits {
    /// 256 MiB, several times the largest public list; 5 minutes.
    fn default() -> Self {
        Self { max_bytes: 256 << 20, timeout: Duration::from_secs(300) }
    }
}

/// What a successful fetch brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The source still has the copy that the validators name.
    NotModified,
    /// A whole body.
    Body {
        /// The bytes; still compressed if the list itself is a compressed file.
        bytes: Vec<u8>,
        /// What to recognise it by, to be kept with it and only once it is kept (G16).
        validators: Validators,
    },
}

/// Fetches from any source. Made once, shared by all feeds.
#[derive(Debug)]
pub struct Fetcher {
    http: http::Http,
}

/// Reads a feed that is a file, on this thread and whatever copy is at hand. For commands; the daemon has [`Fetcher`].
///
/// # Errors
/// As [`Fetcher::fetch`].
pub fn read_file(path: &Path, max_bytes: u64) -> Result<Vec<u8>, FetchError> {
    file::read_whole(path, max_bytes).map_err(|cause| FetchError { place: path.display().to_string(), cause })
}

impl Fetcher {
    /// Loads the platform's trusted certificates, and proxies from the environment (`HTTPS_PROXY`, `HTTP_PROXY`,
    /// `ALL_PROXY`, `NO_PROXY`).
    ///
    /// # Errors
    /// When no HTTP client can be made at all. Missing certificates are no error here: `https` sources fail one by
    /// one, files and plain HTTP work.
    pub fn new() -> Result<Self, FetchError> {
        http::Http::new(http::Proxies::Environment).map(|http| Self { http })
    }

    /// As [`Self::new`], but whatever proxies the machine has are left alone.
    #[cfg(test)]
    fn without_proxies() -> Self {
        Self { http: http::Http::new(http::Proxies::None).unwrap() }
    }

    /// Fetches `source` once. `validators` are those of the copy at hand, if it came from this very source.
    ///
    /// # Errors
    /// [`FetchError`] names the source without its secrets, the cause, and what can be done.
    pub async fn fetch(
        &self,
        source: &Source,
        limits: &FetchLimits,
        validators: Option<&Validators>,
    ) -> Result<Fetched, FetchError> {
        match source {
            Source::Path(path) => file::read(path, limits, validators).await,
            Source::Url(url) => self.http.get(url, limits, validators).await,
        }
        .map_err(|cause| FetchError { place: source.to_string(), cause })
    }
}
