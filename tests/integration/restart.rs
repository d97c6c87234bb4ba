//! Starts, ends and crashes: what was served before is served again, and what cannot work says why.

use crate::dns::{owner, said};
use crate::harness::{Daemon, LOCAL, Mark, PATIENCE, Site, chown_all};
use crate::http::{Publisher, Reply};
use blackthorn_testkit::needs;
use blackthorn_testkit::netns::Cable;
use blackthorn_testkit::random::Random;
use blackthorn_testkit::tmpfs::Tmpfs;
use hickory_proto::rr::RecordType::A;
use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Instant;

fn local_site() -> Site {
    let site = Site::new(LOCAL);
    site.write("mine.txt", "192.0.2.7\n2001:db8::7\n");
    site
}

/// A local list (code .2) and one from a publisher (code .3).
fn config(publisher: &Publisher) -> String {
    let web =
        format!("[[feed]]\nid = \"web\"\nsource = \"{}\"\nformat = \"plain\"\n[[zone]]", publisher.url());
    LOCAL
        .replace("[[zone]]", &web)
        .replace("[\"mine\"]", "[\"mine\", { id = \"web\", code = \"127.0.0.3\" }]")
}

fn about(daemon: &Daemon, address: &str) -> String {
    daemon.dns().about(address, "bl.example")
}

/// Makes the list unreadable, for root too.
fn spoil(site: &Site, name: &str) {
    fs::remove_file(site.path(name)).unwrap();
    fs::create_dir(site.path(name)).unwrap();
}

#[test]
fn a_restart_serves_the_last_good_copies_without_any_source() {
    let publisher = Publisher::new(Reply::List("203.0.113.9\n2001:db8::9\n"));
    let site = Site::new(&config(&publisher));
    site.write("mine.txt", "192.0.2.7\n");
    let daemon = site.start();
    daemon.wait_loaded(Mark::START, "web");
    let serial = daemon.dns().serial("bl.example");
    daemon.stop();

    drop(publisher);
    spoil(&site, "mine.txt");
    for _ in 0..2 {
        let daemon = site.start();
        assert_eq!(about(&daemon, "203.0.113.9"), "127.0.0.3");
        assert_eq!(about(&daemon, "2001:db8::9"), "127.0.0.3");
        assert_eq!(about(&daemon, "192.0.2.7"), "127.0.0.2");
        assert_eq!(about(&daemon, "192.0.2.8"), "NXDOMAIN");
        assert_eq!(daemon.dns().serial("bl.example"), serial, "the same answers, the same serial");
        daemon.log.wait_feed(Mark::START, "mine", "the last good copy stays in use");
        daemon.stop();
    }
}

#[test]
fn killed_at_any_point_of_a_reload_it_comes_back_with_all_it_had() {
    let publisher = Publisher::new(Reply::List("203.0.113.9\n"));
    let site = Site::new(&config(&publisher));
    site.write("mine.txt", "192.0.2.0\n");
    let mut daemon = site.start();
    daemon.wait_loaded(Mark::START, "web");
    drop(publisher);

    let mut serial = daemon.dns().serial("bl.example");
    for host in 1..=15 {
        site.write("mine.txt", format!("192.0.2.{host}\n"));
        let mark = daemon.hup();
        match host % 5 {
            0 => {}
            1 => _ = daemon.log.wait_from(mark, "reloading"),
            2 => _ = daemon.log.wait_feed(mark, "mine", "feed loaded"),
            // As soon as anybody outside can see the new generation.
            3 => while daemon.dns().serial("bl.example") == serial {},
            _ => _ = daemon.log.wait_from(mark, "reloaded"),
        }
        let seen = daemon.dns().serial("bl.example");
        daemon.kill9();

        daemon = site.start();
        assert_eq!(about(&daemon, &format!("192.0.2.{host}")), "127.0.0.2", "round {host}");
        assert_eq!(about(&daemon, &format!("192.0.2.{}", host - 1)), "NXDOMAIN", "round {host}");
        assert_eq!(about(&daemon, "203.0.113.9"), "127.0.0.3", "round {host}");
        let now = daemon.dns().serial("bl.example");
        assert!(now >= seen && now > serial, "round {host}: serial {now} after {serial}, then {seen}");
        serial = now;
    }
}

