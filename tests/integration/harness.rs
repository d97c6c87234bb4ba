//! Daemons under test: a [`Site`] is a directory with configuration, lists and state; a [`Daemon`] is one process on
//! it. A site outlives its daemons, so that a test can restart them or kill them.
//!
//! A daemon that a test leaves running is killed by its pid; when the test fails, its log is shown.

use crate::dns::Dns;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take that must happen: enough for a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// User and group nobody.
const NOBODY: u32 = 65_534;

/// One feed from a file, read at start and reload only, and one zone.
pub(crate) const LOCAL: &str = r#"
[[feed]]
id = "mine"
source = "mine.txt"
format = "plain"
refresh = "1d"

[[zone]]
name = "bl.example"
feeds = ["mine"]
"#;

/// A directory for one daemon at a time: `blackthorn.toml`, lists, `state/`, `control.sock`.
pub(crate) struct Site {
    dir: TempDir,
}

impl Site {
    /// A new directory with this configuration, see [`Self::configure`].
    pub(crate) fn new(config: &str) -> Self {
        let site = Self { dir: tempfile::tempdir().unwrap() };
        site.configure(config);
        site
    }

    /// Writes the configuration: the one given, from the second line on, with a state directory before it, and behind
    /// it DNS on a free port and a control socket, unless it has `[dns]` or `[control]` of its own.
    pub(crate) fn configure(&self, config: &str) {
        let mut text = format!("state_dir = \"state\"\n{config}\n");
        for (section, default) in
            [("[dns]", "listen = [\"127.0.0.1:0\"]"), ("[control]", "socket = \"control.sock\"")]
        {
            if !config.contains(section) {
                text += &format!("{section}\n{default}\n");
            }
        }
        self.write("blackthorn.toml", text);
    }

    /// Puts a file in place, whole at any moment.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let new = self.path(&format!("{name}.new"));
        fs::write(&new, content).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    /// Where a file of this site is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The command line of the daemon, uninfluenced by the environment of the tests.
    pub(crate) fn command(&self) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_blackthorn")))
    }

    /// The same as user nobody, who then owns the whole site. Needs root.
    pub(crate) fn command_of_nobody(&self) -> Command {
        // A copy of the program, because the way to the original may be closed to others.
        let program = self.path("blackthorn");
        fs::copy(env!("CARGO_BIN_EXE_blackthorn"), &program).unwrap();
        chown_all(self.dir.path(), NOBODY);
        let mut command = self.command_of(&program);
        command.uid(NOBODY).gid(NOBODY);
        command
    }

    fn command_of(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.args(["run", "--log-format", "json", "--config"]).arg(self.path("blackthorn.toml"));
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Starts the daemon and waits until it is ready.
    pub(crate) fn start(&self) -> Daemon {
        Daemon::start(self.command())
    }

    /// Runs another command beside the daemon to its end, with `--json`: exit code, and what it says.
    pub(crate) fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blackthorn"));
        command.args(arguments).arg("--json").arg("--config").arg(self.path("blackthorn.toml"));
        let output = command.env_clear().stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let value = serde_json::from_str(&said).unwrap_or_else(|_| {
            panic!("{arguments:?} says no JSON: {said}{}", String::from_utf8_lossy(&output.stderr))
        });
        (output.status.code().unwrap(), value)
    }

    /// Runs another command that cannot be done, and returns what it says.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blackthorn"));
        command.args(arguments).arg("--config").arg(self.path("blackthorn.toml"));
        let output = command.env_clear().stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Asks for the status until it is as wanted.
    pub(crate) fn wait_status(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (code, status) = self.json(&["status"]);
            assert_eq!(code, 0);
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{what} does not come: {status:#}");
        }
    }

    /// Runs a daemon that must refuse to start, and returns what it says.
    pub(crate) fn refusal(&self) -> String {
        let mut daemon = Daemon::spawn(self.command());
        let status = daemon.exit();
        assert_eq!(status.code(), Some(2), "exit code of a refusal: {status}");
        daemon.log.text()
    }
}

/// Gives a directory and all in it to a user and the group of the same number.
pub(crate) fn chown_all(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            chown_all(&entry.unwrap().path(), user);
        }
    }
}

