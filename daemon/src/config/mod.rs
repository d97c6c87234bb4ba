//! Configuration: from a TOML file to checked settings, with everything that is wrong reported at once.
//!
//! In flow order: `raw` declares the file as written, `document` reads it, `check` turns it into a [`Config`],
//! `warnings` looks at the result. Every problem names file and line, repeats the offending text and says what would
//! be right. [`annotated`] writes the sample from the same declarations; [`Config::changes`] tells what a reload can
//! apply.
//!
//! The environment has no influence on the result: one file, one configuration.

mod annotated;
mod changes;
mod check;
mod document;
mod names;
mod nearest;
mod problem;
mod raw;
pub mod source;
#[cfg(test)]
mod tests;
pub mod units;
mod warnings;

pub use annotated::annotated;
pub use changes::Changes;
pub use nearest::nearest;
pub use problem::{ConfigErrors, MAX_ERRORS, Problem};
pub use source::Source;

use crate::core::access::Action;
use crate::core::domain::Scope;
use crate::core::entry::FeedId;
use crate::core::feed;
use crate::core::filter_plan::Mode;
use crate::core::gate;
use crate::core::listing::FeedIndex;
use crate::core::network::Network;
use crate::core::zone::ZoneSpec;
use crate::core::{quota, rate};
use problem::Report;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::de::DeTable;

/// Largest configuration file, in bytes.
pub const MAX_FILE: u64 = 4 << 20;

/// A checked configuration. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file it was read from, as it was named.
    pub path: PathBuf,
    /// Directory of last good copies and generations.
    pub state_dir: PathBuf,
    /// DNSBL server.
    pub dns: Dns,
    /// Feeds; the position is the [`FeedIndex`].
    pub feeds: Vec<Feed>,
    /// Zones; their names differ.
    pub zones: Vec<ZoneSpec>,
    /// Who is answered in each of the zones.
    pub zone_access: Vec<ZoneAccess>,
    /// What is never listed.
    pub exclude: Exclude,
    /// Packet filter.
    pub filter: Filter,
    /// Control socket.
    pub control: Control,
    /// What is allowed but probably not meant, in the order of the file. To be logged, and shown by `check`.
    pub warnings: Vec<Problem>,
}

/// The DNSBL server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Addresses to answer on, by UDP and TCP. Empty: no DNS.
    pub listen: Vec<SocketAddr>,
    /// Threads that answer UDP, at each address; as many as there are cores if absent.
    pub workers: Option<NonZeroUsize>,
    /// Bounds on connections, encrypted ones included.
    pub connections: ConnectionLimits,
    /// Addresses to answer on over TLS.
    pub tls: Vec<SocketAddr>,
    /// Addresses to answer on over HTTPS.
    pub https: Vec<SocketAddr>,
    /// Addresses to answer on over QUIC.
    pub quic: Vec<SocketAddr>,
    /// Certificate of TLS, HTTPS and QUIC; there is one if any of them has an address.
    pub certificate: Option<CertificateFiles>,
    /// Largest reply by UDP in octets, 512 to 4096.
    pub udp_size: u16,
    /// How long a busy UDP worker waits for more questions before it looks for them, at most a millisecond.
    pub coalesce: Duration,
    /// NSID; `None`: not told.
    pub nsid: Option<String>,
    /// `version.bind`; `None`: refused.
    pub version: Option<String>,
    /// `hostname.bind`; `None`: refused.
    pub hostname: Option<String>,
    /// Are cookies given?
    pub cookies: bool,
    /// File of secrets for them; `None`: a random one.
    pub cookie_secrets: Option<PathBuf>,
    /// Who is answered where a zone does not say.
    pub clients: ClientSpec,
    /// Limits on replies by UDP.
    pub rate_limit: rate::Settings,
    /// Networks without limits.
    pub rate_exempt: Vec<Network>,
    /// How much a client may ask.
    pub quota: Option<quota::Settings>,
    /// Networks without a quota.
    pub quota_exempt: Vec<Network>,
    /// Where questions are logged; `None`: nowhere.
    pub query_log: Option<QueryLog>,
}

/// The log of questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryLog {
    /// The file, appended to.
    pub file: PathBuf,
    /// Every n-th question is logged.
    pub every: NonZeroU64,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 5300))],
            workers: None,
            connections: ConnectionLimits::default(),
            tls: Vec::new(),
            https: Vec::new(),
            quic: Vec::new(),
            certificate: None,
            udp_size: 1232,
            coalesce: Duration::ZERO,
            nsid: None,
            version: None,
            hostname: None,
            cookies: true,
            cookie_secrets: None,
            clients: ClientSpec::default(),
            rate_limit: rate::Settings::default(),
            rate_exempt: Vec::new(),
            quota: None,
            quota_exempt: Vec::new(),
            query_log: None,
        }
    }
}

impl Dns {
    /// Is there any address to answer on?
    pub fn is_on(&self) -> bool {
        [&self.listen, &self.tls, &self.https, &self.quic].iter().any(|listen| !listen.is_empty())
    }
}

