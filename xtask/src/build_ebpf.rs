//! Builds the kernel object: nightly compiler, bpf-linker with the same LLVM, debug information stripped down to BTF.
//!
//! The bytes depend on what the manifest lists and on nothing else, in particular not on where the checkout lies.

use crate::kernel_object::{MANIFEST, Manifest, OBJECT, root, sha256, sources};
use anyhow::{Context, Result, bail, ensure};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Version of the linker; with another one the object may differ.
const LINKER_VERSION: &str = "0.13.0";
const TARGET: &str = "bpfel-unknown-none";

/// Flags that decide the object. BTF is made from full debug information; version 3 of the instruction set has 32-bit
/// operations (Linux 5.1); unaligned access keeps header fields in one load.
const FLAGS: [&str; 5] = [
    "--cfg=bpf_target_arch=\"x86_64\"",
    "-Cdebuginfo=2",
    "-Ctarget-cpu=v3",
    "-Clink-arg=--btf",
    "-Clink-arg=--cpu-features=+allows-misaligned-mem-access",
];

#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args) -> Result<()> {
    let root = root()?;
    let (object, manifest) = build(&root)?;
    fs::write(root.join(OBJECT), &object).with_context(|| format!("writing {OBJECT}"))?;
    manifest.write(&root)?;
    println!("{OBJECT}: {} bytes, sha256 {}", object.len(), manifest.object);
    println!(
        "{MANIFEST}: {} source files, {}, {}",
        manifest.sources.len(),
        manifest.toolchain,
        manifest.linker
    );
    show_verified_instructions(&root)
}

/// The object and the manifest that describes it; writes neither.
pub(crate) fn build(root: &Path) -> Result<(Vec<u8>, Manifest)> {
    let toolchain = Toolchain::find(root)?;
    let linker = Linker::find_or_install(root, &toolchain)?;
    let program = root.join("ebpf/program");
    let flags: Vec<String> =
        FLAGS.map(str::to_owned).into_iter().chain(hide_paths(root, &toolchain)?).collect();
    // Cargo does not build again when only the hidden paths change, so nothing of an earlier build may be left.
    let target = program.join("target");
    if target.exists() {
        fs::remove_dir_all(&target).with_context(|| format!("removing {}", target.display()))?;
    }
    let mut cargo = toolchain.command("cargo");
    cargo
        .current_dir(&program)
        .args(["build", "--release", "--locked", "--target", TARGET, "-Zbuild-std=core", "--target-dir"])
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env("PATH", &linker.path);
    succeed(&mut cargo)?;

    let linked = target.join(TARGET).join("release/blackthorn");
    let stripped = linked.with_extension("stripped");
    succeed(toolchain.objcopy()?.arg("--strip-debug").args([&linked, &stripped]))?;
    let object = fs::read(&stripped).with_context(|| format!("reading {}", stripped.display()))?;
    let manifest = Manifest {
        object: sha256(&object),
        toolchain: toolchain.version,
        linker: linker.version,
        flags: FLAGS.map(str::to_owned).into(),
        sources: sources(root)?,
    };
    Ok((object, manifest))
}

/// Flags that replace every path of this machine in the debug information: checkout, standard library and, because their
/// folder is named after the host they came from, each folder of downloaded crates.
fn hide_paths(root: &Path, toolchain: &Toolchain) -> Result<Vec<String>> {
    let mut paths = vec![(root.to_owned(), "/blackthorn"), (toolchain.sysroot.clone(), "/rust")];
    let crates = cargo_home()?.join("registry/src");
    for folder in fs::read_dir(&crates).with_context(|| format!("reading {}", crates.display()))? {
        paths.push((folder?.path(), "/crates"));
    }
    paths.sort();
    Ok(paths.into_iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())).collect())
}

/// The nightly compiler.
struct Toolchain {
    name: String,
    version: String,
    host: String,
    sysroot: PathBuf,
}

