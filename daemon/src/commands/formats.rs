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
