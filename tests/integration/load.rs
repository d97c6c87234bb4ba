//! Load: clients that ask without pause while something happens to the daemon, and what they were told.

use crate::dns::{Tcp, Udp, checked, question, said, soa_serial};
use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Clients of each kind, every one with a socket of its own.
const UDP_CLIENTS: usize = 3;
const TCP_CLIENTS: usize = 2;
/// Rounds on one connection before a TCP client makes a new one.
const ROUNDS_PER_CONNECTION: usize = 20;

/// A name and a type to ask for.
pub(crate) type Asked = (String, RecordType);

/// One answer: what it says, and the serial of a SOA in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) said: String,
    pub(crate) serial: Option<u32>,
}

/// What came of the load.
pub(crate) struct Report {
    /// For each client and question what it was told, in order; repetitions are left out.
    pub(crate) clients: Vec<Vec<Vec<Told>>>,
    /// Answers received. As many as questions sent, or the run would have failed.
    pub(crate) answers: usize,
}

/// Asks all `questions` at once, again and again, from several sockets, while `work` runs. A question without an answer,
/// or with one that does not fit, fails the test.
pub(crate) fn during(server: SocketAddr, questions: &[Asked], work: impl FnOnce()) -> Report {
    let running = AtomicBool::new(true);
    let ask = |mut client: Box<dyn Client>| {
        let (mut told, mut rounds) = (vec![Vec::new(); questions.len()], 0);
        while running.load(Ordering::Relaxed) || rounds == 0 {
            round(&mut *client, questions, &mut told);
            rounds += 1;
        }
        (told, rounds)
    };
    let (clients, rounds): (Vec<_>, Vec<usize>) = thread::scope(|scope| {
        // Dropped at the end of the scope and by a panic in `work`: the scope waits for the clients either way.
        let stop = StopOnDrop(&running);
        let udp = (0..UDP_CLIENTS).map(|_| scope.spawn(|| ask(Box::new(Udp::connect(server)))));
        let tcp = (0..TCP_CLIENTS).map(|_| scope.spawn(|| ask(Box::new(Reconnecting::new(server)))));
        let threads: Vec<_> = udp.chain(tcp).collect();
        work();
        drop(stop);
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).unzip()
    });
    Report { clients, answers: rounds.iter().sum::<usize>() * questions.len() }
}

/// Says that the load may end, also when what it is for has failed.
pub(crate) struct StopOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Asks everything at once, so that questions are under way whenever something changes.
fn round(client: &mut dyn Client, questions: &[Asked], told: &mut [Vec<Told>]) {
    client.begin();
    let sent: Vec<Message> = questions.iter().map(|(name, kind)| question(name, *kind)).collect();
    for question in &sent {
        client.send(question);
    }
    let mut answered = vec![false; sent.len()];
    for _ in &sent {
        let reply = client.receive();
        let id = reply.first_chunk().map(|id| u16::from_be_bytes(*id));
        let at = sent.iter().position(|question| Some(question.metadata.id) == id);
        let at = at.unwrap_or_else(|| panic!("a reply to nothing that was asked: {reply:02x?}"));
        assert!(!std::mem::replace(&mut answered[at], true), "answered twice: {}", sent[at]);
        let reply = checked(&sent[at], &reply);
        let now = Told { said: said(&reply), serial: soa_serial(&reply) };
        if told[at].last() != Some(&now) {
            told[at].push(now);
        }
    }
}

/// One socket with questions under way.
trait Client {
    /// A new round begins; nothing is under way.
    fn begin(&mut self) {}
    fn send(&mut self, question: &Message);
    fn receive(&mut self) -> Vec<u8>;
}

impl Client for Udp {
    fn send(&mut self, question: &Message) {
        Self::send(self, question);
    }

    fn receive(&mut self) -> Vec<u8> {
        Self::receive(self)
    }
}

/// A TCP client that uses each connection for some rounds.
struct Reconnecting {
    server: SocketAddr,
    connection: Tcp,
    rounds: usize,
}

impl Reconnecting {
    fn new(server: SocketAddr) -> Self {
        Self { server, connection: Tcp::connect(server), rounds: 0 }
    }
}

impl Client for Reconnecting {
    fn begin(&mut self) {
        self.rounds += 1;
        if self.rounds.is_multiple_of(ROUNDS_PER_CONNECTION) {
            self.connection = Tcp::connect(self.server);
        }
    }

    fn send(&mut self, question: &Message) {
        self.connection.send(question);
    }

    fn receive(&mut self) -> Vec<u8> {
        self.connection.receive()
    }
}
