//! `blackthorn status`: what the running daemon serves and how it fares.

use super::{Verdict, client, output, wait};
use crate::cli;
use crate::control::report::Status;
use std::error::Error;

/// Asks the daemon and prints its answer.
pub(super) fn run(args: &cli::Status) -> Result<Verdict, Box<dyn Error>> {
    let client = client(&args.daemon)?;
    let status = wait(client.status())??;
    output::show(args.form.json, &status, text)?;
    Ok(Verdict::Yes)
}

fn text(status: &Status) -> String {
    format!("{status:#?}\n")
}
