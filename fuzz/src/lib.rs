//! What the fuzz targets share: reading of inputs, memory as a mapping has it, a small generation.
//!
//! A target reads its input with [`Input`] from the front, byte by byte, so that seeds can be written by hand and small
//! changes of an input are small changes of the case.

pub mod generation;
pub mod input;
pub mod memory;
pub mod networks;

pub use input::Input;
