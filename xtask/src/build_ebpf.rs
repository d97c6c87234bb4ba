//! Builds the kernel object: nightly compiler, bpf-linker with the same LLVM, debug information stripped down to BTF.
//!
//! The bytes depend on what the manifest lists and on nothing else, in particular not on where the checkout lies.

use crate::command::{cargo, root, run as succeed};
use crate::kernel_object::{MANIFEST, Manifest, OBJECT, sha256, sources};
use crate::kernel_tools::{Linker, Toolchain};
use anyhow::{Context, Result, bail};
use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const TARGET: &str = "bpfel-unknown-none";
/// The crate of the shipped program.
const PROGRAM: &str = "ebpf/program";

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
    let root = root();
    let (object, manifest) = build(root)?;
    fs::write(root.join(OBJECT), &object).with_context(|| format!("writing {OBJECT}"))?;
    manifest.write(root)?;
    println!("{OBJECT}: {} bytes, sha256 {}", object.len(), manifest.object);
    println!(
        "{MANIFEST}: {} source files, {}, {}",
        manifest.sources.len(),
        manifest.toolchain,
        manifest.linker
    );
    show_verified_instructions()
}

/// The object and the manifest that describes it; writes neither.
pub(crate) fn build(root: &Path) -> Result<(Vec<u8>, Manifest)> {
    // Cargo does not build again when only the hidden paths change, so nothing of an earlier build may be left.
    let target = root.join(PROGRAM).join("target");
    if target.exists() {
        fs::remove_dir_all(&target).with_context(|| format!("removing {}", target.display()))?;
    }
    let (stripped, toolchain, linker) = compile(root, PROGRAM, "blackthorn")?;
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

/// Compiles the binary `name` of the kernel crate in `folder`; returns where the stripped object lies, and what made it.
pub(crate) fn compile(root: &Path, folder: &str, name: &str) -> Result<(PathBuf, Toolchain, Linker)> {
    let toolchain = Toolchain::find()?;
    let linker = Linker::find_or_install(&toolchain)?;
    let flags: Vec<String> =
        FLAGS.map(str::to_owned).into_iter().chain(hide_paths(root, &toolchain)?).collect();
    let target = root.join(folder).join("target");
    let mut cargo = toolchain.command("cargo");
    cargo
        .current_dir(root.join(folder))
        .args(["build", "--release", "--locked", "--target", TARGET, "-Zbuild-std=core", "--target-dir"])
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env("PATH", &linker.path);
    succeed(&mut cargo)?;

    let linked = target.join(TARGET).join("release").join(name);
    let stripped = linked.with_extension("stripped");
    succeed(toolchain.objcopy()?.arg("--strip-debug").args([&linked, &stripped]))?;
    Ok((stripped, toolchain, linker))
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

/// Prints how hard the kernel's verifier finds the object, where we may ask it.
fn show_verified_instructions() -> Result<()> {
    if fs::metadata("/proc/self")?.uid() != 0 {
        println!(
            "not root: run `cargo test -p blackthorn --test filter` as root to try the object in a kernel"
        );
        return Ok(());
    }
    let mut test =
        cargo(&["test", "--quiet", "-p", "blackthorn", "--test", "filter", "every_entry_is_accepted"]);
    test.args(["--", "--nocapture"]);
    succeed(&mut test)
}

fn cargo_home() -> Result<PathBuf> {
    match (env::var_os("CARGO_HOME"), env::var_os("HOME")) {
        (Some(home), _) => Ok(home.into()),
        (None, Some(home)) => Ok(Path::new(&home).join(".cargo")),
        (None, None) => bail!("neither CARGO_HOME nor HOME is set"),
    }
}
