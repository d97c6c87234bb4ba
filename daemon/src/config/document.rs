//! From a parsed TOML document to typed tables, without stopping at the first error.
//!
//! serde's derive gives up at the first problem and knows no spans inside untagged values, so the mirror of the file
//! ([`super::raw`]) is declared with [`tables!`] instead: one declaration gives the struct, the reader that reports
//! every unknown, missing and mistyped key with its line, and the keys with their documentation, from which the
//! annotated sample is written. One pass over the document; the work is linear in its size.

use super::nearest::nearest;
use super::problem::{Place, Report, shown};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One key of a table, as documented.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// Lines of its doc comment.
    pub(super) doc: &'static [&'static str],
    pub(super) presence: Presence,
    pub(super) shape: Shape,
}

/// What happens when a key is absent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Presence {
    /// An error. An example follows.
    Required(&'static str),
    /// This value is used.
    Default(&'static str),
    /// The documentation says what. An example follows.
    Optional(&'static str),
    /// A table: the defaults of its keys are used. A list of tables: it is empty.
    Section,
}

/// How a key appears in the file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// `key = value`
    Value,
    /// `key = [..]`, where an element can be a table with these keys
    Inline(&'static [Key]),
    /// `[key]`
    Table(&'static [Key]),
    /// `[[key]]`
    Tables(&'static [Key]),
}

impl Key {
    /// The key as someone would write it.
    pub(super) fn example(&self) -> String {
        match (self.shape, self.presence) {
            (_, Presence::Required(text) | Presence::Default(text) | Presence::Optional(text)) => {
                format!("{} = {text}", self.name)
            }
            (Shape::Tables(_), Presence::Section) => format!("[[{}]]", self.name),
            (_, Presence::Section) => format!("[{}]", self.name),
        }
    }
}

/// A key within a table: what messages are about.
#[derive(Clone, Copy)]
pub(super) struct Subject {
    /// Name of the table in messages: `[[feed]]`.
    pub(super) table: &'static str,
    pub(super) key: &'static Key,
}

/// Something that can stand behind a key.
pub(super) trait Read: Sized {
    /// The TOML type in words: `a string`.
    const FORM: &'static str;
    const SHAPE: Shape = Shape::Value;

    /// `None` after reporting what is wrong.
    fn read(value: &Spanned<DeValue<'_>>, subject: Subject, report: &mut Report<'_>) -> Option<Self>;
}

impl Read for String {
    const FORM: &'static str = "a string";

    fn read(value: &Spanned<DeValue<'_>>, subject: Subject, report: &mut Report<'_>) -> Option<Self> {
        let text = value.get_ref().as_str().map(str::to_owned);
        text.or_else(|| wrong_type(Self::FORM, value, subject, report))
    }
}

impl Read for u64 {
    const FORM: &'static str = "a whole number, 0 or more";

    fn read(value: &Spanned<DeValue<'_>>, subject: Subject, report: &mut Report<'_>) -> Option<Self> {
        let number =
            value.get_ref().as_integer().and_then(|n| Self::from_str_radix(n.as_str(), n.radix()).ok());
        number.or_else(|| wrong_type(Self::FORM, value, subject, report))
    }
}

impl Read for bool {
    const FORM: &'static str = "true or false";

    fn read(value: &Spanned<DeValue<'_>>, subject: Subject, report: &mut Report<'_>) -> Option<Self> {
        value.get_ref().as_bool().or_else(|| wrong_type(Self::FORM, value, subject, report))
    }
}

impl<T: Read> Read for Vec<Spanned<T>> {
    const FORM: &'static str = "a list";
    const SHAPE: Shape = match T::SHAPE {
        Shape::Table(keys) => Shape::Tables(keys),
        other => other,
    };

    fn read(value: &Spanned<DeValue<'_>>, subject: Subject, report: &mut Report<'_>) -> Option<Self> {
        let Some(elements) = value.get_ref().as_array() else {
            return wrong_type(Self::FORM, value, subject, report);
        };
        // Bad elements are reported and left out; the report keeps the list from being used.
        let read = |element| Some(Spanned::new(Spanned::span(element), T::read(element, subject, report)?));
        Some(elements.iter().filter_map(read).collect())
    }
}

/// Reports a value of another TOML type than `form`. Strings and lists are named, not shown: where something else is
/// expected they may hold a secret, such as a feed address in the wrong place.
pub(super) fn wrong_type<T>(
    form: &str,
    value: &Spanned<DeValue<'_>>,
    Subject { table, key }: Subject,
    report: &mut Report<'_>,
) -> Option<T> {
    let found = match value.get_ref() {
        DeValue::Integer(n) => shown(&n.to_string()),
        DeValue::Float(n) => shown(&n.to_string()),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::Datetime(date) => date.to_string(),
        DeValue::String(_) => "a string".into(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    };
    let hint = format!("must be {form}, such as {}", key.example());
    report.error(value.span(), format!("wrong type for {} in {table}", key.name), found, &hint);
    None
}

/// Reports every key of `table` that is not one of `keys`.
pub(super) fn unknown_keys(
    name: &'static str,
    keys: &'static [Key],
    table: &DeTable<'_>,
    report: &mut Report<'_>,
) {
    let names = || keys.iter().map(|key| key.name);
    for key in table.keys() {
        let word = key.get_ref().as_ref();
        if names().any(|name| name == word) {
            continue;
        }
        let mut hint = String::new();
        if report.has_room() {
            let meant = nearest(word, names()).map(|name| format!("did you mean {name}? "));
            hint =
                format!("{}allowed: {}", meant.unwrap_or_default(), names().collect::<Vec<_>>().join(", "));
        }
        report.error(key.span(), format!("unknown key in {name}"), shown(word), &hint);
    }
}

/// Reads what stands behind one key of `table`. `None` if it is absent, or after reporting what is wrong.
pub(super) fn field<T: Read>(
    subject: Subject,
    table: &DeTable<'_>,
    at: Place,
    report: &mut Report<'_>,
) -> Option<Spanned<T>> {
    let key = subject.key;
    let Some(value) = table.get(key.name) else {
        if let Presence::Required(_) = key.presence {
            let what = format!("missing key in {}", subject.table);
            report.error(at, what, key.name.into(), &format!("add it, such as {}", key.example()));
        }
        return None;
    };
    Some(Spanned::new(value.span(), T::read(value, subject, report)?))
}

/// Declares the tables of a file: `/// doc`, `name: Type`, then `= required`, `= default` or `= optional` with an
/// example, or nothing for a table of its own. The types of values are those that implement [`Read`].
macro_rules! tables {
    ($(
        $(#[doc = $about:literal])*
        $table:ident as $title:literal {$(
            $(#[doc = $doc:literal])*
            $key:ident: $type:ty $(= $presence:ident $example:literal)?,
        )*}
    )*) => {$(
        $(#[doc = $about])*
        #[derive(Debug, Default)]
        pub(super) struct $table {$(
            $(#[doc = $doc])*
            pub(super) $key: Option<Spanned<$type>>,
        )*}

        impl $table {
            /// Name of the table in messages.
            pub(super) const TITLE: &'static str = $title;

            /// Every key, in the order of the sample.
            pub(super) const KEYS: &'static [Key] = &[$(
                Key {
                    name: stringify!($key),
                    doc: &[$($doc),*],
                    presence: tables!(@presence $($presence $example)?),
                    shape: <$type as Read>::SHAPE,
                },
            )*];

            /// Reads the table that starts at `at`; reports what is wrong in it.
            pub(super) fn from_table(table: &DeTable<'_>, at: Place, report: &mut Report<'_>) -> Self {
                unknown_keys(Self::TITLE, Self::KEYS, table, report);
                // One key after the other, as they are declared: the fields below are evaluated in that order.
                let mut keys = Self::KEYS.iter();
                let mut subject = || keys.next().map(|key| Subject { table: Self::TITLE, key });
                Self {$(
                    $key: subject().and_then(|subject| field(subject, table, at.clone(), report)),
                )*}
            }
        }

        impl Read for $table {
            const FORM: &'static str = "a table";
            const SHAPE: Shape = Shape::Table(Self::KEYS);

            fn read(value: &Spanned<DeValue<'_>>, subject: Subject, report: &mut Report<'_>) -> Option<Self> {
                match value.get_ref() {
                    DeValue::Table(table) => Some(Self::from_table(table, value.span(), report)),
                    _ => wrong_type(Self::FORM, value, subject, report),
                }
            }
        }
    )*};
    (@presence) => { Presence::Section };
    (@presence required $example:literal) => { Presence::Required($example) };
    (@presence default $example:literal) => { Presence::Default($example) };
    (@presence optional $example:literal) => { Presence::Optional($example) };
}
pub(super) use tables;