/// A running daemon. Killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) log: Log,
}

impl Daemon {
    /// Starts a daemon and waits until it is ready.
    pub(crate) fn start(command: Command) -> Self {
        let daemon = Self::spawn(command);
        daemon.log.wait("ready");
        daemon
    }

    /// Starts a daemon that may not come up.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::follow(child.stderr.take().unwrap());
        Self { child, log }
    }

    /// Where it answers DNS, as of its newest log line about it.
    pub(crate) fn address(&self) -> SocketAddr {
        let events = self.log.all("answering dns over udp and tcp");
        events.last().unwrap().field("address").parse().unwrap()
    }

    /// A client for [`Self::address`].
    pub(crate) fn dns(&self) -> Dns {
        Dns::new(self.address())
    }

    /// Asks for a reload without waiting for it. The mark is for [`Log::wait_from`].
    pub(crate) fn hup(&self) -> Mark {
        let mark = self.log.mark();
        self.signal(libc::SIGHUP);
        mark
    }

    /// Reloads, and returns when the new configuration and the local lists are in force.
    pub(crate) fn reload(&self) {
        let end = self.end_of_reload();
        assert_eq!(end.message(), "reloaded", "{}", end.raw);
    }

    /// Reloads what must be refused, and returns the reason given.
    pub(crate) fn refused_reload(&self) -> String {
        let end = self.end_of_reload();
        assert!(end.message().starts_with("reload refused"), "{}", end.raw);
        end.message().to_owned()
    }

    fn end_of_reload(&self) -> Event {
        self.log.wait_matching(self.hup(), "reloaded, or reload refused", |event| {
            event.message() == "reloaded" || event.message().starts_with("reload refused")
        })
    }

    /// Waits until data of a feed that came after `mark` is in force.
    pub(crate) fn wait_loaded(&self, mark: Mark, feed: &str) {
        let loaded = self.log.wait_feed(mark, feed, "feed loaded");
        self.log.wait_from(loaded.after, "generation published");
    }

    /// A file below `/proc` that tells of the process.
    pub(crate) fn proc(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).unwrap()
    }

    /// What is behind each of its descriptors, as far as they stay open while this looks.
    pub(crate) fn descriptors(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok()).collect()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, number: i32) {
        let pid = self.child.id().try_into().unwrap();
        // SAFETY: touches no memory; the process is our child and not waited for yet, so the id is still its own.
        let sent = unsafe { libc::kill(pid, number) };
        assert_eq!(sent, 0, "{}", std::io::Error::last_os_error());
    }

    /// Stops it as systemd would; it must end well.
    pub(crate) fn stop(mut self) {
        self.signal(libc::SIGTERM);
        let status = self.exit();
        assert_eq!(status.code(), Some(0), "exit code after TERM: {status}");
    }

    /// Kills it on the spot, whatever it is doing.
    pub(crate) fn kill9(mut self) {
        self.signal(libc::SIGKILL);
        let status = self.exit();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "it ended before: {status}");
    }

    /// Id of its thread of this name.
    pub(crate) fn thread(&self, name: &str) -> u32 {
        let tasks = format!("/proc/{}/task", self.child.id());
        let mut ids =
            fs::read_dir(&tasks).unwrap().map(|task| task.unwrap().file_name().into_string().unwrap());
        let id = ids.find(|id| {
            fs::read_to_string(format!("{tasks}/{id}/comm")).is_ok_and(|comm| comm.trim_end() == name)
        });
        id.unwrap_or_else(|| panic!("no thread {name} in {tasks}")).parse().unwrap()
    }

    /// Waits until it has ended, however.
    pub(crate) fn exit(&mut self) -> ExitStatus {
        // Its end closes the log, which can be waited for with a deadline.
        self.log.wait_for_end();
        self.child.wait().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- log of blackthorn {}\n{}---", self.child.id(), self.log.text());
        }
    }
}

/// A place in a log: how many lines come before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(usize);

impl Mark {
    /// The begin of the log.
    pub(crate) const START: Self = Self(0);
}

/// The log of a daemon, as far as it has been written.
#[derive(Clone)]
pub(crate) struct Log(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Default)]
struct Lines {
    events: Vec<Event>,
    ended: bool,
}

