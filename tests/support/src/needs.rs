//! What a test does when the host lacks something it needs: skip with a reason, or fail where everything must run.

use std::{env, io::Write};

/// Set to `1` where every test must run: a missing tool or privilege then fails instead of skipping.
pub const REQUIRE: &str = "BLACKTHORN_REQUIRE_PRIVILEGED";

/// Reports that the calling test cannot run here because of `reason`; the test returns right after.
///
/// The line goes past libtest's capture, so that a passing run still shows what it did not test.
///
/// # Panics
///
/// When [`REQUIRE`] is `1`.
#[track_caller]
pub fn skip(reason: &str) {
    let required = env::var_os(REQUIRE).is_some_and(|value| value == "1");
    assert!(!required, "{REQUIRE}=1 forbids to skip: {reason}");
    let test = std::thread::current();
    // A closed standard error is no reason to fail.
    let _ = writeln!(std::io::stderr(), "skipped: {}: {reason}", test.name().unwrap_or("test"));
}

/// Is this process root? Tests that create namespaces or load programs ask before they begin.
#[must_use]
pub fn root() -> bool {
    // The owner of /proc/self is the effective user, and needs no system call of our own.
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

/// Is there a program of this name on the path? Otherwise the calling test is reported as skipped, and returns.
#[must_use]
#[track_caller]
pub fn program(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).any(|folder| folder.join(name).is_file());
    if !found {
        skip(&format!("there is no {name}"));
    }
    found
}
