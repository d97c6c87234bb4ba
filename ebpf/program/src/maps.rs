//! The maps, and nothing else.

use aya_ebpf::btf_maps::{Array, ArrayOfMaps, PerCpuArray};
use aya_ebpf::macros::btf_map;
use blackthorn_common::abi::{CHUNK_WORDS, CHUNKS_PLACEHOLDER, Conf, Count, MMAPABLE};
use blackthorn_common::verdict::Reason;

/// A piece of the table image.
type Chunk = [u32; CHUNK_WORDS];

/// One generation. The loader writes the real number of chunks over the placeholder; it is part of the type so that
/// the kernel turns a chunk lookup into a comparison and a multiplication.
pub(crate) type Table = Array<Chunk, { CHUNKS_PLACEHOLDER as usize }, { MMAPABLE as usize }>;

#[btf_map]
pub(crate) static TABLES: ArrayOfMaps<Table, 1> = ArrayOfMaps::new();

#[btf_map]
pub(crate) static CONF: Array<Conf, 1> = Array::new();

#[btf_map]
pub(crate) static COUNT: PerCpuArray<Count, { Reason::COUNT }> = PerCpuArray::new();
