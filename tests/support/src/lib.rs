//! Oracle table, seeded prefixes, packet builders and network namespaces for tests.

pub mod needs;
pub mod netns;
pub mod oracle;
pub mod packet;
pub mod prefixes;
pub mod random;
