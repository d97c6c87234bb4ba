//! Oracle table, seeded prefixes and packet builders for tests.

pub mod packet;
pub mod oracle;
pub mod prefixes;
pub mod random;
pub mod packet;
pub mod needs;
