//! Logs to standard error: text for people and the journal, JSON on request.
//!
//! Set up once by `main`, before anything that logs. Nothing below it knows where lines go.

use std::{
    env, fmt, fs,
    io::{self, IsTerminal},
    os::{fd::AsFd, unix::fs::MetadataExt},
    str::FromStr,
};
use tracing::{Event, Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext, FormatEvent, FormatFields, MakeWriter,
        format::{self, Full, Writer},
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// What is logged when neither option nor environment says.
const DEFAULT_LEVEL: LevelFilter = LevelFilter::INFO;

/// The DNS library warns of malformed queries. Anyone can send those, as many as they like; they are counted instead.
const UNHEARD: &str = "hickory_proto=off";

/// What the command line says about logging.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// `--log-format`.
    pub format: Format,
    /// `--log-level`; beats `RUST_LOG`.
    pub level: Option<LevelFilter>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people: colours on a terminal unless `NO_COLOR` is set; syslog priorities instead of times in the journal.
    #[default]
    Text,
    /// One JSON object per line, always with its time.
    Json,
}

impl FromStr for Format {
    type Err = LoggingError;

    fn from_str(name: &str) -> Result<Self, LoggingError> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(LoggingError::Format(name.to_owned())),
        }
    }
}

/// Why logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// Not a name of a [`Format`].
    #[error("unknown log format {0:?}, expected text or json")]
    Format(String),
    /// `RUST_LOG` is not a list of directives.
    #[error("RUST_LOG is {value:?}, expected for example info or warn,blackthorn::dns=debug")]
    Filter {
        /// What it holds.
        value: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// [`install`] ran before in this process.
    #[error("logging is set up already")]
    Twice(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Sends all events of this process to standard error from now on.
///
/// # Errors
///
/// When `RUST_LOG` makes no sense, or logging is set up already.
pub fn install(settings: Settings) -> Result<(), LoggingError> {
    let rust_log = env::var_os("RUST_LOG").map(|value| value.to_string_lossy().into_owned());
    let filter = filter(settings.level, rust_log.as_deref())?;
    let style = match settings.format {
        Format::Json => Style::Json,
        Format::Text if journal_reads(io::stderr(), env::var("JOURNAL_STREAM").ok().as_deref()) => {
            Style::Journal
        }
        Format::Text => {
            let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            Style::Plain { colours: io::stderr().is_terminal() && !no_color }
        }
    };
    Ok(tracing::subscriber::set_global_default(subscriber(style, filter, io::stderr))?)
}

/// [`Format`], fitted to where the lines go.
#[derive(Clone, Copy, Debug)]
enum Style {
    Plain { colours: bool },
    Journal,
    Json,
}

fn subscriber<W>(style: Style, filter: EnvFilter, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match style {
        Style::Json => Box::new(builder.json().flatten_event(true).finish()),
        Style::Plain { colours } => {
            let inner = format::format().with_ansi(colours);
            Box::new(builder.with_ansi(colours).event_format(OneLine { inner, priority: false }).finish())
        }
        // The journal notes the time itself.
        Style::Journal => {
            let inner = format::format().with_ansi(false).without_time();
            Box::new(builder.with_ansi(false).event_format(OneLine { inner, priority: true }).finish())
        }
    }
}

/// An option beats the environment beats the default. Only `RUST_LOG`, by its name, brings [`UNHEARD`] back.
fn filter(option: Option<LevelFilter>, rust_log: Option<&str>) -> Result<EnvFilter, LoggingError> {
    let wanted = match (option, rust_log.filter(|value| !value.is_empty())) {
        (Some(level), _) => level.to_string(),
        (None, Some(value)) => value.to_owned(),
        (None, None) => DEFAULT_LEVEL.to_string(),
    };
    EnvFilter::builder()
        .parse(format!("{UNHEARD},{wanted}"))
        .map_err(|source| LoggingError::Filter { value: wanted, source: source.into() })
}

/// Does this stream go to the journal? `JOURNAL_STREAM` holds device and inode of the stream systemd made; children
/// inherit the variable, also when somebody redirected the stream, so both must match.
fn journal_reads(stream: impl AsFd, journal_stream: Option<&str>) -> bool {
    let Some((device, inode)) = journal_stream.and_then(|value| value.split_once(':')) else { return false };
    let Ok(stream) = stream.as_fd().try_clone_to_owned() else { return false };
    let Ok(stream) = fs::File::from(stream).metadata() else { return false };
    device.parse() == Ok(stream.dev()) && inode.parse() == Ok(stream.ino())
}

/// Text with one line per event. Events quote feeds and queries: a line break in them must not forge a second event.
struct OneLine<T = SystemTime> {
    inner: format::Format<Full, T>,
    /// Begin with `<priority>`, which the journal takes off and stores (sd-daemon(3)).
    priority: bool,
}

impl<S, N, T> FormatEvent<S, N> for OneLine<T>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    T: FormatTime,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        self.inner.format_event(context, Writer::new(&mut text), event)?;
        if self.priority {
            write!(out, "<{}>", priority(*event.metadata().level()))?;
        }
        let line = text.trim_end_matches('\n');
        writeln!(out, "{}", line.replace('\n', "\\n").replace('\r', "\\r"))
    }
}

