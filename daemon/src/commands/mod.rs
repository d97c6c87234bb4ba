//! Commands: one file per subcommand. Each gets its part of the command line and gives an exit code.

mod run;

use crate::cli::Command;
use std::error::Error;
use std::process::ExitCode;

/// Runs one command. Exit codes: 0 done, 1 a negative answer; everything else comes back as an error.
///
/// # Errors
/// When the command could not be done; the text says what happened and what to do.
pub fn run(command: Command) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        Command::Run(args) => run::run(&args.config)?,
        _ => return Err("not yet".into()),
    }
    Ok(ExitCode::SUCCESS)
}
