//! Chore fuzz: builds the fuzz targets and runs each for a bounded time, starting from the committed seeds.
//!
//! Inputs that reach something new are kept in `fuzz/corpus`, those that break something in `fuzz/artifacts`; neither is
//! committed.

use crate::{
    command::{self, cargo, root},
    kernel_tools::Toolchain,
    setup::is_installed,
};
use anyhow::{Context, Result, bail, ensure};
use std::{
    env,
    ffi::OsString,
    fs,
    path::Path,
    process::Command,
    time::{Instant, SystemTime},
};

/// Version of cargo-fuzz.
const CARGO_FUZZ: &str = "0.13.2";
/// How targets are built: in parts, which takes half as long, and without a call for each comparison, which takes three
/// quarters of the time of a walk over an image. The seeds hold the words that comparing would find.
const FLAGS: [&str; 3] = ["--codegen-units", "16", "--no-trace-compares"];
/// Seconds one input may take; nearly all take less than a hundredth of one.
const TIMEOUT: u32 = 20;
/// Memory a target may use, in MiB, the sanitizer's part included.
const MEMORY: u32 = 2048;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long each target runs.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Targets to run, otherwise all.
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

impl Args {
    /// All targets, for as long as they run among the tests.
    pub(crate) fn among_tests() -> Self {
        Self { seconds: 10, targets: Vec::new() }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let known = targets()?;
    if let Some(unknown) = args.targets.iter().find(|name| !known.contains(name)) {
        bail!("there is no fuzz target {unknown}; there are {}", known.join(", "));
    }
    let fuzzer = Fuzzer::find_or_install()?;
    let started = Instant::now();
    fuzzer.build()?;
    let built = started.elapsed().as_secs();
    let wanted = if args.targets.is_empty() { &known } else { &args.targets };
    // Every failure in one run, not only the first.
    let mut failures = Vec::new();
    for target in wanted {
        if let Err(error) = fuzzer.run(target, args.seconds) {
            failures.push(format!("{error:#}"));
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    println!(
        "fuzzing: {} targets, {} s each, nothing found; {} s, {built} s of it for the build",
        wanted.len(),
        args.seconds,
        started.elapsed().as_secs()
    );
    Ok(())
}

/// Installs what fuzzing needs, unless it is there.
pub(crate) fn prepare() -> Result<()> {
    Fuzzer::find_or_install().map(drop)
}

/// Names of the targets: there is one file for each.
fn targets() -> Result<Vec<String>> {
    let folder = root().join("fuzz/targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// cargo-fuzz and its compiler.
struct Fuzzer {
    toolchain: Toolchain,
    /// Search path on which cargo finds cargo-fuzz.
    path: OsString,
}

impl Fuzzer {
    /// cargo-fuzz is looked for in `tools/bin` of the checkout and on the search path, otherwise installed into `tools`.
    fn find_or_install() -> Result<Self> {
        ensure!(
            is_installed("c++"),
            "there is no C++ compiler, from which the fuzz targets build libFuzzer: install g++"
        );
        let toolchain = Toolchain::find_or_install("fuzzing needs it for the sanitizers")?;
        let tools = root().join("tools");
        let before = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([tools.join("bin")].into_iter().chain(env::split_paths(&before)))?;
        if !is_usable(&path) {
            eprintln!("installing cargo-fuzz {CARGO_FUZZ} into {}", tools.display());
            let mut install =
                cargo(&["install", "cargo-fuzz", "--version", CARGO_FUZZ, "--locked", "--force"]);
            command::run(install.arg("--root").arg(&tools))?;
            ensure!(is_usable(&path), "cargo-fuzz {CARGO_FUZZ} was installed and does not run");
        }
        Ok(Self { toolchain, path })
    }

    fn build(&self) -> Result<()> {
        command::run(&mut self.command("build"))
    }

    /// Runs one target; an error names the input.
    fn run(&self, target: &str, seconds: u32) -> Result<()> {
        let fuzz = root().join("fuzz");
        let (corpus, seeds) = (fuzz.join("corpus").join(target), fuzz.join("seeds").join(target));
        let artifacts = fuzz.join("artifacts").join(target);
        fs::create_dir_all(&corpus).with_context(|| format!("creating {}", corpus.display()))?;
        ensure!(seeds.is_dir(), "fuzz target {target} has no seeds: {} is missing", seeds.display());
        let started = SystemTime::now();
        let mut run = self.command("run");
        run.arg(target).args([&corpus, &seeds]);
        run.args(["--", "-print_final_stats=1", &format!("-max_total_time={seconds}")]);
        run.args([format!("-timeout={TIMEOUT}"), format!("-rss_limit_mb={MEMORY}")]);
        command::run(&mut run).map_err(|error| match written_since(&artifacts, started) {
            None => error.context(format!("fuzz target {target} failed and left no input behind")),
            Some(input) => error.context(format!(
                "fuzz target {target} broke on {input}; again: `PATH=tools/bin:$PATH cargo +{} fuzz run {target} {input}`",
                self.toolchain.name()
            )),
        })
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = self.toolchain.command("cargo");
        command.args(["fuzz", subcommand, "--fuzz-dir", "fuzz"]).args(FLAGS).env("PATH", &self.path);
        command
    }
}

/// Is there a cargo-fuzz of the right version?
fn is_usable(path: &OsString) -> bool {
    let version = command::output(Command::new("cargo-fuzz").args(["fuzz", "--version"]).env("PATH", path));
    version.is_ok_and(|version| version.trim().ends_with(CARGO_FUZZ))
}

/// The latest file in `folder`, relative to the root of the workspace, if it was written since then.
fn written_since(folder: &Path, then: SystemTime) -> Option<String> {
    let files = fs::read_dir(folder).ok()?.flatten();
    let dated = files.filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file.path())));
    let (_, path) = dated.filter(|(written, _)| *written >= then).max()?;
    Some(path.strip_prefix(root()).unwrap_or(&path).display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_declared_and_has_seeds() {
        let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
        let names = targets().unwrap();
        assert!(!names.is_empty());
        assert_eq!(manifest.matches("[[bin]]").count(), names.len());
        for name in names {
            assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name}");
            let seeds = root().join("fuzz/seeds").join(&name);
            assert!(
                fs::read_dir(&seeds).is_ok_and(|mut files| files.next().is_some()),
                "{}",
                seeds.display()
            );
        }
    }

    #[test]
    fn unknown_targets_are_refused_before_anything_is_built() {
        let error = run(&Args { seconds: 1, targets: vec!["nope".to_owned()] }).unwrap_err().to_string();
        assert!(error.starts_with("there is no fuzz target nope; there are config, "), "{error}");
    }

    #[test]
    fn only_what_was_written_since_is_named() {
        let (folder, long_ago) = (root().join("fuzz/targets"), SystemTime::UNIX_EPOCH);
        let latest = written_since(&folder, long_ago).unwrap();
        assert!(latest.starts_with("fuzz/targets/"), "{latest}");
        let tomorrow = SystemTime::now() + std::time::Duration::from_secs(86_400);
        assert_eq!(written_since(&folder, tomorrow), None);
    }
}
