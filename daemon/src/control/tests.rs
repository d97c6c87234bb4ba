//! The server and the client against a generation built from files, on a socket in a temporary directory.

use super::client::{Client, ClientError};
use super::report::{LiveChanged, LiveCounts, Origin, Process, RemoveLive, SetLive};
use super::{Control, Server, bind};
use crate::config::Config;
use crate::core::explain::Target;
use crate::core::feed::{Reject, RejectReason};
use crate::core::live_set::Action;
use crate::engine::Command;
use crate::engine::disk::Disk;
use crate::engine::hold::{Held, HoldChange, HoldError};
use crate::engine::live_entries::LiveEntries;
use crate::engine::preview::PreviewError;
use crate::engine::status::EngineStatus;
use crate::live::Live;
use crate::stats::Stats;
use crate::store::Store;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

const CONFIG: &str = "\
state_dir = \"state\"
[[feed]]
id = \"mine\"
source = \"mine.txt\"
format = \"plain\"
[[zone]]
name = \"bl.example\"
feeds = [{ id = \"mine\", code = \"127.0.0.4\", text = \"Listed: $\" }]
[exclude]
networks = [\"192.0.2.80/28\"]
[filter]
interfaces = []
feeds = [\"mine\"]
";
const LIST: &str = "# ours\n192.0.2.0/24 # wide\n192.0.2.7\n2001:db8::/48\n";

/// A served socket with everything behind it; a stand-in for the engine answers its commands.
struct Daemon {
    dir: TempDir,
    socket: PathBuf,
    server: Server,
    process: watch::Sender<Process>,
    stats: Arc<Stats>,
    engine: JoinSet<()>,
}

impl Daemon {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mine.txt"), LIST).unwrap();
        let config = Config::parse(CONFIG, Path::new("test.toml"), dir.path()).unwrap();
        let disk = Disk::load(&config);
        let live = Live::default();
        live.publish(Arc::new(disk.generation().unwrap()));
        let store = Store::open(&config.state_dir).unwrap().store;
        let (live_entries, _) = LiveEntries::load(live.clone(), &store).start(store.live_writer()).unwrap();
        let status = watch::Sender::new(Arc::default());
        let process = watch::Sender::new(Process {
            version: "1.2.3".to_owned(),
            pid: 7,
            started_at: 1_795_000_000,
            config: "test.toml".to_owned(),
            listen: vec!["[::1]:5300".parse().unwrap()],
            encrypted: Vec::new(),
            certificate: None,
            reload: None,
        });
        let (commands, inbox) = mpsc::channel(1);
        let report = EngineStatus { feeds: disk.feeds(), ..EngineStatus::default() };
        let mut engine = JoinSet::new();
        let subscribed = status.subscribe();
        engine.spawn(stand_in(inbox, status, report));
        let stats = Arc::new(Stats::default());
        let socket = dir.path().join("run/control.sock");
        let server = bind(&socket).unwrap().serve(Control {
            live,
            engine: subscribed,
            process: process.subscribe(),
            config: watch::Sender::new(Arc::new(config)),
            commands,
            live_entries,
            stats: Arc::clone(&stats),
        });
        Self { dir, socket, server: server.unwrap(), process, stats, engine }
    }

    fn client(&self) -> Client {
        Client::new(&self.socket)
    }

    /// Sends bytes and reads until the server closes.
    async fn raw(&self, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        // The server may close before it has read everything.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// Reports when asked, and knows one reject of the feed `mine`.
async fn stand_in(
    mut commands: mpsc::Receiver<Command>,
    status: watch::Sender<Arc<EngineStatus>>,
    report: EngineStatus,
) {
    let report = Arc::new(report);
    while let Some(command) = commands.recv().await {
        match command {
            Command::Report { done } => {
                status.send_replace(Arc::clone(&report));
                done.send(()).unwrap();
            }
            Command::Rejects { feed, answer } => {
                answer.send((feed.as_str() == "mine").then(|| [reject()].into())).unwrap();
            }
            Command::Hold { change: HoldChange::Pin | HoldChange::RollBack(_), answer } => {
                answer.send(Err(HoldError::Nothing)).unwrap();
            }
            Command::Hold { change: HoldChange::Resume, answer } => {
                answer.send(Ok(Held { serial: 7, hold: None, changed: true, not_saved: None })).unwrap();
            }
            Command::Preview { answer } => answer.send(Err(PreviewError::Busy)).unwrap(),
            Command::Reload { .. } => panic!("nobody asks for that here"),
        }
    }
}

fn reject() -> Reject {
    Reject { line: 3, text: "x".to_owned(), reason: RejectReason::NotAnAddress }
}

#[tokio::test]
async fn status_is_what_process_engine_and_counters_say() {
    let daemon = Daemon::start();
    daemon.stats.shard(false).count(|dns| &dns.listed);
    daemon.process.send_modify(|process| process.pid = 8);
    let status = daemon.client().status().await.unwrap();
    assert_eq!(status.process, *daemon.process.borrow());
    assert_eq!(status.process.pid, 8);
    assert_eq!(status.dns.listed.get(), 1);
    assert_eq!(status.engine.feeds.len(), 1);
    let feeds = daemon.client().feeds().await.unwrap();
    assert_eq!((feeds.origin, feeds.feeds), (Origin::Daemon, status.engine.feeds));
}

#[tokio::test]
async fn lookups_show_the_entries_as_written() {
    let daemon = Daemon::start();
    let addresses = ["192.0.2.7", "::ffff:192.0.2.81", "2001:db8::1", "198.51.100.1"];
    let addresses = addresses.map(|address| address.parse().unwrap());
    let report = daemon.client().lookup(&addresses, false).await.unwrap();
    assert_eq!((report.origin, report.notes.len(), &*report.filter), (Origin::Daemon, 0, ""));
    let shown: Vec<String> = report
        .addresses
        .iter()
        .map(|e| {
            let lines: Vec<_> = e.feeds.iter().flat_map(|f| &f.lines).map(|l| (l.line, &*l.text)).collect();
            format!("{} {} {lines:?} {:?}", e.address, e.listed, e.zones[0].texts)
        })
        .collect();
    assert_eq!(
        shown,
        [
            r#"192.0.2.7 true [(2, "192.0.2.0/24 # wide"), (3, "192.0.2.7")] ["Listed: 192.0.2.7"]"#,
            r#"192.0.2.81 false [(2, "192.0.2.0/24 # wide")] []"#,
            r#"2001:db8::1 true [(4, "2001:db8::/48")] ["Listed: 2001:db8::1"]"#,
            r#"198.51.100.1 false [] []"#,
        ]
    );
}

#[tokio::test]
async fn a_lookup_does_not_fail_for_lines_that_cannot_be_read() {
    let daemon = Daemon::start();
    std::fs::remove_file(daemon.dir.path().join("mine.txt")).unwrap();
    let report = daemon.client().lookup(&["192.0.2.7".parse().unwrap()], false).await.unwrap();
    assert!(report.addresses[0].listed);
    assert!(
        report.notes[0].starts_with("feed mine: entries as written are not shown: "),
        "{:?}",
        report.notes
    );
    std::fs::write(daemon.dir.path().join("mine.txt"), "198.51.100.1\n").unwrap();
    let report = daemon.client().lookup(&["192.0.2.7".parse().unwrap()], false).await.unwrap();
    assert!(report.notes[0].contains("does not have 1 of them any more"), "{:?}", report.notes);
}

#[tokio::test]
async fn reasons_come_when_asked_for_one_for_each_address() {
    let daemon = Daemon::start();
    let addresses: Vec<_> = (0..120).map(|n: u8| std::net::IpAddr::from([192, 0, 2, n])).collect();
    let targets: Vec<Target> = addresses.iter().copied().map(Target::Address).collect();
    let report = daemon.client().lookup(&targets, true).await.unwrap();
    assert_eq!(report.why_not.iter().map(|why| why.address).collect::<Vec<_>>(), addresses);
    let reasons = |n: usize| report.why_not[n].zones.iter().map(|z| z.reason.as_str()).collect::<Vec<_>>();
    assert_eq!((reasons(7), reasons(85)), (vec![], vec!["an exclusion holds the address back"]));
    assert_eq!(daemon.client().lookup(&targets[..1], false).await.unwrap().why_not, []);
}

#[tokio::test]
async fn many_addresses_take_several_requests() {
    let daemon = Daemon::start();
    let addresses: Vec<_> = (0..250).map(|n: u8| std::net::IpAddr::from([192, 0, 2, n])).collect();
    let targets: Vec<Target> = addresses.iter().copied().map(Target::Address).collect();
    let report = daemon.client().lookup(&targets, false).await.unwrap();
    assert_eq!(report.addresses.iter().map(|e| e.address).collect::<Vec<_>>(), addresses);
    let query = "address=192.0.2.1&".repeat(101);
    let answer = daemon.raw(format!("GET /v1/lookup?{query} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("at most 100"), "{answer}");
}

#[tokio::test]
async fn rejects_come_from_the_engine() {
    let mut daemon = Daemon::start();
    let client = daemon.client();
    assert_eq!(client.rejects("mine").await.unwrap().rejects, [reject()]);
    for unknown in ["other", "../x", "A b"] {
        let error = client.rejects(unknown).await.unwrap_err();
        assert_eq!(error.to_string(), format!("no feed {unknown:?} is configured"));
    }
    daemon.engine.shutdown().await;
    let error = client.rejects("mine").await.unwrap_err();
    assert_eq!(error.to_string(), "the daemon is stopping");
    assert_eq!(
        client.status().await.unwrap().engine.feeds.len(),
        0,
        "the last word of an engine that is gone"
    );
}

#[tokio::test]
async fn commands_are_posted_and_refusals_come_back() {
    let daemon = Daemon::start();
    let client = daemon.client();
    assert!(client.resume().await.unwrap().changed);
    let error = client.pin().await.unwrap_err();
    assert_eq!(error.to_string(), HoldError::Nothing.to_string());
    assert_eq!(client.preview().await.unwrap_err().to_string(), "another preview is under way; wait for it");
}

#[tokio::test]
async fn hostile_requests_get_an_error() {
    let daemon = Daemon::start();
    for (request, status, said) in [
        ("GET / HTTP/1.1", 404, "nothing at /; there are /v1/status"),
        ("GET /v1/lookup HTTP/1.1", 400, "give addresses"),
        ("GET /v1/lookup?address= HTTP/1.1", 400, "is no IPv4 or IPv6 address"),
        ("GET /v1/lookup?address=192.0.2.300 HTTP/1.1", 400, "192.0.2.300"),
        ("GET /v1/lookup?address=192.0.2.1&x=1 HTTP/1.1", 400, "unknown parameter"),
        ("GET /v1/lookup?address=192.0.2.1&why_not=maybe HTTP/1.1", 400, "true or false"),
        ("GET /v1/lookup?why_not=true HTTP/1.1", 400, "give addresses"),
        ("GET /v1/lookup?address=%ff HTTP/1.1", 400, "error"),
        ("GET /v1/feeds/%ff/rejects HTTP/1.1", 400, "error"),
        ("GET /v1/feeds/%2e%2e%2f/rejects HTTP/1.1", 404, "no feed"),
        ("POST /v1/status HTTP/1.1", 405, "POST is not supported here; use GET"),
        ("DELETE /v1/feeds/mine/rejects HTTP/1.1", 405, "use GET"),
        ("GET /v1/pin HTTP/1.1", 405, "POST to change"),
        ("POST /v1/pin HTTP/1.1", 409, "no generation is published yet"),
        ("POST /v1/rollback/-1 HTTP/1.1", 400, "error"),
        ("POST /v1/rollback/4294967296 HTTP/1.1", 400, "error"),
        ("GET /v1/preview HTTP/1.1", 503, "another preview is under way"),
        ("POST /v1/preview HTTP/1.1", 405, "use GET"),
    ] {
        let answer = daemon.raw(format!("{request}\r\nHost: x\r\n\r\n").as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: super::report::Failure = serde_json::from_str(body).unwrap();
        assert!(body.error.contains(said) || said == "error", "{request}: {}", body.error);
    }
    // Too large or no HTTP at all: answered by the HTTP library, without a body.
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(20_000));
    assert!(daemon.raw(long.as_bytes()).await.starts_with("HTTP/1.1 4"));
    let many = format!("GET /v1/status HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200));
    assert!(daemon.raw(many.as_bytes()).await.starts_with("HTTP/1.1 4"));
    assert!(daemon.raw(b"\x16\x03\x01\x02\0\x01\0").await.starts_with("HTTP/1.1 400 "));
    // A body is not read; a second request on the connection is not answered.
    let body = b"GET /v1/feeds HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n";
    assert!(daemon.raw(body).await.starts_with("HTTP/1.1 200 "));
    let twice = daemon.raw("GET /v1/feeds HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2).as_bytes()).await;
    assert_eq!(twice.matches("HTTP/1.1").count(), 1);
    assert!(daemon.client().status().await.is_ok(), "and goes on");
}

#[tokio::test]
async fn idle_connections_hold_nobody_up_for_long() {
    let daemon = Daemon::start();
    let mut idle = Vec::new();
    for _ in 0..40 {
        idle.push(UnixStream::connect(&daemon.socket).await.unwrap());
    }
    tokio::time::pause();
    assert!(daemon.client().status().await.is_ok());
}

#[tokio::test]
async fn stopping_removes_the_socket_and_does_not_wait_for_idle_clients() {
    let daemon = Daemon::start();
    let _idle = UnixStream::connect(&daemon.socket).await.unwrap();
    assert!(daemon.client().status().await.is_ok());
    let Daemon { socket, server, dir: _dir, .. } = daemon;
    tokio::time::timeout(Duration::from_secs(4), server.stop()).await.unwrap();
    assert!(!socket.exists());
    let error = Client::new(&socket).status().await.unwrap_err();
    assert!(
        matches!(&error, ClientError::NoDaemon { error, .. } if error.kind() == ErrorKind::NotFound),
        "{error}"
    );
}

#[tokio::test]
async fn the_client_tells_apart_why_there_is_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    let ask = async || Client::new(&path).status().await.unwrap_err();

    drop(UnixListener::bind(&path).unwrap());
    assert!(matches!(ask().await, ClientError::NoDaemon { .. }));
    assert!(ask().await.to_string().contains("start it with `blackthorn run`"));
    std::fs::remove_file(&path).unwrap();

    let listener = UnixListener::bind(&path).unwrap();
    for (answer, said) in [
        ("", "connection closed"),
        ("SSH-2.0-x\r\n", "invalid HTTP"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "missing field `process`"),
        ("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n", "status 500"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "reading a body"),
    ] {
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1000];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let ((), error) = tokio::join!(server, ask());
        assert!(matches!(error, ClientError::Protocol { .. }), "{answer:?}: {error}");
        assert!(error.to_string().contains(said), "{answer:?}: {error}");
    }

    tokio::time::pause();
    assert!(matches!(ask().await, ClientError::Timeout { .. }), "nobody accepts");
}

#[tokio::test]
async fn a_socket_that_may_not_be_used_is_not_a_missing_daemon() {
    let daemon = Daemon::start();
    std::fs::set_permissions(&daemon.socket, std::fs::Permissions::from_mode(0o000)).unwrap();
    match UnixStream::connect(&daemon.socket).await {
        Ok(_) => eprintln!("skipped: this user may connect whatever the mode says"),
        Err(_) => assert!(matches!(daemon.client().status().await, Err(ClientError::Permission(_)))),
    }
}

fn set(action: Action, networks: &[&str]) -> SetLive {
    let networks = networks.iter().map(ToString::to_string).collect();
    SetLive { action, networks, lasts: None, reason: String::new(), force: false }
}

fn remove(networks: &[&str]) -> RemoveLive {
    RemoveLive { networks: networks.iter().map(ToString::to_string).collect() }
}

#[tokio::test]
async fn networks_are_blocked_allowed_listed_and_taken_back() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let block = SetLive {
        lasts: Some(3_600),
        reason: "spam\u{7}\nrun".to_owned(),
        ..set(Action::Block, &["203.0.113.7", "2001:db8:7::/48"])
    };
    let blocked = client.set_live(&block).await.unwrap();
    assert_eq!((blocked.changed, &*blocked.notes), (2, &[] as &[String]));
    client.set_live(&set(Action::Allow, &["192.0.2.7"])).await.unwrap();

    let report = client.live().await.unwrap();
    let shown: Vec<_> = report.entries.iter().map(|e| (e.action.name(), &*e.network, e.expires_at)).collect();
    let end = blocked.expires_at;
    assert!(end.is_some());
    assert_eq!(
        shown,
        [("block", "203.0.113.7", end), ("block", "2001:db8:7::/48", end), ("allow", "192.0.2.7", None)]
    );
    assert_eq!(client.status().await.unwrap().live, LiveCounts { blocks: 2, allows: 1 });
    assert_eq!(report.entries[0].reason, "spam\u{fffd}\u{fffd}run");
    // SAFETY: reads a number, cannot fail.
    assert_eq!(report.entries[0].by, unsafe { libc::getuid() });

    let asked = ["203.0.113.7", "192.0.2.7", "2001:db8:7::1"].map(|address| address.parse().unwrap());
    let lookup = client.lookup(&asked, false).await.unwrap();
    let verdicts: Vec<_> = lookup.addresses.iter().map(|e| (e.listed, e.filter.drop)).collect();
    assert_eq!(verdicts, [(true, true), (false, false), (true, true)]);
    let allowed = lookup.addresses[1].live.as_ref().unwrap();
    assert_eq!((allowed.action, &*allowed.network), (Action::Allow, "192.0.2.7"));
    assert_eq!(lookup.addresses[1].feeds[0].feed, "mine", "what it overrules is still shown");

    let gone = client.remove_live(&remove(&["203.0.113.7", "203.0.113.8"])).await.unwrap();
    assert_eq!(
        gone,
        LiveChanged { changed: 1, missing: vec!["203.0.113.8".to_owned()], ..LiveChanged::default() }
    );
    assert_eq!(client.live().await.unwrap().entries.len(), 2);
}

#[tokio::test]
async fn changes_that_look_like_mistakes_change_nothing() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let many: Vec<String> =
        (0..10_001u32).map(|n| std::net::Ipv4Addr::from(0xcb00_7100 + n).to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (change, status, words) in [
        (set(Action::Block, &["203.0.113.1", "10.0.0.0/9"]), 409, "10.0.0.0/8 (special-use address space)"),
        (set(Action::Block, &["192.0.0.0/7"]), 409, "looks like a mistake; use --force"),
        (set(Action::Allow, &["2000::/15"]), 409, "looks like a mistake; use --force"),
        (set(Action::Block, &["192.0.2.84"]), 409, "it is excluded (192.0.2.80/28, exclude.networks)"),
        (set(Action::Allow, &["127.0.0.2"]), 409, "belongs to the test entries"),
        (
            set(Action::Block, &["192.0.2.1/24"]),
            400,
            "\"192.0.2.1/24\": address bits are set behind the prefix",
        ),
        (set(Action::Block, &[]), 400, "0 networks; one request takes 1 to 10000"),
        (set(Action::Block, &many), 400, "10001 networks"),
        (SetLive { lasts: Some(0), ..set(Action::Block, &["203.0.113.1"]) }, 409, "lasts from 1s to"),
        (SetLive { lasts: Some(u64::MAX), ..set(Action::Block, &["203.0.113.1"]) }, 409, "lasts from 1s to"),
    ] {
        match client.set_live(&change).await.unwrap_err() {
            ClientError::Refused { status: got, error } => {
                assert_eq!(got.as_u16(), status, "{error}");
                assert!(error.contains(words), "{error}");
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(client.live().await.unwrap().entries, []);
    let forced = SetLive { force: true, ..set(Action::Block, &["10.0.0.0/9", "0.0.0.0/0"]) };
    assert_eq!(client.set_live(&forced).await.unwrap().changed, 2);
    let lookup =
        client.lookup(&["10.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap()], false).await.unwrap();
    assert_eq!((lookup.addresses[0].listed, lookup.addresses[0].filter.drop), (true, false));
    assert_eq!(lookup.addresses[1].live, None);
}

#[tokio::test]
async fn bodies_are_bounded_and_strict() {
    let daemon = Daemon::start();
    let request = |body: &str| {
        format!(
            "POST /v1/live HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for (body, status) in [
        ("{}".to_owned(), "422"),
        (
            "{\"action\":\"block\",\"networks\":[\"192.0.2.1\"],\"lasts\":18446744073709551616}".to_owned(),
            "422",
        ),
        ("{\"action\":\"block\",\"networks\":[\"192.0.2.1\"],\"until\":1}".to_owned(), "422"),
        ("[".to_owned(), "400"),
        (format!("\"{}\"", "x".repeat(1 << 20)), "413"),
    ] {
        let answer = daemon.raw(request(&body).as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{body:.60}: {answer:.200}");
    }
    assert_eq!(daemon.client().live().await.unwrap().entries, []);
}
