//! Certificate: reads the files of a certificate and its key, and tells what is wrong with them or will be.
//!
//! Nothing of a key is ever in a message.

use crate::config::CertificateFiles;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys, crypto::ring};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use thiserror::Error;
use x509_cert::der::Decode;

/// Largest file read; chains take a few kilobytes.
const MAX_FILE: u64 = 1 << 20;
/// How long before its end a certificate is warned of.
const SOON: Duration = Duration::from_secs(14 * 86_400);
/// The right of everybody to read a file.
const WORLD_READABLE: u32 = 0o004;

/// Why a certificate cannot be used.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{}: cannot be read: {error}; check that it exists and that blackthorn may read it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file is too large to be what it should be.
    #[error("{}: has more than 1 MiB; name the file of a certificate or key in PEM form", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A file is not PEM.
    #[error("{}: is not PEM: {reason}; it must have lines such as `-----BEGIN CERTIFICATE-----`", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// Where it stops being PEM.
        reason: String,
    },
    /// No certificate in a file.
    #[error("{}: has no certificate; name the file with the line `-----BEGIN CERTIFICATE-----`", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// No key in a file.
    #[error(
        "{}: has no private key that can be read; name the file with the line `-----BEGIN PRIVATE KEY-----` (a key under \
         a password cannot be used: `openssl pkey` takes it off)",
        path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A certificate that makes no sense.
    #[error("{}: the first certificate in it cannot be used: {reason}", path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A key that makes no sense, or of a kind nobody offers.
    #[error("{}: the key cannot be used: {reason}; RSA from 2048 bits, ECDSA P-256 and P-384, and Ed25519 can", path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Two files that do not belong together.
    #[error(
        "{} is not the key of the first certificate in {}; name two files of the same certificate, its own before those \
         of its issuers",
        key.display(),
        certificate.display()
    )]
    Mismatch {
        /// File of the certificate.
        certificate: PathBuf,
        /// File of the key.
        key: PathBuf,
    },
}

/// A certificate with its key, ready to be shown to clients.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    /// Seconds since 1970 at which it ends; `None` if that cannot be read.
    pub(super) expires_at: Option<u64>,
    /// What is allowed but probably not meant.
    pub(super) warnings: Vec<String>,
}

impl Pair {
    /// Reads both files and makes sure that they fit.
    ///
    /// # Errors
    /// The first thing that is wrong, with its file.
    pub(super) fn load(files: &CertificateFiles, now: SystemTime) -> Result<Self, CertificateError> {
        let CertificateFiles { certificate, key } = files;
        let (pem, _) = read(certificate)?;
        let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| not_pem(certificate, &error))?;
        let Some(first) = chain.first() else {
            return Err(CertificateError::NoCertificate { path: certificate.clone() });
        };
        let expires_at = expiry(first);
        let (pem, mode) = read(key)?;
        let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
            PemError::NoItemsFound => CertificateError::NoKey { path: key.clone() },
            error => not_pem(key, &error),
        })?;
        let bad_key =
            |error: TlsError| CertificateError::BadKey { path: key.clone(), reason: error.to_string() };
        let signing = ring::sign::any_supported_type(&private).map_err(bad_key)?;
        let pair = CertifiedKey::new(chain, signing);
        match pair.keys_match() {
            // A key that does not tell its public half would show in the first handshake.
            Ok(()) | Err(TlsError::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(TlsError::InconsistentKeys(_)) => {
                return Err(CertificateError::Mismatch {
                    certificate: certificate.clone(),
                    key: key.clone(),
                });
            }
            Err(error) => {
                let reason = error.to_string();
                return Err(CertificateError::BadCertificate { path: certificate.clone(), reason });
            }
        }
        let open = (mode & WORLD_READABLE != 0).then(|| {
            let path = key.display();
            format!("{path}: every user of this host may read this key; `chmod o-r {path}` ends that")
        });
        let ending = expires_at.and_then(|at| ending(certificate, at, now));
        let warnings = open.into_iter().chain(ending).collect();
        Ok(Self { key: Arc::new(pair), expires_at, warnings })
    }
}

/// Would a daemon start with these files? Returns what is allowed but probably not meant.
///
/// # Errors
/// What keeps them from being used.
pub fn check(files: &CertificateFiles) -> Result<Vec<String>, CertificateError> {
    Pair::load(files, SystemTime::now()).map(|pair| pair.warnings)
}