/// syslog's numbers (RFC 5424, table 2).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing::{debug, error, info, warn};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(style: Style, filter: EnvFilter, log: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        tracing::subscriber::with_default(subscriber(style, filter, move || writer.clone()), log);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn default_filter() -> EnvFilter {
        filter(None, None).unwrap()
    }

    #[test]
    fn plain_text_has_time_and_no_escapes() {
        let text =
            logged(Style::Plain { colours: false }, default_filter(), || info!(feed = "ipsum", "fetched"));
        assert!(text.ends_with(" INFO blackthorn::logging::tests: fetched feed=\"ipsum\"\n"), "{text:?}");
        let time = text.split(' ').next().unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{text:?}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn colours_only_where_asked_for() {
        let text = logged(Style::Plain { colours: true }, default_filter(), || info!("fetched"));
        assert!(text.contains("\u{1b}["), "{text:?}");
    }

    #[test]
    fn journal_gets_priorities_instead_of_times() {
        let text = logged(Style::Journal, filter(Some(LevelFilter::DEBUG), None).unwrap(), || {
            error!("a");
            warn!("b");
            info!("c");
            debug!("d");
        });
        let starts = ["<3>ERROR ", "<4> WARN ", "<6> INFO ", "<7>DEBUG "];
        assert_eq!(text.lines().count(), starts.len());
        assert!(text.lines().zip(starts).all(|(line, start)| line.starts_with(start)), "{text}");
    }

    #[test]
    fn a_line_break_does_not_forge_an_event() {
        for style in [Style::Plain { colours: false }, Style::Journal, Style::Json] {
            let text =
                logged(style, default_filter(), || info!(line = %"x\r\n<0>y", "reject\n<0>all is lost"));
            assert_eq!(text.matches(['\n', '\r']).count(), 1, "{text:?}");
            assert!(text.ends_with('\n'));
        }
    }

    #[test]
    fn json_is_one_flat_object_with_its_time() {
        let text =
            logged(Style::Json, default_filter(), || warn!(feed = "ipsum", entries = 7, "quarantined"));
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["level"], "WARN");
        assert_eq!(event["message"], "quarantined");
        assert_eq!(event["feed"], "ipsum");
        assert_eq!(event["entries"], 7);
        assert!(event["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    }

    #[test]
    fn option_beats_environment_beats_default() {
        let shown = |filter| {
            logged(Style::Journal, filter, || {
                debug!("fine");
                info!("coarse");
            })
        };
        let lines = |option, rust_log| shown(filter(option, rust_log).unwrap()).lines().count();
        assert_eq!(lines(None, None), 1, "info by default");
        assert_eq!(lines(None, Some("")), 1);
        assert_eq!(lines(None, Some("blackthorn=debug")), 2);
        assert_eq!(lines(None, Some("warn")), 0);
        assert_eq!(lines(Some(LevelFilter::DEBUG), Some("off")), 2);
        assert_eq!(lines(Some(LevelFilter::OFF), Some("debug")), 0);
    }

    #[test]
    fn strangers_cannot_fill_the_log_through_the_dns_library() {
        let lines = |option, rust_log| {
            let filter = filter(option, rust_log).unwrap();
            let warn = || warn!(target: "hickory_proto::rr::rdata::opt", "incomplete EDNS options");
            logged(Style::Journal, filter, warn).lines().count()
        };
        assert_eq!(lines(None, None), 0);
        assert_eq!(lines(Some(LevelFilter::DEBUG), None), 0);
        assert_eq!(lines(None, Some("debug")), 0);
        assert_eq!(lines(None, Some("info,hickory_proto=debug")), 1, "asked for by name");
    }

    #[test]
    fn nonsense_is_refused() {
        let err = filter(None, Some("blackthorn=loud")).unwrap_err();
        assert!(err.to_string().starts_with("RUST_LOG is \"blackthorn=loud\""), "{err}");
        assert_eq!(
            "xml".parse::<Format>().unwrap_err().to_string(),
            "unknown log format \"xml\", expected text or json"
        );
        assert_eq!("json".parse::<Format>().unwrap(), Format::Json);
    }

    #[test]
    fn journal_is_known_by_device_and_inode() {
        let file = tempfile::tempfile().unwrap();
        let meta = file.metadata().unwrap();
        let (device, inode) = (meta.dev(), meta.ino());
        assert!(journal_reads(&file, Some(&format!("{device}:{inode}"))));
        assert!(!journal_reads(&file, Some(&format!("{device}:{}", inode + 1))), "redirected");
        assert!(!journal_reads(&file, Some("nonsense")));
        assert!(!journal_reads(&file, None));
    }
}
