//! The systemd files, judged by systemd's own tools: no complaint, little exposure, the capabilities we mean.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use blackthorn_testkit::needs;
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

/// Highest exposure we accept, in tenths, of a scale from 0 (locked up) to 100.
const MAX_EXPOSURE_TENTHS: u32 = 20;

fn shipped(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd").join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(shipped(file)).unwrap()
}

/// Runs one of systemd's tools; `None` after [`needs::skip`] when it is not installed.
fn systemd_tool(tool: &str, args: &[&OsStr]) -> Option<Output> {
    match Command::new(tool).args(args).output() {
        Ok(output) => Some(output),
        Err(err) => {
            needs::skip(&format!("{tool}: {err} (Debian package systemd)"));
            None
        }
    }
}

/// First word of `systemd-analyze --version` that is a number: 252, 257...
fn systemd_version() -> Option<u32> {
    let output = systemd_tool("systemd-analyze", &["--version".as_ref()])?;
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect(&text))
}

/// The unit as installed, in a directory of its own: our binary for the path that does not exist yet, `drop_ins`
/// beside it, and without the one line that old systemd announces to ignore.
fn installed(version: u32, drop_ins: &[&str]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let mut unit =
        replace_once(&read("blackthorn.service"), "/usr/bin/blackthorn", env!("CARGO_BIN_EXE_blackthorn"));
    if version < 253 {
        unit = replace_once(&unit, "\nType=notify-reload\n", "\n");
    }
    let path = dir.path().join("blackthorn.service");
    fs::write(&path, unit).unwrap();
    let beside = dir.path().join("blackthorn.service.d");
    fs::create_dir(&beside).unwrap();
    for name in drop_ins {
        fs::copy(shipped("drop-ins").join(name), beside.join(name)).unwrap();
    }
    (dir, path)
}

fn replace_once(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from:?} stands once in the unit");
    text.replace(from, to)
}

