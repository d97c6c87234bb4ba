//! A view: what one reader sees for one question, a generation and the live entries asked before it.

use super::generation::Generation;
use super::live_table::LiveTable;
use std::sync::Arc;

/// A generation and the live entries over it. Published as one, so that no answer mixes two.
#[derive(Clone, Debug)]
pub struct View {
    /// What the feeds say.
    pub generation: Arc<Generation>,
    /// What operators say, which comes first.
    pub overlay: Arc<LiveTable>,
}

impl View {
    /// A generation without live entries.
    pub fn bare(generation: Arc<Generation>) -> Self {
        Self { generation, overlay: Arc::default() }
    }
}
