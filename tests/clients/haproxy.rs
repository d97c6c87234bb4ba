//! haproxy, which has a resolver of its own and refuses web clients.

use crate::lists::{self, CODED, FOREIGN, UNLOADED, ZONE};
use crate::machine::{LISTEN, Machine};
use crate::programs::Program;
use crate::readme;
use std::fs;
use std::io::{Read, Write};

const SERVER: &str = "127.0.0.1:80";

/// The status line for a request from this loopback address; `None` if haproxy is not there yet.
fn get(machine: &Machine, from: &str) -> Option<String> {
    let mut stream = machine.connect(from, SERVER)?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    reply.lines().next().map(str::to_owned)
}

/// haproxy with the rules of the README for this zone, ready for requests.
fn start(zone: &str) -> Option<Machine> {
    let program = Program::find("usr/sbin/haproxy")?;
    let mut machine = Machine::serving(lists::site(LISTEN))?;
    let config = format!(
        r#"
defaults
    mode http
    timeout client 1m
    timeout connect 1m
    timeout server 1m

frontend web
    bind {SERVER}
{rules}
    timeout retry 1m

backend ours
    http-request return status 200
"#,
        // The backend that answers stands before the resolvers, which are the end of the block.
        rules = readme::block("do-resolve")
            .replace(ZONE, zone)
            .replace("\nresolvers", "\n    default_backend ours\n\nresolvers")
    );
    let path = machine.folder("haproxy").join("haproxy.cfg");
    fs::write(&path, config).unwrap();
    machine.server(&program, &["-f", path.to_str().unwrap()]);
    assert_eq!(machine.wait("the first reply", |machine| get(machine, "127.0.0.3")), "HTTP/1.1 200 OK");
    Some(machine)
}

#[test]
fn checklist_13_haproxy_refuses_the_listed_and_nobody_else() {
    let Some(machine) = start(ZONE) else { return };
    for _ in 0..2 {
        assert_eq!(get(&machine, "127.0.0.2").unwrap(), "HTTP/1.1 403 Forbidden");
        assert_eq!(get(&machine, "127.0.0.1").unwrap(), "HTTP/1.1 200 OK");
    }
}

#[test]
fn checklist_13_haproxy_accepts_all_while_a_list_refuses_or_fails_or_says_who_asks_is_not_welcome() {
    for zone in [FOREIGN, UNLOADED, CODED] {
        let Some(machine) = start(zone) else { return };
        assert_eq!(get(&machine, "127.0.0.2").unwrap(), "HTTP/1.1 200 OK", "{zone}");
    }
}
