//! Oracle tables, seeded prefixes and domains, packet builders, DNS messages, network namespaces and full disks for tests.

pub mod domains;
pub mod line;
pub mod messages;
pub mod needs;
pub mod netns;
pub mod oracle;
pub mod packet;
pub mod prefixes;
pub mod random;
pub mod tmpfs;
