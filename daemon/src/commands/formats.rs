//! `blackthorn formats`: what feeds can look like.

use super::{Verdict, output};
use crate::cli::JsonArg;
use crate::core::feed::{FORMATS, FormatInfo};
use std::error::Error;

/// Prints the table of formats.
pub(super) fn run(args: &JsonArg) -> Result<Verdict, Box<dyn Error>> {
    output::show(args.json, &FORMATS, |formats| formats.iter().map(text).collect::<Vec<_>>().join("\n"))?;
    Ok(Verdict::Yes)
}

fn text(info: &FormatInfo) -> String {
    let example: String = info.example.lines().map(|line| format!("    {line}\n")).collect();
    format!("{}: {}\n{example}", info.name, info.summary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::feed::Format;

    #[test]
    fn a_format_shows_name_summary_and_example() {
        assert_eq!(
            text(Format::SpamhausText.info()),
            "\
spamhaus-text: prefix ; reference, closed by a line `; EOF`
    ; example list
    192.0.2.0/24 ; REF1
    2001:db8:7::/48 ; REF2
    ; EOF
"
        );
    }
}
