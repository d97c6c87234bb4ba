//! Real packets over veth between two network namespaces.

use crate::setup::{LISTED_V4, LISTED_V6, open, plan, privileged, table, two_hosts};
use crate::tables::padded;
use blackthorn::core::filter_plan::{FilterPlan, Mode};
use blackthorn::filter::{AttachError, Attached, Filter, InterfaceState, InterfaceStatus};
use blackthorn_common::payload::Class;
use blackthorn_common::verdict::Reason;
use blackthorn_testkit::line::Line;
use blackthorn_testkit::netns::{Cable, Namespace};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

fn filtered(how: Attached) -> Vec<InterfaceStatus> {
    vec![InterfaceStatus { name: "bt0".into(), state: InterfaceState::Filtered { how, fallback: None } }]
}

/// Opens the filter inside the host's namespace.
fn open_at(host: &Namespace, plan: &FilterPlan) -> Filter {
    let (filter, status) = host.enter(|| open(plan)).unwrap();
    for interface in &status {
        assert!(matches!(interface.state, InterfaceState::Filtered { .. }), "{interface}");
    }
    filter
}

fn listed_are_dropped_in(mode: Mode) {
    if !privileged() {
        return;
    }
    let cable = Cable::new();
    let (v4, v6) = (Line::v4(&cable), Line::v6(&cable));
    let mut filter = open_at(&cable.host, &plan(&["bt0"], mode));

    for line in [&v4, &v6] {
        assert_eq!(line.arrivals(1), ["listed", "clean"], "no table yet");
    }
    filter.publish(two_hosts().words()).unwrap();
    for line in [&v4, &v6] {
        assert_eq!(line.arrivals(2), ["clean"]);
    }
    filter.publish(table(&[("192.0.2.0/24", Class::Drop)]).words()).unwrap();
    for line in [&v4, &v6] {
        assert_eq!(line.arrivals(3), ["listed", "clean"], "not listed any more");
    }
    filter.publish(&padded(two_hosts().words(), 9)).unwrap();
    for line in [&v4, &v6] {
        assert_eq!(line.arrivals(4), ["clean"], "after a change of the size class");
    }
    let counters = filter.counters().unwrap();
    assert_eq!(counters.get(Reason::Drop4).packets, 2);
    assert_eq!(counters.get(Reason::Drop6).packets, 2);

    drop(filter);
    for line in [&v4, &v6] {
        assert_eq!(line.arrivals(5), ["listed", "clean"], "detached");
    }
}

#[test]
fn listed_sources_are_dropped_in_native_mode() {
    listed_are_dropped_in(Mode::Native);
}

#[test]
fn listed_sources_are_dropped_in_generic_mode() {
    listed_are_dropped_in(Mode::Generic);
}

#[test]
fn monitoring_counts_and_passes_and_enforcing_can_be_switched_on() {
    if !privileged() {
        return;
    }
    let cable = Cable::new();
    let line = Line::v4(&cable);
    let enforcing = plan(&["bt0"], Mode::Auto);
    let mut filter = open_at(&cable.host, &FilterPlan { enforce: false, ..enforcing.clone() });
    filter.publish(two_hosts().words()).unwrap();
    assert_eq!(line.arrivals(1), ["listed", "clean"]);
    let counters = filter.counters().unwrap();
    assert_eq!(counters.get(Reason::WouldDrop).packets, 1);
    assert_eq!(counters.get(Reason::Drop4).packets, 0);

    let status = cable.host.enter(|| filter.reconfigure(&enforcing)).unwrap();
    assert_eq!(status, filtered(Attached::Native));
    assert_eq!(line.arrivals(2), ["clean"]);
}

#[test]
fn no_packet_slips_through_while_generations_change_under_traffic() {
    if !privileged() {
        return;
    }
    let cable = Cable::new();
    let mut filter = open_at(&cable.host, &plan(&["bt0"], Mode::Native));
    let generations = [
        two_hosts(),
        table(&[("198.51.100.64/26", Class::Drop), ("2001:db8:1::40/122", Class::Drop)]),
        table(&[(LISTED_V4, Class::Drop), (LISTED_V6, Class::Drop), ("192.0.2.0/24", Class::Drop)]),
    ];
    filter.publish(generations[0].words()).unwrap();
    // What the neighbour says of itself when the link comes up may arrive before the first table.
    let before = filter.counters().unwrap().get(Reason::NoTable).packets;

    let stop = AtomicBool::new(false);
    let rounds = thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let lines = [Line::v4(&cable), Line::v6(&cable)];
            let mut round = 0;
            while !stop.load(Ordering::Relaxed) || round < 1000 {
                for line in &lines {
                    assert_eq!(line.arrivals(round), ["clean"], "round {round}");
                }
                round += 1;
            }
            u64::from(round)
        });
        for number in 0..100 {
            let words = generations[number % generations.len()].words();
            match number {
                // Twice on the way the table outgrows the program.
                33 => filter.publish(&padded(words, 5)).unwrap(),
                66 => filter.publish(&padded(words, 17)).unwrap(),
                _ => filter.publish(words).unwrap(),
            };
        }
        stop.store(true, Ordering::Relaxed);
        traffic.join().unwrap()
    });
    let counters = filter.counters().unwrap();
    assert_eq!(counters.get(Reason::Drop4).packets, rounds);
    assert_eq!(counters.get(Reason::Drop6).packets, rounds);
    assert_eq!(counters.get(Reason::NoTable).packets, before);
    println!("100 generations, {rounds} rounds of traffic");
}

