//! Configurations: any text is read to a configuration or to errors that say where.

#![no_main]

use blackthorn::config::{Config, MAX_ERRORS, Problem};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|text: &str| {
    let parse = || Config::parse(text, Path::new("x.toml"), Path::new("/etc/blackthorn"));
    // A line end at the end of the file does not begin another line, but that is where its end is.
    let last_line = text.matches('\n').count() + 1;
    let is_placed = |problem: &Problem| {
        let line = problem.line.expect("what is in a file has a line");
        assert!((1..=last_line).contains(&(line as usize)), "{problem}");
        assert!(!problem.what.is_empty() && !problem.to_string().contains('\n'), "{problem}");
    };
    match parse() {
        Ok(config) => {
            config.warnings.iter().for_each(is_placed);
            assert!(config.state_dir.is_absolute() && config.control.socket.is_absolute());
            let again = parse().expect("as before");
            assert_eq!(config, again);
            assert_eq!(config.generation_digest(), again.generation_digest());
        }
        Err(errors) => {
            assert!((1..=MAX_ERRORS).contains(&errors.problems.len()));
            errors.problems.iter().for_each(is_placed);
            assert!(errors.problems.is_sorted_by_key(|problem| problem.line));
        }
    }
});
