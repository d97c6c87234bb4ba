//! The pure core: everything between "bytes of a feed" and "answer to a question".
//!
//! Rule: no sockets, files, clocks, threads, randomness or logging below here; time and random numbers are passed
//! in. Every module above may import `core`; `core` imports nothing of ours but the table layout shared with the
//! kernel (`blackthorn_common`).
//!
//! In flow order: `feed` turns bytes into [`entry`]s, `gate` judges a feed as a whole, `flatten` settles one feed's
//! overlaps, `merge` labels every address with its [`listing`], [`table`] compiles the result; for names the same is done
//! by [`domain_flat`], [`domain_merge`] and [`domain_table`]. [`zone`] maps listings to DNS answers, [`generation`] holds
//! all of it together, [`live_table`] is what operators put over it by hand, [`view`] is both, [`query`] reads a message,
//! [`policy`] says how far its sender is answered (by [`access`], [`keys`] and [`quota`]), [`answer`] answers its question
//! from the view; [`cookie`] tells who is at his address, [`rate`] how often others are answered.

pub mod access;
pub mod answer;
pub mod build;
pub mod cookie;
pub mod coverage;
pub mod delta;
pub mod domain;
pub mod domain_flat;
mod domain_keys;
pub mod domain_merge;
pub mod domain_table;
pub mod entry;
pub mod explain;
pub mod feed;
pub mod filter_plan;
#[cfg(test)]
pub(crate) mod fixture;
pub mod flatten;
pub mod gate;
pub mod generation;
pub mod generation_file;
pub mod keys;
pub mod listing;
pub mod live_set;
pub mod live_table;
pub mod merge;
pub mod name;
pub mod network;
pub mod policy;
pub mod presence;
pub mod protection;
pub mod query;
pub mod quota;
pub mod rate;
pub mod schedule;
pub mod segment;
pub mod slab;
pub mod span;
pub mod special;
pub mod subject;
pub mod table;
pub mod text;
pub mod validators;
pub mod verify;
pub mod view;
pub mod zone;