impl Toolchain {
    /// The one named by `BLACKTHORN_NIGHTLY`, else the one the program pins.
    fn find(root: &Path) -> Result<Self> {
        let name = match env::var("BLACKTHORN_NIGHTLY") {
            Ok(name) => name,
            Err(_) => pinned(root)?,
        };
        let ask = |arguments: &[&str]| {
            output(Command::new("rustup").args(["run", &name, "rustc"]).args(arguments)).with_context(|| {
                format!(
                    "toolchain {name} is not usable, install it with \
                     `rustup toolchain install {name} --profile minimal --component rust-src` \
                     or name another one in BLACKTHORN_NIGHTLY"
                )
            })
        };
        let version = ask(&["--version"])?;
        let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?);
        let verbose = ask(&["-vV"])?;
        let host =
            verbose.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
        let library = sysroot.join("lib/rustlib/src/rust/library/core");
        ensure!(
            library.is_dir(),
            "toolchain {name} has no rust-src, add it with `rustup component add rust-src --toolchain {name}`"
        );
        Ok(Self { version, host: host.to_owned(), sysroot, name })
    }

    /// A program of the toolchain, with none of the flags of the cargo that runs us.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("rustup");
        command.args(["run", &self.name, program]);
        for variable in
            ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC", "RUSTC_WRAPPER"]
        {
            command.env_remove(variable);
        }
        command
    }

    /// The `objcopy` the toolchain brings, so that stripping gives the same bytes everywhere.
    fn objcopy(&self) -> Result<Command> {
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

fn pinned(root: &Path) -> Result<String> {
    let path = root.join("ebpf/program/rust-toolchain.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let channel = text.lines().find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"'));
    channel.map(str::to_owned).with_context(|| format!("{} names no channel", path.display()))
}

/// The linker for BPF objects.
struct Linker {
    /// Search path on which the compiler finds it.
    path: OsString,
    version: String,
}

impl Linker {
    /// From `tools/bin` of the checkout or the search path; otherwise installed into `tools`.
    fn find_or_install(root: &Path, toolchain: &Toolchain) -> Result<Self> {
        let tools = root.join("tools");
        let before = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([tools.join("bin")].into_iter().chain(env::split_paths(&before)))?;
        if let Ok(found) = Self::usable(&path) {
            return Ok(found);
        }
        install_linker(&tools, toolchain)?;
        Self::usable(&path)
    }

    fn usable(path: &OsString) -> Result<Self> {
        let version = output(Command::new("bpf-linker").arg("--version").env("PATH", path))?;
        ensure!(version.ends_with(LINKER_VERSION), "found {version}, need {LINKER_VERSION}");
        Ok(Self { path: path.clone(), version })
    }
}

/// Builds bpf-linker against the LLVM of the toolchain: the two must have the same major version, and a linker with an
/// LLVM of its own would take an hour to build.
fn install_linker(tools: &Path, toolchain: &Toolchain) -> Result<()> {
    println!("installing bpf-linker {LINKER_VERSION} into {}", tools.display());
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
    succeed(&mut install)
}

/// Prints how hard the kernel's verifier finds the object, where we may ask it.
fn show_verified_instructions(root: &Path) -> Result<()> {
    if fs::metadata("/proc/self")?.uid() != 0 {
        println!(
            "not root: run `cargo test -p blackthorn --test filter` as root to try the object in a kernel"
        );
        return Ok(());
    }
    let mut test = Command::new("cargo");
    test.current_dir(root)
        .args(["test", "--quiet", "-p", "blackthorn", "--test", "filter", "every_entry_is_accepted"])
        .args(["--", "--nocapture"]);
    succeed(&mut test)
}

fn cargo_home() -> Result<PathBuf> {
    match (env::var_os("CARGO_HOME"), env::var_os("HOME")) {
        (Some(home), _) => Ok(home.into()),
        (None, Some(home)) => Ok(Path::new(&home).join(".cargo")),
        (None, None) => bail!("neither CARGO_HOME nor HOME is set"),
    }
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
