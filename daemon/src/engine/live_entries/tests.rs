//! The owner of the live entries with a real store and without a kernel.

use super::*;
use crate::core::fixture;
use crate::core::protection::Reserved;
use crate::core::span::Span;
use crate::store::AUDIT_KEPT;
use std::net::IpAddr;
use std::path::Path;

struct Rig {
    live: Live,
    store: Store,
    entries: Arc<LiveEntries>,
    requests: Requests,
}

fn rig(dir: &Path) -> Rig {
    let store = Store::open(dir).unwrap().store;
    let live = Live::default();
    let entries = LiveEntries::load(live.clone(), &store);
    let (requests, _) = entries.start(store.live_writer()).unwrap();
    entries.publish(Arc::new(fixture::generation(&[], &[])), None);
    Rig { live, store, entries, requests }
}

fn block(networks: &[&str]) -> Change {
    let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    Change::Set { action: Action::Block, networks, lasts: None, reason: String::new(), force: false }
}

fn lasting(change: Change, seconds: u64) -> Change {
    match change {
        Change::Set { action, networks, reason, force, .. } => {
            Change::Set { action, networks, lasts: Some(seconds), reason, force }
        }
        other @ Change::Remove { .. } => other,
    }
}

fn says(live: &Live, address: &str) -> Option<Action> {
    live.view().unwrap().overlay.action(address.parse::<IpAddr>().unwrap())
}

#[tokio::test]
async fn what_is_answered_is_in_force_and_stored() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig(dir.path());
    let done = rig.requests.change(lasting(block(&["192.0.2.1", "2001:db8::/48"]), 3_600), 7).await.unwrap();
    assert_eq!((done.changed, done.not_saved), (2, None));
    assert_eq!(says(&rig.live, "2001:db8::9"), Some(Action::Block));
    let stored = rig.store.live_entries().unwrap();
    let view = rig.live.view().unwrap();
    assert_eq!(
        stored.iter().collect::<Vec<_>>(),
        view.overlay.entries().iter().map(|e| &**e).collect::<Vec<_>>()
    );
    let audit = rig.store.audit(9).unwrap();
    assert_eq!((audit[0].by, &*audit[0].what), (7, "block 192.0.2.1 2001:db8::/48 for 3600s"));

    let networks = vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
    let gone = rig.requests.change(Change::Remove { networks }, 8).await.unwrap();
    assert_eq!((gone.changed, gone.missing.len()), (1, 1));
    assert_eq!(says(&rig.live, "192.0.2.1"), None);
    assert_eq!(rig.store.live_entries().unwrap().len(), 1);
}

#[tokio::test]
async fn a_restart_keeps_what_is_not_over() {
    let dir = tempfile::tempdir().unwrap();
    let now = unix_now();
    {
        let Rig { store, .. } = rig(dir.path());
        let stored = |network: &str, expires_at| {
            let network = network.parse().unwrap();
            let (action, reason) = (Action::Allow, "why \u{fffd} 'quoted'".to_owned());
            let entry = LiveEntry { network, action, reason, by: u32::MAX, added_at: now, expires_at };
            LiveChange::Set(Arc::new(entry))
        };
        let changes = [
            stored("192.0.2.1", Some(now - 1)),
            stored("192.0.2.2", None),
            stored("192.0.2.3", Some(now + 900)),
        ];
        store.live_writer().unwrap().apply(&changes, &[]).unwrap();
    }
    let rig = rig(dir.path());
    let view = rig.live.view().unwrap();
    assert_eq!(view.overlay.entries().len(), 2);
    assert_eq!(view.overlay.entries()[0].reason, "why \u{fffd} 'quoted'");
    assert_eq!(says(&rig.live, "192.0.2.1"), None);
    assert_eq!(says(&rig.live, "192.0.2.3"), Some(Action::Allow));
}

