//! BIND between us and the mail server. It asks for parts of names by NS, and sends cookies.

use crate::machine::Machine;
use crate::programs::Program;
use crate::readme;
use crate::resolver::{assert_listings, wait_ready};
use std::fs;

const RESOLVER: &str = "127.0.0.12";

/// BIND with this way of asking for parts of names, and with this zone.
fn start(minimisation: &str, zone: &str) -> Option<Machine> {
    let program = Program::find("usr/sbin/named")?;
    let mut machine = Machine::start()?;
    machine.add_address(RESOLVER);
    let folder = machine.folder("bind");
    let config = format!(
        r#"
options {{
    directory "{folder}";
    listen-on {{ {RESOLVER}; }};
    listen-on-v6 {{ none; }};
    pid-file none;
    lock-file none;
    session-keyfile none;
    recursion yes;
    validate-except {{ "bl.example"; }};
    qname-minimization {minimisation};
}};
controls {{ }};
{zone}
"#,
        folder = folder.display()
    );
    let path = folder.join("named.conf");
    fs::write(&path, config).unwrap();
    machine.server(&program, &["-g", "-4", "-n", "1", "-c", path.to_str().unwrap()]);
    wait_ready(&mut machine, RESOLVER);
    Some(machine)
}

/// The zone as one to be asked by itself, at port 53.
const STUB: &str = r#"zone "bl.example" { type static-stub; server-addresses { 127.0.0.1; }; };"#;

#[test]
fn checklist_12_listed_stays_listed_behind_strict_bind() {
    let Some(machine) = start("strict", STUB) else { return };
    assert_listings(&machine, RESOLVER);
}

#[test]
fn checklist_12_listed_stays_listed_behind_bind_by_default() {
    let Some(machine) = start("relaxed", STUB) else { return };
    assert_listings(&machine, RESOLVER);
}

#[test]
fn checklist_12_listed_stays_listed_behind_bind_that_forwards() {
    let Some(machine) = start("relaxed", readme::block("forwarders")) else { return };
    assert_listings(&machine, RESOLVER);
}
