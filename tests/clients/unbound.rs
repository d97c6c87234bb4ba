//! unbound between us and the mail server. It asks for parts of names before the whole (RFC 9156), strictly: where it
//! hears NXDOMAIN it stops. And it spells names in random case, and wants them back so.

use crate::harness::Site;
use crate::lists;
use crate::machine::{LISTEN, Machine};
use crate::programs::Program;
use crate::readme;
use crate::resolver::{assert_listings, wait_ready};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

const RESOLVER: &str = "127.0.0.11";

/// unbound at an address of its own, with these settings beside those of the README.
fn start(settings: &str) -> Option<Machine> {
    start_beside(lists::site(LISTEN), settings, readme::block("stub-zone"))
}

/// The same beside a daemon of this site, with what it has to know of a zone.
fn start_beside(site: Site, settings: &str, zone: &str) -> Option<Machine> {
    let program = Program::find("usr/sbin/unbound")?;
    let mut machine = Machine::serving(site)?;
    let folder = machine.folder("unbound");
    let config = format!(
        r#"
server:
    interface: {RESOLVER}
    access-control: 127.0.0.0/8 allow
    chroot: ""
    directory: "{folder}"
    do-daemonize: no
    logfile: ""
    pidfile: ""
    use-syslog: no
    username: ""
    verbosity: 2
    module-config: "iterator"
    {settings}
{zones}
"#,
        folder = folder.display(),
        zones = lists::both_zones(zone)
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

#[test]
fn a_resolver_over_the_limit_comes_back_by_tcp_and_hears_the_same() {
    // Of the replies suppressed, all are cut and none is left out.
    let limit = "[dns.rate_limit]\nanswers_per_second = 1\nslip = 1";
    let site = lists::site(&format!("{LISTEN}\n{limit}"));
    let Some(machine) = start_beside(site, "qname-minimisation-strict: yes", readme::block("stub-zone"))
    else {
        return;
    };
    assert_listings(&machine, RESOLVER);
    let (_, status) = machine.site().json(&["status"]);
    assert!(status["dns"]["tcp"].as_u64().unwrap() > 20, "{status:#}");
}

#[test]
fn checklist_12_listed_stays_listed_when_a_resolver_asks_over_ipv6() {
    let zone = readme::block("stub-zone").replace("127.0.0.1@5300", "::1@5300");
    let settings = "qname-minimisation-strict: yes\n use-caps-for-id: yes";
    let Some(machine) = start_beside(lists::site(LISTEN), settings, &zone) else { return };
    assert_listings(&machine, RESOLVER);
}

#[test]
fn listed_stays_listed_when_a_resolver_asks_over_tls() {
    let keys = "certificate = \"tls.pem\"\nkey = \"key.pem\"";
    let site = lists::site(&format!("{LISTEN}\n[dns.tls]\nlisten = [\"127.0.0.1:853\"]\n{keys}"));
    let pair = rcgen::generate_simple_self_signed(vec!["dns.example".to_owned()]).unwrap();
    site.write("tls.pem", pair.cert.pem());
    site.write("key.pem", pair.signing_key.serialize_pem());
    // Nobody else may read it.
    fs::set_permissions(site.path("key.pem"), Permissions::from_mode(0o600)).unwrap();
    let settings = format!(
        "qname-minimisation-strict: yes\n use-caps-for-id: yes\n tls-cert-bundle: \"{}\"",
        site.path("tls.pem").display()
    );
    let zone = readme::block("stub-zone").replace("@5300", "@853#dns.example\n    stub-tls-upstream: yes");
    let Some(machine) = start_beside(site, &settings, &zone) else { return };
    assert_listings(&machine, RESOLVER);
    let (_, status) = machine.site().json(&["status"]);
    assert!(status["dns"]["tls"].as_u64().unwrap() > 20, "{status:#}");
}
