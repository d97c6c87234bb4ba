//! Killed in the middle of a publication, before each system call that it consists of: the next start serves one whole
//! generation, in DNS and kernel, and nothing is left behind.
//!
//! A publication is traced once to learn its calls. Then, for one call after another, the daemon starts on the same
//! state, is told of a new list and dies at that call. Needs root, BPF, iproute2 and strace; see [`crate::filter`].

use crate::dns::{Udp, owner, said, soa_serial};
use crate::filter::{large_list, privileged, start_in};
use crate::harness::{Daemon, LOCAL, PATIENCE, Site};
use crate::trace::{Call, Trace};
use blackthorn::generations::Generations;
use blackthorn_testkit::line::Line;
use blackthorn_testkit::needs;
use blackthorn_testkit::netns::Cable;
use hickory_proto::rr::RecordType::A;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Behind [`LOCAL`]: live entries in its zone, and the packet filter.
const FILTERED: &str = r#"
live = { code = "127.0.0.9" }

[filter]
interfaces = ["bt0"]
feeds = ["mine"]
"#;

/// Listed before and after, before only, after only, never; in both families.
const ALWAYS: [&str; 2] = ["198.51.100.66", "2001:db8:1::66"];
const BEFORE: [&str; 2] = ["198.51.100.67", "2001:db8:1::67"];
const AFTER: [&str; 2] = ["198.51.100.68", "2001:db8:1::68"];
const NEVER: [&str; 2] = ["198.51.100.2", "2001:db8:1::2"];
/// Blocked by hand, so that the kernel has live entries too.
const BLOCKED: &str = "203.0.113.9";

/// Which of the two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    Old,
    New,
}

impl Version {
    /// The addresses that only this list has.
    fn own(self) -> [&'static str; 2] {
        if self == Self::Old { BEFORE } else { AFTER }
    }

    fn other(self) -> Self {
        if self == Self::Old { Self::New } else { Self::Old }
    }
}

/// What a call belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// The database: the copy of the feed, then the serial.
    Database,
    /// The generation file, its directory, and the removal of old ones.
    Files,
    /// Maps, programs and links of the packet filter.
    Kernel,
}

/// `None`: it leaves nothing behind, like log lines and the reading of routes and counters.
fn part(call: &Call) -> Option<Part> {
    let reads =
        ["BPF_MAP_LOOKUP_ELEM", "BPF_PROG_TEST_RUN"].iter().any(|command| call.text.contains(command));
    if call.name() == "bpf" {
        (!reads).then_some(Part::Kernel)
    } else if call.text.contains("/state/generations") {
        Some(Part::Files)
    } else if call.text.contains("/state/blackthorn.db") {
        Some(Part::Database)
    } else {
        None
    }
}

/// A site whose daemon can be set back to what it was.
struct Scene {
    cable: Cable,
    site: Site,
    /// More entries of the new list.
    more: String,
}

/// How a publication ended.
struct Died {
    daemon: Option<Daemon>,
    /// What anybody could see before: the highest serial, and whose it was.
    seen: (u32, Version),
    /// The last is the one at which it died.
    calls: Vec<Call>,
}

impl Scene {
    /// A daemon has made `generations` and stopped, with the old list in force.
    fn new(generations: usize, more: String) -> Self {
        let scene = Self { cable: Cable::new(), site: Site::new(&format!("{LOCAL}{FILTERED}")), more };
        scene.list(Version::New);
        let daemon = scene.start();
        assert_eq!(scene.site.json(&["block", BLOCKED]).0, 0);
        for number in 1..generations {
            scene.list(if (generations - number).is_multiple_of(2) { Version::New } else { Version::Old });
            daemon.reload();
        }
        assert_eq!(scene.serves(&daemon), Version::Old);
        daemon.stop();
        copy(&scene.site.path("state"), &scene.site.path("state-before"));
        scene
    }

    fn list(&self, version: Version) {
        let more = if version == Version::New { &self.more[..] } else { "" };
        self.site.write("mine.txt", format!("{}\n{}\n{more}", ALWAYS.join("\n"), version.own().join("\n")));
    }

    /// Nothing can be read: what a start serves is what it has.
    fn spoil_list(&self) {
        fs::remove_file(self.site.path("mine.txt")).unwrap();
        fs::create_dir(self.site.path("mine.txt")).unwrap();
    }

    fn start(&self) -> Daemon {
        start_in(&self.cable.host, &self.site)
    }

