//! Commands: one file per subcommand. Each gets its part of the command line and gives an exit code.
//!
//! What a command shows is plain data first ([`crate::control::report`]), then JSON or text: `output` prints, `text`
//! has what the renderers share.

mod check;
mod diff;
mod feeds;
mod formats;
mod generations;
mod lookup;
mod output;
mod run;
mod status;
mod text;

use crate::cli::{Command, DaemonArg};
use crate::config::Config;
use crate::control::client::{Client, ClientError};
use crate::control::report::Origin;
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
        Command::Check(args) => check::run(&args)?,
        Command::Lookup(args) => lookup::run(&args)?,
        Command::Feeds(args) => feeds::run(&args)?,
        Command::Generations(args) => generations::run(&args)?,
        Command::Diff(args) => diff::run(&args)?,
        Command::Formats(args) => formats::run(&args)?,
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

/// The answer of the daemon; `None` if there is no daemon.
fn ask<T>(
    daemon: &DaemonArg,
    question: impl AsyncFnOnce(Client) -> Result<T, ClientError>,
) -> Result<Option<T>, Box<dyn Error>> {
    match wait(question(client(daemon)?))? {
        Ok(answer) => Ok(Some(answer)),
        Err(ClientError::NoDaemon { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// First lines of a text: that it is from disk, and what could not be found out.
fn notes(origin: Origin, notes: &[String]) -> String {
    let from_disk =
        "no daemon was asked; this is from disk, what one would serve if it were started now".to_owned();
    let from_disk = (origin == Origin::Disk).then_some(from_disk);
    from_disk.iter().chain(notes).map(|line| format!("note: {line}\n")).collect()
}

/// Waits for one question to a daemon.
fn wait<T>(question: impl Future<Output = T>) -> io::Result<T> {
    Ok(Builder::new_current_thread().enable_all().build()?.block_on(question))
}
