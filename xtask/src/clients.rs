//! Real resolvers, mail servers and checkers that the tests run beside the daemon, unpacked into `tools/clients` and not
//! installed: nothing of the machine changes, no service starts, and mail servers that Debian lets nobody have side by
//! side lie side by side.
//!
//! apt says what a package needs beyond what this machine has, and fetches it; dpkg-deb unpacks it.

use crate::command::{self, program, root};
use crate::setup::{apt_get, is_installed, is_root};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// Packages that apt resolves together: it takes only one mail server at a time.
const TOGETHER: [&[&str]; 2] = [
    &["bind9", "haproxy", "postfix", "python3-dnspython", "python3-m2crypto", "unbound"],
    &["exim4-daemon-light"],
];
/// Packages taken without what they need: dnsviz draws with graphviz, a hundred megabytes its checks do without.
const ALONE: [&str; 1] = ["dnsviz"];
/// Where they are unpacked, from the root of the workspace.
const FOLDER: &str = "tools/clients";
/// A file in the folder: which packages were asked for.
const LIST: &str = "packages";

/// Fetches and unpacks the programs, unless they are there.
pub(crate) fn prepare() -> Result<()> {
    let folder = root().join(FOLDER);
    if fs::read_to_string(folder.join(LIST)).is_ok_and(|held| held == wanted()) {
        return Ok(());
    }
    eprintln!("missing in {FOLDER}: {}, for tests with real resolvers and mail servers", wanted());
    ensure!(is_root(), "not root, not fetching {}", wanted());
    ensure!(is_installed("apt-get"), "no apt-get here to fetch {}", wanted());
    // A folder that is there is a whole one.
    let new = folder.with_extension("new");
    remove(&new)?;
    let archives = new.join("archives");
    fetch(&archives)?;
    for package in packages(&archives)? {
        command::output(program("dpkg-deb", &["--extract"]).arg(&package).arg(&new))?;
    }
    remove(&archives)?;
    fs::write(new.join(LIST), wanted())?;
    remove(&folder)?;
    fs::rename(&new, &folder).with_context(|| format!("moving {} in place", folder.display()))
}

fn wanted() -> String {
    [TOGETHER.concat(), ALONE.to_vec()].concat().join(" ")
}

/// Fetches the packages and what they need that is not installed here.
fn fetch(archives: &Path) -> Result<()> {
    // apt puts there what it has in part.
    let partial = archives.join("partial");
    fs::create_dir_all(&partial).with_context(|| format!("creating {}", partial.display()))?;
    if let Err(error) = command::run(&mut apt_get(&["update"])) {
        eprintln!("{error}; trying to fetch all the same");
    }
    let place = format!("Dir::Cache::archives={}/", archives.display());
    // Root's own folders are closed to the user apt would become.
    let options = ["-o", &place, "-o", "APT::Sandbox::User=root"];
    let install = ["install", "--yes", "--no-install-recommends", "--download-only"];
    for packages in TOGETHER {
        command::run(&mut apt_get(&[&options, &install[..], packages].concat()))?;
    }
    let download = [&options, &["download"][..], &ALONE].concat();
    command::run(apt_get(&download).current_dir(archives))
}

/// What to unpack: all but the C library, because the loader of this machine fits its own only.
fn packages(archives: &Path) -> Result<Vec<PathBuf>> {
    let mut packages = Vec::new();
    for entry in fs::read_dir(archives).with_context(|| format!("reading {}", archives.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".deb") && !name.starts_with("libc6_") {
            packages.push(path);
        }
    }
    packages.sort();
    Ok(packages)
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packages_are_unpacked() {
        let folder = std::env::temp_dir().join(format!("blackthorn-clients-{}", std::process::id()));
        fs::create_dir_all(folder.join("partial")).unwrap();
        for name in ["b_1_all.deb", "a_1_all.deb", "lock", "c_1_all.deb.part", "libc6_2_all.deb"] {
            fs::write(folder.join(name), "").unwrap();
        }
        let found = packages(&folder).unwrap();
        remove(&folder).unwrap();
        assert_eq!(found, [folder.join("a_1_all.deb"), folder.join("b_1_all.deb")]);
        assert!(remove(&folder).is_ok(), "nothing to remove");
    }

    #[test]
    fn every_package_is_named_once() {
        let wanted = wanted();
        let mut names: Vec<&str> = wanted.split(' ').collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.contains(&"postfix") && names.contains(&"exim4-daemon-light"));
    }
}
