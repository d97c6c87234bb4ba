//! The files under `config/`: they load, say the truth and prove that unknown keys are refused.

use super::parse;
use crate::config::annotated::{Shown, render};
use crate::config::{Config, Source, annotated};
use crate::core::feed::{self, Column, Format};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

/// Every sample with its name, from `config/` at the root.
fn samples() -> Vec<(PathBuf, String)> {
    let dir = directory();
    let mut samples: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect();
    samples.sort();
    assert!(samples.len() >= 3, "{samples:?}");
    samples
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config")
}

#[test]
fn samples_load_without_warnings() {
    for (path, _) in samples() {
        let config = Config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(config.warnings, [], "{}", path.display());
        assert!(config.state_dir.is_absolute() && config.control.socket.is_absolute());
        assert!(!config.feeds.is_empty() && !config.zones.is_empty());
    }
}

#[test]
fn files_of_samples_exist() {
    for (path, _) in samples() {
        let config = Config::load(&path).unwrap();
        let sources = config.feeds.iter().filter_map(|feed| match &feed.source {
            Source::Path(path) => Some(path),
            Source::Url(_) => None,
        });
        for file in sources.chain(&config.exclude.files) {
            assert!(file.is_file(), "{} names {}", path.display(), file.display());
        }
    }
}

#[test]
fn bogus_keys_are_refused_at_every_level() {
    let mut tried = 0;
    for (path, text) in samples() {
        for (broken, line) in with_bogus_key(&text) {
            let errors = Config::parse(&broken, &path, &directory()).unwrap_err();
            let [problem] = errors.problems.as_slice() else { panic!("{errors}") };
            assert!(problem.what.starts_with("unknown key in "), "{problem}");
            assert_eq!((problem.found.as_str(), problem.line), ("bogus", Some(line)), "{problem}");
            assert!(problem.hint.starts_with("allowed: "), "{problem}");
            tried += 1;
        }
    }
    // Eight kinds of tables, the top level and inline ones included; the samples have each, most of them several times.
    assert!(tried > 30, "{tried}");
}

/// The text with an unknown key at the top, behind each header and in each inline table, and the line of that key.
fn with_bogus_key(text: &str) -> Vec<(String, u32)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut broken = vec![(format!("bogus = 1\n{text}"), 1)];
    for (i, line) in lines.iter().enumerate() {
        let mut changed: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        let number = u32::try_from(i).unwrap() + 1;
        if line.starts_with('[') {
            changed.insert(i + 1, "bogus = 1".into());
            broken.push((changed.join("\n"), number + 1));
        } else if !line.starts_with('#') && line.contains(" }") {
            changed[i] = line.replace(" }", ", bogus = 1 }");
            broken.push((changed.join("\n"), number));
        }
    }
    broken
}

#[test]
fn annotated_sample_is_up_to_date() {
    let path = directory().join("blackthorn.toml");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, annotated()).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == annotated(),
        "config/blackthorn.toml differs from the code; run: BLESS=1 cargo test -p blackthorn annotated"
    );
}

#[test]
fn annotated_sample_tells_the_true_defaults() {
    let settings = |text: &str| {
        let config = parse(text).unwrap_or_else(|errors| panic!("{errors}"));
        Config { warnings: Vec::new(), ..config }
    };
    let (short, long) = (render(Shown::Required), render(Shown::Defaults));
    assert_ne!(short, long);
    assert_eq!(settings(&short), settings(&long));
}

#[test]
fn annotated_examples_are_accepted() {
    let text: String = annotated()
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
                .unwrap_or(line)
        })
        .filter(|line| !line.starts_with("min_score"))
        .map(|line| format!("{line}\n"))
        .collect();
    let text = text.replace("format = \"score-tsv\"", "format = \"csv\"");
    let config = parse(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    assert_eq!(config.feeds[0].rules.column, Some(Column::Name("dst_ip".into())));
    assert_eq!(config.zones[0].contact.as_deref(), Some("hostmaster.bl.example"));
}

#[test]
fn sample_lists_are_read_without_rejects() {
    let mut families = [0, 0];
    for (path, _) in samples() {
        for feed in Config::load(&path).unwrap().feeds {
            let Source::Path(file) = &feed.source else { continue };
            let parsed = feed::parse(&feed.rules, &fs::read(file).unwrap()).unwrap();
            assert_eq!(parsed.rejects, [], "{}", file.display());
            assert!(parsed.entries.len() > 10, "{}", file.display());
            families[0] += parsed.entries.v4.len();
            families[1] += parsed.entries.v6.len();
        }
    }
    assert!(families.iter().all(|&n| n > 10), "{families:?}");
    let allow = feed::parse(
        &feed::Rules::new(Format::Plain),
        &fs::read(directory().join("lists/allow.txt")).unwrap(),
    );
    assert_eq!(allow.unwrap().rejects, []);
}

/// What happens to a sample: a piece is cut out, doubled, or replaced by something that means something in TOML.
fn mutate(text: &str, edits: &[(usize, usize, u8, &str)]) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for &(at, len, kind, token) in edits {
        let at = at % (characters.len() + 1);
        let end = (at + len).min(characters.len());
        let new: Vec<char> = match kind % 3 {
            0 => Vec::new(),
            1 => characters[at..end].repeat(2),
            _ => token.chars().collect(),
        };
        characters.splice(at..end, new);
    }
    characters.into_iter().collect()
}

proptest! {
    #[test]
    fn no_mutation_of_a_sample_panics(
        which: usize,
        edits in prop::collection::vec(
            (any::<usize>(), 0usize..40, any::<u8>(), prop::sample::select(vec![
                "\"", "'", "[", "]]", "{", "}", "=", "\n", "#", "-1", "1e9", "true", "[[feed]]\n", "[zone]\n", "1979-05-27",
                "\"\"\"", "\u{feff}", "\0", "\u{1b}[31m", "é", "18446744073709551616", ".", "feed.id = 1\n", "$", ",",
            ])),
            1..8,
        ),
    ) {
        let samples = samples();
        let (path, text) = &samples[which % samples.len()];
        let text = mutate(text, &edits);
        if let Err(errors) = Config::parse(&text, path, Path::new("/")) {
            prop_assert!(!errors.problems.is_empty());
            let lines = u32::try_from(text.matches('\n').count()).unwrap() + 1;
            for problem in &errors.problems {
                prop_assert!(problem.line.is_some_and(|line| (1..=lines).contains(&line)), "{}", problem);
                prop_assert!(!problem.to_string().chars().any(char::is_control), "{:?}", problem);
            }
        }
    }

    #[test]
    fn no_text_panics(text in "(\\PC|[\\[\\]{}=\"'#,.\\n\r\t])*") {
        let _ = parse(&text);
    }
}