#[test]
fn one_interface_that_refuses_does_not_stop_the_others() {
    if !privileged() {
        return;
    }
    let cable = Cable::new();
    let plan = plan(&["bt9", "bt0", "lo"], Mode::Native);
    let (_filter, status) = cable.host.enter(|| open(&plan)).unwrap();
    assert_eq!(status[0].state, InterfaceState::Unfiltered(AttachError::Unknown("bt9".into())));
    assert_eq!(status[1], filtered(Attached::Native)[0]);
    let InterfaceState::Unfiltered(AttachError::Refused { how: Attached::Native, why, .. }) =
        &status[2].state
    else {
        panic!("{status:?}");
    };
    assert!(why.contains("no XDP"), "{why}");
}

#[test]
fn auto_falls_back_to_generic_and_says_so() {
    if !privileged() {
        return;
    }
    let host = Namespace::new();
    let (_filter, status) = host.enter(|| open(&plan(&["lo"], Mode::Auto))).unwrap();
    let InterfaceState::Filtered { how: Attached::Generic, fallback: Some(_) } = &status[0].state else {
        panic!("{status:?}");
    };
    assert_eq!(
        status[0].to_string(),
        "interface lo is filtered in generic mode: interface lo refuses native mode: \
         the driver has no XDP (Operation not supported (os error 95))"
    );
}

#[test]
fn another_owner_is_left_alone() {
    if !privileged() {
        return;
    }
    let cable = Cable::new();
    let line = Line::v4(&cable);
    let mut first = open_at(&cable.host, &plan(&["bt0"], Mode::Native));
    first.publish(two_hosts().words()).unwrap();
    for mode in [Mode::Native, Mode::Auto, Mode::Generic] {
        let (_second, status) = cable.host.enter(|| open(&plan(&["bt0"], mode))).unwrap();
        assert!(
            matches!(&status[0].state, InterfaceState::Unfiltered(AttachError::Refused { .. })),
            "{status:?}"
        );
    }
    assert_eq!(line.arrivals(1), ["clean"]);
}

#[test]
fn interfaces_come_and_go() {
    if !privileged() {
        return;
    }
    let cable = Cable::new();
    let both = plan(&["bt0", "lo"], Mode::Auto);
    let mut filter = open_at(&cable.host, &plan(&["bt0"], Mode::Auto));
    filter.publish(two_hosts().words()).unwrap();
    assert_eq!(Line::v4(&cable).arrivals(1), ["clean"]);

    // One more, then one less; the first is not touched and keeps filtering.
    let status = cable.host.enter(|| filter.reconfigure(&both)).unwrap();
    assert!(status.iter().all(|s| matches!(s.state, InterfaceState::Filtered { .. })), "{status:?}");
    assert_eq!(Line::v4(&cable).arrivals(2), ["clean"]);

    // Deleted and made again under the same name: a dead link, seen and repaired.
    cable.host.ip("link del bt0");
    let state = cable.host.enter(|| filter.status()[0].state.clone());
    assert_eq!(state, InterfaceState::Unfiltered(AttachError::Gone("bt0".into())));
    filter.publish(&padded(two_hosts().words(), 9)).unwrap();
    cable.replug();
    assert_eq!(Line::v4(&cable).arrivals(3), ["listed", "clean"]);
    let status = cable.host.enter(|| filter.reconfigure(&both)).unwrap();
    assert_eq!(status[..1], filtered(Attached::Native));
    assert_eq!(Line::v4(&cable).arrivals(4), ["clean"]);

    let status = cable.host.enter(|| filter.reconfigure(&plan(&[], Mode::Auto))).unwrap();
    assert!(status.is_empty());
    assert_eq!(Line::v4(&cable).arrivals(5), ["listed", "clean"]);
}

#[test]
fn the_mode_can_change_at_run_time() {
    if !privileged() {
        return;
    }
    let cable = Cable::new();
    let line = Line::v6(&cable);
    let mut filter = open_at(&cable.host, &plan(&["bt0"], Mode::Native));
    filter.publish(two_hosts().words()).unwrap();
    for (round, mode, how) in [
        (1, Mode::Generic, Attached::Generic),
        (2, Mode::Auto, Attached::Generic),
        (3, Mode::Native, Attached::Native),
        (4, Mode::Auto, Attached::Native),
    ] {
        let status = cable.host.enter(|| filter.reconfigure(&plan(&["bt0"], mode))).unwrap();
        assert_eq!(status, filtered(how));
        assert_eq!(line.arrivals(round), ["clean"]);
    }
}

#[test]
fn a_refused_mode_leaves_the_old_one_in_force() {
    if !privileged() {
        return;
    }
    let host = Namespace::new();
    let (mut filter, _) = host.enter(|| open(&plan(&["lo"], Mode::Generic))).unwrap();
    let status = host.enter(|| filter.reconfigure(&plan(&["lo"], Mode::Native))).unwrap();
    let InterfaceState::Filtered { how: Attached::Generic, fallback: Some(AttachError::Refused { .. }) } =
        &status[0].state
    else {
        panic!("{status:?}");
    };
}

#[test]
fn a_device_without_link_header_gets_the_other_entry() {
    if !privileged() {
        return;
    }
    let host = Namespace::new();
    host.ip("tuntap add bttun mode tun");
    host.ip("link set bttun up");
    let (_filter, status) = host.enter(|| open(&plan(&["bttun"], Mode::Auto))).unwrap();
    assert!(matches!(status[0].state, InterfaceState::Filtered { .. }), "{status:?}");
}
