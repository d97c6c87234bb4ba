//! Validators: what a source said to recognise a copy by, kept beside the copy and sent back to ask "still the same?".

/// The validators of one copy (RFC 9110 section 8.8). They mean something only to the source that gave them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// The entity tag, as sent. For a file: its times, size and inode, as the collector writes them.
    pub etag: Option<String>,
    /// The Last-Modified date, as sent.
    pub last_modified: Option<String>,
}

impl Validators {
    /// Nothing to ask with: the next fetch will bring the whole body.
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }
}
