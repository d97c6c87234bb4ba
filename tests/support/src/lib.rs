//! Oracle table, seeded prefixes and packet builders for tests.

pub mod needs;