fn drop_in_names() -> Vec<String> {
    let entries = fs::read_dir(shipped("drop-ins")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Values of `key=` in a unit, in file order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn verify_has_no_complaint_with_any_drop_in() {
    let Some(version) = systemd_version() else { return };
    let drop_ins = drop_in_names();
    let each = drop_ins.iter().map(|name| vec![name.as_str()]);
    for set in each.chain([vec![]]) {
        let (_dir, unit) = installed(version, &set);
        let args = ["verify", "--man=no", "--recursive-errors=no"].map(OsStr::new);
        let args = [&args[..], &[unit.as_os_str()]].concat();
        let Some(output) = systemd_tool("systemd-analyze", &args) else { return };
        assert!(output.status.success() && output.stderr.is_empty(), "with {set:?}: {output:?}");
    }
}

#[test]
fn verify_does_complain_about_a_bad_line() {
    let Some(version) = systemd_version() else { return };
    let (_dir, unit) = installed(version, &[]);
    let text = fs::read_to_string(&unit).unwrap();
    fs::write(&unit, replace_once(&text, "\nProtectHome=yes\n", "\nProtectHome=perhaps\n")).unwrap();
    let args = ["verify".as_ref(), "--man=no".as_ref(), unit.as_os_str()];
    let Some(output) = systemd_tool("systemd-analyze", &args) else { return };
    assert!(String::from_utf8_lossy(&output.stderr).contains("perhaps"), "{output:?}");
}

#[test]
fn exposure_stays_low() {
    let Some(version) = systemd_version() else { return };
    let threshold = format!("--threshold={MAX_EXPOSURE_TENTHS}");
    for set in [vec![], vec!["dns-only.conf"]] {
        let (_dir, unit) = installed(version, &set);
        let args = ["security".as_ref(), "--offline=true".as_ref(), threshold.as_ref(), unit.as_os_str()];
        let Some(output) = systemd_tool("systemd-analyze", &args) else { return };
        let report = String::from_utf8_lossy(&output.stdout);
        let overall = report.lines().find(|line| line.contains("Overall exposure level")).expect(&report);
        println!("{set:?}: {overall}");
        assert!(output.status.success(), "with {set:?}: {report}");
    }
}

#[test]
fn capabilities_are_exactly_these() {
    let sorted = |list: &str| {
        let mut words: Vec<_> = list.split_whitespace().map(str::to_owned).collect();
        words.sort();
        words.join(" ")
    };
    let expected = "CAP_BPF CAP_NET_ADMIN CAP_NET_BIND_SERVICE CAP_PERFMON";
    let unit = read("blackthorn.service");
    let dns_only = read("drop-ins/dns-only.conf");
    for key in ["AmbientCapabilities", "CapabilityBoundingSet"] {
        let [caps] = values(&unit, key)[..] else { panic!("one {key}= in the unit") };
        assert_eq!(sorted(caps), expected);
        assert_eq!(values(&dns_only, key), ["", "CAP_NET_BIND_SERVICE"], "cleared, then the one");
    }
}

/// Adds to `calls` what systemd means by `name`: a system call, or a group of calls and groups.
fn expand(name: &str, calls: &mut BTreeSet<String>) -> Option<()> {
    if !name.starts_with('@') {
        calls.insert(name.to_owned());
        return Some(());
    }
    let output = systemd_tool("systemd-analyze", &["syscall-filter".as_ref(), name.as_ref()])?;
    assert!(output.status.success(), "{name}: {output:?}");
    let listed = String::from_utf8(output.stdout).unwrap();
    let members =
        listed.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    members.map(|member| expand(member, calls)).collect()
}

/// The calls that are left when the `SystemCallFilter=` lines of an allow list are applied in order.
fn allowed_calls(unit: &str) -> Option<BTreeSet<String>> {
    let mut allowed = BTreeSet::new();
    for line in values(unit, "SystemCallFilter") {
        let mut named = BTreeSet::new();
        line.trim_start_matches('~').split_whitespace().try_for_each(|name| expand(name, &mut named))?;
        if line.starts_with('~') {
            allowed = &allowed - &named;
        } else {
            allowed.append(&mut named);
        }
    }
    Some(allowed)
}

#[test]
fn filter_of_system_calls_leaves_what_the_daemon_uses() {
    let unit = read("blackthorn.service");
    let Some(allowed) = allowed_calls(&unit) else { return };
    for call in
        ["bpf", "epoll_wait", "recvmmsg", "sendmmsg", "accept4", "clone3", "mmap", "fdatasync", "renameat"]
    {
        assert!(allowed.contains(call), "{call}");
    }
    for call in ["setuid", "mount", "ptrace", "init_module", "perf_event_open", "chown"] {
        assert!(!allowed.contains(call), "{call}");
    }
    let Some(dns_only) = allowed_calls(&(unit + &read("drop-ins/dns-only.conf"))) else { return };
    let lost: Vec<_> = allowed.difference(&dns_only).collect();
    assert_eq!(lost, ["bpf"]);
}

#[test]
fn sysusers_and_tmpfiles_make_the_user_and_the_pin_directory() {
    if !needs::root() {
        return needs::skip("not root: files cannot be given to another user");
    }
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("etc")).unwrap();
    fs::create_dir_all(root.path().join("sys/fs/bpf")).unwrap();
    let at_root = format!("--root={}", root.path().display());

    let users = shipped("blackthorn.sysusers.conf").canonicalize().unwrap();
    let Some(output) = systemd_tool("systemd-sysusers", &[at_root.as_ref(), users.as_ref()]) else { return };
    assert!(output.status.success(), "{output:?}");
    let passwd = fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    let user: Vec<_> =
        passwd.lines().find(|line| line.starts_with("blackthorn:")).expect(&passwd).split(':').collect();
    assert_eq!(user[5..], ["/var/lib/blackthorn", "/usr/sbin/nologin"]);

    let files = shipped("blackthorn.tmpfiles.conf").canonicalize().unwrap();
    let args = [at_root.as_ref(), "--create".as_ref(), files.as_os_str()];
    let Some(output) = systemd_tool("systemd-tmpfiles", &args) else { return };
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let mode = |path: &str| fs::metadata(root.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("sys/fs/bpf"), 0o711, "others pass through");
    assert_eq!(mode("sys/fs/bpf/blackthorn"), 0o700);
    let owner = fs::metadata(root.path().join("sys/fs/bpf/blackthorn")).unwrap().uid();
    assert_eq!(owner.to_string(), user[2], "the pins belong to the service");
}
