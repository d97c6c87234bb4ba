//! Running other programs: each one is announced, and the first to fail is named.

use anyhow::{Context, Result, ensure};
use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

/// Root of the workspace.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// A program started at the root of the workspace, without standard input: no chore asks questions.
pub(crate) fn program(name: &str, args: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(args).current_dir(root()).stdin(Stdio::null());
    // `cargo run` describes this package in the environment. Build scripts (ring's) watch those variables and would
    // compile again whenever a chore and a plain `cargo build` take turns.
    for (name, _) in env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            command.env_remove(name);
        }
    }
    command
}

/// The cargo that runs us.
pub(crate) fn cargo(args: &[&str]) -> Command {
    program(env::var("CARGO").as_deref().unwrap_or("cargo"), args)
}

/// Shows and runs a command; an error names the one that failed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = announce(command);
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    ensure!(status.success(), "`{line}` failed: {status}");
    Ok(())
}

/// Does the command succeed? Quiet, for finding out what is there.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Runs a command quietly and returns what it wrote to standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = describe(command);
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start `{line}`"))?;
    ensure!(output.status.success(), "`{line}` failed: {}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("output of `{line}`"))
}

/// Shows the command that is about to run, and returns the line for error messages.
pub(crate) fn announce(command: &Command) -> String {
    let line = describe(command);
    eprintln!("$ {line}");
    line
}

/// The command as one would type it: the program without its folder, then the arguments.
fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_names_the_command_and_its_status() {
        let err = run(&mut program("/bin/false", &["--flag"])).unwrap_err();
        assert_eq!(err.to_string(), "`false --flag` failed: exit status: 1");
        let err = run(&mut program("no-such-program", &["x"])).unwrap_err();
        assert_eq!(err.to_string(), "cannot start `no-such-program x`");
    }

    #[test]
    fn output_is_what_the_program_wrote() {
        assert_eq!(output(&mut program("echo", &["one", "two"])).unwrap(), "one two\n");
        assert!(output(&mut program("/bin/false", &[])).is_err());
    }

    #[test]
    fn children_do_not_see_this_package() {
        let environment = output(&mut program("env", &[])).unwrap();
        assert!(env::var_os("CARGO_PKG_NAME").is_some(), "cargo sets it for tests too");
        assert!(!environment.contains("CARGO_PKG_"), "{environment}");
        assert!(!environment.contains("CARGO_MANIFEST_"), "{environment}");
    }
}
