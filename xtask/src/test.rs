//! Chore test: prepares the machine, runs all tests of the workspace, sums them up in one line, and fuzzes for a while.

use crate::{
    command::{announce, cargo},
    fuzz, setup,
};
use anyhow::{Context, Result, ensure};
use std::{
    io::{BufRead, BufReader},
    ops::AddAssign,
    process::Stdio,
    time::Instant,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Passed on to `cargo test --workspace`: a part of test names, or flags such as `--test systemd`. Then there is no
    /// fuzzing.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// What the test binaries counted; doc tests are one binary more per library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::prepare()?;
    let started = Instant::now();
    // Every failure in one run, not only those of the first binary that has any.
    let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
    command.args(&args.rest).stdout(Stdio::piped());
    let line = announce(&command);
    let mut child = command.spawn().with_context(|| format!("cannot start `{line}`"))?;
    let mut total = Counts::default();
    if let Some(stdout) = child.stdout.take() {
        for text in BufReader::new(stdout).lines() {
            let text = text.with_context(|| format!("output of `{line}`"))?;
            println!("{text}");
            total += Counts::parse(&text).unwrap_or_default();
        }
    }
    let status = child.wait().with_context(|| format!("cannot wait for `{line}`"))?;
    let Counts { passed, failed, ignored } = total;
    let seconds = started.elapsed().as_secs();
    println!("all tests: {passed} passed, {failed} failed, {ignored} ignored in {seconds} s");
    ensure!(status.success(), "`{line}` failed: {status}");
    if args.rest.is_empty() { fuzz::run(&fuzz::Args::among_tests()) } else { Ok(()) }
}

impl Counts {
    /// Reads `test result: ok. 5 passed; 0 failed; 1 ignored; ...`; `None` for any other line.
    fn parse(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let mut numbers = counts.split("; ").map_while(|field| field.split(' ').next()?.parse().ok());
        Some(Self { passed: numbers.next()?, failed: numbers.next()?, ignored: numbers.next()? })
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_result_lines_only() {
        let line = "test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.12s";
        assert_eq!(Counts::parse(line), Some(Counts { passed: 5, failed: 2, ignored: 1 }));
        assert_eq!(Counts::parse("test core::table::result ... ok"), None);
        assert_eq!(Counts::parse("test result: ok. many passed"), None);
    }

    #[test]
    fn counts_add_up() {
        let mut total = Counts { passed: 1, failed: 0, ignored: 2 };
        total += Counts { passed: 10, failed: 20, ignored: 30 };
        assert_eq!(total, Counts { passed: 11, failed: 20, ignored: 32 });
    }
}
