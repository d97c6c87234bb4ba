//! blackthorn collects blocklists, merges them into one numbered, immutable generation, and serves that generation as a
//! DNSBL, as an XDP packet filter and as data.
//!
//! Modules in the order of the data flow; a module imports only from modules above it in this list:
//!
//! - [`core`]: pure; entries, formats, gate, merge, table, zones, answers.
//! - [`config`]: what the operator asked for.
//! - [`collector`]: fetches feeds from files and over HTTP, each on its own schedule.
//! - [`store`]: last good copies and outcomes on disk.
//! - [`filter`]: keeps the XDP program loaded, its table current and the interfaces attached.
//! - [`stats`]: counters of everything that happens.
//! - [`live`]: the published generation, for readers without locks.
//! - [`dns`]: answers DNSBL questions over UDP and TCP.

pub mod collector;
pub mod config;
pub mod core;
pub mod filter;
pub mod store;
pub mod dns;
pub mod live;
pub mod stats;
