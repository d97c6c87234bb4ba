//! Bind: UDP and TCP sockets on the same address and port.

use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use thiserror::Error;

/// Connections the kernel holds for us until they are accepted.
const BACKLOG: i32 = 1024;
/// Octets of datagrams the kernel holds for a worker.
const RECEIVE_BUFFER: usize = 1 << 20;
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

/// The sockets of one address, bound and not yet served.
#[derive(Debug)]
pub(super) struct Sockets {
    /// As asked for, port 0 included.
    pub(super) configured: SocketAddr,
    /// As bound.
    pub(super) local: SocketAddr,
    /// One for each worker.
    pub(super) udp: Vec<UdpSocket>,
    tcp: TcpListener,
}

impl Sockets {
    /// Binds all. For port 0 the system picks for UDP, and the others follow or the next pick is tried.
    pub(super) fn bind(configured: SocketAddr, workers: NonZeroUsize) -> Result<Self, BindError> {
        let fail = |transport| move |source| BindError { address: configured, transport, source };
        let tries = if configured.port() == 0 { PORT_TRIES } else { 1 };
        let mut tried = 1;
        loop {
            let udp = bound_udp(configured, workers).map_err(fail(SocketKind::Udp))?;
            let local = udp[0].local_addr().map_err(fail(SocketKind::Udp))?;
            match bound(local, SocketKind::Tcp) {
                Ok(tcp) => return Ok(Self { configured, local, udp, tcp: tcp.into() }),
                Err(error) if error.kind() == ErrorKind::AddrInUse && tried < tries => tried += 1,
                Err(error) => return Err(fail(SocketKind::Tcp)(error)),
            }
        }
    }

    /// The UDP sockets, and the other one for the runtime.
    pub(super) fn into_parts(self) -> Result<(Vec<UdpSocket>, tokio::net::TcpListener), BindError> {
        let fail = |source| BindError { address: self.configured, transport: SocketKind::Tcp, source };
        let tcp = tokio::net::TcpListener::from_std(self.tcp).map_err(fail)?;
        Ok((self.udp, tcp))
    }
}

/// A UDP socket for each worker, at least one.
fn bound_udp(address: SocketAddr, workers: NonZeroUsize) -> io::Result<Vec<UdpSocket>> {
    // The first is bound as if it were alone, so that a second daemon cannot take the port unnoticed.
    let first = bound(address, SocketKind::Udp)?;
    let mut sockets = vec![first];
    if workers.get() > 1 {
        sockets[0].set_reuse_port(true)?;
        let local = sockets[0].local_addr()?.as_socket().unwrap_or(address);
        for _ in 1..workers.get() {
            let socket = unbound(local, SocketKind::Udp)?;
            socket.set_reuse_port(true)?;
            socket.bind(&local.into())?;
            sockets.push(socket);
        }
    }
    for socket in &sockets {
        prepare_udp(socket, address)?;
    }
    Ok(sockets.into_iter().map(UdpSocket::from).collect())
}

/// What the way of a reply depends on.
fn prepare_udp(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    // Bursts wait here while a worker is busy. The system may allow less.
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    // No packet from outside can make replies shrink; they are below what every path takes.
    let (level, discover, omit, info) = if address.is_ipv4() {
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT, libc::IP_PKTINFO)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT, libc::IPV6_RECVPKTINFO)
    };
    set_option(socket, level, discover, omit)?;
    // Which of our addresses was asked is only in question if the socket has none of its own.
    if address.ip().is_unspecified() { set_option(socket, level, info, 1) } else { Ok(()) }
}

fn set_option(socket: &Socket, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the pointer is to a live integer of the stated size, which the call only reads.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn bound(address: SocketAddr, kind: SocketKind) -> io::Result<Socket> {
    let socket = unbound(address, kind)?;
    socket.bind(&address.into())?;
    if kind == SocketKind::Tcp {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

fn unbound(address: SocketAddr, kind: SocketKind) -> io::Result<Socket> {
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
        socket.set_nonblocking(true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NonZeroUsize = NonZeroUsize::MIN;

    fn local(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn port_zero_is_the_same_port_for_both() {
        let sockets = Sockets::bind(local("127.0.0.1:0"), ONE).unwrap();
        assert_ne!(sockets.local.port(), 0);
        assert_eq!(sockets.udp[0].local_addr().unwrap(), sockets.local);
        assert_eq!(sockets.tcp.local_addr().unwrap(), sockets.local);
    }

    #[test]
    fn an_address_in_use_names_address_and_remedy() {
        let first = Sockets::bind(local("127.0.0.1:0"), ONE).unwrap();
        let error = Sockets::bind(first.local, ONE).unwrap_err();
        let port = first.local.port();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot listen on 127.0.0.1:{port} (udp): in use; find the holder with `ss -lunp 'sport = :{port}'`"
            )
        );
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = Sockets::bind(holder.local_addr().unwrap(), ONE).unwrap_err();
        assert_eq!((error.transport, error.source.kind()), (SocketKind::Tcp, ErrorKind::AddrInUse));
    }

    #[test]
    fn workers_share_a_port_that_a_second_daemon_does_not_get() {
        let four = NonZeroUsize::new(4).unwrap();
        let sockets = Sockets::bind(local("[::1]:0"), four).unwrap();
        let ports: Vec<_> = sockets.udp.iter().map(|udp| udp.local_addr().unwrap()).collect();
        assert_eq!(ports, [sockets.local; 4]);
        for workers in [ONE, four] {
            let error = Sockets::bind(sockets.local, workers).unwrap_err();
            assert_eq!((error.transport, error.source.kind()), (SocketKind::Udp, ErrorKind::AddrInUse));
        }
    }

    #[test]
    fn an_address_of_another_host_says_so() {
        let error = Sockets::bind(local("192.0.2.1:0"), ONE).unwrap_err();
        assert!(error.to_string().contains("does not have the address"), "{error}");
    }

    #[test]
    fn both_wildcards_share_a_port() {
        let v6 = Sockets::bind(local("[::]:0"), ONE).unwrap();
        let v4 = Sockets::bind(SocketAddr::from(([0, 0, 0, 0], v6.local.port())), ONE).unwrap();
        assert_eq!(v4.local.port(), v6.local.port());
    }
}
