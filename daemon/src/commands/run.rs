//! `blackthorn run`: wires everything together, then waits for signals.
//!
//! Order of start: configuration, sockets, the newest generation from its file into DNS and kernel, store, engine with its
//! first generation from disk and local files, answers if there were none so far, readiness; only then the network is
//! asked for feeds.

use crate::allocator;
use crate::collector::{FetchError, Fetcher};
use crate::config::{Config, ConfigErrors};
use crate::control::report::{Process, Reload};
use crate::control::{self, Control, ControlError};
use crate::dns::serving::{Seeds, Serving, ServingError};
use crate::dns::{Bound, DnsError, DnsServer, Endpoint, Service};
use crate::engine::live_entries::LiveEntries;
use crate::engine::{self, Command, Engine, ExcludeError, Resumed, unix_now};
use crate::live::Live;
use crate::notify::{Notifier, NotifyError};
use crate::signals::{Signal, Signals};
use crate::stats::Stats;
use crate::store::{Claim, Opened, Recovered, Store, StoreError};
use std::io;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Commands that may wait for the engine.
const WAITING_COMMANDS: usize = 16;

/// How long a stop waits for the engine, which may be reading large lists, or a file system that does not answer. Cut
/// off, it loses nothing: the store is written in transactions, and the kernel detaches the filter of a process that is
/// gone.
const ENGINE_GRACE: Duration = Duration::from_secs(10);

/// How long a stop waits for live entries that are being stored.
const LIVE_ENTRIES_GRACE: Duration = Duration::from_secs(2);

