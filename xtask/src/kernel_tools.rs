//! The nightly toolchain and linker of the kernel program. Only a rebuild of the object needs them; the toolchain
//! alone lets clippy look at the program.

use crate::{
    command::{self, output, program, root, succeeds},
    setup::is_installed,
};
use anyhow::{Context, Result};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// bpf-linker works with the LLVM of exactly one toolchain: its own version and the LLVM feature go together.
const BPF_LINKER: &str = "0.13.0";
const BPF_LINKER_LLVM: &str = "llvm-22";

/// Where the toolchain of the kernel program is pinned, by date.
const TOOLCHAIN_FILE: &str = "ebpf/program/rust-toolchain.toml";

/// Installs the pinned nightly with rust-src, and bpf-linker under `tools/`, unless they are there.
pub(crate) fn install() -> Result<()> {
    let toolchain = toolchain()?;
    if !component_is_installed(&toolchain, "rust-src")? {
        eprintln!("installing {toolchain} with rust-src: the kernel program builds its own `core`");
        command::run(&mut program("rustup", &["toolchain", "install", &toolchain, "--profile", "minimal"]))?;
        command::run(&mut program("rustup", &["component", "add", "rust-src", "--toolchain", &toolchain]))?;
    }
    install_bpf_linker(&toolchain)
}

/// Clippy over the kernel program, when the toolchain for it is there; says so when not.
pub(crate) fn clippy() -> Result<()> {
    let toolchain = toolchain()?;
    for component in ["rust-src", "clippy"] {
        if !component_is_installed(&toolchain, component)? {
            eprintln!("skipped: clippy for ebpf/program: {component} of {toolchain} is not installed");
            return Ok(());
        }
    }
    let args = ["clippy", "--target", "bpfel-unknown-none", "-Z", "build-std=core", "--", "-D", "warnings"];
    command::run(cargo_of(&toolchain, &args).current_dir(root().join("ebpf/program")))
}

fn install_bpf_linker(toolchain: &str) -> Result<()> {
    let tools = root().join("tools");
    // One that was built for another toolchain does not find its LLVM any more and fails to start.
    if succeeds(&mut program(&tools.join("bin/bpf-linker").to_string_lossy(), &["--version"])) {
        return Ok(());
    }
    eprintln!(
        "installing bpf-linker {BPF_LINKER} under tools/: it links the kernel object with the LLVM of {toolchain}"
    );
    let lib =
        PathBuf::from(output(&mut rustc_of(toolchain, &["--print", "sysroot"]))?.trim_end()).join("lib");
    let llvm = tools.join("llvm");
    link_llvm(&lib, &llvm.join("lib"))?;
    let args =
        ["install", "bpf-linker", "--version", BPF_LINKER, "--locked", "--force", "--no-default-features"];
    let mut command =
        cargo_of(toolchain, &[&args[..], &["--features", BPF_LINKER_LLVM, "--root", "tools"]].concat());
    // It finds LLVM at build time by prefix, at run time by the path written into it.
    command.env("LLVM_PREFIX", &llvm).env("RUSTFLAGS", format!("-C link-arg=-Wl,-rpath,{}", lib.display()));
    command::run(&mut command)
}

/// Makes `libLLVM.so` in `to` point at the one library of that name the toolchain has in `from`.
fn link_llvm(from: &Path, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
    let library = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libLLVM.so.")))
        .with_context(|| format!("no libLLVM.so.* in {}", from.display()))?;
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    let link = to.join("libLLVM.so");
    if fs::symlink_metadata(&link).is_ok() {
        fs::remove_file(&link).with_context(|| format!("cannot remove {}", link.display()))?;
    }
    symlink(&library, &link).with_context(|| format!("cannot create {}", link.display()))
}

/// Channel named in the toolchain file, for example `nightly-2026-05-20`.
fn toolchain() -> Result<String> {
    let text = fs::read_to_string(root().join(TOOLCHAIN_FILE))
        .with_context(|| format!("cannot read {TOOLCHAIN_FILE}"))?;
    Ok(channel(&text).with_context(|| format!("no line channel = \"...\" in {TOOLCHAIN_FILE}"))?.to_owned())
}

fn channel(toolchain_file: &str) -> Option<&str> {
    let value = toolchain_file.lines().find_map(|line| line.strip_prefix("channel"))?;
    value.trim_start().strip_prefix('=')?.split('"').nth(1)
}

/// Looks without installing: rustup would fetch a toolchain that it is asked about.
fn component_is_installed(toolchain: &str, component: &str) -> Result<bool> {
    if !is_installed("rustup") {
        return Ok(false);
    }
    let toolchains = output(&mut program("rustup", &["toolchain", "list"]))?;
    if !toolchains.lines().any(|line| line.starts_with(toolchain)) {
        return Ok(false);
    }
    let components =
        output(&mut program("rustup", &["component", "list", "--installed", "--toolchain", toolchain]))?;
    Ok(components.lines().any(|line| line.starts_with(component)))
}

fn cargo_of(toolchain: &str, args: &[&str]) -> Command {
    program("rustup", &[&["run", toolchain, "cargo"], args].concat())
}

fn rustc_of(toolchain: &str, args: &[&str]) -> Command {
    program("rustup", &[&["run", toolchain, "rustc"], args].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_is_read_from_the_toolchain_file() {
        assert_eq!(
            channel("[toolchain]\n# why\nchannel = \"nightly-2026-05-20\"\n"),
            Some("nightly-2026-05-20")
        );
        assert_eq!(channel("[toolchain]\nprofile = \"minimal\"\n"), None);
    }
}
