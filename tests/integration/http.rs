//! A publisher of feeds that does as told: answers well, badly or not at all, and remembers what it was asked.

use crate::harness::PATIENCE;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

/// What to answer.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// 200 with this list and an ETag; 304 to those who have it.
    List(&'static str),
    /// 200 with this media type and body, without validators.
    Body(&'static str, &'static str),
    /// An error status with a short text.
    Status(&'static str),
    /// 200 and a length, but only the beginning of the body.
    Cut(&'static str),
    /// Nothing; the connection stays open.
    Silence,
}

/// The server. Gone, with every connection, when dropped.
pub(crate) struct Publisher {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    inner: Mutex<Inner>,
    asked: Condvar,
}

struct Inner {
    reply: Reply,
    requests: Vec<String>,
    /// Connections that get no more than they have.
    held: Vec<TcpStream>,
    stopping: bool,
}

impl Publisher {
    /// A server on an address of its own: the daemon leaves time between requests to one host.
    pub(crate) fn new(reply: Reply) -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let host = Ipv4Addr::new(127, 0, 77, NEXT.fetch_add(1, Ordering::Relaxed));
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Inner { reply, requests: Vec::new(), held: Vec::new(), stopping: false };
        let state = Arc::new(State { inner: Mutex::new(inner), asked: Condvar::new() });
        let thread = thread::spawn({
            let state = Arc::clone(&state);
            move || serve(&listener, &state)
        });
        Self { address, state, thread: Some(thread) }
    }

    /// The address of its list.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/list.txt", self.address)
    }

    /// Answers like this from now on.
    pub(crate) fn set(&self, reply: Reply) {
        self.state.inner.lock().unwrap().reply = reply;
    }

    /// The head of request `number`, counted from 1, in lower case; waits for it.
    pub(crate) fn request(&self, number: usize) -> String {
        let inner = self.state.inner.lock().unwrap();
        let waiting = |inner: &mut Inner| inner.requests.len() < number;
        let (inner, result) = self.state.asked.wait_timeout_while(inner, PATIENCE, waiting).unwrap();
        assert!(!result.timed_out(), "request {number} did not come, only: {:?}", inner.requests);
        inner.requests[number - 1].clone()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // A test that failed while it held the lock has its own message; this is only about the thread.
        let Ok(mut inner) = self.state.inner.lock() else { return };
        inner.stopping = true;
        for stream in inner.held.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(inner);
        // Wakes the thread from its wait for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, state: &State) {
    for stream in listener.incoming() {
        if state.inner.lock().unwrap().stopping {
            return;
        }
        // The client may go away at any time.
        let _ = stream.and_then(|stream| answer(stream, state));
    }
}

fn answer(mut stream: TcpStream, state: &State) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let head = head.to_ascii_lowercase();
    let mut inner = state.inner.lock().unwrap();
    inner.requests.push(head.clone());
    state.asked.notify_all();
    let text = match inner.reply.clone() {
        Reply::List(list) => {
            let etag = etag(list);
            if head.contains(&format!("if-none-match: {etag}")) {
                format!("HTTP/1.1 304 Not Modified\r\nETag: {etag}\r\n\r\n")
            } else {
                let length = list.len();
                format!("HTTP/1.1 200 OK\r\nETag: {etag}\r\nContent-Length: {length}\r\n\r\n{list}")
            }
        }
        Reply::Body(media, body) => {
            let length = body.len();
            format!("HTTP/1.1 200 OK\r\nContent-Type: {media}\r\nContent-Length: {length}\r\n\r\n{body}")
        }
        Reply::Status(status) => format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nsorry"),
        Reply::Cut(body) => {
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len() + 1000)
        }
        Reply::Silence => {
            inner.held.push(stream);
            return Ok(());
        }
    };
    drop(inner);
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)
}

/// Lower case, as the heads are when they are compared.
fn etag(list: &str) -> String {
    let mut hasher = DefaultHasher::new();
    list.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}
