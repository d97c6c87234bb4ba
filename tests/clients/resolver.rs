//! Asks a resolver on a machine, as a mail server would: recursion desired, no EDNS.

use crate::dns::{owner, question, said};
use crate::harness::PATIENCE;
use crate::lists::{DOMAIN_ZONE, LISTED, LISTED_DOMAINS, UNLISTED, UNLISTED_DOMAINS, ZONE, text};
use crate::machine::Machine;
use hickory_proto::op::Message;
use hickory_proto::rr::RecordType::{self, A, TXT};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How long one try may take while the resolver starts.
const TRY: Duration = Duration::from_secs(2);

/// Waits until the resolver at port 53 of `address` answers anything.
pub(crate) fn wait_ready(machine: &mut Machine, address: &str) {
    machine.wait("the first answer of the resolver", |machine| {
        ask(machine, address, ZONE, RecordType::SOA, TRY)
    });
}

/// What the resolver says of a name, as [`said`].
pub(crate) fn resolve(machine: &Machine, address: &str, name: &str, kind: RecordType) -> String {
    let reply = ask(machine, address, name, kind, PATIENCE);
    said(&reply.unwrap_or_else(|| panic!("no reply of {address} to {name} {kind}")))
}

/// Asks for everything in the lists: listed stays listed, with code and text, and nothing else is.
pub(crate) fn assert_listings(machine: &Machine, address: &str) {
    let of_domain = |domain| format!("{domain}.{DOMAIN_ZONE}");
    let listed = LISTED.map(|listed| (listed, owner(listed, ZONE), "127.0.0.2"));
    let domains = LISTED_DOMAINS.map(|listed| (listed, of_domain(listed), "127.0.1.2"));
    for (listed, name, code) in listed.iter().chain(&domains) {
        assert_eq!(resolve(machine, address, name, A), *code, "{listed}");
        assert_eq!(resolve(machine, address, name, TXT), text(listed), "{listed}");
    }
    let unlisted = UNLISTED.map(|unlisted| owner(unlisted, ZONE));
    for name in unlisted.iter().chain(&UNLISTED_DOMAINS.map(of_domain)) {
        for kind in [A, TXT] {
            assert_eq!(resolve(machine, address, name, kind), "NXDOMAIN", "{name}");
        }
    }
}

/// The reply to one question, if it comes in `time`.
fn ask(machine: &Machine, address: &str, name: &str, kind: RecordType, time: Duration) -> Option<Message> {
    let server = SocketAddr::new(address.parse().unwrap(), 53);
    let mut message = question(name, kind);
    message.metadata.recursion_desired = true;
    let asked = message.to_vec().unwrap();
    let socket = machine.enter(|| UdpSocket::bind("127.0.0.1:0").unwrap());
    socket.connect(server).unwrap();
    // Refused where nobody listens yet.
    socket.send(&asked).ok()?;
    let deadline = Instant::now() + time;
    let mut reply = vec![0; 65_536];
    loop {
        socket.set_read_timeout(Some(deadline.checked_duration_since(Instant::now())?)).unwrap();
        let len = socket.recv(&mut reply).ok()?;
        if reply[..2] == asked[..2] {
            return Some(Message::from_vec(&reply[..len]).unwrap());
        }
    }
}
