//! Faults put in by hand: a wrong generation before the readers, a damaged image, a foreign table in the kernel.

use super::*;
use crate::config::{Config, Dns};
use crate::core::table::Table;
use crate::core::view::View;
use crate::dns::DnsServer;
use crate::dns::serving::Serving;
use crate::engine::generations::Resumed;
use crate::engine::live_entries::LiveEntries;
use crate::engine::publish::Publisher;
use crate::engine::slot::Slot;
use crate::live::Live;
use crate::store::Store;
use blackthorn_testkit::needs;
use std::num::NonZeroUsize;
use std::path::Path;
use tempfile::TempDir;

const CONFIG: &str = r#"
state_dir = "state"
[[feed]]
id = "mine"
source = "mine.txt"
format = "plain"
[[zone]]
name = "bl.example"
feeds = ["mine"]
[[zone]]
name = "empty.example"
feeds = ["never"]
[[feed]]
id = "never"
source = "https://feeds.example/never"
format = "plain"
[filter]
interfaces = ["bt-none"]
feeds = ["mine"]
action = "monitor"
"#;

/// A published generation, served by DNS, and a verifier that knows where.
struct Rig {
    _dir: TempDir,
    live: Live,
    publisher: Publisher,
    filter: PacketFilter,
    verifier: Verifier,
    server: DnsServer,
    slots: Vec<Slot>,
    config: Config,
}

impl Rig {
    fn new(filter: fn(&Config) -> PacketFilter) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mine.txt"), "192.0.2.0/28\n198.51.100.7\n2001:db8::/48\n").unwrap();
        let config = Config::parse(CONFIG, Path::new("t.toml"), dir.path()).unwrap();
        let mut slots: Vec<Slot> = config.feeds.iter().cloned().map(Slot::new).collect();
        slots[0].read_file(1_000);
        let store = Store::open(&config.state_dir).unwrap().store;
        let live = Live::default();
        let mut filter = filter(&config);
        let resumed = Resumed::serve_newest(&config, &live).unwrap();
        let mut publisher = Publisher::new(LiveEntries::load(live.clone(), &store), &store, &resumed);
        let next = publisher.build(&config, &slots, &super::super::exclusions(&config).unwrap()).unwrap();
        publisher.publish(next, &mut filter).unwrap();
        let listen = vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
        let dns = Dns { listen, workers: Some(NonZeroUsize::MIN), ..Dns::default() };
        let bound = DnsServer::bind(&dns).unwrap();
        let server = bound.serve(live.clone(), Arc::default(), Serving::default()).unwrap();
        let listening = watch::Sender::new(server.local_addrs()).subscribe();
        let verifier = Verifier::new(listening, None, Arc::default());
        Self { _dir: dir, live, publisher, filter, verifier, server, slots, config }
    }

    /// One whole round.
    async fn round(&mut self) -> Repair {
        self.verifier.published();
        assert!(matches!(self.verifier.next().await, Step::Due));
        self.verifier.begin(self.publisher.view());
        let Step::Asked(round) = self.verifier.next().await else { panic!("a round is under way") };
        self.verifier.finish(round, self.publisher.view().as_ref(), &self.filter)
    }

    /// A generation that lists nothing.
    fn publish_nothing_to_readers(&self) {
        let mut wrong = (*self.publisher.live().unwrap()).clone();
        wrong.table = Table::default();
        self.live.publish(Arc::new(wrong));
    }

    fn last(&self) -> LastRound {
        self.verifier.status().last.unwrap()
    }
}

#[tokio::test]
async fn a_healthy_daemon_agrees_with_itself() {
    let mut rig = Rig::new(|_| PacketFilter::Unused);
    assert_eq!(rig.round().await, Repair::None);
    let last = rig.last();
    assert!(last.addresses > 50, "{last:?}");
    assert_eq!(last.questions, 2 * last.addresses.min(512), "one zone has data, at two addresses");
    assert_eq!((last.mismatches, last.kernel, last.problems.len()), (0, false, 0));
    assert_eq!(rig.verifier.warnings().count(), 0);
}

#[tokio::test]
async fn a_wrong_generation_before_the_readers_is_found_and_replaced() {
    let mut rig = Rig::new(|_| PacketFilter::Unused);
    rig.publish_nothing_to_readers();
    assert_eq!(rig.round().await, Repair::Republish);
    let last = rig.last();
    let example = last.example.unwrap();
    assert!(
        example.contains(": zone bl.example at ") && example.ends_with("says not listed, right is 127.0.0.2"),
        "{example}"
    );
    assert!(rig.verifier.warnings().next().unwrap().contains(&example));

    rig.publisher.republish(&mut rig.filter).unwrap();
    assert_eq!(rig.round().await, Repair::None);
    assert_eq!((rig.last().mismatches, rig.verifier.status().mismatches), (0, last.mismatches));
    assert_eq!((rig.verifier.status().rounds, rig.verifier.status().repairs), (2, 1));
}