/// Bounds on connections of DNS clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// How long one may be silent.
    pub idle: Duration,
    /// How many there are at a time, at least one.
    pub total: usize,
    /// The same for one client: an IPv4 address or an IPv6 /64.
    pub per_client: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { idle: Duration::from_secs(10), total: 1024, per_client: 64 }
    }
}

/// Files of a certificate and its key, PEM. Whether they can be used shows when they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and those between it and its root.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Who is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientSpec {
    /// What is done with which networks; the narrowest one decides.
    pub rules: Vec<(Network, Action)>,
    /// What is done with others.
    pub otherwise: Action,
    /// Code and text for clients with [`Action::Code`]; there if any has it.
    pub coded: Option<(Ipv4Addr, String)>,
}

/// Who is answered in a zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneAccess {
    /// `None`: as in [`Dns::clients`].
    pub clients: Option<ClientSpec>,
    /// File of keys.
    pub keys: Option<PathBuf>,
}

/// One feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Its name; no other feed has it.
    pub id: FeedId,
    /// Where it comes from.
    pub source: Source,
    /// Time between fetches: at least a minute for addresses, a second for files.
    pub refresh: Duration,
    /// How it is read.
    pub rules: feed::Rules,
    /// What it must satisfy as a whole.
    pub gate: gate::Rules,
    /// Longest time for a whole fetch.
    pub timeout: Duration,
}

/// What is never listed and never dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exclude {
    /// Networks of both families.
    pub networks: Vec<Network>,
    /// Domains: labels in wire form and lower case, without the root, and which names are meant.
    pub domains: Vec<(Vec<u8>, Scope)>,
    /// Files of networks and domains; whether they can be read shows when they are.
    pub files: Vec<PathBuf>,
}

/// The packet filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Network interfaces, each once. Empty: no filter.
    pub interfaces: Vec<String>,
    /// Feeds whose addresses are dropped, each once.
    pub feeds: Vec<FeedIndex>,
    /// How the program is attached.
    pub mode: Mode,
    /// Drop listed sources; otherwise only count what would be dropped.
    pub enforce: bool,
}

/// The control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Its path; fits `sun_path`.
    pub socket: PathBuf,
}

impl Config {
    /// Reads and checks a configuration. Relative paths in it start at the directory of the file.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the file. Syntax errors come alone.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let text = read(path)?;
        let parent = path.parent().unwrap_or(Path::new(""));
        // Of the path only: an empty one, for a file in the current directory, is not an error.
        let base = std::path::absolute(Path::new(".").join(parent)).map_err(|error| {
            ConfigErrors::file(path, format!("cannot tell its directory: {error}"), "give an absolute path")
        })?;
        Self::parse(&text, path, &base)
    }

    /// As [`Self::load`], for a text that is said to come from `path`; relative paths start at `base`.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str, path: &Path, base: &Path) -> Result<Self, ConfigErrors> {
        let mut report = Report::new(path, text);
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            report.syntax(error.span().unwrap_or_default(), error.message());
        }
        // What a broken file means is not guessed.
        let root = if errors.is_empty() {
            raw::Root::from_table(document.get_ref(), document.span(), &mut report)
        } else {
            raw::Root::default()
        };
        let config = check::check(root, path.into(), base, &mut report);
        Ok(Self { warnings: report.finish()?, ..config })
    }

    /// SHA-256, in hex, over the settings that decide what a generation says: how feeds are read, zones, exclusions, and
    /// the feeds the filter acts on. How often feeds are fetched and where answers are given does not matter.
    pub fn generation_digest(&self) -> String {
        let mut hash = Sha256::new();
        for Feed { id, source, rules, gate, refresh: _, timeout: _ } in &self.feeds {
            hash.update(format!("{id} {rules:?} {gate:?} {:?}", source.identity()));
        }
        hash.update(format!("{:?} {:?} {:?}", self.zones, self.exclude, self.filter.feeds));
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The id of a feed of this configuration.
    pub fn feed_id(&self, feed: FeedIndex) -> Option<&FeedId> {
        self.feeds.get(usize::from(feed.0)).map(|feed| &feed.id)
    }
}

/// The text of a configuration file.
fn read(path: &Path) -> Result<String, ConfigErrors> {
    let failed = |error: &io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => "give the path of an existing file",
            io::ErrorKind::PermissionDenied => "give the user of this process the right to read it",
            io::ErrorKind::IsADirectory => "give the path of a file in it",
            _ => "",
        };
        ConfigErrors::file(path, format!("cannot read the configuration: {error}"), hint)
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| failed(&e))?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
    if bytes.len() as u64 > MAX_FILE {
        let what = format!("the configuration has more than {} MiB", MAX_FILE >> 20);
        return Err(ConfigErrors::file(path, what, "is this a feed? give the path of a configuration"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let mut errors = ConfigErrors::file(path, "not UTF-8 text", "save the file as UTF-8");
        if let Some(problem) = errors.problems.first_mut() {
            problem.line = Some(problem::line(error.as_bytes(), valid));
        }
        errors
    })
}
