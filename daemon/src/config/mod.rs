//! Configuration.

pub mod source;
