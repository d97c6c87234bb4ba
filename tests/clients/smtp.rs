//! The client's side of SMTP (RFC 5321): a line out, a reply in.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

/// One session.
pub(crate) struct Smtp(BufReader<TcpStream>);

impl Smtp {
    /// A session on a new connection, greeted; `None` when the server hangs up first.
    pub(crate) fn open(stream: TcpStream) -> Option<Self> {
        let mut session = Self(BufReader::new(stream));
        session.reply().filter(|greeting| greeting.starts_with("220 ")).map(|_| session)
    }

    /// Sends a line and returns the last line of the reply, which has its code.
    pub(crate) fn say(&mut self, line: &str) -> String {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.reply().unwrap_or_else(|| panic!("the server hangs up at {line}"))
    }

    fn reply(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            let len = self.0.read_line(&mut line).ok()?;
            // Before the last line there is a dash behind the code.
            if len == 0 || line.as_bytes().get(3) != Some(&b'-') {
                return (len > 0).then(|| line.trim_end().to_owned());
            }
        }
    }
}
