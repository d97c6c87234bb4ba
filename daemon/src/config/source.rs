//! Where a feed comes from: a path or an `http`/`https` address.
//!
//! Addresses of feeds often hold keys (G18), so a source shows itself, in text and in debug output, without user
//! name, password and query.

use sha2::{Digest, Sha256};
use std::fmt;
use std::path::{Path, PathBuf};
use thiserror::Error;
use url::Url;

/// Location of a feed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A local file.
    Path(PathBuf),
    /// An address with scheme `http` or `https`.
    Url(Url),
}

/// Why a text is not a source. Never repeats the text: it may hold a key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SourceError {
    /// Nothing at all.
    #[error("empty; give a path, or an address that starts with http:// or https://")]
    Empty,
    /// Some other scheme.
    #[error("the scheme {0}:// is not supported; use http://, https:// or a plain path")]
    Scheme(String),
    /// Looks like an address, but is none.
    #[error("not a valid address: {0}")]
    Url(#[from] url::ParseError),
}

impl Source {
    /// Reads a source as configured; a relative path is taken from `base`.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub fn parse(text: &str, base: &Path) -> Result<Self, SourceError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SourceError::Empty);
        }
        match scheme(text) {
            None => Ok(Self::Path(base.join(text))),
            Some(scheme) if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") => {
                Ok(Self::Url(Url::parse(text)?))
            }
            Some(scheme) => Err(SourceError::Scheme(scheme.to_owned())),
        }
    }

    /// A text that is equal for equal sources only, and safe to store and show: the display form, and when that
    /// leaves something out, a hash of the whole.
    pub fn identity(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Url(url) => {
                let shown = mask(url).to_string();
                if shown == url.as_str() {
                    return shown;
                }
                let hash = Sha256::digest(url.as_str());
                let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
                format!("{shown} sha256:{hex}")
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Url(url) => mask(url).fmt(f),
        }
    }
}

impl fmt::Debug for Source {
    /// As the display form: debug output ends up in logs too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({self})")
    }
}

/// Shows an address with `***` in place of user name, password and query, and without a fragment.
pub fn mask(url: &Url) -> impl fmt::Display + use<'_> {
    Masked(url)
}

struct Masked<'a>(&'a Url);

impl fmt::Display for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.0;
        write!(f, "{}://", url.scheme())?;
        if !url.username().is_empty() || url.password().is_some() {
            f.write_str("***@")?;
        }
        f.write_str(url.host_str().unwrap_or_default())?;
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(url.path())?;
        if url.query().is_some() { f.write_str("?***") } else { Ok(()) }
    }
}

/// The part before `://`, if it could be a scheme (RFC 3986 section 3.1).
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(legal)).then_some(scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Source, SourceError> {
        Source::parse(text, Path::new("/etc/blackthorn"))
    }

    #[test]
    fn tells_addresses_from_paths() {
        let path = |text: &str| Source::Path(PathBuf::from(text));
        assert_eq!(parse("lists/mine.txt"), Ok(path("/etc/blackthorn/lists/mine.txt")));
        assert_eq!(parse("/srv/list.txt"), Ok(path("/srv/list.txt")));
        assert_eq!(parse("odd/name://x"), Ok(path("/etc/blackthorn/odd/name://x")), "no scheme has a slash");
        assert!(
            matches!(parse("HTTPS://Example.ORG/a"), Ok(Source::Url(url)) if url.host_str() == Some("example.org"))
        );
        assert!(matches!(parse(" http://192.0.2.1:8080/a "), Ok(Source::Url(_))));
    }

    #[test]
    fn refuses_what_it_cannot_fetch_and_says_what_it_can() {
        assert_eq!(parse("  "), Err(SourceError::Empty));
        let error = parse("ftp://user:secret@example.org/list").unwrap_err();
        assert_eq!(error, SourceError::Scheme("ftp".into()));
        assert_eq!(
            error.to_string(),
            "the scheme ftp:// is not supported; use http://, https:// or a plain path"
        );
        assert!(matches!(parse("https://"), Err(SourceError::Url(_))));
        let error = parse("https://user:secret@exa mple/list").unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn secrets_are_shown_nowhere() {
        let source = parse("https://user:hunter2@example.org:8443/list.txt?key=s3cret&days=7#part").unwrap();
        assert_eq!(source.to_string(), "https://***@example.org:8443/list.txt?***");
        for shown in [source.to_string(), format!("{source:?}"), source.identity()] {
            assert!(
                !shown.contains("hunter2") && !shown.contains("s3cret") && !shown.contains("user:"),
                "{shown}"
            );
        }
        let open = parse("https://example.org/list.txt").unwrap();
        assert_eq!(open.to_string(), "https://example.org/list.txt");
        assert_eq!(parse("http://[2001:db8::1]:81/l").unwrap().to_string(), "http://[2001:db8::1]:81/l");
    }

    #[test]
    fn identity_tells_keys_apart() {
        let identity = |text| parse(text).unwrap().identity();
        assert_eq!(identity("https://example.org/l"), "https://example.org/l");
        assert_ne!(identity("https://example.org/l?key=1"), identity("https://example.org/l?key=2"));
        assert_eq!(identity("https://example.org/l?key=1"), identity("https://EXAMPLE.org/l?key=1"));
        assert_eq!(identity("mine.txt"), "/etc/blackthorn/mine.txt");
    }
}
