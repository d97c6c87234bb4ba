//! Bind: the sockets of each endpoint. Plain DNS has UDP and TCP on the same address and port, the encrypted services one
//! of them.

use crate::config::Dns;
use serde::{Deserialize, Serialize};
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

/// How DNS is spoken at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// UDP and TCP.
    Plain,
    /// TLS.
    Tls,
    /// HTTPS.
    Https,
    /// QUIC.
    Quic,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "udp and tcp",
            Self::Tls => "tls",
            Self::Https => "https",
            Self::Quic => "quic",
        })
    }
}

/// An address and what is spoken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// What is spoken.
    pub service: Service,
    /// Where.
    pub address: SocketAddr,
}

impl Endpoint {
    /// The endpoints of a configuration, each once, plain ones first.
    pub(super) fn all(dns: &Dns) -> Vec<Self> {
        let mut endpoints = Vec::new();
        for (service, addresses) in [
            (Service::Plain, &dns.listen),
            (Service::Tls, &dns.tls),
            (Service::Https, &dns.https),
            (Service::Quic, &dns.quic),
        ] {
            for &address in addresses {
                let endpoint = Self { service, address };
                if !endpoints.contains(&endpoint) {
                    endpoints.push(endpoint);
                }
            }
        }
        endpoints
    }
}

/// Why an address cannot be served.
#[derive(Debug, Error)]
#[error("cannot listen on {address} ({transport}): {}", self.advice())]
pub struct BindError {
    /// The address as configured.
    pub address: SocketAddr,
    /// Which kind of socket.
    pub transport: SocketKind,
    /// What the system says.
    #[source]
    pub source: io::Error,
}

/// A kind of socket.
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

/// The sockets of one endpoint, bound and not yet served.
#[derive(Debug)]
pub(super) struct Sockets {
    /// As asked for, port 0 included.
    pub(super) configured: Endpoint,
    /// As bound.
    pub(super) local: SocketAddr,
    pub(super) kind: Kind,
}

/// What an endpoint needs.
#[derive(Debug)]
pub(super) enum Kind {
    /// One UDP socket for each worker, and one for connections.
    Plain(Vec<UdpSocket>, TcpListener),
    Tls(TcpListener),
    Https(TcpListener),
    Quic(UdpSocket),
}

impl Sockets {
    /// Binds what the service needs.
    pub(super) fn bind(configured: Endpoint, workers: NonZeroUsize) -> Result<Self, BindError> {
        let Endpoint { service, address } = configured;
        let (local, kind) = match service {
            Service::Plain => {
                let (local, udp, tcp) = bound_pair(address, workers)?;
                (local, Kind::Plain(udp, tcp))
            }
            Service::Tls | Service::Https => {
                let (local, tcp) = bound_tcp(address)?;
                (local, if service == Service::Tls { Kind::Tls(tcp) } else { Kind::Https(tcp) })
            }
            Service::Quic => {
                let fail = |source| BindError { address, transport: SocketKind::Udp, source };
                let udp = UdpSocket::from(bound(address, SocketKind::Udp).map_err(fail)?);
                (udp.local_addr().map_err(fail)?, Kind::Quic(udp))
            }
        };
        Ok(Self { configured, local, kind })
    }
}

/// Binds both kinds at one port. For port 0 the system picks for UDP, and TCP follows or the next pick is tried.
fn bound_pair(
    address: SocketAddr,
    workers: NonZeroUsize,
) -> Result<(SocketAddr, Vec<UdpSocket>, TcpListener), BindError> {
    let fail = |transport| move |source| BindError { address, transport, source };
    let tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    let mut tried = 1;
    loop {
        let udp = bound_udp(address, workers).map_err(fail(SocketKind::Udp))?;
        let local = udp[0].local_addr().map_err(fail(SocketKind::Udp))?;
        match bound(local, SocketKind::Tcp) {
            Ok(tcp) => return Ok((local, udp, tcp.into())),
            Err(error) if error.kind() == ErrorKind::AddrInUse && tried < tries => tried += 1,
            Err(error) => return Err(fail(SocketKind::Tcp)(error)),
        }
    }
}

