//! For tests: an HTTP server on loopback that answers one connection after the other from a script.

use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

/// What one connection gets.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// These bytes, then the end of the connection.
    Raw(Vec<u8>),
    /// These bytes, then silence until the client gives up.
    Stall(Vec<u8>),
    /// These bytes, then zeros until the client gives up.
    Endless(Vec<u8>),
}

/// A whole answer: status line, header lines, body. Content-Length is added.
pub(super) fn answer(status: &str, headers: &[&str], body: &[u8]) -> Reply {
    let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        bytes.push_str(header);
        bytes.push_str("\r\n");
    }
    Reply::Raw([bytes.as_bytes(), b"\r\n", body].concat())
}

/// The server; gone when dropped. Connections beyond the script are closed at once.
#[derive(Debug)]
pub(super) struct Server {
    base: Url,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let script: Vec<Reply> = script.into_iter().collect();
        let task = tokio::spawn(serve(listener, script, Arc::clone(&requests)));
        Self { base, requests, task }
    }

    pub(super) fn url(&self, path: &str) -> Url {
        self.base.join(path).unwrap()
    }

    /// The heads of the requests so far, in lower case.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, script: Vec<Reply>, requests: Arc<Mutex<Vec<String>>>) {
    let mut script = script.into_iter();
    while let Ok((mut stream, _)) = listener.accept().await {
        let Some(reply) = script.next() else { continue };
        let head = read_head(&mut stream).await;
        requests.lock().unwrap().push(head);
        // The client may hang up at any time; that is what some tests are about.
        let _ = send(stream, reply).await;
    }
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

async fn send(mut stream: TcpStream, reply: Reply) -> std::io::Result<()> {
    match reply {
        Reply::Raw(bytes) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await
        }
        Reply::Stall(bytes) => {
            stream.write_all(&bytes).await?;
            stream.read_u8().await.map(|_| ())
        }
        Reply::Endless(bytes) => {
            stream.write_all(&bytes).await?;
            loop {
                stream.write_all(&[0; 8192]).await?;
            }
        }
    }
}
