//! The gate: checks a parsed feed must pass as a whole before it replaces its last good copy.

/// What one feed must satisfy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Zero entries are fine (G05); off by default.
    pub may_be_empty: bool,
    /// Most rejected lines, in percent of all data lines (G07).
    pub max_rejects_percent: u8,
}
