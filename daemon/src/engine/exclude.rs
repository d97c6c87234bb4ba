//! Exclusion files: networks and domains that must never be listed, one per line.
//!
//! Read strictly. A mistake in a feed costs an entry; a mistake here would list somebody who must not be, so the whole
//! load is refused and every bad line is named.

use crate::collector::{FetchError, read_file};
use crate::core::feed::{RejectReason, domain_pattern};
use crate::core::network::Network;
use crate::core::protection::{Reserved, ReservedDomain};
use std::fmt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Largest exclusion file, in bytes.
const MAX_BYTES: u64 = 64 << 20;
/// Most bad lines spelled out in one error.
const MAX_SHOWN: usize = 20;

/// Why exclusion files could not be used.
#[derive(Debug, Error)]
pub enum ExcludeError {
    /// The file is missing, unreadable, too large or no regular file.
    #[error("exclusion file {0}; without it hosts that must stay off the list could be listed")]
    Unreadable(FetchError),
    /// The file is not text.
    #[error("exclusion file {}:{line}: not UTF-8 text; save the file as UTF-8", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// Where the text ends, from 1.
        line: usize,
    },
    /// Lines that are neither networks nor domains.
    #[error("{0}")]
    Lines(BadLines),
}

/// The bad lines of one exclusion file.
#[derive(Debug)]
pub struct BadLines {
    path: PathBuf,
    lines: Vec<(usize, String, String)>,
}

impl fmt::Display for BadLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (line, text, problem)) in self.lines.iter().take(MAX_SHOWN).enumerate() {
            let break_line = if number == 0 { "" } else { "\n" };
            write!(f, "{break_line}{}:{line}: `{text}`: {problem}", self.path.display())?;
        }
        match self.lines.len().saturating_sub(MAX_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n{}: {more} more bad lines", self.path.display()),
        }
    }
}

/// What one exclusion file holds.
type Exclusions = (Vec<Reserved>, Vec<ReservedDomain>);

/// Reads one exclusion file: an address, prefix, range or domain per line, `#` starts a comment. A domain is written as
/// `example.com`, `.example.com` with all below it, or `*.example.com` for those alone.
///
/// # Errors
/// When it is no regular file, cannot be read, is larger than 64 MiB, or any line is none of these.
pub fn read(path: &Path) -> Result<Exclusions, ExcludeError> {
    let bytes = read_file(path, MAX_BYTES).map_err(ExcludeError::Unreadable)?;
    match str::from_utf8(&bytes) {
        Ok(text) => parse(path, text),
        Err(error) => {
            let before = bytes.iter().take(error.valid_up_to());
            let line = 1 + before.filter(|&&byte| byte == b'\n').count();
            Err(ExcludeError::NotText { path: path.to_owned(), line })
        }
    }
}

fn parse(path: &Path, text: &str) -> Result<Exclusions, ExcludeError> {
    let (mut networks, mut domains, mut bad) = (Vec::new(), Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let entry = line.split('#').next().unwrap_or_default().trim();
        if entry.is_empty() {
            continue;
        }
        let reason = || format!("{}:{number}", path.display());
        match (entry.parse::<Network>(), domain_pattern(entry)) {
            (Ok(network), _) => networks.push(Reserved { network, reason: reason() }),
            (_, Ok((name, scope))) => domains.push(ReservedDomain { name, scope, reason: reason() }),
            (Err(not_network), Err(not_domain)) => {
                let problem = match not_domain {
                    _ if !is_domain_like(entry) => not_network.to_string(),
                    RejectReason::TopLevel => {
                        format!("one word is no domain; for all below it write .{entry}")
                    }
                    _ => not_domain.to_string(),
                };
                bad.push((number, entry.chars().take(80).collect(), problem));
            }
        }
    }
    if bad.is_empty() {
        Ok((networks, domains))
    } else {
        Err(ExcludeError::Lines(BadLines { path: path.to_owned(), lines: bad }))
    }
}

/// Was a domain meant, rather than a network?
fn is_domain_like(entry: &str) -> bool {
    let not_hex = |c: char| c.is_alphabetic() && !c.is_ascii_hexdigit();
    !entry.contains([':', '/'])
        && domain_pattern(entry) != Err(RejectReason::AddressName)
        && entry.contains(not_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_networks_and_domains_and_names_their_lines() {
        let text = "\u{feff}# ours\n192.0.2.0/24 # office\r\n\n2001:db8::1\nmail.example\n.B\u{fc}cher.example # all\n";
        let (networks, domains) = parse(Path::new("allow.txt"), text).unwrap();
        let networks = networks.iter().map(|r| format!("{} {}", r.network, r.reason));
        let shown: Vec<String> =
            networks.chain(domains.iter().map(|r| format!("{} {}", r.pattern(), r.reason))).collect();
        assert_eq!(
            shown,
            [
                "192.0.2.0/24 allow.txt:2",
                "2001:db8::1 allow.txt:4",
                "mail.example allow.txt:5",
                ".xn--bcher-kva.example allow.txt:6"
            ]
        );
    }

    #[test]
    fn every_bad_line_is_named() {
        let error =
            parse(Path::new("allow.txt"), "192.0.2.1/24\n192.0.2.1\n192.0.2.300\noffice\nmail..example\n*\n")
                .unwrap_err();
        assert_eq!(
            error.to_string(),
            "allow.txt:1: `192.0.2.1/24`: address bits are set behind the prefix\n\
             allow.txt:3: `192.0.2.300`: not an IPv4 or IPv6 address\n\
             allow.txt:4: `office`: one word is no domain; for all below it write .office\n\
             allow.txt:5: `mail..example`: a label is empty or longer than 63 octets\n\
             allow.txt:6: `*`: not an IPv4 or IPv6 address"
        );
    }

    #[test]
    fn a_missing_file_is_an_error() {
        let error = read(Path::new("/nonexistent/allow.txt")).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("exclusion file /nonexistent/allow.txt: cannot be read: No such file"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_text_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |name: &str| read(&dir.path().join(name)).unwrap_err().to_string();
        // Nobody writes into it: whoever waited for that would wait for ever.
        let fifo = dir.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        assert!(refused("fifo").contains("is a FIFO"), "{}", refused("fifo"));
        assert!(refused("").contains("is a directory"), "{}", refused(""));
        std::fs::write(dir.path().join("latin"), b"192.0.2.1\n192.0.2.2 # caf\xe9\n").unwrap();
        assert!(refused("latin").ends_with("latin:2: not UTF-8 text; save the file as UTF-8"));
    }
}