/// Why the daemon did not start or did not go on.
#[derive(Debug, Error)]
pub(super) enum RunError {
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error(transparent)]
    Exclude(#[from] ExcludeError),
    #[error(transparent)]
    Dns(#[from] DnsError),
    #[error(transparent)]
    Serving(#[from] ServingError),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Fetcher(#[from] FetchError),
    #[error(transparent)]
    Notify(#[from] NotifyError),
    #[error("cannot {doing}: {error}")]
    System { doing: &'static str, error: io::Error },
    #[error("the engine stopped unexpectedly; this is a defect, please report the log above")]
    EngineStopped,
}

/// Why a reload changed nothing.
#[derive(Debug, Error)]
enum ReloadError {
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error(transparent)]
    Dns(#[from] DnsError),
    #[error(transparent)]
    Serving(#[from] ServingError),
    #[error(transparent)]
    Exclude(#[from] ExcludeError),
    #[error("the engine is gone")]
    EngineStopped,
}

/// Runs until a signal stops it.
pub(super) fn run(path: &Path) -> Result<(), RunError> {
    allocator::give_back_large_buffers();
    let config = Arc::new(Config::load(path)?);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let notifier = Arc::new(Notifier::from_env()?);
    let system = |doing| move |error| RunError::System { doing, error };
    let signals = Signals::install().map_err(system("install signal handlers"))?;
    let dns = DnsServer::bind(&config.dns)?;
    let control = control::bind(&config.control.socket)?;
    let claim = Store::claim(&config.state_dir);
    // Whatever else is wrong with the directory does not keep its generations from being served.
    let claim = match claim {
        Err(error @ StoreError::InUse { .. }) => return Err(error.into()),
        other => other,
    };
    let runtime = Builder::new_multi_thread().enable_all().thread_name("blackthorn").build();
    // Never dropped: that waits for threads that cannot be stopped, such as one that asks a resolver for a name, and the
    // process ends with `main` anyway.
    let runtime = ManuallyDrop::new(runtime.map_err(system("start the runtime"))?);

    runtime.block_on(async {
        let live = Live::default();
        let stats = Arc::new(Stats::default());
        let seeds = Seeds::random();
        let mut serving = Serving::load(&config, &seeds, &stats, &Serving::default())?;
        serving.open_log(&config.dns)?;
        let mut resumed = Resumed::serve_newest(&config, &live)?;
        let mut dns = Door::Shut(Box::new((dns, serving)));
        if resumed.serves() {
            dns = Door::Open(dns.open(&live, &stats)?);
        }
        resumed.start_filter(&config, &live);
        let store = open_store(&config.state_dir, claim)?;
        let fetcher = Arc::new(Fetcher::new()?);
        let live_entries = LiveEntries::load(live.clone(), &store);
        let writer = store.live_writer();
        let entries = Arc::clone(&live_entries);
        let mut engine = Engine::new(Arc::clone(&config), store, fetcher, entries, resumed);
        let listening = watch::Sender::new(Vec::new());
        engine.verify_with(listening.subscribe(), seeds.pass, Arc::clone(&stats));
        engine.first_cycle().await;
        let status = engine.status();
        let (live_entries, live_entries_stopped) =
            live_entries.start(writer).map_err(system("start the thread of live entries"))?;
        let dns = dns.open(&live, &stats)?;
        listening.send_replace(dns.local_addrs());
        let (commands, inbox) = mpsc::channel(WAITING_COMMANDS);
        let engine_stopped = spawn_engine(engine, inbox).map_err(system("start the engine thread"))?;
        let process = watch::Sender::new(Process {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: unix_now(),
            config: path.display().to_string(),
            listen: dns.local_addrs(),
            encrypted: encrypted(&dns),
            certificate: None,
            reload: None,
        });
        let control = control.serve(Control {
            live,
            engine: status,
            process: process.subscribe(),
            config: watch::Sender::new(Arc::clone(&config)),
            commands: commands.clone(),
            live_entries,
            stats: Arc::clone(&stats),
        })?;
        let daemon = Daemon {
            config,
            commands,
            dns,
            listening,
            control,
            live_entries_stopped,
            process,
            stats,
            seeds,
            notifier,
        };
        daemon.wait(signals, engine_stopped).await
    })
}

/// DNS sockets: bound first, served as soon as there is something to say.
enum Door {
    Shut(Box<(Bound, Serving)>),
    Open(DnsServer),
}

impl Door {
    fn open(self, live: &Live, stats: &Arc<Stats>) -> Result<DnsServer, DnsError> {
        match self {
            Self::Shut(shut) => {
                let (bound, serving) = *shut;
                bound.serve(live.clone(), Arc::clone(stats), serving)
            }
            Self::Open(server) => Ok(server),
        }
    }
}

/// What is served beside plain DNS.
fn encrypted(dns: &DnsServer) -> Vec<Endpoint> {
    dns.endpoints().into_iter().filter(|endpoint| endpoint.service != Service::Plain).collect()
}

/// Opens the store, or what is readable of it: a full or read-only disk must not stop a daemon that can still serve its
/// last good copies.
fn open_store(dir: &Path, claim: Result<Claim, StoreError>) -> Result<Store, StoreError> {
    match claim.and_then(Claim::open) {
        Ok(Opened { store, recovered }) => {
            if let Some(Recovered { moved_to, reason }) = recovered {
                let moved_to = moved_to.display();
                tracing::error!(
                    "the database was damaged ({reason}) and is now {moved_to}; feeds are fetched anew"
                );
            }
            Ok(store)
        }
        Err(error @ (StoreError::NotWritable { .. } | StoreError::Full { .. })) => {
            // Nothing to read either: then the first error is the one that helps.
            let Ok(store) = Store::open_read_only(dir) else { return Err(error) };
            tracing::error!("{error}; serving the last good copies, nothing new will be kept");
            Ok(store)
        }
        Err(error) => Err(error),
    }
}

/// Runs the engine on a thread of its own: it parses and compiles, which must not hold up answers.
fn spawn_engine(engine: Engine, inbox: mpsc::Receiver<Command>) -> io::Result<oneshot::Receiver<()>> {
    let (stopped, when_stopped) = oneshot::channel::<()>();
    let runtime = Handle::current();
    std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
        runtime.block_on(engine.run(inbox));
        // Also dropped, and thereby noticed, when the engine panics.
        drop(stopped);
    })?;
    Ok(when_stopped)
}

/// The running daemon, seen from its main task.
struct Daemon {
    config: Arc<Config>,
    commands: mpsc::Sender<Command>,
    dns: DnsServer,
    /// Where it answers, for the verifier.
    listening: watch::Sender<Vec<SocketAddr>>,
    control: control::Server,
    live_entries_stopped: oneshot::Receiver<()>,
    process: watch::Sender<Process>,
    stats: Arc<Stats>,
    seeds: Seeds,
    notifier: Arc<Notifier>,
}

impl Daemon {
    async fn wait(mut self, mut signals: Signals, mut engine: oneshot::Receiver<()>) -> Result<(), RunError> {
        let _watchdog = self.start_watchdog();
        let _certificate = self.show_certificate();
        self.notifier.ready();
        tracing::info!("ready");
        loop {
            tokio::select! {
                signal = signals.recv() => match signal {
                    Signal::Reload => tokio::select! {
                        () = self.reload() => {}
                        () = signals.stop() => break,
                    },
                    Signal::LogStats => self.log_stats(),
                    Signal::Stop => break,
                },
                _ = &mut engine => return Err(RunError::EngineStopped),
            }
        }
        tracing::info!("stopping");
        self.notifier.stopping();
        // The last sender of commands: the engine ends its cycle, detaches the filter and is gone.
        let Self { commands, dns, control, live_entries_stopped, .. } = self;
        control.stop().await;
        drop(commands);
        // That the engine dropped its end is how it ends, and no error.
        if timeout(ENGINE_GRACE, engine).await.is_err() {
            tracing::warn!("stopping in the middle of a cycle; the next start finds the last good copies");
        }
        // Ended by the last request, which went with the control socket; the store is to be closed before the process is.
        let _ = timeout(LIVE_ENTRIES_GRACE, live_entries_stopped).await;
        dns.shutdown().await;
        Ok(())
    }

    /// Tells systemd that the runtime, on which answers are given, goes on. A task of its own, because a reload of large
    /// lists may take longer than the watchdog waits. Stops when dropped.
    fn start_watchdog(&self) -> JoinSet<()> {
        let mut task = JoinSet::new();
        if let Some(pause) = self.notifier.ping_interval() {
            let notifier = Arc::clone(&self.notifier);
            task.spawn(async move {
                let mut ticks = tokio::time::interval(pause);
                loop {
                    ticks.tick().await;
                    notifier.ping();
                }
            });
        }
        task
    }

    /// Keeps what the process says of its certificate up to date. Stops when dropped.
    fn show_certificate(&self) -> JoinSet<()> {
        let (mut certificate, process) = (self.dns.certificate(), self.process.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            certificate.mark_changed();
            while certificate.changed().await.is_ok() {
                let status = certificate.borrow_and_update().clone();
                process.send_modify(|process| process.certificate = status);
            }
        });
        task
    }

    async fn reload(&mut self) {
        tracing::info!(config = %self.config.path.display(), "reloading");
        self.notifier.reloading();
        let error = self.try_reload().await.err().map(|error| error.to_string());
        match &error {
            None => tracing::info!("reloaded"),
            Some(error) => tracing::error!("reload refused, the old configuration stays in force: {error}"),
        }
        self.process.send_modify(|process| {
            process.listen = self.dns.local_addrs();
            process.encrypted = encrypted(&self.dns);
            process.reload = Some(Reload { at: unix_now(), error });
        });
        self.notifier.ready();
    }

    /// Everything that can fail comes before anything that cannot be undone.
    async fn try_reload(&mut self) -> Result<(), ReloadError> {
        let mut new = Config::load(&self.config.path)?;
        let changes = self.config.changes(&new);
        new.state_dir.clone_from(&self.config.state_dir);
        new.control.clone_from(&self.config.control);
        let new = Arc::new(new);
        let exclusions = engine::exclusions(&new)?;
        let mut serving = Serving::load(&new, &self.seeds, &self.stats, &self.dns.serving())?;
        serving.open_log(&new.dns)?;
        self.dns.set_listen(&new.dns, serving).await?;
        self.listening.send_replace(self.dns.local_addrs());
        for change in &changes.restart {
            tracing::warn!("{change}: takes effect at the next start");
        }
        for change in &changes.reload {
            tracing::info!("{change}");
        }
        for warning in &new.warnings {
            tracing::warn!("{warning}");
        }
        let (done, outcome) = oneshot::channel();
        let reload = Command::Reload { config: Arc::clone(&new), exclusions, done };
        self.commands.send(reload).await.map_err(|_| ReloadError::EngineStopped)?;
        outcome.await.map_err(|_| ReloadError::EngineStopped)?;
        self.control.configure(Arc::clone(&new));
        self.config = new;
        Ok(())
    }

    fn log_stats(&self) {
        let dns = self.stats.dns();
        tracing::info!(
            udp = dns.udp.get(),
            tcp = dns.tcp.get(),
            tls = dns.tls.get(),
            https = dns.https.get(),
            quic = dns.quic.get(),
            listed = dns.listed.get(),
            not_listed = dns.not_listed.get(),
            dropped = dns.dropped.total(),
            "statistics"
        );
    }
}
