//! Plain lists (F01 to F03): one address, prefix or range per line, both families in one file.

use super::builder::Builder;
use super::lines::{self, Comments, MAX_LINE};
use super::{BodyError, Declared, Parsed, Rules};

/// `!` and `--` are no comments here: both are exclusion marks elsewhere, so they are rejected (E24).
pub(super) const COMMENTS: Comments = Comments { signs: &["#", ";", "//"], after_blank: true };

/// Reads a decoded body.
///
/// # Errors
/// [`BodyError::LongLine`].
pub(super) fn read(rules: &Rules, text: &[u8]) -> Result<Parsed, BodyError> {
    let mut builder = Builder::new(rules);
    for line in lines::split(text, MAX_LINE) {
        builder.list_line(line?, &COMMENTS);
    }
    Ok(builder.finish(Declared::Nothing))
}