/// A warning of a certificate that ends soon or has ended.
pub(super) fn ending(certificate: &Path, expires_at: u64, now: SystemTime) -> Option<String> {
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(expires_at);
    let path = certificate.display();
    match end.duration_since(now) {
        Err(_) => Some(format!("{path}: the certificate has expired, clients refuse it; renew it")),
        Ok(left) if left < SOON => {
            let days = left.as_secs() / 86_400;
            Some(format!("{path}: the certificate expires in {days} days; renew it"))
        }
        Ok(_) => None,
    }
}

/// A whole file, with its mode.
fn read(path: &Path) -> Result<(Vec<u8>, u32), CertificateError> {
    let failed = |error| CertificateError::Read { path: path.to_owned(), error };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode();
    let mut octets = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut octets).map_err(failed)?;
    if octets.len() as u64 > MAX_FILE {
        return Err(CertificateError::TooLarge { path: path.to_owned() });
    }
    Ok((octets, mode))
}

fn not_pem(path: &Path, error: &PemError) -> CertificateError {
    // Not everything the library says of a file may be shown: it repeats lines, and a key is lines.
    let reason = match error {
        PemError::MissingSectionEnd { .. } => "a section has no end",
        PemError::IllegalSectionStart { .. } => "a section has no good start",
        PemError::Base64Decode(_) => "a section is not base64",
        _ => "it cannot be read",
    };
    CertificateError::NotPem { path: path.to_owned(), reason: reason.to_owned() }
}

fn expiry(certificate: &CertificateDer<'_>) -> Option<u64> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    Some(certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;
    use tempfile::TempDir;

    struct Made {
        dir: TempDir,
        files: CertificateFiles,
    }

    fn made() -> Made {
        let dir = tempfile::tempdir().unwrap();
        let pair = rcgen::generate_simple_self_signed(vec!["dns.example".to_owned()]).unwrap();
        let files = CertificateFiles { certificate: dir.path().join("c.pem"), key: dir.path().join("k.pem") };
        fs::write(&files.certificate, pair.cert.pem()).unwrap();
        fs::write(&files.key, pair.signing_key.serialize_pem()).unwrap();
        Made { dir, files }
    }

    #[test]
    fn an_end_is_told_two_weeks_before() {
        const END: u64 = 1_800_000_000;
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let told = |now: u64| ending(Path::new("c.pem"), END, at(now));
        assert_eq!(told(END - 14 * 86_400), None);
        let soon = told(END - 14 * 86_400 + 1).unwrap();
        assert_eq!(soon, "c.pem: the certificate expires in 13 days; renew it");
        assert!(told(END + 1).unwrap().contains("has expired"));
    }

    #[test]
    fn a_certificate_in_order_has_its_end_and_no_warning() {
        use std::os::unix::fs::PermissionsExt;
        let made = made();
        fs::set_permissions(&made.files.key, fs::Permissions::from_mode(0o640)).unwrap();
        let pair = Pair::load(&made.files, SystemTime::now()).unwrap();
        assert_eq!(pair.warnings, [""; 0]);
        assert!(pair.expires_at.unwrap() > 1_800_000_000);
        let year_5000 = SystemTime::UNIX_EPOCH + Duration::from_secs(95_617_584_000);
        let late = Pair::load(&made.files, year_5000).unwrap();
        assert!(late.warnings[0].contains("has expired"), "still used: its clients decide");
    }

    #[test]
    fn what_is_too_large_is_not_read_on() {
        let made = made();
        File::create(&made.files.key).unwrap().set_len(1 << 30).unwrap();
        let error = Pair::load(&made.files, SystemTime::now()).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("k.pem: has more than 1 MiB; name the file of a certificate or key in PEM form")
        );
        assert!(made.dir.path().exists());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn no_damage_panics_or_shows_the_key(
            in_key: bool,
            edits in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4),
            cut in 0usize..300,
        ) {
            let made = made();
            let key = fs::read_to_string(&made.files.key).unwrap();
            let damaged = if in_key { &made.files.key } else { &made.files.certificate };
            let mut octets = fs::read(damaged).unwrap();
            let len = octets.len();
            for (at, octet) in edits {
                octets[at % len] = octet;
            }
            octets.truncate(len - cut.min(len));
            fs::write(damaged, octets).unwrap();
            if let Err(error) = Pair::load(&made.files, SystemTime::now()) {
                let said = error.to_string();
                let shown = key.lines().filter(|line| !line.starts_with('-')).any(|line| said.contains(line));
                prop_assert!(!shown, "{}", said);
            }
        }
    }
}
