//! A DNS client that believes nothing: every reply must fit its question, and says in one short text what it says.

use crate::harness::PATIENCE;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// The address every zone of a test lists, and the code it has there.
pub(crate) const TEST_ENTRY: &str = "127.0.0.2";

/// Asks one server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dns {
    server: SocketAddr,
}

impl Dns {
    pub(crate) fn new(server: SocketAddr) -> Self {
        Self { server }
    }

    /// What the zone says about an address, as [`said`].
    pub(crate) fn about(&self, address: &str, zone: &str) -> String {
        said(&self.ask(&owner(address, zone), RecordType::A))
    }

    /// Asks over UDP without EDNS.
    pub(crate) fn ask(&self, name: &str, kind: RecordType) -> Message {
        self.udp(&question(name, kind))
    }

    /// Asks over TCP without EDNS.
    pub(crate) fn ask_tcp(&self, name: &str, kind: RecordType) -> Message {
        let mut connection = Tcp::connect(self.server);
        let question = question(name, kind);
        connection.send(&question);
        checked(&question, &connection.receive())
    }

    /// Asks over UDP with EDNS and room for this many octets.
    pub(crate) fn ask_edns(&self, name: &str, kind: RecordType, room: u16) -> Message {
        let mut question = question(name, kind);
        let mut edns = Edns::new();
        edns.set_max_payload(room).set_version(0);
        question.set_edns(edns);
        self.udp(&question)
    }

    /// The text that a server says of itself under this name of class CH.
    pub(crate) fn ask_chaos(&self, name: &str) -> String {
        let mut question = question(name, RecordType::TXT);
        if let Some(query) = question.queries.first_mut() {
            query.set_query_class(DNSClass::CH);
        }
        said(&Message::from_vec(&self.octets(&question)).unwrap())
    }

    /// Serial of a zone.
    pub(crate) fn serial(&self, zone: &str) -> u32 {
        soa_serial(&self.ask(zone, RecordType::SOA)).unwrap()
    }

    fn udp(&self, question: &Message) -> Message {
        checked(question, &self.octets(question))
    }

    fn octets(&self, question: &Message) -> Vec<u8> {
        let socket = Udp::connect(self.server);
        socket.send(question);
        socket.receive()
    }
}

/// A socket of its own, connected to the server.
pub(crate) struct Udp(UdpSocket);

impl Udp {
    pub(crate) fn connect(server: SocketAddr) -> Self {
        let any: IpAddr = if server.is_ipv4() { [0, 0, 0, 0].into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(server).unwrap();
        Self(socket)
    }

    pub(crate) fn send(&self, question: &Message) {
        self.send_octets(&question.to_vec().unwrap());
    }

    /// Sends what may be no question at all.
    pub(crate) fn send_octets(&self, octets: &[u8]) {
        self.0.send(octets).unwrap();
    }

    pub(crate) fn receive(&self) -> Vec<u8> {
        let mut reply = vec![0; 65_536];
        let len = self.0.recv(&mut reply).unwrap_or_else(|error| panic!("no reply over udp: {error}"));
        reply.truncate(len);
        reply
    }

    /// Asks a server that may be gone; `None` if it has not answered in `time`.
    pub(crate) fn try_ask(&self, name: &str, kind: RecordType, time: Duration) -> Option<Message> {
        let question = question(name, kind);
        self.0.set_read_timeout(Some(time)).unwrap();
        // Refused where nobody listens any more.
        self.0.send(&question.to_vec().unwrap()).ok()?;
        let mut reply = vec![0; 65_536];
        loop {
            let len = self.0.recv(&mut reply).ok()?;
            // Not a late answer to what was asked before.
            if reply[..2] == question.metadata.id.to_be_bytes() {
                return Some(checked(&question, &reply[..len]));
            }
        }
    }
}

/// A connection that may carry many questions.
pub(crate) struct Tcp(TcpStream);

impl Tcp {
    pub(crate) fn connect(server: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&server, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    pub(crate) fn send(&mut self, question: &Message) {
        self.send_octets(&question.to_vec().unwrap());
    }

    /// Sends what may be no question at all, with its length in front.
    pub(crate) fn send_octets(&mut self, octets: &[u8]) {
        let len = u16::try_from(octets.len()).unwrap().to_be_bytes();
        self.0.write_all(&[&len[..], octets].concat()).unwrap();
    }

    /// Waits until the server closes, without a word, while an octet goes out now and then from `drip`.
    pub(crate) fn wait_closed(&mut self, mut drip: impl Iterator<Item = u8>) {
        let deadline = Instant::now() + PATIENCE;
        self.0.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        loop {
            match self.0.read(&mut [0]) {
                Ok(0) => return,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                other => panic!("instead of the end of the connection: {other:?}"),
            }
            assert!(Instant::now() < deadline, "the server does not close");
            // May fail once the server has closed, which the next read says.
            drip.next().map(|octet| self.0.write(&[octet]));
        }
    }

    pub(crate) fn receive(&mut self) -> Vec<u8> {
        let mut len = [0; 2];
        self.0.read_exact(&mut len).unwrap_or_else(|error| panic!("no reply over tcp: {error}"));
        let mut reply = vec![0; u16::from_be_bytes(len).into()];
        self.0.read_exact(&mut reply).unwrap();
        reply
    }
}

/// A question with an id of its own; the case of the name is kept.
pub(crate) fn question(name: &str, kind: RecordType) -> Message {
    static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(1);
    let id = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(format!("{name}.")).unwrap(), kind));
    message
}

