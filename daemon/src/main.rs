//! Entry point: arguments, logging, one command, and the exit code.

use blackthorn::cli::Cli;
use blackthorn::{commands, logging};
use clap::Parser;
use std::error::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let settings = logging::Settings { format: cli.log_format, level: cli.log_level };
    let outcome = logging::install(settings).map_err(Into::into).and_then(|()| commands::run(cli.command));
    outcome.unwrap_or_else(|error: Box<dyn Error>| {
        eprintln!("blackthorn: {error}");
        ExitCode::from(2)
    })
}
