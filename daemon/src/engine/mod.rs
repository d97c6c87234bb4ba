//! The engine: one cycle after another from delivered feeds to a published generation.

pub mod exclude;
pub mod host;
pub mod status;
