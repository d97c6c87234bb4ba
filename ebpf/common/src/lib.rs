#![no_std]
//! What daemon and kernel program share: the table image and its lookup, packet parsing, verdicts and the map ABI.
//!
//! Nothing here allocates, panics, formats or does I/O: the same functions are compiled for the host and for the BPF
//! target, where the verifier walks every path.

pub mod abi;
pub mod image;
pub mod layout;
pub mod packet;
pub mod payload;
pub mod verdict;
