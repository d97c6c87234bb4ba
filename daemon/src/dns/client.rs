//! Client: asks a server over UDP which codes a zone has for an address. For checks of our own port.

use crate::core::query::option;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{Name, RData, RecordType};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

/// Wait for each try.
const TRY: Duration = Duration::from_secs(1);
/// Tries, because datagrams may be lost.
const TRIES: usize = 3;
/// Octets of a reply, more than it says it takes.
const MAX_REPLY: usize = 4096;

/// What a zone says of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Its codes, ascending; none: not listed.
    Codes(Vec<Ipv4Addr>),
    /// An error, by name, such as `SERVFAIL`.
    Failure(String),
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codes(codes) if codes.is_empty() => f.write_str("not listed"),
            Self::Codes(codes) => {
                let codes: Vec<String> = codes.iter().map(ToString::to_string).collect();
                f.write_str(&codes.join(" "))
            }
            Self::Failure(name) => f.write_str(name),
        }
    }
}

/// A socket of its own, connected to one server.
#[derive(Debug)]
pub struct Client {
    socket: UdpSocket,
    server: SocketAddr,
    /// Tells the server, if it is ours, that it asks itself.
    pass: Option<[u8; 16]>,
}

impl Client {
    /// For the server behind a listening address; a wildcard is asked at its loopback address. With the pass of our own
    /// server ([`super::serving::Seeds::pass`]) it is answered whoever else is, and counted nowhere.
    ///
    /// # Errors
    /// When no socket can be had.
    pub async fn connect(listening: SocketAddr, pass: Option<[u8; 16]>) -> io::Result<Self> {
        let mut server = listening;
        if server.ip().is_unspecified() {
            server.set_ip(match listening {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        // From the address asked: a question to ourselves never leaves the host. One that has moved to another host cannot
        // be asked.
        let socket = UdpSocket::bind(SocketAddr::new(server.ip(), 0)).await?;
        socket.connect(server).await?;
        Ok(Self { socket, server, pass })
    }

    /// The server asked.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// Asks for the A records of `address` in `zone`, a name without the final dot. `id` should differ from question to
    /// question.
    ///
    /// # Errors
    /// When there is no answer after three tries of a second each, or none can be sent.
    pub async fn codes(&self, zone: &str, address: IpAddr, id: u16) -> io::Result<Said> {
        self.codes_at(&owner(zone, address), id).await
    }

    /// The same for a name, given whole, without the final dot.
    ///
    /// # Errors
    /// As for [`Self::codes`], and when it is no name.
    pub async fn codes_at(&self, name: &str, id: u16) -> io::Result<Said> {
        let name = Name::from_ascii(format!("{name}.")).map_err(io::Error::other)?;
        let mut question = Message::new(id, MessageType::Query, OpCode::Query);
        question.add_query(Query::query(name, RecordType::A));
        if let Some(pass) = self.pass {
            let option = EdnsOption::Unknown(option::PASS, pass.to_vec());
            question.edns.get_or_insert_default().options_mut().insert(option);
        }
        let octets = question.to_vec().map_err(io::Error::other)?;
        for _ in 0..TRIES {
            self.socket.send(&octets).await?;
            if let Some(reply) = self.reply(&question).await? {
                return Ok(said(&reply));
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer after {TRIES} tries")))
    }

    /// The reply to this question; others, such as late ones, are passed over. `None` when it does not come in time.
    async fn reply(&self, question: &Message) -> io::Result<Option<Message>> {
        let deadline = Instant::now() + TRY;
        let mut octets = [0; MAX_REPLY];
        loop {
            let Ok(received) = timeout_at(deadline, self.socket.recv(&mut octets)).await else {
                return Ok(None);
            };
            let Ok(reply) = Message::from_vec(octets.get(..received?).unwrap_or_default()) else { continue };
            let fits = reply.metadata.id == question.metadata.id
                && reply.metadata.message_type == MessageType::Response
                && reply.queries == question.queries;
            if fits {
                return Ok(Some(reply));
            }
        }
    }
}

fn said(reply: &Message) -> Said {
    match reply.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {
            let code = |data: &RData| match data {
                RData::A(code) => Some(code.0),
                _ => None,
            };
            let mut codes: Vec<Ipv4Addr> = reply.answers.iter().filter_map(|r| code(&r.data)).collect();
            codes.sort_unstable();
            Said::Codes(codes)
        }
        ResponseCode::ServFail => Said::Failure("SERVFAIL".to_owned()),
        ResponseCode::Refused => Said::Failure("REFUSED".to_owned()),
        other => Said::Failure(other.to_string()),
    }
}

/// The name to ask for: octets or nibbles reversed, then the zone (RFC 5782 sections 2.1 and 2.4).
fn owner(zone: &str, address: IpAddr) -> String {
    let labels: Vec<String> = match address {
        IpAddr::V4(v4) => v4.octets().iter().rev().map(ToString::to_string).collect(),
        IpAddr::V6(v6) => format!("{:032x}", u128::from(v6)).chars().rev().map(String::from).collect(),
    };
    format!("{}.{zone}", labels.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Dns;
    use crate::core::fixture::{generation, zone};
    use crate::dns::DnsServer;
    use crate::dns::serving::Serving;
    use crate::live::Live;
    use std::sync::Arc;

    #[tokio::test]
    async fn it_hears_what_the_server_says() {
        let zones = [
            zone("bl.example", &[(0, "127.0.0.4", ""), (1, "127.0.0.3", "")]),
            zone("new.example", &[(1, "127.0.0.2", "")]),
        ];
        let mut generation =
            generation(&zones, &[(0, "192.0.2.0/24"), (1, "192.0.2.7"), (0, "2001:db8::/32")]);
        generation.zones[1].loaded = false;
        let live = Live::default();
        live.publish(Arc::new(generation));
        for listen in ["0.0.0.0:0", "[::1]:0"] {
            let workers = Some(std::num::NonZeroUsize::MIN);
            let dns = Dns { listen: vec![listen.parse().unwrap()], workers, ..Dns::default() };
            let bound = DnsServer::bind(&dns).unwrap();
            let server = bound.serve(live.clone(), Arc::default(), Serving::default()).unwrap();
            let client = Client::connect(server.local_addrs()[0], None).await.unwrap();
            assert!(client.server().ip().is_loopback());
            for (id, zone, address, expected) in [
                (1, "bl.example", "192.0.2.7", "127.0.0.3 127.0.0.4"),
                (2, "bl.example", "192.0.2.8", "127.0.0.4"),
                (3, "bl.example", "2001:db8::1", "127.0.0.4"),
                (4, "bl.example", "192.0.3.0", "not listed"),
                (5, "bl.example", "2001:db9::", "not listed"),
                (6, "new.example", "192.0.2.7", "SERVFAIL"),
                (7, "other.example", "192.0.2.7", "REFUSED"),
            ] {
                let said = client.codes(zone, address.parse().unwrap(), id).await.unwrap();
                assert_eq!(said.to_string(), expected, "{zone} {address} at {listen}");
            }
        }
    }

    #[tokio::test]
    async fn silence_ends() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let client = Client::connect(silent.local_addr().unwrap(), None).await.unwrap();
        tokio::time::pause();
        let error = client.codes("bl.example", [192, 0, 2, 1].into(), 1).await.unwrap_err();
        assert_eq!(error.to_string(), "no answer after 3 tries");
    }

    #[tokio::test]
    async fn replies_to_other_questions_are_passed_over() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let client = Client::connect(server.local_addr().unwrap(), None).await.unwrap();
        let answering = async {
            let mut query = [0; 512];
            let (len, from) = server.recv_from(&mut query).await.unwrap();
            let mut wrong = query[..len].to_vec();
            // A reply, but to id 8; then garbage; then the right one, REFUSED.
            (wrong[1], wrong[2], wrong[3]) = (8, 0x80, 5);
            server.send_to(&wrong, from).await.unwrap();
            server.send_to(b"x", from).await.unwrap();
            wrong[1] = 7;
            server.send_to(&wrong, from).await.unwrap();
        };
        let ((), said) = tokio::join!(answering, client.codes("bl.example", [192, 0, 2, 1].into(), 7));
        assert_eq!(said.unwrap(), Said::Failure("REFUSED".to_owned()));
    }
}