/// The reply to a question, if it is one: same id, same question octet for octet, a SOA exactly where one belongs, an
/// OPT record exactly where the question had one.
pub(crate) fn checked(question: &Message, reply: &[u8]) -> Message {
    let asked = question.to_vec().unwrap();
    let message = Message::from_vec(reply).unwrap();
    assert_eq!(message.metadata.id, question.metadata.id, "{message}");
    assert_eq!(message.metadata.message_type, MessageType::Response, "{message}");
    // Behind the header comes the question; what follows it in ours is OPT, if anything.
    let opt = question.edns.as_ref().map_or(0, |_| 11);
    let octets = &asked[12..asked.len() - opt];
    assert_eq!(reply.get(12..12 + octets.len()), Some(octets), "{message}");
    assert_eq!(message.edns.is_some(), question.edns.is_some(), "{message}");
    let code = message.metadata.response_code;
    let negative = code == ResponseCode::NXDomain
        || code == ResponseCode::NoError && message.answers.is_empty() && !message.metadata.truncation;
    let soas = message.authorities.iter().filter(|record| record.record_type() == RecordType::SOA);
    assert_eq!(soas.count(), usize::from(negative), "{message}");
    let ours = matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
    assert_eq!(message.metadata.authoritative, ours, "{message}");
    message
}

/// A reply in short: the records of the answer, or `NODATA`, or the response code.
pub(crate) fn said(reply: &Message) -> String {
    match reply.metadata.response_code {
        ResponseCode::NoError if reply.metadata.truncation => "TRUNCATED".to_owned(),
        ResponseCode::NoError if reply.answers.is_empty() => "NODATA".to_owned(),
        ResponseCode::NoError => {
            let records: Vec<String> = reply.answers.iter().map(|record| record.data.to_string()).collect();
            records.join(" ")
        }
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        other => format!("{other:?}"),
    }
}

/// The serial in a reply, from the answer or from the authority section.
pub(crate) fn soa_serial(reply: &Message) -> Option<u32> {
    reply.answers.iter().chain(&reply.authorities).find_map(|record| match &record.data {
        RData::SOA(soa) => Some(soa.serial),
        _ => None,
    })
}

/// The name to ask for about an address: octets or nibbles reversed, then the zone.
pub(crate) fn owner(address: &str, zone: &str) -> String {
    let labels: Vec<String> = match address.parse().unwrap() {
        IpAddr::V4(v4) => v4.octets().iter().rev().map(ToString::to_string).collect(),
        IpAddr::V6(v6) => format!("{:032x}", u128::from(v6)).chars().rev().map(String::from).collect(),
    };
    format!("{}.{zone}", labels.join("."))
}
