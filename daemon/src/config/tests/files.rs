//! Files that cannot be read, and paths relative to those that can.

use crate::config::{Config, ConfigErrors, MAX_FILE, Source};
use std::fs;
use std::path::{Path, PathBuf};

/// The one message for `path`, with the directory cut off.
fn message(dir: &Path, path: &Path) -> String {
    let ConfigErrors { problems, omitted: 0 } = Config::load(path).unwrap_err() else { panic!("one error") };
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    problem.to_string().replace(&format!("{}/", dir.display()), "")
}

#[test]
fn says_why_a_file_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    assert_eq!(
        message(dir, &dir.join("none.toml")),
        "none.toml: cannot read the configuration: No such file or directory (os error 2); \
         give the path of an existing file"
    );
    fs::create_dir(dir.join("sub")).unwrap();
    assert_eq!(
        message(dir, &dir.join("sub")),
        "sub: cannot read the configuration: Is a directory (os error 21); give the path of a file in it"
    );
    fs::write(dir.join("latin1.toml"), b"# a\n# caf\xe9\n").unwrap();
    assert_eq!(
        message(dir, &dir.join("latin1.toml")),
        "latin1.toml:2: not UTF-8 text; save the file as UTF-8"
    );
    let size = usize::try_from(MAX_FILE).unwrap();
    fs::write(dir.join("big.toml"), vec![b'\n'; size + 1]).unwrap();
    assert_eq!(
        message(dir, &dir.join("big.toml")),
        "big.toml: the configuration has more than 4 MiB; is this a feed? give the path of a configuration"
    );
    fs::write(dir.join("full.toml"), vec![b'\n'; size]).unwrap();
    assert!(Config::load(&dir.join("full.toml")).is_ok());
}

#[test]
fn paths_start_at_the_directory_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.toml");
    let text = "state_dir = \"../state\"\n[[feed]]\nid = \"a\"\nsource = \"a.txt\"\nformat = \"plain\"\n";
    fs::write(&file, text).unwrap();
    let config = Config::load(&file).unwrap();
    assert_eq!(config.state_dir, dir.path().join("../state"));
    assert_eq!(config.feeds[0].source, Source::Path(dir.path().join("a.txt")));
    // A bare file name lies in the current directory, which is not changed here: other tests run beside this one.
    let name = PathBuf::from("no-such-file.toml");
    assert!(Config::load(&name).unwrap_err().to_string().starts_with("no-such-file.toml: cannot read"));
}
