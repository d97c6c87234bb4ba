//! The maps, and nothing else.

use aya_ebpf::btf_maps::{Array, ArrayOfMaps, PerCpuArray};
use aya_ebpf::macros::btf_map;
use blackthorn_common::abi::{CHUNK_WORDS, CHUNKS_PLACEHOLDER, Conf, Count, MMAPABLE, OVERLAY_CHUNKS};
use blackthorn_common::verdict::Reason;

/// A piece of the table image.
type Chunk = [u32; CHUNK_WORDS];

/// A table of `CHUNKS` chunks. The number is part of the type so that the kernel turns a chunk lookup into a comparison
/// and a multiplication.
pub(crate) type Table<const CHUNKS: usize> = Array<Chunk, CHUNKS, { MMAPABLE as usize }>;

/// One generation. The loader writes the real number of chunks over the placeholder.
type Generation = Table<{ CHUNKS_PLACEHOLDER as usize }>;

/// The live entries.
type Overlay = Table<{ OVERLAY_CHUNKS as usize }>;

#[btf_map]
pub(crate) static OVERLAYS: ArrayOfMaps<Overlay, 1> = ArrayOfMaps::new();

#[btf_map]
pub(crate) static TABLES: ArrayOfMaps<Generation, 1> = ArrayOfMaps::new();

#[btf_map]
pub(crate) static CONF: Array<Conf, 1> = Array::new();

#[btf_map]
pub(crate) static COUNT: PerCpuArray<Count, { Reason::COUNT }> = PerCpuArray::new();