/// One line of a log.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) raw: String,
    json: Value,
    /// Right behind this line.
    pub(crate) after: Mark,
}

impl Event {
    fn new(raw: String, after: Mark) -> Self {
        // The last words of a daemon that does not start are plain text.
        let json = serde_json::from_str(&raw).unwrap_or_default();
        Self { raw, json, after }
    }

    /// What it says.
    pub(crate) fn message(&self) -> &str {
        self.json["message"].as_str().unwrap_or(&self.raw)
    }

    /// Its severity, in capitals.
    pub(crate) fn level(&self) -> &str {
        self.field("level")
    }

    /// A field that is a number.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.json[name].as_u64().unwrap()
    }

    /// A text field, empty if there is none.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.json[name].as_str().unwrap_or_default()
    }
}

impl Log {
    fn follow(stderr: impl Read + Send + 'static) -> Self {
        let log = Self(Arc::default());
        let writer = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                writer.change(|lines| {
                    let after = Mark(lines.events.len() + 1);
                    lines.events.push(Event::new(line, after));
                });
            }
            writer.change(|lines| lines.ended = true);
        });
        log
    }

    fn change(&self, change: impl FnOnce(&mut Lines)) {
        let (lines, changed) = &*self.0;
        change(&mut lines.lock().unwrap());
        changed.notify_all();
    }

    /// The end of the log as it is now.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.0.0.lock().unwrap().events.len())
    }

    /// Waits for a message that has this in it, and returns the first.
    pub(crate) fn wait(&self, text: &str) -> Event {
        self.wait_from(Mark::START, text)
    }

    /// The same, after a mark.
    pub(crate) fn wait_from(&self, mark: Mark, text: &str) -> Event {
        self.wait_matching(mark, text, |event| event.message().contains(text))
    }

    /// Waits for a message about a feed.
    pub(crate) fn wait_feed(&self, mark: Mark, feed: &str, text: &str) -> Event {
        let what = format!("{text} of feed {feed}");
        self.wait_matching(mark, &what, |event| event.field("feed") == feed && event.message().contains(text))
    }

    fn wait_matching(&self, mark: Mark, what: &str, matches: impl Fn(&Event) -> bool) -> Event {
        let find = |lines: &Lines| lines.events.iter().skip(mark.0).find(|event| matches(event)).cloned();
        let found = self.wait_until(|lines| find(lines).map(Some).or(lines.ended.then_some(None)));
        match found {
            Some(Some(event)) => event,
            Some(None) => panic!("the daemon ended without logging {what:?}"),
            None => panic!("not logged within {PATIENCE:?}: {what:?}"),
        }
    }

    /// Is there a message after a mark that has this in it?
    pub(crate) fn has(&self, mark: Mark, text: &str) -> bool {
        let lines = self.0.0.lock().unwrap();
        lines.events.iter().skip(mark.0).any(|event| event.message().contains(text))
    }

    /// Has the daemon ended?
    pub(crate) fn is_over(&self) -> bool {
        self.0.0.lock().unwrap().ended
    }

    pub(crate) fn wait_for_end(&self) {
        let ended = self.wait_until(|lines| lines.ended.then_some(()));
        assert!(ended.is_some(), "the daemon did not end within {PATIENCE:?}");
    }

    /// Waits until `look` finds something, for as long as our patience lasts.
    fn wait_until<T>(&self, look: impl Fn(&Lines) -> Option<T>) -> Option<T> {
        let (lines, changed) = &*self.0;
        let deadline = Instant::now() + PATIENCE;
        let mut lines = lines.lock().unwrap();
        loop {
            if let Some(found) = look(&lines) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            lines = changed.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// All messages so far that have this in them.
    pub(crate) fn all(&self, text: &str) -> Vec<Event> {
        let lines = self.0.0.lock().unwrap();
        lines.events.iter().filter(|event| event.message().contains(text)).cloned().collect()
    }

    /// The whole log so far.
    pub(crate) fn text(&self) -> String {
        let lines = self.0.0.lock().unwrap();
        lines.events.iter().map(|event| event.raw.clone() + "\n").collect()
    }
}
