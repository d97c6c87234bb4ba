//! BIND between us and the mail server. It asks for parts of names by NS, and sends cookies.

use crate::harness::Site;
use crate::lists::{self, DOMAIN_ZONE, ZONE};
use crate::machine::{LISTEN, Machine};
use crate::programs::Program;
use crate::readme;
use crate::resolver::{assert_listings, wait_ready};
use std::fs;

const RESOLVER: &str = "127.0.0.12";

/// BIND with this option and this zone, beside a daemon of this site.
fn start(site: Site, option: &str, zone: &str) -> Option<Machine> {
    let program = Program::find("usr/sbin/named")?;
    let mut machine = Machine::serving(site)?;
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
    validate-except {{ "{ZONE}"; "{DOMAIN_ZONE}"; }};
    {option}
}};
controls {{ }};
{zones}
"#,
        folder = folder.display(),
        zones = lists::both_zones(zone)
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
    let Some(machine) = start(lists::site(LISTEN), "qname-minimization strict;", STUB) else { return };
    assert_listings(&machine, RESOLVER);
}

#[test]
fn checklist_12_listed_stays_listed_behind_bind_by_default() {
    let Some(machine) = start(lists::site(LISTEN), "qname-minimization relaxed;", STUB) else { return };
    assert_listings(&machine, RESOLVER);
}

#[test]
fn checklist_12_listed_stays_listed_behind_bind_that_forwards() {
    let Some(machine) =
        start(lists::site(LISTEN), "qname-minimization relaxed;", readme::block("forwarders"))
    else {
        return;
    };
    assert_listings(&machine, RESOLVER);
}

/// A secret for cookies.
const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";

#[test]
fn checklist_9_bind_and_the_daemon_take_the_cookies_of_each_other() {
    let Some(dig) = Program::find("usr/bin/dig") else { return };
    let listen = format!("{LISTEN}\ncookie_secrets = \"secrets.txt\"");
    let site = lists::site(&listen);
    site.write("secrets.txt", format!("{SECRET}\n"));
    let options = format!(
        "cookie-algorithm siphash24; cookie-secret \"{SECRET}\"; answer-cookie yes; require-server-cookie yes;"
    );
    let Some(machine) = start(site, &options, STUB) else { return };
    let ask = |server: &str, cookie: &str| {
        let output = machine.run(&dig, |command| {
            command.args(["-r", "-b", "127.0.0.1", &format!("@{server}"), &format!("+cookie={cookie}")]);
            command.args(["+nobadcookie", "+tries=1", "+time=60", "bl.example", "soa"]);
        });
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let given = |shown: &str| {
        let line = shown
            .lines()
            .find_map(|line| line.strip_prefix("; COOKIE: "))
            .unwrap_or_else(|| panic!("{shown}"));
        line.strip_suffix(" (good)").unwrap_or_else(|| panic!("{shown}")).to_owned()
    };
    let valid = || machine.site().json(&["status"]).1["dns"]["cookies"]["valid"].as_u64().unwrap();

    let ours = given(&ask("127.0.0.1", "0102030405060708"));
    assert_eq!(ours.len(), 48, "{ours}");
    let taken = ask(RESOLVER, &ours);
    assert!(taken.contains("status: NOERROR"), "{taken}");
    let refused = ask(RESOLVER, "1112131415161718");
    assert!(refused.contains("status: BADCOOKIE"), "{refused}");

    let before = valid();
    let theirs = given(&refused);
    ask("127.0.0.1", &theirs);
    assert_eq!(valid(), before + 1, "{theirs}");
    ask("127.0.0.1", &theirs.replace("1112131415161718", "2112131415161718"));
    assert_eq!(valid(), before + 1, "of another client");
}