#[tokio::test]
async fn an_entry_is_over_without_anybody_asking() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig(dir.path());
    let done = rig.requests.change(lasting(block(&["192.0.2.1"]), 1), 0).await.unwrap();
    // Also when a generation was published over it.
    rig.entries.publish(Arc::new(fixture::generation(&[], &[])), None);
    while says(&rig.live, "192.0.2.1").is_some() {
        tokio::task::yield_now().await;
        assert!(unix_now() < done.expires_at.unwrap() + 30, "it never ends");
    }
    assert!(unix_now() >= done.expires_at.unwrap(), "too early");
    // The next answer comes after the end was stored.
    rig.requests.change(block(&["192.0.2.2"]), 0).await.unwrap();
    assert_eq!(rig.store.live_entries().unwrap().len(), 1);
}

#[tokio::test]
async fn one_request_too_large_does_not_stop_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig(dir.path());
    let range = |n: u128| {
        let first = (0x2001_0db8 + n % 64) << 96 | n.wrapping_mul(0x9e37_79b9_7f4a_7c15) << 20 | 3;
        Network::V6(Span::new(first, first + (1 << 18) + 5).unwrap())
    };
    let networks: Vec<Network> = (0..10_000).map(range).collect();
    let large =
        Change::Set { action: Action::Block, networks, lasts: None, reason: String::new(), force: true };
    let small = block(&["192.0.2.1"]);
    let (outcomes, changes) = rig.entries.apply(&[(&small, 0), (&large, 0), (&small, 1)], unix_now());
    assert!(matches!(outcomes[..], [Ok(_), Err(LiveError::Table(_)), Ok(_)]), "{outcomes:?}");
    assert_eq!(changes.len(), 2);
    assert_eq!(says(&rig.live, "192.0.2.1"), Some(Action::Block));
}

#[tokio::test]
async fn a_new_generation_brings_its_own_exclusions_and_protections() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig(dir.path());
    rig.requests.change(block(&["192.0.2.0/24"]), 0).await.unwrap();
    let reserve = |network: &str| {
        let reason = "test".to_owned();
        Reservations::new(vec![Reserved { network: network.parse().unwrap(), reason }])
    };
    let mut generation = fixture::generation(&[], &[]);
    generation.exclusions = reserve("192.0.2.1");
    generation.protections = reserve("192.0.2.2");
    rig.entries.check(&generation).unwrap();
    rig.entries.publish(Arc::new(generation), None);
    assert_eq!(says(&rig.live, "192.0.2.1"), None);
    let drops = |address: &str| rig.live.view().unwrap().overlay.drops(address.parse().unwrap());
    assert_eq!([drops("192.0.2.2"), drops("192.0.2.3")], [Some(false), Some(true)]);
    let refused = rig.requests.change(block(&["192.0.2.2"]), 0).await.unwrap_err();
    assert!(refused.to_string().contains("it covers 192.0.2.2 (test); use --force"), "{refused}");
}

#[tokio::test]
async fn without_a_disk_blocks_are_in_force_and_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap().store;
    let live = Live::default();
    let entries = LiveEntries::load(live.clone(), &store);
    entries.publish(Arc::new(fixture::generation(&[], &[])), None);
    let full = StoreError::Full { path: dir.path().to_owned() };
    let (requests, _) = entries.start(Err(full)).unwrap();
    let done = requests.change(block(&["192.0.2.1"]), 0).await.unwrap();
    assert!(done.not_saved.is_some());
    assert_eq!(says(&live, "192.0.2.1"), Some(Action::Block));
}

#[test]
fn the_audit_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap().store;
    let rows: Vec<Audit> =
        (0..u64::from(AUDIT_KEPT) + 5).map(|at| Audit { at, by: 0, what: "block".to_owned() }).collect();
    store.live_writer().unwrap().apply(&[], &rows).unwrap();
    let kept = store.audit(u32::MAX).unwrap();
    assert_eq!((kept.len(), kept[0].at), (AUDIT_KEPT as usize, rows.len() as u64 - 1));
}

#[test]
fn audits_name_some_networks_and_count_the_rest() {
    let many: Vec<String> = (0..23).map(|n| format!("192.0.2.{n}")).collect();
    let words = in_words(&block(&many.iter().map(String::as_str).collect::<Vec<_>>()));
    assert!(words.ends_with("192.0.2.19 and 3 more"), "{words}");
}
