//! Commands: one file per subcommand. Each gets its part of the command line and gives an exit code.
//!
//! What a command shows is plain data first ([`crate::control::report`]), then JSON or text: `output` prints, `text`
//! has what the renderers share.

mod output;
mod run;
mod status;

use crate::cli::{Command, DaemonArg};
use crate::config::Config;
use crate::control::client::Client;
use std::error::Error;
use std::io;
use std::process::ExitCode;
use tokio::runtime::Builder;

/// What a command comes to. Everything that is no answer is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Done; the answer, if there is one, is yes.
    Yes,
    /// The answer is no.
    No,
}

/// Runs one command. Exit codes: 0 done, 1 a negative answer; everything else comes back as an error.
///
/// # Errors
/// When the command could not be done; the text says what happened and what to do.
pub fn run(command: Command) -> Result<ExitCode, Box<dyn Error>> {
    let verdict = match command {
        Command::Run(args) => run::run(&args.config).map(|()| Verdict::Yes)?,
        Command::Status(args) => status::run(&args)?,
        _ => return Err("not yet".into()),
    };
    Ok(ExitCode::from(match verdict {
        Verdict::Yes => 0,
        Verdict::No => 1,
    }))
}

/// A client of the daemon that is meant.
fn client(daemon: &DaemonArg) -> Result<Client, Box<dyn Error>> {
    match &daemon.socket {
        Some(socket) => Ok(Client::new(socket)),
        None => Ok(Client::new(&Config::load(&daemon.config.config)?.control.socket)),
    }
}

/// Waits for one question to a daemon.
fn wait<T>(question: impl Future<Output = T>) -> io::Result<T> {
    Ok(Builder::new_current_thread().enable_all().build()?.block_on(question))
}
