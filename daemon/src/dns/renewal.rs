//! Renewal: the certificate in use, which handshakes ask for, and the task that replaces it when its files change.
//!
//! A change is taken up once the files have kept still for one look: within twice [`LOOK`], so at most ten seconds. A
//! pair that cannot be used changes nothing but the status; the one before stays in use until a good one comes.

use super::certificate::{self, CertificateError, Pair};
use crate::config::CertificateFiles;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::Instant;

/// Time between two looks at the files.
const LOOK: Duration = Duration::from_secs(5);
/// Time between two warnings of a certificate that ends soon.
const REMIND: Duration = Duration::from_secs(86_400);

/// The certificate, as `blackthorn status` shows it. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// Its file.
    pub file: String,
    /// When the one in use was read.
    pub loaded_at: u64,
    /// When the one in use ends, if that can be read.
    pub expires_at: Option<u64>,
    /// Why what is in the files now is not in use.
    pub error: Option<String>,
}

/// The pair in use. Handshakes that have begun go on with the one they began with.
#[derive(Debug)]
pub(super) struct InUse(RwLock<Arc<CertifiedKey>>);

impl InUse {
    fn replace(&self, key: Arc<CertifiedKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = key;
    }

    /// Settings of TLS for a service with these protocol names (ALPN), which show this pair.
    pub(super) fn server_config(
        self: &Arc<Self>,
        protocols: &[&[u8]],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Result<ServerConfig, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let resolver = Arc::clone(self) as Arc<dyn ResolvesServerCert>;
        let mut config =
            builder.with_protocol_versions(versions)?.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }
}

impl ResolvesServerCert for InUse {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Keeps a pair up to date. Dropping it stops that; the pair stays as it is.
#[derive(Debug)]
pub(super) struct Keeper {
    files: CertificateFiles,
    in_use: Arc<InUse>,
    status: Arc<watch::Sender<Option<CertificateStatus>>>,
    task: JoinSet<()>,
}

/// A pair that was read, with what its files looked like before.
#[derive(Debug)]
pub(super) struct Fresh {
    files: CertificateFiles,
    look: Look,
    pair: Pair,
}

impl Fresh {
    /// Reads a pair for the first time.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(super) fn load(files: &CertificateFiles) -> Result<Self, CertificateError> {
        let look = Look::at(files);
        let pair = Pair::load(files, SystemTime::now())?;
        Ok(Self { files: files.clone(), look, pair })
    }
}

impl Keeper {
    /// Puts a pair into use and watches its files. Call it inside a tokio runtime.
    pub(super) fn start(fresh: Fresh, status: Arc<watch::Sender<Option<CertificateStatus>>>) -> Self {
        let Fresh { files, look, pair } = fresh;
        let in_use = Arc::new(InUse(RwLock::new(Arc::clone(&pair.key))));
        let mut keeper = Self { files, in_use, status, task: JoinSet::new() };
        keeper.use_pair(look, &pair);
        keeper
    }

    /// The pair in use, whichever it is at the time of asking.
    pub(super) fn in_use(&self) -> &Arc<InUse> {
        &self.in_use
    }

    /// Puts another pair into use, of other files perhaps.
    pub(super) fn replace(&mut self, fresh: Fresh) {
        let Fresh { files, look, pair } = fresh;
        self.files = files;
        self.use_pair(look, &pair);
    }

    /// Is this where the pair comes from?
    pub(super) fn is_of(&self, files: &CertificateFiles) -> bool {
        self.files == *files
    }

    /// Notes that the pair now in the files cannot be used.
    pub(super) fn refuse(&self, error: &CertificateError) {
        refuse(&self.status, error);
    }

    fn use_pair(&mut self, look: Look, pair: &Pair) {
        self.task.abort_all();
        put_into_use(&self.files, &self.in_use, &self.status, pair);
        let watch = Watch {
            files: self.files.clone(),
            in_use: Arc::clone(&self.in_use),
            status: Arc::clone(&self.status),
            expires_at: pair.expires_at,
        };
        self.task.spawn(watch.run(look));
    }
}

/// The task of a [`Keeper`].
struct Watch {
    files: CertificateFiles,
    in_use: Arc<InUse>,
    status: Arc<watch::Sender<Option<CertificateStatus>>>,
    expires_at: Option<u64>,
}

impl Watch {
    /// `known` is what the files looked like when they were read.
    async fn run(mut self, mut known: Look) {
        let mut last = known.clone();
        let mut reminded = Instant::now();
        loop {
            tokio::time::sleep(LOOK).await;
            let files = self.files.clone();
            let Ok(now) = spawn_blocking(move || Look::at(&files)).await else { return };
            if now != known && now == last {
                self.renew().await;
                known = now.clone();
            }
            last = now;
            if reminded.elapsed() >= REMIND {
                reminded = Instant::now();
                self.remind();
            }
        }
    }

    async fn renew(&mut self) {
        let files = self.files.clone();
        match spawn_blocking(move || Pair::load(&files, SystemTime::now())).await {
            Ok(Ok(pair)) => {
                self.expires_at = pair.expires_at;
                // Where this task was told to end while it was reading, because another pair is in use, it ends here.
                tokio::task::yield_now().await;
                put_into_use(&self.files, &self.in_use, &self.status, &pair);
            }
            Ok(Err(error)) => refuse(&self.status, &error),
            // The runtime is going down.
            Err(_) => {}
        }
    }

    fn remind(&self) {
        let ending = |at| certificate::ending(&self.files.certificate, at, SystemTime::now());
        if let Some(warning) = self.expires_at.and_then(ending) {
            tracing::warn!("{warning}");
        }
    }
}

fn put_into_use(
    files: &CertificateFiles,
    in_use: &InUse,
    status: &watch::Sender<Option<CertificateStatus>>,
    pair: &Pair,
) {
    in_use.replace(Arc::clone(&pair.key));
    for warning in &pair.warnings {
        tracing::warn!("{warning}");
    }
    let file = files.certificate.display().to_string();
    tracing::info!(file, "certificate in use");
    let (loaded_at, expires_at) = (unix_now(), pair.expires_at);
    status.send_replace(Some(CertificateStatus { file, loaded_at, expires_at, error: None }));
}

fn refuse(status: &watch::Sender<Option<CertificateStatus>>, error: &CertificateError) {
    tracing::error!("certificate not changed, the one before stays in use: {error}");
    status.send_modify(|status| {
        if let Some(status) = status {
            status.error = Some(error.to_string());
        }
    });
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What both files look like from outside: device, inode, size, time of the last change (of rights too) in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look([Option<[i128; 4]>; 2]);

impl Look {
    fn at(files: &CertificateFiles) -> Self {
        let look = |path: &Path| {
            let meta = fs::metadata(path).ok()?;
            let changed = i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec());
            Some([meta.dev().into(), meta.ino().into(), meta.size().into(), changed])
        };
        Self([look(&files.certificate), look(&files.key)])
    }
}
