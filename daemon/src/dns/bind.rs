//! Bind: a UDP and a TCP socket on the same address and port.

use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use thiserror::Error;
use tokio::net::{TcpListener, UdpSocket};

/// Connections the kernel holds for us until they are accepted.
const BACKLOG: i32 = 1024;
/// How many free UDP ports to try until one is free for TCP as well.
const PORT_TRIES: usize = 32;

/// Why an address cannot be served.
#[derive(Debug, Error)]
#[error("cannot listen on {address} ({transport}): {}", self.advice())]
pub struct BindError {
    /// The address as configured.
    pub address: SocketAddr,
    /// Which of the two sockets.
    pub transport: SocketKind,
    /// What the system says.
    #[source]
    pub source: io::Error,
}

/// One of the two sockets at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// Datagrams.
    Udp,
    /// Connections.
    Tcp,
}

impl fmt::Display for SocketKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        })
    }
}

impl BindError {
    fn advice(&self) -> String {
        let port = self.address.port();
        match (self.source.kind(), self.transport) {
            (ErrorKind::AddrInUse, SocketKind::Udp) => {
                format!("in use; find the holder with `ss -lunp 'sport = :{port}'`")
            }
            (ErrorKind::AddrInUse, SocketKind::Tcp) => {
                format!("in use; find the holder with `ss -ltnp 'sport = :{port}'`")
            }
            (ErrorKind::AddrNotAvailable, _) => {
                "this host does not have the address; see `ip address`".to_owned()
            }
            (ErrorKind::PermissionDenied, _) if port < 1024 => {
                "ports below 1024 need CAP_NET_BIND_SERVICE; run as a service, or take a higher port"
                    .to_owned()
            }
            _ => "the system refuses".to_owned(),
        }
    }
}

/// The two sockets of one address, bound and not yet served.
#[derive(Debug)]
pub(super) struct Sockets {
    /// As asked for, port 0 included.
    pub(super) configured: SocketAddr,
    /// As bound.
    pub(super) local: SocketAddr,
    udp: std::net::UdpSocket,
    tcp: std::net::TcpListener,
}

impl Sockets {
    /// Binds both. For port 0 the system picks for UDP, and TCP follows or the next pick is tried.
    pub(super) fn bind(configured: SocketAddr) -> Result<Self, BindError> {
        let fail = |transport| move |source| BindError { address: configured, transport, source };
        let tries = if configured.port() == 0 { PORT_TRIES } else { 1 };
        let mut tried = 1;
        loop {
            let udp = bound(configured, SocketKind::Udp).map_err(fail(SocketKind::Udp))?;
            let udp = std::net::UdpSocket::from(udp);
            let local = udp.local_addr().map_err(fail(SocketKind::Udp))?;
            match bound(local, SocketKind::Tcp) {
                Ok(tcp) => return Ok(Self { configured, local, udp, tcp: tcp.into() }),
                Err(error) if error.kind() == ErrorKind::AddrInUse && tried < tries => tried += 1,
                Err(error) => return Err(fail(SocketKind::Tcp)(error)),
            }
        }
    }

    /// Hands both to the runtime.
    pub(super) fn into_tokio(self) -> Result<(UdpSocket, TcpListener), BindError> {
        let fail = |transport| move |source| BindError { address: self.configured, transport, source };
        let udp = UdpSocket::from_std(self.udp).map_err(fail(SocketKind::Udp))?;
        let tcp = TcpListener::from_std(self.tcp).map_err(fail(SocketKind::Tcp))?;
        Ok((udp, tcp))
    }
}

fn bound(address: SocketAddr, kind: SocketKind) -> io::Result<Socket> {
    let (ty, protocol) = match kind {
        SocketKind::Udp => (Type::DGRAM, Protocol::UDP),
        SocketKind::Tcp => (Type::STREAM, Protocol::TCP),
    };
    let socket = Socket::new(Domain::for_address(address), ty, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == SocketKind::Tcp {
        // Connections of an earlier run in TIME_WAIT must not block a restart. Not for UDP, where the option would
        // let a second daemon take the port unnoticed.
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if kind == SocketKind::Tcp {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn port_zero_is_the_same_port_for_both() {
        let sockets = Sockets::bind(local("127.0.0.1:0")).unwrap();
        assert_ne!(sockets.local.port(), 0);
        assert_eq!(sockets.udp.local_addr().unwrap(), sockets.local);
        assert_eq!(sockets.tcp.local_addr().unwrap(), sockets.local);
    }

    #[test]
    fn an_address_in_use_names_address_and_remedy() {
        let first = Sockets::bind(local("127.0.0.1:0")).unwrap();
        let error = Sockets::bind(first.local).unwrap_err();
        let port = first.local.port();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot listen on 127.0.0.1:{port} (udp): in use; find the holder with `ss -lunp 'sport = :{port}'`"
            )
        );
        let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let error = Sockets::bind(holder.local_addr().unwrap()).unwrap_err();
        assert_eq!((error.transport, error.source.kind()), (SocketKind::Tcp, ErrorKind::AddrInUse));
    }

    #[test]
    fn an_address_of_another_host_says_so() {
        let error = Sockets::bind(local("192.0.2.1:0")).unwrap_err();
        assert!(error.to_string().contains("does not have the address"), "{error}");
    }

    #[test]
    fn both_wildcards_share_a_port() {
        let v6 = Sockets::bind(local("[::]:0")).unwrap();
        let v4 = Sockets::bind(SocketAddr::from(([0, 0, 0, 0], v6.local.port()))).unwrap();
        assert_eq!(v4.local.port(), v6.local.port());
    }
}
