//! The annotated sample: every key with its documentation, written from the declarations in `raw`.

use super::document::{Key, Presence, Shape};
use super::raw::Root;

const HEAD: &str = "\
# Configuration of blackthorn: every key there is.
#
# Keys behind a # may be left out. They are shown with the value they have then, or with an example where it says so.
# An unknown key is an error. Check a file with `blackthorn check`.
# Durations are written as \"90s\", \"10m\", \"24h\", \"2d\" or \"1h30m\", sizes as \"64KiB\" or \"10MB\".
";

/// The sample configuration. It is a valid one.
pub fn annotated() -> String {
    render(Shown::Required)
}

/// Which keys stand in the sample without a `#` before them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Required,
    /// For tests: what the sample says of defaults can be compared with what they are.
    #[cfg(test)]
    Defaults,
}

pub(super) fn render(shown: Shown) -> String {
    let mut text = HEAD.to_owned();
    table(Root::KEYS, "", shown, &mut text);
    text
}

/// Values first: in TOML, a key behind a table header belongs to that table. `path` is that of the table, with a dot
/// behind it.
fn table(keys: &[Key], path: &str, shown: Shown, text: &mut String) {
    for key in keys {
        if let Shape::Value | Shape::Inline(_) = key.shape {
            text.push('\n');
            value(key, shown, text);
        }
    }
    for key in keys {
        if let Shape::Table(inner) | Shape::Tables(inner) = key.shape {
            text.push('\n');
            doc(key, "", text);
            let name = format!("{path}{}", key.name);
            let list = matches!(key.shape, Shape::Tables(_));
            text.push_str(&if list { format!("[[{name}]]\n") } else { format!("[{name}]\n") });
            table(inner, &format!("{name}."), shown, text);
        }
    }
}

fn value(key: &Key, shown: Shown, text: &mut String) {
    doc(key, "", text);
    if let Shape::Inline(inner) = key.shape {
        for key in inner {
            text.push_str(&format!("#   {}:\n", key.name));
            doc(key, "    ", text);
        }
    }
    let (note, off) = match key.presence {
        Presence::Default(_) => ("", shown == Shown::Required),
        Presence::Optional(_) => ("# Example:\n", true),
        Presence::Required(_) | Presence::Section => ("", false),
    };
    text.push_str(note);
    text.push_str(&format!("{}{}\n", if off { "#" } else { "" }, key.example()));
}

fn doc(key: &Key, indent: &str, text: &mut String) {
    for line in key.doc {
        text.push_str(&format!("#{indent}{line}\n"));
    }
}
