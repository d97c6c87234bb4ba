//! What loader and kernel program must agree on: names, map values and how the table image is cut into chunks.

/// Array of maps with one slot: the table in force. Empty slot: everything passes.
pub const TABLES: &str = "TABLES";
/// Array of maps with one slot: the table of live entries, asked before the table in force. Empty slot: there are none.
pub const OVERLAYS: &str = "OVERLAYS";
/// One [`Conf`].
pub const CONF: &str = "CONF";
/// One [`Count`] per CPU and [`Reason`](crate::verdict::Reason).
pub const COUNT: &str = "COUNT";

/// Longest name of a program or map the kernel keeps; longer ones are cut.
pub const MAX_NAME: usize = 15;

/// Program for devices with an Ethernet header; takes packets of several buffers (Linux 5.18).
pub const ETHER: &str = "bt_ether";
/// Program for devices without a link header; takes packets of several buffers (Linux 5.18).
pub const IP: &str = "bt_ip";
/// As [`ETHER`], for kernels that know single buffers only.
pub const ETHER_SINGLE: &str = "bt_ether_single";
/// As [`IP`], for kernels that know single buffers only.
pub const IP_SINGLE: &str = "bt_ip_single";

/// Program that says what the table in force holds for the source of an IP packet. It judges and counts nothing, and is
/// never attached: the daemon runs it to compare the kernel's table with its own.
pub const PROBE: &str = "bt_probe";
/// Set in what [`PROBE`] returns when there is a table and the packet has a source; then the other bits are those of the
/// payload.
pub const PROBED: u32 = 1 << 31;

/// One entry of a table map holds this many bytes of the image. Small enough for every kernel's limit on one array
/// value (4 MiB before Linux 6.0), large enough that a big table has few.
pub const CHUNK_BYTES: usize = 1 << 20;
/// Image words (4 bytes) in a chunk, as a power of two.
pub const CHUNK_WORDS_LOG2: u32 = 18;
/// Image nodes (64 bytes) in a chunk, as a power of two.
pub const CHUNK_NODES_LOG2: u32 = 14;
/// Image words in a chunk.
pub const CHUNK_WORDS: usize = 1 << CHUNK_WORDS_LOG2;

/// Chunks of the table of live entries. A constant of the object, small enough to be made anew for every change.
pub const OVERLAY_CHUNKS: u32 = 8;

/// A table map may be written through a mapping (`BPF_F_MMAPABLE`).
pub const MMAPABLE: u32 = 1 << 10;

/// Stands in the compiled object for the number of chunks of a table map. The number must be a constant for the
/// kernel to inline chunk lookups, but is known at load only, so the loader writes it over this value. It occurs once
/// in the object; below 2^30, because the kernel refuses array types above 4 GiB.
pub const CHUNKS_PLACEHOLDER: u32 = 0x2b1a_c4d7;

/// Settings the program reads for each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Conf {
    /// An [`Enforcement`]; anything else counts as off.
    pub enforcement: u32,
}

/// What happens to listed sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Enforcement {
    /// Pass everything, without looking it up.
    Off = 0,
    /// Pass everything and count what would be dropped.
    Count = 1,
    /// Drop.
    Drop = 2,
}

impl Enforcement {
    /// From the word in [`Conf`]; unknown values are off (fail open).
    #[inline(always)]
    pub const fn from_word(word: u32) -> Self {
        match word {
            1 => Self::Count,
            2 => Self::Drop,
            _ => Self::Off,
        }
    }
}

/// Packets and bytes of one reason on one CPU, since the program was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Count {
    /// Frames.
    pub packets: u64,
    /// Their bytes, link header included.
    pub bytes: u64,
}

const _: () = {
    assert!(size_of::<Conf>() == 4);
    assert!(size_of::<Count>() == 16);
    assert!(CHUNK_BYTES == CHUNK_WORDS * 4);
    assert!(CHUNK_BYTES == 64 << CHUNK_NODES_LOG2);
    assert!(CHUNKS_PLACEHOLDER < 1 << 30);
    assert!(
        TABLES.len() <= MAX_NAME
            && OVERLAYS.len() <= MAX_NAME
            && CONF.len() <= MAX_NAME
            && COUNT.len() <= MAX_NAME
    );
    assert!(ETHER.len() <= MAX_NAME && ETHER_SINGLE.len() <= MAX_NAME);
    assert!(IP.len() <= MAX_NAME && IP_SINGLE.len() <= MAX_NAME && PROBE.len() <= MAX_NAME);
};

#[cfg(feature = "user")]
mod user {
    use super::{Conf, Count};

    // SAFETY: repr(C), one u32, no padding, every bit pattern is valid.
    unsafe impl aya::Pod for Conf {}
    // SAFETY: repr(C), two u64, no padding, every bit pattern is valid.
    unsafe impl aya::Pod for Count {}
}
