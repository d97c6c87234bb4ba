//! Tells systemd how the daemon is: ready, reloading, stopping, alive. Does nothing when nobody asked for it.
//!
//! The protocol is sd_notify(3): one datagram of `KEY=value` lines per message, to the socket in `NOTIFY_SOCKET`.

use sd_notify::NotifyState;
use std::{
    env,
    ffi::OsStr,
    fmt::Write,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    process,
    time::Duration,
};

/// Longest wait for a service manager that does not read its socket.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest status text in bytes, so that a message always fits one datagram.
const MAX_STATUS: usize = 512;

/// Why notifications cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// `NOTIFY_SOCKET` is neither an absolute path nor an abstract name.
    #[error(
        "NOTIFY_SOCKET is {0:?}, which is neither a path nor an abstract name; unset it or start by systemd"
    )]
    Address(String),
    /// `WATCHDOG_USEC` or `WATCHDOG_PID` is not a number.
    #[error("{name} is {value:?}, which is not a number; unset it or start by systemd")]
    Watchdog {
        /// The variable.
        name: &'static str,
        /// What it holds.
        value: String,
    },
    /// The socket to send from cannot be created.
    #[error("cannot create a socket to notify systemd from")]
    Socket(#[from] io::Error),
}

/// Sends the states of the daemon to systemd.
///
/// A message that cannot be sent is logged and otherwise ignored: the daemon serves on, and systemd acts on silence.
#[derive(Debug, Default)]
pub struct Notifier {
    /// `None`: not started by systemd.
    manager: Option<Manager>,
    watchdog: Option<Duration>,
}

#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Notifier {
    /// From `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`; without the first every method does nothing.
    ///
    /// # Errors
    ///
    /// When a variable is set and makes no sense, or no socket can be created.
    pub fn from_env() -> Result<Self, NotifyError> {
        let text = |name| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let watchdog =
            watchdog(text("WATCHDOG_USEC").as_deref(), text("WATCHDOG_PID").as_deref(), process::id())?;
        match env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty()) {
            Some(address) => Self::new(&address, watchdog),
            None => Ok(Self::default()),
        }
    }

    /// Sends to `address`, a path or `@` and an abstract name; `watchdog` is the longest silence systemd accepts.
    ///
    /// # Errors
    ///
    /// When the address is of another kind or no socket can be created.
    pub fn new(address: &OsStr, watchdog: Option<Duration>) -> Result<Self, NotifyError> {
        let bytes = address.as_bytes();
        let parsed = match bytes.split_first() {
            Some((b'@', name)) => SocketAddr::from_abstract_name(name),
            Some((b'/', _)) => SocketAddr::from_pathname(address),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        };
        let address = parsed.map_err(|_| NotifyError::Address(address.to_string_lossy().into_owned()))?;
        // Not connected: systemd may have made a new socket when it was itself replaced.
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        Ok(Self { manager: Some(Manager { socket, address }), watchdog })
    }

    /// Start or reload is complete.
    pub fn ready(&self) {
        self.send(&[NotifyState::Ready]);
    }

    /// A reload begins; [`Self::ready`] ends it. `Type=notify-reload` compares the time with when it sent the signal.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(&[NotifyState::Reloading, now]),
            Err(error) => {
                tracing::warn!(%error, "cannot read the monotonic clock, so systemd is not told of the reload");
            }
        }
    }

    /// A clean stop begins.
    pub fn stopping(&self) {
        self.send(&[NotifyState::Stopping]);
    }

    /// One line for `systemctl status`. Control characters become spaces, so that no text can forge another message;
    /// what exceeds 512 bytes is cut.
    pub fn status(&self, text: &str) {
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.send(&[NotifyState::Status(&line[..line.floor_char_boundary(MAX_STATUS)])]);
    }

    /// The main loop is alive.
    pub fn ping(&self) {
        self.send(&[NotifyState::Watchdog]);
    }

    /// How often to [`Self::ping`]: half of what systemd waits, as sd_watchdog_enabled(3) advises. `None`: never.
    pub fn ping_interval(&self) -> Option<Duration> {
        self.manager.as_ref().and(self.watchdog).map(|longest_silence| longest_silence / 2)
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        let Some(Manager { socket, address }) = &self.manager else { return };
        let mut message = String::new();
        for state in states {
            let _ = writeln!(message, "{state}"); // a String takes everything
        }
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            tracing::warn!(%error, message = message.trim_end(), "cannot notify systemd");
        }
    }
}