fn bound_tcp(address: SocketAddr) -> Result<(SocketAddr, TcpListener), BindError> {
    let fail = |source| BindError { address, transport: SocketKind::Tcp, source };
    let tcp = TcpListener::from(bound(address, SocketKind::Tcp).map_err(fail)?);
    Ok((tcp.local_addr().map_err(fail)?, tcp))
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

    fn bind(address: SocketAddr, workers: NonZeroUsize) -> Result<Sockets, BindError> {
        Sockets::bind(Endpoint { service: Service::Plain, address }, workers)
    }

    fn udp(sockets: &Sockets) -> Vec<SocketAddr> {
        let Kind::Plain(udp, _) = &sockets.kind else { panic!("{sockets:?}") };
        udp.iter().map(|udp| udp.local_addr().unwrap()).collect()
    }

    #[test]
    fn port_zero_is_the_same_port_for_both() {
        let sockets = bind(local("127.0.0.1:0"), ONE).unwrap();
        assert_ne!(sockets.local.port(), 0);
        assert_eq!(udp(&sockets), [sockets.local]);
        let Kind::Plain(_, tcp) = &sockets.kind else { panic!("{sockets:?}") };
        assert_eq!(tcp.local_addr().unwrap(), sockets.local);
    }

    #[test]
    fn an_address_in_use_names_address_and_remedy() {
        let first = bind(local("127.0.0.1:0"), ONE).unwrap();
        let error = bind(first.local, ONE).unwrap_err();
        let port = first.local.port();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot listen on 127.0.0.1:{port} (udp): in use; find the holder with `ss -lunp 'sport = :{port}'`"
            )
        );
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = bind(holder.local_addr().unwrap(), ONE).unwrap_err();
        assert_eq!((error.transport, error.source.kind()), (SocketKind::Tcp, ErrorKind::AddrInUse));
    }

    #[test]
    fn workers_share_a_port_that_a_second_daemon_does_not_get() {
        let four = NonZeroUsize::new(4).unwrap();
        let sockets = bind(local("[::1]:0"), four).unwrap();
        assert_eq!(udp(&sockets), [sockets.local; 4]);
        for workers in [ONE, four] {
            let error = bind(sockets.local, workers).unwrap_err();
            assert_eq!((error.transport, error.source.kind()), (SocketKind::Udp, ErrorKind::AddrInUse));
        }
    }

    #[test]
    fn an_address_of_another_host_says_so() {
        let error = bind(local("192.0.2.1:0"), ONE).unwrap_err();
        assert!(error.to_string().contains("does not have the address"), "{error}");
    }

    #[test]
    fn both_wildcards_share_a_port() {
        let v6 = bind(local("[::]:0"), ONE).unwrap();
        let v4 = bind(SocketAddr::from(([0, 0, 0, 0], v6.local.port())), ONE).unwrap();
        assert_eq!(v4.local.port(), v6.local.port());
    }

    #[test]
    fn an_encrypted_service_has_the_socket_it_needs() {
        for service in [Service::Tls, Service::Https, Service::Quic] {
            let bind = |address| Sockets::bind(Endpoint { service, address }, ONE);
            let sockets = bind(local("127.0.0.1:0")).unwrap();
            assert_ne!(sockets.local.port(), 0);
            let error = bind(sockets.local).unwrap_err();
            let kind = if service == Service::Quic { SocketKind::Udp } else { SocketKind::Tcp };
            assert_eq!((error.transport, error.source.kind()), (kind, ErrorKind::AddrInUse), "{service}");
        }
    }

    #[test]
    fn endpoints_come_once_each_and_services_may_share_a_port() {
        let (a, b) = (local("127.0.0.1:853"), local("[::1]:853"));
        let dns = Dns { listen: vec![a, b, a], tls: vec![], quic: vec![b], https: vec![a], ..Dns::default() };
        let shown: Vec<String> =
            Endpoint::all(&dns).iter().map(|e| format!("{} {}", e.address, e.service)).collect();
        assert_eq!(
            shown,
            ["127.0.0.1:853 udp and tcp", "[::1]:853 udp and tcp", "127.0.0.1:853 https", "[::1]:853 quic"]
        );
    }
}
