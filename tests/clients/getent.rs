//! The resolver of the C library, which programs without one of their own use.

use crate::dns::owner;
use crate::lists::{self, DOMAIN_ZONE, LISTED, LISTED_DOMAINS, UNLISTED, UNLISTED_DOMAINS, ZONE};
use crate::machine::{LISTEN, Machine};
use crate::programs::Program;

#[test]
fn the_c_library_finds_what_is_listed() {
    let Some(getent) = Program::find("usr/bin/getent") else { return };
    let Some(machine) = Machine::serving(lists::site(LISTEN)) else { return };
    // Where loopback addresses are the only ones it does not ask for any.
    machine.add_address("192.0.2.200");
    // The exit code 2 says that there is no such name.
    let ask = |name: String| {
        let output = machine.run(&getent, |command| {
            command.args(["ahostsv4", &name]);
        });
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code().unwrap(), said.split(' ').next().unwrap().to_owned())
    };
    let of_domain = |domain: &str| format!("{domain}.{DOMAIN_ZONE}");
    for listed in LISTED {
        assert_eq!(ask(owner(listed, ZONE)), (0, "127.0.0.2".to_owned()), "{listed}");
    }
    for listed in LISTED_DOMAINS {
        assert_eq!(ask(of_domain(listed)), (0, "127.0.1.2".to_owned()), "{listed}");
    }
    for unlisted in
        UNLISTED.map(|unlisted| owner(unlisted, ZONE)).into_iter().chain(UNLISTED_DOMAINS.map(of_domain))
    {
        assert_eq!(ask(unlisted.clone()), (2, String::new()), "{unlisted}");
    }
}