#[test]
fn a_serial_seen_before_a_crash_is_never_given_to_other_answers() {
    let site = local_site();
    let mut daemon = site.start();
    for host in 10..20 {
        let before = daemon.dns().serial("bl.example");
        site.write("mine.txt", format!("192.0.2.{host}\n"));
        daemon.hup();
        while daemon.dns().serial("bl.example") == before {}
        let seen = daemon.dns().serial("bl.example");
        daemon.kill9();
        site.write("mine.txt", format!("198.51.100.{host}\n"));
        daemon = site.start();
        assert!(daemon.dns().serial("bl.example") > seen, "serial {seen} had other answers");
    }
}

#[test]
fn a_corrupt_database_is_set_aside_and_built_anew() {
    for (name, damage) in [("garbage", Damage::Garbage), ("cut", Damage::Cut)] {
        let site = local_site();
        let daemon = site.start();
        let serial = daemon.dns().serial("bl.example");
        daemon.stop();
        damage.apply(&site);

        let daemon = site.start();
        let event = daemon.log.wait("the database was damaged");
        assert_eq!(event.level(), "ERROR", "{name}");
        let aside: Vec<String> = fs::read_dir(site.path("state"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| event.message().contains(name.as_str()) && name.contains(".corrupt-"))
            .collect();
        assert_eq!(aside.len(), 1, "what the log names must be there");
        assert_eq!(about(&daemon, "192.0.2.7"), "127.0.0.2");
        assert!(daemon.dns().serial("bl.example") >= serial, "{name}: counted from the clock");
        daemon.stop();

        // The new database is a good one.
        spoil(&site, "mine.txt");
        let daemon = site.start();
        assert!(daemon.log.all("the database was damaged").is_empty());
        assert_eq!(about(&daemon, "2001:db8::7"), "127.0.0.2");
    }
}

#[derive(Clone, Copy)]
enum Damage {
    Garbage,
    Cut,
}

impl Damage {
    fn apply(self, site: &Site) {
        let path = site.path("state/blackthorn.db");
        // What a stop in a hurry left in the log would hide the damage.
        for log in ["state/blackthorn.db-wal", "state/blackthorn.db-shm"] {
            let _ = fs::remove_file(site.path(log));
        }
        let mut bytes = fs::read(&path).unwrap();
        match self {
            Self::Garbage => bytes.fill(0xa5),
            Self::Cut => bytes.truncate(bytes.len() / 2),
        }
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused_and_harms_nobody() {
    let site = local_site();
    let daemon = site.start();
    for (control, named) in [("control.sock", "control.sock"), ("second.sock", "state directory")] {
        site.configure(&format!("{LOCAL}[control]\nsocket = \"{control}\"\n"));
        let said = site.refusal();
        assert!(said.contains("another blackthorn") && said.contains(named), "{said}");
    }
    assert!(!site.path("second.sock").exists(), "the refused one leaves nothing behind");
    site.configure(LOCAL);
    assert_eq!(about(&daemon, "192.0.2.7"), "127.0.0.2");
    assert!(site.path("control.sock").exists(), "the socket of the first one");
    daemon.reload();
    daemon.stop();
    site.start().stop();
}

#[test]
fn an_address_in_use_is_named() {
    let site = local_site();
    for transport in ["udp", "tcp"] {
        let (udp, tcp);
        let taken = if transport == "udp" {
            udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            udp.local_addr().unwrap()
        } else {
            tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            tcp.local_addr().unwrap()
        };
        site.configure(&format!("{LOCAL}[dns]\nlisten = [\"{taken}\"]\n"));
        let said = site.refusal();
        assert!(said.contains(&format!("cannot listen on {taken} ({transport}): in use")), "{said}");
    }
}

#[test]
fn a_configuration_that_cannot_be_read_is_named() {
    let site = local_site();
    let path = site.path("blackthorn.toml");
    let named = |said: &str| assert!(said.contains(path.to_str().unwrap()), "{said}");
    fs::remove_file(&path).unwrap();
    named(&site.refusal());
    fs::create_dir(&path).unwrap();
    named(&site.refusal());
    fs::remove_dir(&path).unwrap();
    fs::write(&path, [0xff, 0xfe, 0, 1]).unwrap();
    named(&site.refusal());
}

#[test]
fn exclusions_that_cannot_be_read_stop_the_start() {
    let site = local_site();
    site.configure(&format!("{LOCAL}[exclude]\nfiles = [\"allow.txt\"]\n"));
    for said in [site.refusal(), {
        fs::create_dir(site.path("allow.txt")).unwrap();
        site.refusal()
    }] {
        assert!(said.contains("exclusion file") && said.contains("allow.txt"), "{said}");
    }
}

#[test]
fn a_list_that_cannot_be_read_stops_nothing() {
    let site = local_site();
    let second = "[[feed]]\nid = \"odd\"\nsource = \"odd.txt\"\nformat = \"plain\"\n[[zone]]";
    site.configure(&LOCAL.replace("[[zone]]", second).replace("[\"mine\"]", "[\"mine\", \"odd\"]"));
    fs::create_dir(site.path("odd.txt")).unwrap();
    let daemon = site.start();
    let event = daemon.log.wait_feed(Mark::START, "odd", "is a directory");
    assert_eq!(event.level(), "WARN");
    assert_eq!(about(&daemon, "192.0.2.7"), "127.0.0.2");
}

#[test]
fn a_state_directory_that_cannot_be_made_is_named() {
    let site = local_site();
    fs::write(site.path("state"), "a file").unwrap();
    let said = site.refusal();
    assert!(said.contains("state directory") && said.contains("state"), "{said}");
}

#[test]
fn a_state_directory_made_at_the_first_start_is_closed_to_others() {
    let site = local_site();
    site.start().stop();
    assert_eq!(fs::metadata(site.path("state")).unwrap().permissions().mode() & 0o777, 0o700);
    let database = fs::metadata(site.path("state/blackthorn.db")).unwrap();
    assert_eq!(database.permissions().mode() & 0o077, 0);
}

#[test]
fn state_that_cannot_be_written_is_served_all_the_same() {
    if !needs::root() {
        needs::skip("a directory of another user needs root");
        return;
    }
    let site = local_site();
    Daemon::start(site.command_of_nobody()).stop();
    spoil(&site, "mine.txt");
    let command = site.command_of_nobody();
    chown_all(&site.path("state"), 0);
    for (path, mode) in [("state", 0o755), ("state/blackthorn.db", 0o644)] {
        fs::set_permissions(site.path(path), Permissions::from_mode(mode)).unwrap();
    }
    let daemon = Daemon::start(command);
    let event = daemon.log.wait("serving the last good copies, nothing new will be kept");
    assert_eq!(event.level(), "ERROR");
    assert_eq!(about(&daemon, "192.0.2.7"), "127.0.0.2");

    fs::remove_dir(site.path("mine.txt")).unwrap();
    site.write("mine.txt", "192.0.2.8\n");
    daemon.reload();
    assert_eq!([about(&daemon, "192.0.2.7"), about(&daemon, "192.0.2.8")], ["NXDOMAIN", "127.0.0.2"]);
    daemon.stop();
}

/// Room for database and log, and little more.
const DISK_KIB: u32 = 1024;

/// A site with its state on a disk of its own; `None` where that cannot be had.
fn small_disk() -> Option<(Site, Tmpfs)> {
    if !needs::root() {
        needs::skip("mounting a file system needs root");
        return None;
    }
    let site = local_site();
    fs::create_dir(site.path("state")).unwrap();
    match Tmpfs::mount(&site.path("state"), DISK_KIB) {
        Ok(disk) => Some((site, disk)),
        Err(error) => {
            needs::skip(&format!("cannot mount a tmpfs: {error}"));
            None
        }
    }
}

#[test]
fn a_disk_that_fills_up_stops_neither_answers_nor_reloads() {
    let Some((site, disk)) = small_disk() else { return };
    let daemon = site.start();
    let before = daemon.dns().serial("bl.example");
    disk.fill().unwrap();
    // Enough to need space: the log of the database has none left.
    let large: String = (0..20_000u32).map(|n| format!("10{}.{}.{}.1\n", n % 9, n / 256, n % 256)).collect();
    site.write("mine.txt", format!("192.0.2.8\n{large}"));
    daemon.reload();
    let event = daemon.log.wait("cannot save to the state directory");
    assert_eq!(event.level(), "ERROR");
    assert_eq!([about(&daemon, "192.0.2.7"), about(&daemon, "192.0.2.8")], ["NXDOMAIN", "127.0.0.2"]);
    assert!(daemon.dns().serial("bl.example") > before);
    daemon.stop();

    // Still full: what was saved last is served again.
    spoil(&site, "mine.txt");
    let daemon = site.start();
    assert_eq!([about(&daemon, "192.0.2.7"), about(&daemon, "192.0.2.8")], ["127.0.0.2", "NXDOMAIN"]);
    assert_eq!(daemon.dns().serial("bl.example"), before, "the answers of that serial again");
    daemon.stop();

    disk.free().unwrap();
    fs::remove_dir(site.path("mine.txt")).unwrap();
    site.write("mine.txt", "192.0.2.9\n");
    let daemon = site.start();
    assert_eq!([about(&daemon, "192.0.2.7"), about(&daemon, "192.0.2.9")], ["NXDOMAIN", "127.0.0.2"]);
    daemon.stop();
    spoil(&site, "mine.txt");
    assert_eq!(about(&site.start(), "192.0.2.9"), "127.0.0.2", "saved again");
}

/// What `blackthorn status` warns of.
fn warnings(site: &Site) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blackthorn"));
    let output =
        command.args(["status", "--json", "--config"]).arg(site.path("blackthorn.toml")).output().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    status["engine"]["warnings"].to_string()
}

#[test]
fn a_body_that_does_not_fit_the_disk_is_said_once_and_shown_until_it_does() {
    let Some((site, disk)) = small_disk() else { return };
    // Incompressible, so that only what is small still fits.
    let mut random = Random::new(1);
    let list: String =
        (0..350_000).map(|_| format!("{}\n", Ipv4Addr::from(0x4000_0000 | random.word() >> 3))).collect();
    site.write("mine.txt", "192.0.2.7\n");
    let daemon = site.start();
    site.write("mine.txt", &list);
    for _ in 0..3 {
        daemon.reload();
        assert!(warnings(&site).contains("no space left"), "{}", warnings(&site));
    }
    assert_eq!(daemon.log.all("cannot save").len(), 1);
    site.write("mine.txt", "192.0.2.8\n");
    daemon.reload();
    // The body is saved; what is left of this disk does not do for a second generation file, and nothing else is wrong.
    let left = warnings(&site);
    assert!(left.starts_with("[\"generation files: ") && !left.contains("\",\""), "{left}");
    drop((daemon, disk));
}

#[test]
fn killed_on_a_full_disk_it_comes_back_with_the_last_good_copy() {
    let Some((site, disk)) = small_disk() else { return };
    let daemon = site.start();
    disk.fill().unwrap();
    daemon.kill9();
    spoil(&site, "mine.txt");
    let daemon = site.start();
    assert_eq!(about(&daemon, "192.0.2.7"), "127.0.0.2");
}

#[test]
fn stop_signals_end_it_well_and_at_once() {
    let hanging = Publisher::new(Reply::Silence);
    let site = Site::new(&config(&hanging));
    site.write("mine.txt", "192.0.2.7\n");
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut daemon = site.start();
        let address = daemon.address();
        hanging.request(1);
        // A connection without a question must not hold it up either.
        let _idle = std::net::TcpStream::connect(address).unwrap();
        assert_eq!(said(&daemon.dns().ask_tcp(&owner("192.0.2.7", "bl.example"), A)), "127.0.0.2");
        let started = Instant::now();
        daemon.signal(signal);
        assert_eq!(daemon.exit().code(), Some(0));
        assert!(started.elapsed() < PATIENCE / 6, "took {:?}", started.elapsed());
        assert!(!site.path("control.sock").exists(), "the control socket is left");
        UdpSocket::bind(address).unwrap();
        TcpListener::bind(address).unwrap();
    }
}

#[test]
fn a_stop_does_not_wait_for_a_resolver_that_is_silent() {
    if !needs::root() {
        needs::skip("a resolver of its own needs root");
        return;
    }
    if !Command::new("unshare").args(["--net", "--mount", "true"]).status().is_ok_and(|made| made.success()) {
        needs::skip("cannot make namespaces");
        return;
    }
    let cable = Cable::new();
    let resolver = cable.peer.enter(|| UdpSocket::bind("198.51.100.2:53").unwrap());
    resolver.set_read_timeout(Some(PATIENCE)).unwrap();
    let name = "[[feed]]\nid = \"web\"\nsource = \"http://feeds.example/list\"\nformat = \"plain\"\n[[zone]]";
    let site = Site::new(&LOCAL.replace("[[zone]]", name));
    site.write("mine.txt", "192.0.2.7\n");
    site.write("resolv.conf", "nameserver 198.51.100.2\n");
    let plain = site.command();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\""]);
    command.arg(site.path("resolv.conf")).arg(plain.get_program()).args(plain.get_args());
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
    let mut daemon = cable.host.enter(|| Daemon::start(command));
    resolver.recv(&mut [0; 512]).unwrap();
    let started = Instant::now();
    daemon.signal(libc::SIGTERM);
    assert_eq!(daemon.exit().code(), Some(0));
    assert!(started.elapsed() < PATIENCE / 10, "took {:?}", started.elapsed());
}