/// Longest silence systemd accepts from process `own`; `None` when it set none, or one for another process.
fn watchdog(usec: Option<&str>, pid: Option<&str>, own: u32) -> Result<Option<Duration>, NotifyError> {
    fn number<T: std::str::FromStr>(name: &'static str, value: &str) -> Result<T, NotifyError> {
        value.parse().map_err(|_| NotifyError::Watchdog { name, value: value.to_owned() })
    }
    let Some(usec) = usec else { return Ok(None) };
    let usec: u64 = number("WATCHDOG_USEC", usec)?;
    let ours = match pid {
        Some(pid) => number::<u32>("WATCHDOG_PID", pid)? == own,
        None => true,
    };
    Ok((ours && usec > 0).then(|| Duration::from_micros(usec)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket in the place of systemd's, and a notifier that sends to it.
    fn manager(watchdog: Option<Duration>) -> (tempfile::TempDir, UnixDatagram, Notifier) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(path.as_os_str(), watchdog).unwrap();
        (dir, socket, notifier)
    }

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 2048];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn each_state_is_one_exact_message() {
        let (_dir, socket, notifier) = manager(None);
        notifier.ready();
        assert_eq!(received(&socket), "READY=1\n");
        notifier.stopping();
        assert_eq!(received(&socket), "STOPPING=1\n");
        notifier.ping();
        assert_eq!(received(&socket), "WATCHDOG=1\n");
        notifier.status("generation 7, 120430 entries");
        assert_eq!(received(&socket), "STATUS=generation 7, 120430 entries\n");
    }

    #[test]
    fn reloading_carries_the_monotonic_time_in_the_same_message() {
        let now = || match NotifyState::monotonic_usec_now().unwrap() {
            NotifyState::MonotonicUsec(usec) => usec,
            other => panic!("{other}"),
        };
        let (_dir, socket, notifier) = manager(None);
        let before = now();
        notifier.reloading();
        let message = received(&socket);
        let sent: i128 = message
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .and_then(|rest| rest.strip_suffix('\n'))
            .and_then(|usec| usec.parse().ok())
            .expect(&message);
        assert!((before..=now()).contains(&sent));
    }

    #[test]
    fn status_cannot_forge_a_message_nor_outgrow_a_datagram() {
        let (_dir, socket, notifier) = manager(None);
        notifier.status("fetched\nREADY=1\0\u{1b}[2J");
        assert_eq!(received(&socket), "STATUS=fetched READY=1  [2J\n");
        notifier.status(&"ä".repeat(1_000_000));
        assert_eq!(received(&socket), format!("STATUS={}\n", "ä".repeat(MAX_STATUS / 2)));
        notifier.status(&format!("x{}", "ä".repeat(MAX_STATUS)));
        assert_eq!(received(&socket), format!("STATUS=x{}\n", "ä".repeat(MAX_STATUS / 2 - 1)));
    }

    #[test]
    fn abstract_names_work() {
        let name = format!("blackthorn-notify-test-{}", process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        Notifier::new(OsStr::new(&format!("@{name}")), None).unwrap().ready();
        assert_eq!(received(&socket), "READY=1\n");
    }

    #[test]
    fn a_manager_that_is_gone_does_no_harm() {
        let (dir, socket, notifier) = manager(None);
        drop((dir, socket));
        notifier.ready();
    }

    #[test]
    fn without_a_manager_nothing_is_sent_nor_pinged() {
        let silent = Notifier { watchdog: Some(Duration::from_secs(30)), ..Notifier::default() };
        silent.ready();
        silent.reloading();
        assert_eq!(silent.ping_interval(), None);
    }

    #[test]
    fn other_kinds_of_address_are_refused() {
        for address in
            ["vsock:2:1", "relative/path", "", "@".repeat(200).as_str(), &format!("/{}", "x".repeat(200))]
        {
            let err = Notifier::new(OsStr::new(address), None).unwrap_err();
            assert!(matches!(&err, NotifyError::Address(shown) if shown == address), "{err}");
        }
    }

    #[test]
    fn watchdog_is_halved_and_only_for_its_process() {
        let (_dir, _socket, notifier) = manager(watchdog(Some("30000000"), Some("42"), 42).unwrap());
        assert_eq!(notifier.ping_interval(), Some(Duration::from_secs(15)));
        assert_eq!(watchdog(Some("30000000"), None, 42).unwrap(), Some(Duration::from_secs(30)));
        assert_eq!(watchdog(Some("30000000"), Some("41"), 42).unwrap(), None, "meant for the parent");
        assert_eq!(watchdog(None, Some("42"), 42).unwrap(), None);
        assert_eq!(watchdog(Some("0"), None, 42).unwrap(), None);
        let err = watchdog(Some("soon"), None, 42).unwrap_err();
        assert_eq!(
            err.to_string(),
            "WATCHDOG_USEC is \"soon\", which is not a number; unset it or start by systemd"
        );
        assert!(watchdog(Some("1"), Some("me"), 42).is_err());
    }
}
