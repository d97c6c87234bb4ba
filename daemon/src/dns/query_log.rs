//! Query log: one line of JSON for every n-th question, written by a thread of its own.
//!
//! Workers put questions into a queue of bounded length without waiting and without a system call: the thread looks into
//! it every few milliseconds. What finds the queue full is not logged, and counted. Keys of clients are shown as `*`.
//!
//! Memory: [`QUEUE`] questions of some 350 octets, 3 MiB.

use crate::config::QueryLog as Settings;
use crate::core::answer::{Rcode, Transport, qtype};
use crate::core::name::{MAX_NAME, QuestionName};
use jiff::Timestamp;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Questions that wait to be written.
const QUEUE: usize = 8192;
/// Time between looks into an empty queue: 400,000 questions a second fill it in that time.
const LOOK: Duration = Duration::from_millis(20);

/// A log that is written. Dropping it writes what waits, sooner or later; see [`Self::finish`].
#[derive(Debug)]
pub struct QueryLog {
    settings: Settings,
    queue: SyncSender<Line>,
    reopen: Arc<AtomicBool>,
    ending: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A question and what became of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Milliseconds since 1970.
    pub(super) at: u64,
    pub(super) client: SocketAddr,
    pub(super) transport: Transport,
    pub(super) name: LoggedName,
    pub(super) qtype: u16,
    /// `None`: no reply.
    pub(super) rcode: Option<Rcode>,
    pub(super) listed: Option<bool>,
}

/// A name to be logged, with the number of the label that nobody is to see.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoggedName {
    wire: [u8; MAX_NAME],
    len: u8,
    secret: Option<u8>,
}

impl LoggedName {
    pub(super) fn new(name: &QuestionName<'_>, secret: Option<usize>) -> Self {
        let mut wire = [0; MAX_NAME];
        let octets = name.wire();
        // Names of questions have at most that many octets.
        let len = octets.len().min(MAX_NAME);
        wire[..len].copy_from_slice(&octets[..len]);
        let secret = secret.and_then(|label| u8::try_from(label).ok());
        Self { wire, len: len as u8, secret }
    }

    /// As people write it; octets that are no printable ASCII as `\ddd` (RFC 4343 section 2.1).
    fn text(&self) -> String {
        let Some(name) = self.wire.get(..self.len.into()).and_then(QuestionName::read) else {
            return String::new();
        };
        if name.labels() == 0 {
            return ".".to_owned();
        }
        let label = |number: usize| {
            if self.secret.is_some_and(|secret| usize::from(secret) == number) {
                return "*".to_owned();
            }
            name.label(number).iter().map(shown).collect()
        };
        (0..name.labels()).map(label).collect::<Vec<String>>().join(".")
    }
}

fn shown(octet: &u8) -> String {
    match octet {
        b'.' | b'\\' => format!("\\{}", char::from(*octet)),
        b'!'..=b'~' => char::from(octet.to_ascii_lowercase()).to_string(),
        _ => format!("\\{octet:03}"),
    }
}

/// A line as written.
#[derive(Serialize)]
struct Shown<'l> {
    time: String,
    client: IpAddr,
    port: u16,
    transport: &'static str,
    name: String,
    #[serde(rename = "type")]
    qtype: &'l str,
    rcode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    listed: Option<bool>,
}

impl QueryLog {
    /// Opens the file and starts the thread.
    ///
    /// # Errors
    /// When the file cannot be opened for appending, or no thread is left.
    pub(super) fn start(settings: Settings) -> io::Result<Self> {
        let file = open(&settings.file)?;
        let (queue, lines) = sync_channel(QUEUE);
        let (reopen, ending) = (Arc::default(), Arc::default());
        let writer = Writer {
            path: settings.file.clone(),
            file: BufWriter::new(file),
            reopen: Arc::clone(&reopen),
            ending: Arc::clone(&ending),
            failing: false,
        };
        let thread = thread::Builder::new().name("query-log".to_owned());
        let thread = Mutex::new(Some(thread.spawn(move || writer.write_all(&lines))?));
        Ok(Self { settings, queue, reopen, ending, thread })
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Is the `number`-th question to be logged?
    #[inline]
    pub(super) fn wants(&self, number: u64) -> bool {
        number.is_multiple_of(self.settings.every.get())
    }

    /// Leaves a line for the thread; `false`: it is lost, the queue is full.
    pub(super) fn note(&self, line: Line) -> bool {
        self.queue.try_send(line).is_ok()
    }

    /// Opens the file again before the next line, because it was moved away.
    pub(super) fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
    }
}

impl QueryLog {
    /// Waits until everything is written. What is noted from now on is lost.
    pub(super) fn finish(&self) {
        self.ending.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // What it panicked with was said when it did.
            let _ = thread.join();
        }
    }
}

impl Drop for QueryLog {
    /// Does not wait: the last one to look at old settings may be a worker.
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
    }
}

/// Readable by its owner and group alone, or fewer: the log says who asked for what.
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    reopen: Arc<AtomicBool>,
    ending: Arc<AtomicBool>,
    /// The last write failed; it is said once.
    failing: bool,
}