#[test]
fn a_stop_in_the_middle_of_a_reload_ends_well() {
    let site = local_site();
    for host in 10..15 {
        let daemon = site.start();
        site.write("mine.txt", format!("192.0.2.{host}\n"));
        let mark = daemon.hup();
        daemon.log.wait_from(mark, "reloading");
        daemon.stop();
    }
    assert_eq!(about(&site.start(), "192.0.2.14"), "127.0.0.2");
}

#[test]
fn a_command_line_that_cannot_be_followed_exits_with_two() {
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blackthorn"));
        let output = command.args(args).env_clear().stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = run(&["run", "--config", "/nonexistent/blackthorn.toml"]);
    assert_eq!(code, Some(2));
    assert!(said.starts_with("blackthorn: ") && said.contains("/nonexistent/blackthorn.toml"), "{said}");
    assert_eq!(run(&["run", "--no-such-option"]).0, Some(2));
}

#[test]
fn usr1_logs_the_statistics() {
    let site = local_site();
    let daemon = site.start();
    // After a start the daemon asks itself, to verify what it serves; that is counted too, and over when it is reported.
    site.wait_status("the first verification", |status| status["engine"]["verifier"]["rounds"] == 1);
    let numbers = || {
        let mark = daemon.log.mark();
        daemon.signal(libc::SIGUSR1);
        let event = daemon.log.wait_from(mark, "statistics");
        ["udp", "tcp", "listed", "not_listed"].map(|name| event.number(name))
    };
    let before = numbers();
    for address in ["192.0.2.7", "192.0.2.8", "192.0.2.9"] {
        about(&daemon, address);
    }
    daemon.dns().ask_tcp("bl.example", A);
    let after = numbers();
    assert_eq!(std::array::from_fn(|i| after[i] - before[i]), [3, 1, 1, 2], "{before:?} to {after:?}");
}