    /// Sets everything back, starts, changes the list, and lets the daemon publish until it dies or is done.
    /// `Err` when it may not be traced.
    fn publish(&self, kill_at: Option<(&str, usize)>) -> Result<Died, String> {
        fs::remove_dir_all(self.site.path("state")).unwrap();
        copy(&self.site.path("state-before"), &self.site.path("state"));
        self.list(Version::Old);
        let daemon = self.start();
        // It has the kernel look up many addresses, which is no part of a publication.
        self.site.wait_status("the first verification", |status| status["engine"]["verifier"]["rounds"] != 0);
        let socket = self.cable.host.enter(|| Udp::connect(daemon.address()));
        let mut seen = look(&socket, PATIENCE).unwrap();
        assert_eq!(seen.1, Version::Old);
        self.list(Version::New);
        let trace = Trace::attach(daemon.thread("engine"), kill_at, &self.site.path("trace"))?;
        let mark = daemon.hup();
        let deadline = Instant::now() + PATIENCE;
        let done = loop {
            assert!(Instant::now() < deadline, "it neither reloads nor ends");
            seen = seen.max(look(&socket, SOON).unwrap_or(seen));
            if daemon.log.has(mark, "reloaded") {
                break true;
            }
            if daemon.log.is_over() {
                break false;
            }
        };
        Ok(Died { calls: trace.calls(), daemon: done.then_some(daemon), seen })
    }

    /// The version that DNS and kernel serve, both the same and all of it.
    fn serves(&self, daemon: &Daemon) -> Version {
        let about = |address: &str| self.cable.host.enter(|| daemon.dns().about(address, "bl.example"));
        let version = if about(BEFORE[0]) == "NXDOMAIN" { Version::New } else { Version::Old };
        let listed = [ALWAYS, version.own()].concat();
        let clean = [NEVER, version.other().own()].concat();
        listed.iter().for_each(|address| assert_eq!(about(address), "127.0.0.2", "{address}, {version:?}"));
        clean.iter().for_each(|address| assert_eq!(about(address), "NXDOMAIN", "{address}, {version:?}"));
        assert_eq!(about(BLOCKED), "127.0.0.9");
        let arrivals = |address: &str| Line::from(&self.cable, address).arrivals(1);
        listed.iter().for_each(|address| assert_eq!(arrivals(address), ["clean"], "{address}, {version:?}"));
        for address in version.other().own() {
            assert_eq!(arrivals(address), ["listed", "clean"], "{address}, {version:?}");
        }
        version
    }

    /// Dies at this call, and comes back with everything: the call at which it died, and the version it came back with.
    /// `None` if this time there were fewer writes, as waking up another thread is sometimes one and sometimes not.
    fn survive(&self, at: &Call) -> Option<(Call, Version)> {
        let died = self.publish(Some((at.name(), at.nth))).unwrap();
        if let Some(daemon) = died.daemon {
            assert_eq!(at.name(), "write", "it did not come to {at:?}");
            assert_eq!(self.serves(&daemon), Version::New, "{at:?}");
            return None;
        }
        // A neighbour of `at` if it comes to waking up another thread or not, which is a `write` too.
        let at = died.calls.last().unwrap();
        let (seen, seen_version) = died.seen;
        // What anybody has seen is in a file, and whatever bears the name of one is whole.
        let newest = Generations::new(&self.site.path("state")).newest();
        assert!(newest.skipped.is_empty(), "{at:?}: {:?}", newest.skipped);
        assert!(newest.highest >= seen, "{at:?}: {} is on disk, {seen} was seen", newest.highest);

        self.spoil_list();
        let daemon = self.start();
        let version = self.serves(&daemon);
        let (serial, told) = self.look(&daemon);
        assert_eq!(version, told, "{at:?}");
        let fits = serial > seen || (serial, version) == (seen, seen_version);
        assert!(fits, "{at:?}: {serial} {version:?} after {seen} {seen_version:?}");
        self.assert_tidy(at);

        // It goes on as if nothing had happened.
        fs::remove_dir(self.site.path("mine.txt")).unwrap();
        self.list(version.other());
        daemon.reload();
        assert_eq!(self.serves(&daemon), version.other(), "{at:?}");
        assert!(self.look(&daemon).0 > serial, "{at:?}");
        Some((at.clone(), version))
    }

    fn look(&self, daemon: &Daemon) -> (u32, Version) {
        look(&self.cable.host.enter(|| Udp::connect(daemon.address())), PATIENCE).unwrap()
    }

