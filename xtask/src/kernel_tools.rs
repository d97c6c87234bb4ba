//! The nightly toolchain and the linker of the kernel program. Only a rebuild of the object needs both; the toolchain
//! alone lets clippy look at the program, and builds the fuzz targets.

use crate::command::{self, output, program, root};
use crate::setup::is_installed;
use anyhow::{Context, Result, bail, ensure};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Version of the linker; with another one the object may differ.
const LINKER_VERSION: &str = "0.13.0";

/// Name of the toolchain for the kernel program and the fuzz targets.
fn name() -> String {
    env::var("BLACKTHORN_NIGHTLY").unwrap_or_else(|_| "nightly".to_owned())
}

/// Installs what a rebuild of the kernel object needs, unless it is there.
pub(crate) fn install() -> Result<()> {
    Linker::find_or_install(&Toolchain::find()?).map(drop)
}

/// Clippy over the kernel program, when its toolchain is there; says so when not.
pub(crate) fn clippy() -> Result<()> {
    let name = name();
    if !toolchain_is_installed(&name)? {
        eprintln!("skipped: clippy for ebpf/program: toolchain {name} is not installed");
        return Ok(());
    }
    let args = ["clippy", "--target", "bpfel-unknown-none", "-Z", "build-std=core", "--", "-D", "warnings"];
    command::run(Toolchain::find()?.command("cargo").args(args).current_dir(root().join("ebpf/program")))
}

/// Looks without installing: rustup would fetch a toolchain that it is asked to run.
fn toolchain_is_installed(name: &str) -> Result<bool> {
    if !is_installed("rustup") {
        return Ok(false);
    }
    let toolchains = output(&mut program("rustup", &["toolchain", "list"]))?;
    Ok(toolchains.lines().any(|line| line.starts_with(name)))
}

/// The nightly compiler.
pub(crate) struct Toolchain {
    name: String,
    /// `rustc --version`.
    pub(crate) version: String,
    host: String,
    /// Where it lies.
    pub(crate) sysroot: PathBuf,
}

impl Toolchain {
    /// The one named by `BLACKTHORN_NIGHTLY`, else the installed `nightly`. Gets rust-src for it, because the kernel
    /// program builds its own `core`.
    pub(crate) fn find() -> Result<Self> {
        let toolchain = Self::without_source()?;
        if !toolchain.sysroot.join("lib/rustlib/src/rust/library/core").is_dir() {
            let name = &toolchain.name;
            eprintln!("{name} has no rust-src, from which the kernel program builds its own `core`");
            command::run(&mut program("rustup", &["component", "add", "rust-src", "--toolchain", name]))?;
        }
        Ok(toolchain)
    }

    /// The same without rust-src, installed if it is missing; `why` says what for.
    pub(crate) fn find_or_install(why: &str) -> Result<Self> {
        let name = name();
        ensure!(is_installed("rustup"), "toolchain {name} is needed and there is no rustup: {why}");
        if !toolchain_is_installed(&name)? {
            eprintln!("toolchain {name} is missing: {why}");
            command::run(&mut program("rustup", &["toolchain", "install", "--profile", "minimal", &name]))
                .with_context(|| {
                    format!(
                        "toolchain {name} is missing and cannot be installed, install it by hand or name another \
                         nightly in BLACKTHORN_NIGHTLY: {why}"
                    )
                })?;
        }
        Self::without_source()
    }

    fn without_source() -> Result<Self> {
        let name = name();
        let ask = |arguments: &[&str]| {
            output(program("rustup", &["run", &name, "rustc"]).args(arguments)).with_context(|| {
                format!(
                    "toolchain {name} is not usable, install it with `rustup toolchain install {name}` or name \
                     another one in BLACKTHORN_NIGHTLY"
                )
            })
        };
        let version = ask(&["--version"])?.trim().to_owned();
        let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?.trim());
        let verbose = ask(&["-vV"])?;
        let host =
            verbose.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
        Ok(Self { version, host: host.to_owned(), sysroot, name })
    }

    /// As rustup knows it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A program of the toolchain, with none of the flags of the cargo that runs us.
    pub(crate) fn command(&self, tool: &str) -> Command {
        let mut command = program("rustup", &["run", &self.name, tool]);
        for variable in
            ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC", "RUSTC_WRAPPER"]
        {
            command.env_remove(variable);
        }
        command
    }

    /// The `objcopy` the toolchain brings, so that stripping gives the same bytes everywhere.
    pub(crate) fn objcopy(&self) -> Result<Command> {
        let path = self.sysroot.join("lib/rustlib").join(&self.host).join("bin/rust-objcopy");
        ensure!(path.is_file(), "toolchain {} has no {}", self.name, path.display());
        let mut command = Command::new(path);
        command.env("LD_LIBRARY_PATH", self.sysroot.join("lib"));
        Ok(command)
    }

    /// The LLVM library of the toolchain and its major version: `libLLVM.so.22.1-rust-...`.
    fn llvm(&self) -> Result<(PathBuf, u32)> {
        for entry in fs::read_dir(self.sysroot.join("lib"))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let major =
                name.strip_prefix("libLLVM.so.").and_then(|rest| rest.split('.').next()?.parse().ok());
            if let Some(major) = major {
                return Ok((path, major));
            }
        }
        bail!("toolchain {} has no shared LLVM", self.name)
    }
}

/// The linker for BPF objects.
pub(crate) struct Linker {
    /// Search path on which the compiler finds it.
    pub(crate) path: OsString,
    /// `bpf-linker --version`.
    pub(crate) version: String,
}

impl Linker {
    /// From `tools/bin` of the checkout or the search path; otherwise installed into `tools`.
    pub(crate) fn find_or_install(toolchain: &Toolchain) -> Result<Self> {
        let tools = root().join("tools");
        let before = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([tools.join("bin")].into_iter().chain(env::split_paths(&before)))?;
        if let Ok(found) = Self::usable(&path) {
            return Ok(found);
        }
        install_linker(&tools, toolchain)?;
        Self::usable(&path)
    }

    fn usable(path: &OsString) -> Result<Self> {
        let version =
            output(Command::new("bpf-linker").arg("--version").env("PATH", path))?.trim().to_owned();
        ensure!(version.ends_with(LINKER_VERSION), "found {version}, need {LINKER_VERSION}");
        Ok(Self { path: path.clone(), version })
    }
}

/// Builds bpf-linker against the LLVM of the toolchain: the two must have the same major version, and a linker with an
/// LLVM of its own would take an hour to build.
fn install_linker(tools: &Path, toolchain: &Toolchain) -> Result<()> {
    eprintln!("installing bpf-linker {LINKER_VERSION} into {}", tools.display());
    let (llvm, major) = toolchain.llvm()?;
    let folder = tools.join("llvm/lib");
    fs::create_dir_all(&folder)?;
    let link = folder.join("libLLVM.so");
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link)?;
    }
    symlink(&llvm, &link)?;
    // At run time the linker asks for the library by its own name, which only the toolchain's folder has.
    let rpath = format!("-Clink-arg=-Wl,-rpath,{}", toolchain.sysroot.join("lib").display());
    let mut install = toolchain.command("cargo");
    install
        .args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--force"])
        .args(["--no-default-features", "--features", &format!("llvm-{major}"), "--root"])
        .arg(tools)
        .env("LLVM_PREFIX", tools.join("llvm"))
        .env("CARGO_ENCODED_RUSTFLAGS", rpath);
    command::run(&mut install)
}