impl Writer {
    fn write_all(mut self, lines: &Receiver<Line>) {
        loop {
            // Before the queue is found empty, so that what was noted before is written.
            let ending = self.ending.load(Ordering::Acquire);
            if self.reopen.swap(false, Ordering::AcqRel) {
                self.open_again();
            }
            match lines.try_recv() {
                Ok(line) => {
                    let outcome = self.write(&line);
                    self.note(outcome);
                }
                Err(TryRecvError::Empty) => {
                    let outcome = self.file.flush();
                    self.note(outcome);
                    if ending {
                        return;
                    }
                    thread::sleep(LOOK);
                }
                Err(TryRecvError::Disconnected) => {
                    let outcome = self.file.flush();
                    return self.note(outcome);
                }
            }
        }
    }

    fn open_again(&mut self) {
        let outcome = self.file.flush();
        self.note(outcome);
        match open(&self.path) {
            Ok(file) => self.file = BufWriter::new(file),
            Err(error) => {
                tracing::error!("cannot open the query log {} again: {error}", self.path.display());
            }
        }
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let time = i64::try_from(line.at).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
        let number;
        let qtype = match type_name(line.qtype) {
            Some(name) => name,
            None => {
                number = format!("TYPE{}", line.qtype);
                &number
            }
        };
        let shown = Shown {
            time: time.unwrap_or_default().to_string(),
            client: line.client.ip().to_canonical(),
            port: line.client.port(),
            transport: line.transport.name(),
            name: line.name.text(),
            qtype,
            rcode: line.rcode.map_or("none", Rcode::name),
            listed: line.listed,
        };
        serde_json::to_writer(&mut self.file, &shown)?;
        self.file.write_all(b"\n")
    }

    fn note(&mut self, outcome: io::Result<()>) {
        match outcome {
            Ok(()) => self.failing = false,
            Err(_) if self.failing => {}
            Err(error) => {
                self.failing = true;
                tracing::error!("cannot write the query log {}: {error}", self.path.display());
            }
        }
    }
}

/// The types that clients of block lists ask for.
fn type_name(number: u16) -> Option<&'static str> {
    Some(match number {
        qtype::A => "A",
        qtype::NS => "NS",
        qtype::SOA => "SOA",
        qtype::TXT => "TXT",
        qtype::AAAA => "AAAA",
        qtype::ANY => "ANY",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::num::NonZeroU64;

    fn line(wire: &[u8], secret: Option<usize>) -> Line {
        Line {
            at: 1_763_600_000_123,
            client: "[::ffff:192.0.2.1]:5353".parse().unwrap(),
            transport: Transport::Udp,
            name: LoggedName::new(&QuestionName::read(wire).unwrap(), secret),
            qtype: 1,
            rcode: Some(Rcode::NoError),
            listed: Some(true),
        }
    }

    fn log(file: &Path) -> QueryLog {
        QueryLog::start(Settings { file: file.to_owned(), every: NonZeroU64::MIN }).unwrap()
    }

    #[test]
    fn a_line_says_who_asked_for_what_but_no_key() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("queries.json");
        let log = log(&file);
        assert!(log.note(line(b"\x012\x06s3cr3t\x02BL\x07example\0", Some(1))));
        let other = Line { qtype: 65, rcode: None, listed: None, ..line(b"\x03a.\xff\0", None) };
        assert!(log.note(other));
        assert!(log.note(line(b"\0", None)));
        log.finish();
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let expected = r#"{"time":"2025-11-20T00:53:20.123Z","client":"192.0.2.1","port":5353,"transport":"udp","name":"2.*.bl.example","type":"A","rcode":"NOERROR","listed":true}"#;
        assert_eq!(lines[0], expected);
        assert!(lines[1].contains(r#""name":"a\\.\\255","type":"TYPE65","rcode":"none"}"#), "{}", lines[1]);
        assert!(lines[2].contains(r#""name":".""#), "{}", lines[2]);
        assert!(!text.contains("s3cr3t"));
    }

    #[test]
    fn a_file_moved_away_is_replaced_by_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let (file, moved) = (dir.path().join("q"), dir.path().join("q.1"));
        let log = log(&file);
        fs::rename(&file, &moved).unwrap();
        log.reopen();
        assert!(log.note(line(b"\0", None)));
        log.finish();
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 1);
        assert_eq!(fs::read_to_string(&moved).unwrap(), "");
    }

    #[test]
    fn a_full_queue_loses_lines_and_says_so() {
        // Nobody takes lines out.
        let (queue, _lines) = sync_channel(2);
        let settings = Settings { file: PathBuf::new(), every: NonZeroU64::new(3).unwrap() };
        let (reopen, ending, thread) = (Arc::default(), Arc::default(), Mutex::new(None));
        let log = QueryLog { settings, queue, reopen, ending, thread };
        assert_eq!([1, 2, 3].map(|_| log.note(line(b"\0", None))), [true, true, false]);
        assert_eq!([0, 1, 2, 3].map(|number| log.wants(number)), [true, false, false, true]);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_at_once() {
        let settings = Settings { file: "/nowhere/at/all".into(), every: NonZeroU64::MIN };
        assert!(QueryLog::start(settings).is_err());
    }
}
