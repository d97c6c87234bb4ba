//! Datagrams over a [`Cable`], from a source that is listed and from one that is not: which of them arrive?
#![expect(clippy::unwrap_used, reason = "test support: a step that fails ends the test")]

use crate::netns::Cable;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// One family's sockets: two senders at the peer and the receiver at the host.
#[derive(Debug)]
pub struct Line {
    listed: UdpSocket,
    clean: UdpSocket,
    receiver: UdpSocket,
}

impl Line {
    /// From 198.51.100.66, to be listed, and 198.51.100.2, which is not.
    pub fn v4(cable: &Cable) -> Self {
        Self::from(cable, "198.51.100.66")
    }

    /// From 2001:db8:1::66, to be listed, and 2001:db8:1::2, which is not.
    pub fn v6(cable: &Cable) -> Self {
        Self::from(cable, "2001:db8:1::66")
    }

    /// From `listed`, which is to be listed and an address of the peer, and from the clean address of its family.
    pub fn from(cable: &Cable, listed: &str) -> Self {
        if listed.contains(':') {
            Self::new(cable, listed, "2001:db8:1::2", "2001:db8:1::1")
        } else {
            Self::new(cable, listed, "198.51.100.2", "198.51.100.1")
        }
    }

    fn new(cable: &Cable, listed: &str, clean: &str, host: &str) -> Self {
        let bind = |address: &str| UdpSocket::bind(SocketAddr::new(address.parse().unwrap(), 0)).unwrap();
        let receiver = cable.host.enter(|| bind(host));
        receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (listed, clean) = cable.peer.enter(|| (bind(listed), bind(clean)));
        let target = receiver.local_addr().unwrap();
        listed.connect(target).unwrap();
        clean.connect(target).unwrap();
        Self { listed, clean, receiver }
    }

    /// Sends from the listed source, then from the clean one, and says which arrive. The cable keeps the order, so the
    /// clean datagram says that the listed one is not still on its way. Rounds are told apart by `number`, below 2^31.
    ///
    /// # Panics
    /// When the clean datagram does not arrive.
    pub fn arrivals(&self, number: u32) -> Vec<&'static str> {
        self.listed.send(&(number << 1).to_be_bytes()).unwrap();
        self.clean.send(&(number << 1 | 1).to_be_bytes()).unwrap();
        let mut arrived = Vec::new();
        loop {
            let mut bytes = [0; 4];
            assert_eq!(self.receiver.recv(&mut bytes).unwrap(), 4);
            let received = u32::from_be_bytes(bytes);
            assert_eq!(received >> 1, number, "a datagram of an earlier round");
            if received & 1 == 1 {
                arrived.push("clean");
                return arrived;
            }
            arrived.push("listed");
        }
    }
}
