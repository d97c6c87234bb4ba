//! Standard output: text for people with nothing in it that drives a terminal, or JSON.

use serde::Serialize;
use std::io::{self, Write};

/// Prints a report: as JSON, or as the text made of it.
pub(super) fn show<T: Serialize>(json: bool, report: &T, text: impl FnOnce(&T) -> String) -> io::Result<()> {
    let shown = if json { serde_json::to_string_pretty(report)? + "\n" } else { harmless(&text(report)) };
    match io::stdout().write_all(shown.as_bytes()) {
        // The reader, such as `head`, has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Feeds and servers have a say in what is printed: no control characters but line ends.
fn harmless(text: &str) -> String {
    let control = |c: char| c.is_control() && c != '\n';
    text.replace(control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_drive_a_terminal() {
        assert_eq!(harmless("a\u{1b}[2J\r\n\u{9b}b\n"), "a\u{fffd}[2J\u{fffd}\n\u{fffd}b\n");
    }
}
