//! Fails when the committed kernel object is not what its sources give. Needs no nightly unless asked to rebuild.

use crate::build_ebpf;
use crate::command::root;
use crate::kernel_object::{MANIFEST, Manifest, OBJECT, sha256, sources};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build the object anew and compare its bytes too; needs the pinned nightly.
    #[arg(long)]
    rebuild: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let root = root();
    let manifest = Manifest::read(root)?;
    let object = fs::read(root.join(OBJECT)).with_context(|| format!("reading {OBJECT}"))?;
    let mut differences = differing_files(&manifest.sources, &sources(root)?);
    if sha256(&object) != manifest.object {
        differences.push(format!("{OBJECT} is not the object of the manifest"));
    }
    if !differences.is_empty() {
        bail!("{MANIFEST} does not match, run `cargo xtask build-ebpf`:\n  {}", differences.join("\n  "));
    }
    println!("{OBJECT} matches {} source files", manifest.sources.len());
    if args.rebuild {
        let (rebuilt, now) = build_ebpf::build(root)?;
        ensure!(
            (&now.toolchain, &now.linker) == (&manifest.toolchain, &manifest.linker),
            "the object was built with {} and {}, here are {} and {}",
            manifest.toolchain,
            manifest.linker,
            now.toolchain,
            now.linker
        );
        ensure!(
            now.flags == manifest.flags,
            "the object was built with other flags, run `cargo xtask build-ebpf`"
        );
        ensure!(
            rebuilt == object,
            "rebuilding gives other bytes: sha256 {}, not {}",
            now.object,
            manifest.object
        );
        println!("rebuilding gives the same {} bytes", rebuilt.len());
    }
    Ok(())
}

/// One line for each file that changed, came or went since the object was built.
fn differing_files(then: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, hash) in then {
        match now.get(name) {
            None => lines.push(format!("{name} is gone")),
            Some(current) if current != hash => lines.push(format!("{name} has changed")),
            Some(_) => {}
        }
    }
    lines.extend(now.keys().filter(|name| !then.contains_key(*name)).map(|name| format!("{name} is new")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_difference_is_named() {
        let files = |list: &[(&str, &str)]| -> BTreeMap<String, String> {
            list.iter().map(|(name, hash)| (name.to_string(), hash.to_string())).collect()
        };
        let then = files(&[("a", "1"), ("b", "2"), ("c", "3")]);
        assert!(differing_files(&then, &then).is_empty());
        let now = files(&[("a", "1"), ("c", "4"), ("d", "5")]);
        assert_eq!(differing_files(&then, &now), ["b is gone", "c has changed", "d is new"]);
    }

    #[test]
    fn the_committed_object_matches_its_sources() {
        run(&Args { rebuild: false }).unwrap();
    }
}
