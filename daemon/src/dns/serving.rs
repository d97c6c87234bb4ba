//! Serving: the settings of the server, read from the configuration and the files it names, ready to be asked with every
//! message.
//!
//! Counts of limits and quotas outlive a change of settings that leaves them alone.

use super::query_log::QueryLog;
use super::wire::DEFAULT_UDP_SIZE;
use crate::config::{self, ClientSpec, Config, ConnectionLimits, ZoneAccess};
use crate::core::access::Access;
use crate::core::cookie::{self, Cookie, Secrets};
use crate::core::coverage::Coverage;
use crate::core::entry::FeedId;
use crate::core::keys::{KeyError, Keys};
use crate::core::listing::FeedIndex;
use crate::core::name::{DomainName, NameError};
use crate::core::policy::{Clients, Policy, Quota, ZonePolicy};
use crate::core::quota::Quotas;
use crate::core::rate::{self, Kind, Limits, Verdict};
use crate::core::text::{Template, TextError};
use crate::core::zone::{Listed, Zone};
use crate::stats::{FeedSlot, Stats, ZoneSlot};
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Largest file of keys or secrets, in octets.
const MAX_FILE: u64 = 128 << 20;
/// Most secrets for cookies.
const MAX_SECRETS: usize = 8;

/// Random numbers for what must not be foreseen, taken once at start.
#[derive(Clone, Copy)]
pub struct Seeds {
    /// By this the server knows questions of its own.
    pub pass: [u8; 16],
    /// Signs cookies where no secrets are configured.
    pub cookie: [u8; cookie::SECRET],
    /// Of tables that clients must not be able to fill as they like.
    pub hash: [u8; 16],
}

impl Seeds {
    /// Those of a new process.
    pub fn random() -> Self {
        Self { pass: rand::random(), cookie: rand::random(), hash: rand::random() }
    }
}

/// What the server does with messages, apart from the generation.
#[derive(Debug)]
pub struct Serving {
    pub(super) policy: Policy,
    /// Largest reply by UDP, in octets.
    pub(super) udp_size: u16,
    /// How long a busy worker waits for more datagrams.
    pub(super) coalesce: Duration,
    /// Who we are.
    pub(super) nsid: Option<Box<[u8]>>,
    /// How long a connection may be silent, in units of 100 ms (RFC 7828).
    pub(super) idle: u16,
    pub(super) pass: Option<[u8; 16]>,
    cookies: Option<Secrets>,
    limits: Arc<Limits>,
    /// What `limits` were made from.
    rate: rate::Settings,
    unlimited: Coverage,
    /// Counters of the zones of `policy`.
    zones: Vec<ZoneSlot>,
    /// Counters of feeds, in the order of the configuration.
    feeds: Vec<(FeedId, FeedSlot)>,
    /// Who asked for what.
    pub(super) query_log: Option<Arc<QueryLog>>,
}

/// Everybody is answered, nothing is told, nobody has a cookie.
impl Default for Serving {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            udp_size: DEFAULT_UDP_SIZE,
            coalesce: Duration::ZERO,
            nsid: None,
            idle: idle(ConnectionLimits::default()),
            pass: None,
            cookies: None,
            limits: Arc::default(),
            rate: rate::Settings::default(),
            unlimited: Coverage::default(),
            zones: Vec::new(),
            feeds: Vec::new(),
            query_log: None,
        }
    }
}

