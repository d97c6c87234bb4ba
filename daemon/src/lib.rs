//! blackthorn collects blocklists, merges them into one numbered, immutable generation, and serves that generation as a
//! DNSBL, as an XDP packet filter and as data.
//!
//! Modules in the order of the data flow; a module imports only from modules above it in this list:
//!
//! - [`core`]: pure; entries, formats, gate, merge, table, zones, answers.
//! - [`config`]: what the operator asked for, checked.
//! - [`stats`]: counters; [`live`]: the published generation.
//! - [`collector`]: fetches feeds from files and over HTTP, each on its own schedule.
//! - [`store`]: last good copies and outcomes on disk.
//! - [`generations`]: whole generations on disk, mapped and served at the next start.
//! - [`filter`]: keeps the XDP program loaded, its table current and the interfaces attached.
//! - [`dns`]: the live generation as a DNSBL over UDP, TCP, TLS, HTTPS and QUIC.
//! - [`engine`]: one cycle after another, from delivered feeds to a published generation.
//! - [`control`]: the control socket and its client.
//! - [`commands`]: one file per subcommand; `run` wires everything together.
//!
//! Edges of the process, used by `main` and the commands: [`cli`] (the command line), [`logging`] (events to standard
//! error), [`allocator`] (large buffers), [`signals`] (what operators ask for), [`notify`] (what systemd is told).

pub mod allocator;
pub mod cli;
pub mod collector;
pub mod commands;
pub mod config;
pub mod control;
pub mod core;
pub mod dns;
pub mod engine;
pub mod filter;
pub mod generations;
pub mod live;
pub mod logging;
pub mod notify;
pub mod signals;
pub mod stats;
pub mod store;
