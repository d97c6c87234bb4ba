//! blackthorn collects blocklists, merges them into one numbered, immutable generation, and serves that generation as a
//! DNSBL, as an XDP packet filter and as data.
//!
//! Modules in the order of the data flow; a module imports only from modules above it in this list:
//!
//! - [`core`]: pure; entries, formats, gate, merge, table, zones, answers.
//! - [`filter`]: keeps the XDP program loaded, its table current and the interfaces attached.
//! - [`config`]: what the operator asked for.
//! - [`collector`]: fetches feeds from files and over HTTP, each on its own schedule.
//! - [`store`]: last good copies and outcomes on disk.
//!
//! Edges of the process, used by `main` and the commands: [`logging`] (events to standard error), [`signals`] (what
//! operators ask for, as a channel), [`notify`] (what systemd is told).

pub mod collector;
pub mod config;
pub mod core;
pub mod engine;
pub mod filter;
pub mod store;
pub mod logging;
pub mod notify;
pub mod signals;