/// Why settings cannot be served.
#[derive(Debug, Error)]
pub enum ServingError {
    /// A file of keys or secrets cannot be read.
    #[error("cannot read {what} {}: {source}", path.display())]
    File {
        /// Whose.
        what: String,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of keys holds something else.
    #[error("{}: {source}; what the keys are is not shown", path.display())]
    Keys {
        /// Where.
        path: PathBuf,
        /// What.
        #[source]
        source: KeyError,
    },
    /// A file of secrets holds something else.
    #[error("{}: line {line}: a secret has 32 hex digits, write one of `openssl rand -hex 16`", path.display())]
    Secret {
        /// Where.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// A file of secrets holds none, or too many.
    #[error("{} holds {found} secrets; 1 to {MAX_SECRETS} are possible", path.display())]
    Secrets {
        /// Where.
        path: PathBuf,
        /// How many.
        found: usize,
    },
    /// The query log cannot be written.
    #[error("cannot open the query log {} for appending: {source}", path.display())]
    QueryLog {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A zone has no usable name; the configuration was not checked.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A text is none; the configuration was not checked.
    #[error(transparent)]
    Text(#[from] TextError),
}

impl Serving {
    /// Reads the files that the configuration names, and takes over the counts of `before`. The query log stays as it is,
    /// see [`Self::open_log`].
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn load(config: &Config, seeds: &Seeds, stats: &Stats, before: &Self) -> Result<Self, ServingError> {
        let dns = &config.dns;
        let named = config.zones.iter().zip(&config.zone_access);
        let zones = named.map(|(zone, access)| zone_policy(&zone.name, access, seeds));
        let quota = dns.quota.map(|settings| {
            let known = before.policy.quota.as_ref().map(|quota| &quota.quotas);
            let quotas = match known.filter(|known| known.settings() == settings) {
                Some(known) => Arc::clone(known),
                None => Arc::new(Quotas::new(settings, seeds.hash)),
            };
            Quota { quotas, exempt: Coverage::new(dns.quota_exempt.iter().copied()) }
        });
        let policy = Policy {
            version: dns.version.as_deref().map(Box::from),
            hostname: dns.hostname.as_deref().map(Box::from),
            clients: clients(&dns.clients)?,
            zones: Some(zones.collect::<Result<_, _>>()?),
            quota,
        };
        let limits = if dns.rate_limit == before.rate {
            Arc::clone(&before.limits)
        } else {
            Arc::new(Limits::new(&dns.rate_limit, seeds.hash))
        };
        Ok(Self {
            policy,
            udp_size: dns.udp_size,
            coalesce: dns.coalesce,
            nsid: dns.nsid.as_ref().map(|nsid| nsid.as_bytes().into()),
            idle: idle(dns.connections),
            pass: Some(seeds.pass),
            cookies: if dns.cookies { Some(secrets(dns.cookie_secrets.as_deref(), seeds)?) } else { None },
            limits,
            rate: dns.rate_limit,
            unlimited: Coverage::new(dns.rate_exempt.iter().copied()),
            zones: config.zones.iter().map(|zone| stats.zone(&zone.name)).collect(),
            feeds: config.feeds.iter().map(|feed| (feed.id.clone(), stats.feed(feed.id.as_str()))).collect(),
            query_log: before.query_log.clone(),
        })
    }

    /// Opens the query log as configured; one that is open already is opened again, because it may have been moved away.
    ///
    /// # Errors
    /// When it cannot be opened for appending.
    pub fn open_log(&mut self, dns: &config::Dns) -> Result<(), ServingError> {
        let Some(settings) = &dns.query_log else {
            self.query_log = None;
            return Ok(());
        };
        match &self.query_log {
            Some(log) if log.settings() == settings => log.reopen(),
            _ => {
                let log = QueryLog::start(settings.clone())
                    .map_err(|source| ServingError::QueryLog { path: settings.file.clone(), source })?;
                self.query_log = Some(Arc::new(log));
            }
        }
        Ok(())
    }

    /// Judges the data of a COOKIE option; `None`: there is none, or we do not know cookies.
    pub(super) fn check(&self, data: Option<&[u8]>, client: IpAddr, now: u64) -> Option<Cookie> {
        // The clock goes round in 2106, and so do cookies.
        Some(self.cookies.as_ref()?.check(data?, client, now as u32))
    }

    /// What the limits say of one more reply to a client without a valid cookie.
    #[inline]
    pub(super) fn limit(&self, client: IpAddr, kind: Kind, now_ms: u64) -> Verdict {
        match self.limits.decide(client, kind, now_ms) {
            Verdict::Send => Verdict::Send,
            _ if self.unlimited.find(client).is_some() => Verdict::Send,
            other => other,
        }
    }

    /// The counter of a feed, which is probably the one with this number; `None`: it is not of the configuration.
    #[inline]
    pub(super) fn feed_slot(&self, number: FeedIndex, id: &FeedId) -> Option<FeedSlot> {
        let has_id = |feed: &&(FeedId, FeedSlot)| feed.0 == *id;
        let probable = self.feeds.get(usize::from(number.0)).filter(has_id);
        Some(probable.or_else(|| self.feeds.iter().find(has_id))?.1)
    }

    /// The counters of a zone, which is probably the one with this number; `None`: it is not of the configuration.
    #[inline]
    pub(super) fn zone_slot(&self, number: usize, zone: &Zone) -> Option<ZoneSlot> {
        let zones = self.policy.zones.as_deref().unwrap_or_default();
        let has_name = |at: &usize| zones.get(*at).is_some_and(|own| own.name == *zone.name());
        let at = Some(number).filter(has_name).or_else(|| (0..self.zones.len()).find(has_name))?;
        self.zones.get(at).copied()
    }
}

/// How long a connection may be silent, as it is told.
fn idle(limits: ConnectionLimits) -> u16 {
    u16::try_from(limits.idle.as_millis() / 100).unwrap_or(u16::MAX)
}

fn zone_policy(name: &str, access: &ZoneAccess, seeds: &Seeds) -> Result<ZonePolicy, ServingError> {
    let keys = match &access.keys {
        None => Keys::default(),
        Some(path) => {
            let text = read(path, || format!("the keys of zone {name} from"))?;
            Keys::parse(&text, seeds.hash)
                .map_err(|source| ServingError::Keys { path: path.clone(), source })?
        }
    };
    let clients = access.clients.as_ref().map(clients).transpose()?;
    Ok(ZonePolicy { name: DomainName::parse(name)?, clients, keys })
}

fn clients(spec: &ClientSpec) -> Result<Clients, ServingError> {
    let coded = match &spec.coded {
        None => None,
        Some((code, text)) => {
            let template = Template::parse(text)?;
            Some(Listed::one(*code, Some(template).filter(|text| !text.is_empty())))
        }
    };
    Ok(Clients::new(Access::new(&spec.rules, spec.otherwise), coded))
}

fn secrets(path: Option<&Path>, seeds: &Seeds) -> Result<Secrets, ServingError> {
    let Some(path) = path else { return Ok(Secrets::new(seeds.cookie, [])) };
    let text = read(path, || "the cookie secrets from".to_owned())?;
    let lines = (1..).zip(text.lines().map(str::trim));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let secrets = lines.map(|(line, text)| {
        from_hex(text).ok_or_else(|| ServingError::Secret { path: path.to_owned(), line })
    });
    let secrets = secrets.collect::<Result<Vec<_>, _>>()?;
    match &secrets[..] {
        [signing, accepted @ ..] if accepted.len() < MAX_SECRETS => {
            Ok(Secrets::new(*signing, accepted.iter().copied()))
        }
        other => Err(ServingError::Secrets { path: path.to_owned(), found: other.len() }),
    }
}

fn from_hex(text: &str) -> Option<[u8; cookie::SECRET]> {
    let digits = text.len() == 2 * cookie::SECRET && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    digits.then(|| u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)).flatten()
}

/// The text of a file.
fn read(path: &Path, what: impl FnOnce() -> String) -> Result<String, ServingError> {
    let mut text = String::new();
    let outcome = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text));
    let outcome = match outcome {
        Ok(_) if text.len() as u64 > MAX_FILE => {
            Err(io::Error::other(format!("it has more than {} MiB", MAX_FILE >> 20)))
        }
        other => other.map(drop),
    };
    match outcome {
        Ok(()) => Ok(text),
        Err(source) => Err(ServingError::File { what: what(), path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const SEEDS: Seeds = Seeds { pass: [1; 16], cookie: [2; 16], hash: [3; 16] };

    /// Serves a zone, with one of these files beside the configuration.
    fn load(settings: &str, file: &str, text: &str) -> Result<Serving, ServingError> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(file), text).unwrap();
        let text = format!(
            "dns = {{ {settings} }}\n[[feed]]\nid = 'f'\nsource = 'f.txt'\nformat = 'plain'\n\
             [[zone]]\nname = 'bl.example'\nfeeds = ['f']\nkeys = 'keys.txt'"
        );
        let config = Config::parse(&text, Path::new("b.toml"), dir.path()).unwrap();
        Serving::load(&config, &SEEDS, &Stats::default(), &Serving::default())
    }

    fn error(settings: &str, file: &str, text: &str) -> String {
        load(settings, file, text).unwrap_err().to_string()
    }

    #[test]
    fn keys_are_read_and_bad_ones_are_named_by_line_alone() {
        let serving = load("", "keys.txt", "# ours\n0123456789abcdef one\n").unwrap();
        assert_eq!(serving.policy.zones.as_ref().unwrap()[0].keys.len(), 1);
        assert!(!format!("{serving:?}").contains("0123456789abcdef"));
        let error = error("", "keys.txt", "\n0123456789abcde? one");
        assert!(error.contains("keys.txt: line 2: a key has 16 to 63 of a-z 0-9 -"), "{error}");
        assert!(!error.contains("0123456789"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named_with_what_it_is_for() {
        let error = error("", "other.txt", "");
        assert!(error.starts_with("cannot read the keys of zone bl.example from "), "{error}");
    }

    #[test]
    fn secrets_are_32_hex_digits_a_line() {
        let [one, two] = ["00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100"];
        let settings = "cookie_secrets = 'secrets.txt'";
        let load = |text: &str| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("secrets.txt");
            fs::write(&path, text).unwrap();
            secrets(Some(&path), &SEEDS)
        };
        let client = IpAddr::from([192, 0, 2, 1]);
        let cookie = |secrets: &Secrets| *secrets.check(b"cookies!", client, 1000).reply().unwrap();
        let both = load(&format!("# new\n{two}\n\n{one}\n")).unwrap();
        let old = load(one).unwrap();
        assert!(
            matches!(both.check(&cookie(&old), client, 1000), Cookie::Valid(_)),
            "the second is accepted"
        );
        assert_eq!(cookie(&both), cookie(&load(two).unwrap()), "the first one signs");
        for bad in [
            "0011",
            &format!("{one}0"),
            "0x112233445566778899aabbccddeeff",
            "+0112233445566778899aabbccddeeff",
        ] {
            let error = load(&format!("\n{bad}")).unwrap_err().to_string();
            assert!(error.contains("secrets.txt: line 2: a secret has 32 hex digits"), "{error}");
            assert!(!error.contains(bad), "{error}");
        }
        for (text, found) in [("", 0), ("# none\n", 0), (&format!("{one}\n").repeat(9), 9)] {
            assert!(matches!(load(text), Err(ServingError::Secrets { found: n, .. }) if n == found));
        }
        let error = error(settings, "keys.txt", "");
        assert!(error.starts_with("cannot read the cookie secrets from "), "{error}");
    }
}