    /// In the state directory is what belongs there, each generation file is whole.
    fn assert_tidy(&self, at: &Call) {
        let files = Generations::new(&self.site.path("state"));
        let known = ["blackthorn.db", "blackthorn.db-shm", "blackthorn.db-wal", "generations", "lock"];
        let odd: Vec<_> =
            names(&self.site.path("state")).into_iter().filter(|name| !known.contains(&&name[..])).collect();
        assert!(odd.is_empty(), "left behind at {at:?}: {odd:?}");
        let found = files.list().unwrap();
        assert_eq!(names(&self.site.path("state/generations")).len(), found.len(), "left behind at {at:?}");
        assert!(found.len() <= 20, "{at:?}");
        for file in found {
            files.generation(file.serial).unwrap();
        }
    }
}

/// How long a daemon that may be gone is given for an answer. One that comes later is missed, and does no harm.
const SOON: Duration = Duration::from_millis(20);

/// Serial and version that DNS serves; `None` without an answer in `time`.
fn look(socket: &Udp, time: Duration) -> Option<(u32, Version)> {
    loop {
        // What one list has alone is not listed by the other one: that answer bears the serial.
        for version in [Version::Old, Version::New] {
            let reply = socket.try_ask(&owner(version.other().own()[0], "bl.example"), A, time)?;
            if said(&reply) == "NXDOMAIN" {
                return Some((soa_serial(&reply).unwrap(), version));
            }
        }
        // The generation changed between the two questions.
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for name in names(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

fn names(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// What a call does, roughly: its name, of `bpf` its command. Like calls in a row are parts of one step.
fn kind(call: &Call) -> &str {
    call.text.split(if call.name() == "bpf" { ',' } else { '(' }).next().unwrap()
}

/// The calls of one part to die at: all, but of a row of like calls, such as the writes of one file, the first, the
/// middle and the last.
fn to_try(calls: &[Call], this: Part) -> Vec<&Call> {
    let calls: Vec<&Call> = calls.iter().filter(|call| part(call) == Some(this)).collect();
    let rows = calls.chunk_by(|one, next| kind(one) == kind(next));
    let some = |row: &[&Call]| BTreeSet::from([0, row.len() / 2, row.len() - 1]);
    let chosen = rows.flat_map(|row| some(row).into_iter().map(|at| row[at]).collect::<Vec<_>>()).collect();
    println!("{this:?}: dying at {} of {} calls", Vec::len(&chosen), calls.len());
    chosen
}

/// Traces a publication, then dies at each step of each of `parts`; that must be at least so many.
fn die_at_every_step(scene: &Scene, parts: &[(Part, usize)]) {
    let whole = match scene.publish(None) {
        Ok(whole) => whole,
        Err(why) => return needs::skip(&why),
    };
    assert_eq!(scene.serves(&whole.daemon.unwrap()), Version::New);
    for &(this, least) in parts {
        let tried = to_try(&whole.calls, this);
        let (hit, outcomes): (Vec<Call>, Vec<Version>) =
            tried.iter().filter_map(|call| scene.survive(call)).unzip();
        // Once something new is safe, no later step loses it.
        assert!(outcomes.is_sorted(), "{this:?}: {outcomes:?} at {hit:#?}");
        for row in hit.chunk_by(|one, next| kind(one) == kind(next)) {
            println!("    {} at {}", row.len(), kind(&row[0]));
        }
        let hits = hit.iter().filter(|call| part(call) == Some(this)).count();
        assert!(hits >= least, "{this:?}: {hit:#?}");

        // There is no more to die at.
        let last = tried.last().unwrap();
        let all = whole.calls.iter().filter(|call| call.name() == last.name()).count();
        let past = scene.publish(Some((last.name(), all + 1))).unwrap();
        assert_eq!(
            past.daemon.map(|daemon| scene.serves(&daemon)),
            Some(Version::New),
            "{last:?} is not the last"
        );
    }
}

#[test]
fn killed_at_any_step_of_a_publication_it_comes_back_with_one_whole_generation() {
    if !privileged() {
        return;
    }
    // As many as are kept, so that each publication removes one.
    let scene = Scene::new(20, String::new());
    die_at_every_step(&scene, &[(Part::Database, 8), (Part::Files, 15), (Part::Kernel, 4)]);
}

#[test]
fn killed_while_the_kernel_program_is_exchanged_it_comes_back_with_one_whole_generation() {
    if !privileged() {
        return;
    }
    let scene = Scene::new(2, large_list());
    die_at_every_step(&scene, &[(Part::Kernel, 15)]);
}
