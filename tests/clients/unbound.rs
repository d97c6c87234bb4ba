//! unbound between us and the mail server. It asks for parts of names before the whole (RFC 9156), strictly: where it
//! hears NXDOMAIN it stops. And it spells names in random case, and wants them back so.

use crate::machine::Machine;
use crate::programs::Program;
use crate::readme;
use crate::resolver::{assert_listings, wait_ready};
use serde_json::Value;
use std::fs;

const RESOLVER: &str = "127.0.0.11";

/// unbound at an address of its own, with these settings beside those of the README.
fn start(settings: &str) -> Option<Machine> {
    let program = Program::find("usr/sbin/unbound")?;
    let mut machine = Machine::start()?;
    let folder = machine.folder("unbound");
    let config = format!(
        r#"
server:
    interface: {RESOLVER}
    access-control: 127.0.0.0/8 allow
    chroot: ""
    directory: "{folder}"
    do-daemonize: no
    do-ip6: no
    logfile: ""
    pidfile: ""
    use-syslog: no
    username: ""
    verbosity: 2
    module-config: "iterator"
    {settings}
{zone}
"#,
        folder = folder.display(),
        zone = readme::block("stub-zone")
    );
    let path = folder.join("unbound.conf");
    fs::write(&path, config).unwrap();
    machine.server(&program, &["-d", "-c", path.to_str().unwrap()]);
    wait_ready(&mut machine, RESOLVER);
    Some(machine)
}

/// How many names without records of their own the daemon was asked for: parts of listed names.
fn parts_asked(machine: &Machine) -> u64 {
    let (_, status) = machine.site().json(&["status"]);
    let count = |value: &Value| value.as_u64().unwrap();
    count(&status["dns"]["rcodes"]["noerror"]) - count(&status["dns"]["listed"])
}

#[test]
fn checklist_12_listed_stays_listed_behind_strict_minimisation_and_random_case() {
    let settings = "qname-minimisation: yes\n qname-minimisation-strict: yes\n use-caps-for-id: yes";
    let Some(machine) = start(settings) else { return };
    let before = parts_asked(&machine);
    assert_listings(&machine, RESOLVER);
    let parts = parts_asked(&machine) - before;
    assert!(parts >= 20, "it asked for few names in parts: {parts}");
    // It would ask again without random case.
    assert!(!machine.said().to_lowercase().contains("caps"), "{}", machine.said());
}

#[test]
fn checklist_12_listed_stays_listed_behind_relaxed_minimisation() {
    let Some(machine) = start("qname-minimisation: yes\n qname-minimisation-strict: no") else { return };
    assert_listings(&machine, RESOLVER);
}

#[test]
fn checklist_12_listed_stays_listed_when_a_resolver_asks_over_tcp() {
    let settings = "tcp-upstream: yes\n qname-minimisation-strict: yes\n use-caps-for-id: yes";
    let Some(machine) = start(settings) else { return };
    assert_listings(&machine, RESOLVER);
}