#[tokio::test]
async fn what_stays_wrong_is_repaired_once_a_minute() {
    let mut rig = Rig::new(|_| PacketFilter::Unused);
    rig.publish_nothing_to_readers();
    assert_eq!(rig.round().await, Repair::Republish);
    let begun = Instant::now();
    for _ in 0..3 {
        assert_eq!(rig.round().await, Repair::None, "too soon");
    }
    assert!(rig.verifier.due <= begun + REPAIR_GAP, "and it is looked at again by then");
    tokio::time::pause();
    tokio::time::advance(REPAIR_GAP).await;
    tokio::time::resume();
    assert_eq!(rig.round().await, Repair::Republish);
    assert_eq!(rig.verifier.status().repairs, 2);
}

#[tokio::test]
async fn a_damaged_image_is_built_again() {
    let mut rig = Rig::new(|_| PacketFilter::Unused);
    let mut damaged = (*rig.publisher.live().unwrap()).clone();
    damaged.table = damaged.table.damaged();
    let damaged = View::bare(Arc::new(damaged));
    rig.verifier.begin(Some(damaged.clone()));
    let Step::Asked(round) = rig.verifier.next().await else { panic!("a round is under way") };
    assert_eq!(rig.verifier.finish(round, Some(&damaged), &rig.filter), Repair::Rebuild);
    assert_eq!(rig.last().example.unwrap(), "the table image in memory is damaged");
}

/// With a filter that image is the kernel's own: a copy of it would repair nothing.
#[tokio::test]
async fn a_damaged_image_is_never_published_again() {
    let mut rig = Rig::new(|_| PacketFilter::Unused);
    let right = rig.publisher.live().unwrap();
    rig.publisher.damage();
    rig.publisher.republish(&mut rig.filter).unwrap();
    let repaired = rig.publisher.live().unwrap();
    assert!(repaired.table.is_intact() && repaired.table == right.table);
    assert_eq!(repaired.serial, right.serial);
    assert_eq!(rig.round().await, Repair::None);

    std::fs::remove_dir_all(rig.config.state_dir.join("generations")).unwrap();
    rig.publisher.damage();
    let error = rig.publisher.republish(&mut rig.filter).unwrap_err().to_string();
    assert!(error.contains("generation"), "{error}");
    assert!(rig.live.get().unwrap().table.is_intact(), "the readers keep what they had");
}

#[tokio::test]
async fn a_round_over_an_older_generation_says_nothing() {
    let mut rig = Rig::new(|_| PacketFilter::Unused);
    rig.verifier.begin(rig.publisher.view());
    let Step::Asked(round) = rig.verifier.next().await else { panic!("a round is under way") };
    rig.slots[0].loaded = None;
    let next = rig.publisher.build(&rig.config, &rig.slots, &super::super::exclusions(&rig.config).unwrap());
    rig.publisher.publish(next.unwrap(), &mut rig.filter).unwrap();
    assert_eq!(rig.verifier.finish(round, rig.publisher.view().as_ref(), &rig.filter), Repair::None);
    assert_eq!(rig.verifier.status().rounds, 0);
}

#[tokio::test]
async fn silence_is_a_problem_and_no_mismatch() {
    let mut rig = Rig::new(|_| PacketFilter::Unused);
    let at = rig.server.local_addrs();
    rig.server.set_listen(&Dns { listen: Vec::new(), ..Dns::default() }, Serving::default()).await.unwrap();
    assert_eq!(rig.round().await, Repair::None);
    let last = rig.last();
    assert_eq!((last.mismatches, last.problems.len()), (0, at.len()));
    assert!(last.problems[0].starts_with("zone bl.example cannot be asked at "), "{:?}", last.problems);
}

#[tokio::test]
async fn a_foreign_table_in_the_kernel_is_found_and_replaced() {
    if !needs::root() {
        return needs::skip("loading programs needs root");
    }
    let mut rig = Rig::new(|config| PacketFilter::open(&config.filter));
    if let PacketFilter::Off(why) = &rig.filter {
        return needs::skip(why);
    }
    assert_eq!(rig.round().await, Repair::None);
    assert!(rig.last().kernel);
    // Behind the engine's back.
    rig.filter.publish(&Table::default()).unwrap();
    assert_eq!(rig.round().await, Repair::Republish);
    let example = rig.last().example.unwrap();
    assert!(example.contains("the kernel says not listed, right is listing "), "{example}");
    rig.publisher.republish(&mut rig.filter).unwrap();
    assert_eq!(rig.round().await, Repair::None);
    let counted: u64 = rig.filter.status(&rig.config.filter).counters.iter().map(|c| c.packets).sum();
    assert_eq!(counted, 0, "checks are no packets");
}
