//! Chore setup: looks for what the tests need and installs what is missing, saying what and why.

use crate::{
    clients,
    command::{self, cargo, program, succeeds},
    fuzz, kernel_tools,
};
use anyhow::{Result, bail};
use std::{env, fs, os::unix::fs::MetadataExt, path::Path};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also install what a rebuild of the kernel object needs: nightly, rust-src, bpf-linker.
    #[arg(long)]
    kernel_object: bool,
}

/// A program that tests call, and where Debian has it.
struct Tool {
    program: &'static str,
    package: &'static str,
    needed_by: &'static str,
}

/// Everything the tests call beyond Debian's essential packages.
const TOOLS: &[Tool] = &[
    Tool { program: "dig", package: "bind9-dnsutils", needed_by: "DNS tests that ask as a real client" },
    Tool {
        program: "kdig",
        package: "knot-dnsutils",
        needed_by: "encrypted DNS tests: a client of TLS, HTTPS, QUIC",
    },
    Tool { program: "ip", package: "iproute2", needed_by: "packet filter tests: namespaces and veth pairs" },
    Tool { program: "mount", package: "mount", needed_by: "tests of a full state directory: a small tmpfs" },
    Tool {
        program: "strace",
        package: "strace",
        needed_by: "tests that kill the daemon at each step of a publish",
    },
    Tool { program: "systemd-analyze", package: "systemd", needed_by: "tests of the unit and its drop-ins" },
    Tool { program: "c++", package: "g++", needed_by: "fuzz targets: libFuzzer is built with them" },
    Tool { program: "kill", package: "procps", needed_by: "the drop-in for systemd before 253" },
];

pub(crate) fn run(args: &Args) -> Result<()> {
    prepare()?;
    fuzz::prepare()?;
    if args.kernel_object {
        kernel_tools::install()?;
    }
    Ok(())
}

/// Installs the tools as root; says what will be skipped otherwise.
///
/// With `BLACKTHORN_REQUIRE_PRIVILEGED=1` whatever stays missing is an error, else a note: the tests that need it
/// skip and say so.
pub(crate) fn prepare() -> Result<()> {
    let required = env::var_os("BLACKTHORN_REQUIRE_PRIVILEGED").is_some_and(|value| value == "1");
    if !is_root() {
        if required {
            bail!("BLACKTHORN_REQUIRE_PRIVILEGED=1 needs root: run this as root or unset it");
        }
        eprintln!(
            "not root: tests that load BPF programs, create network namespaces or switch users are skipped"
        );
    }
    for outcome in [install(&missing_tools()), clients::prepare()] {
        match outcome {
            Err(err) if !required => eprintln!("{err:#}; tests that need it are skipped"),
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Adds a component of the running toolchain, when `cargo <subcommand>` does not work without it.
pub(crate) fn cargo_component(subcommand: &str, component: &str) -> Result<()> {
    if succeeds(&mut cargo(&[subcommand, "--version"])) {
        return Ok(());
    }
    eprintln!("`cargo {subcommand}` is missing: adding the component {component}");
    command::run(&mut program("rustup", &["component", "add", component]))
}

fn missing_tools() -> Vec<&'static Tool> {
    TOOLS.iter().filter(|tool| !is_installed(tool.program)).collect()
}

fn install(missing: &[&Tool]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    for Tool { program, package, needed_by } in missing {
        eprintln!("missing: {program} (Debian package {package}), for {needed_by}");
    }
    let packages: Vec<_> = missing.iter().map(|tool| tool.package).collect();
    let names = packages.join(" ");
    if !is_root() {
        bail!("not root, not installing {names}");
    }
    if !is_installed("apt-get") {
        bail!("no apt-get here, install by hand what holds {names}");
    }
    // One source that cannot be reached fails the update, yet the packages may be known already.
    if let Err(err) = command::run(&mut apt_get(&["update"])) {
        eprintln!("{err}; trying to install all the same");
    }
    command::run(&mut apt_get(&[&["install", "--yes", "--no-install-recommends"], &packages[..]].concat()))
}

pub(crate) fn apt_get(args: &[&str]) -> std::process::Command {
    // A fresh machine may be installing its own updates: wait for the lock.
    let mut command = program("apt-get", &[&["-qq", "-o", "DPkg::Lock::Timeout=120"], args].concat());
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

pub(crate) fn is_root() -> bool {
    // The owner of /proc/self is the effective user.
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// Is there a file of that name on the search path, or where Debian puts programs for root?
pub(crate) fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let for_root = ["/usr/sbin", "/sbin"].map(|folder| Path::new(folder).to_owned());
    env::split_paths(&path).chain(for_root).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_on_the_search_path() {
        assert!(is_installed("sh"));
        assert!(!is_installed("no-such-program"));
    }

    #[test]
    fn nothing_is_installed_when_nothing_is_missing() {
        assert!(install(&[]).is_ok());
    }
}
