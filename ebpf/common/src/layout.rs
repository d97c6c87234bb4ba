//! The compiled table as one position-free image: what its words mean, written once for builder, daemon and kernel.
//!
//! An image is a run of `u32` words in native byte order. Every reference inside is a word number or a node number
//! (units of 16 words) counted from its start, so the same bytes work wherever they are mapped:
//!
//! | words | content |
//! |---|---|
//! | 0..1024 | header: [`header`] |
//! | 1024..66560 | IPv4 root: one [`Slot`] per /16 |
//! | 66560..132096 | IPv6 root: one [`Slot`] per /16 |
//! | 132096.. | lines of 16 words: [`Node`]s, slot arrays and IPv6 [`Record`]s, near those that refer to them |

use crate::payload::Payload;

/// Words in a [`Node`].
pub const NODE_WORDS: u32 = 16;
/// Word number of the IPv4 root.
pub const V4_ROOT: u32 = 1024;
/// Word number of the IPv6 root.
pub const V6_ROOT: u32 = V4_ROOT + ROOT_SLOTS;
/// Slots in each root: one per value of the first 16 address bits.
pub const ROOT_SLOTS: u32 = 1 << 16;
/// Number of the first node; everything before it is header and roots.
pub const FIRST_NODE: u32 = (V6_ROOT + ROOT_SLOTS) / NODE_WORDS;
/// Most words an image may have (1 GiB), so that every reference fits its field.
pub const MAX_WORDS: u32 = 1 << 28;
/// Most slots kept inside a node; more go to a slot array of their own.
pub const INLINE_SLOTS: u32 = 5;
/// Word inside a node where the inline slots begin.
pub const INLINE_AT: u32 = NODE_WORDS - INLINE_SLOTS;
/// Records in one 64-byte line.
pub const RECORDS_PER_NODE: u32 = 3;
/// Words in one IPv6 record.
pub const RECORD_WORDS: usize = 5;
/// Levels of nodes below the IPv6 root: 8 bits each for the 112 bits behind the first 16.
pub const V6_LEVELS: u32 = 14;

/// Word numbers and values of the header. Words not named are zero.
pub mod header {
    /// "BTIM" read as bytes on a little-endian machine.
    pub const MAGIC: u32 = u32::from_le_bytes(*b"BTIM");
    /// Changes whenever an older reader would misread the image. Also part of the pin path.
    pub const VERSION: u32 = 1;
    /// Reads differently on a machine of the other byte order.
    pub const ENDIAN: u32 = 0x0102_0304;

    /// Where [`MAGIC`] stands.
    pub const AT_MAGIC: u32 = 0;
    /// Where [`VERSION`] stands.
    pub const AT_VERSION: u32 = 1;
    /// Where [`ENDIAN`] stands.
    pub const AT_ENDIAN: u32 = 2;
    /// Words in the image, header included; a multiple of 16.
    pub const AT_WORDS: u32 = 3;
    /// Checksum over everything behind the first 16 words, low half first.
    pub const AT_CHECKSUM: u32 = 4;
    /// Serial of the generation. The builder leaves 0: equal data gives equal bytes; a publisher may stamp its copy.
    pub const AT_SERIAL: u32 = 6;
    /// Build time in seconds since 1970, low half first; 0 like the serial.
    pub const AT_BUILT: u32 = 7;

    /// First word the checksum covers.
    pub const SUMMED_FROM: u32 = 16;
    /// Number of IPv4 segments compiled.
    pub const AT_V4_SEGMENTS: u32 = 16;
    /// Number of IPv6 segments compiled.
    pub const AT_V6_SEGMENTS: u32 = 17;
    /// Word number of the IPv4 root.
    pub const AT_V4_ROOT: u32 = 18;
    /// Word number of the IPv6 root.
    pub const AT_V6_ROOT: u32 = 19;
    /// Word number of the first line behind the roots.
    pub const AT_LINES: u32 = 20;
}

/// One word that says what is below a root slot or a node slot.
///
/// | bits 31..30 | meaning |
/// |---|---|
/// | whole word 0 | nothing listed |
/// | 0x | number of the child node |
/// | 10 | leaf: payload in bits 21..0 |
/// | 11 in IPv4 | in the slot of a /24: one address below, last octet in bits 29..22, payload in 21..0 |
/// | 11 in IPv6 | a [`Node::record`]: position in bits 29..28, node number in bits 27..0 |
///
/// A leaf whose payload is 0 says "nothing listed" like the word 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct Slot(u32);

impl Slot {
    const LEAF: u32 = 0b10 << 30;
    const ONE: u32 = 0b11 << 30;
    const NODE_MASK: u32 = (1 << 28) - 1;

    /// Nothing listed.
    pub const EMPTY: Self = Self(0);

    /// The slot as stored in `word`.
    #[inline(always)]
    pub const fn from_word(word: u32) -> Self {
        Self(word)
    }

    /// The word to store.
    #[inline(always)]
    pub const fn word(self) -> u32 {
        self.0
    }

    /// Everything below has this payload.
    #[inline(always)]
    pub const fn leaf(payload: Payload) -> Self {
        match payload.bits() {
            0 => Self::EMPTY,
            bits => Self(Self::LEAF | bits),
        }
    }

    /// The child node `number`, at most 28 bits; the rest is cut off.
    #[inline(always)]
    pub const fn child(number: u32) -> Self {
        Self(number & Self::NODE_MASK)
    }

    /// One IPv4 address of a /24 has this payload, the others have the default of the node.
    #[inline(always)]
    pub const fn host(octet: u8, payload: Payload) -> Self {
        Self(Self::ONE | (octet as u32) << 22 | payload.bits())
    }

    /// The IPv6 record at `position` (0..3) of node `number`.
    #[inline(always)]
    pub const fn record(number: u32, position: u32) -> Self {
        Self(Self::ONE | (position & 3) << 28 | number & Self::NODE_MASK)
    }

    /// Does the slot lead to a child node?
    #[inline(always)]
    pub const fn is_child(self) -> bool {
        self.0 != 0 && self.0 < Self::LEAF
    }

    /// Is it a single address (IPv4) or a record (IPv6)?
    #[inline(always)]
    pub const fn is_one(self) -> bool {
        self.0 >= Self::ONE
    }

    /// Number of the child node.
    #[inline(always)]
    pub const fn child_number(self) -> u32 {
        self.0
    }

    /// Payload of a leaf or a single address, none of the empty slot.
    #[inline(always)]
    pub const fn payload(self) -> Payload {
        Payload::from_bits(self.0)
    }

    /// Last octet of the single address.
    #[inline(always)]
    pub const fn host_octet(self) -> u8 {
        (self.0 >> 22) as u8
    }

    /// Node number of the record.
    #[inline(always)]
    pub const fn record_node(self) -> u32 {
        self.0 & Self::NODE_MASK
    }

    /// Position of the record in its node: 0..4, of which 3 is never written.
    #[inline(always)]
    pub const fn record_position(self) -> u32 {
        self.0 >> 28 & 3
    }
}

/// One cache line of the image: 256 slots for 8 address bits, or three IPv6 records.
///
/// | word | content of a node |
/// |---|---|
/// | 0..8 | 256-bit map, low bits first: one bit per slot |
/// | 8 | four bytes, low first: set bits before each 64-bit part of the map |
/// | 9 | bits 29..0: word number of the slot array; bit 31: [`Node::RUNS`] |
/// | 10 | default: a leaf or empty |
/// | 11..16 | slot array of up to 5 slots; word 9 then points here |
///
/// The slot array holds one slot per set bit. Without `RUNS` a clear bit means the default; with it, the value of the
/// nearest set bit below, or the default where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Node([u32; NODE_WORDS as usize]);

const _: () = assert!(size_of::<Node>() == 64, "a node is one cache line");
const _: () = assert!(align_of::<Node>() == 4, "any run of 16 words can be read as a node");
const _: () = assert!((V6_ROOT + ROOT_SLOTS).is_multiple_of(NODE_WORDS), "nodes begin on a line");
const _: () = assert!(MAX_WORDS / NODE_WORDS <= 1 << 28, "node numbers fit a record slot");
const _: () = assert!(RECORDS_PER_NODE as usize * RECORD_WORDS <= NODE_WORDS as usize, "records fit a node");

impl Node {
    /// Flag in word 9: clear bits repeat the slot of the nearest set bit below.
    pub const RUNS: u32 = 1 << 31;
    const ARRAY_MASK: u32 = (1 << 30) - 1;

    /// The words before the inline slots: `map` of the set slots, low bits first; `array` is the word number of their
    /// slot array, with or without [`Node::RUNS`]; `default` holds where no slot does.
    pub fn head(map: [u64; 4], array: u32, default: Slot) -> [u32; INLINE_AT as usize] {
        let mut head = [0; INLINE_AT as usize];
        let mut before = 0;
        for (part, bits) in map.into_iter().enumerate() {
            head[2 * part] = bits as u32;
            head[2 * part + 1] = (bits >> 32) as u32;
            head[8] |= before << (8 * part);
            before += bits.count_ones();
        }
        head[9] = array;
        head[10] = default.word();
        head
    }

    /// The 16 words, seen as a node.
    #[inline(always)]
    pub const fn from_words(words: &[u32; NODE_WORDS as usize]) -> &Self {
        // SAFETY: `Node` is a transparent wrapper of exactly this array type, so size, alignment and validity agree,
        // and the result borrows from `words`.
        unsafe { &*core::ptr::from_ref(words).cast::<Self>() }
    }

    /// Payload where no slot says otherwise.
    #[inline(always)]
    pub const fn default(&self) -> Slot {
        Slot(self.0[10])
    }

    /// Word number of the slot for `octet`, or 0 when the default holds.
    #[inline(always)]
    pub const fn slot_at(&self, octet: u8) -> u32 {
        let part = (octet >> 6) as usize;
        let map = self.0[2 * part] as u64 | (self.0[2 * part + 1] as u64) << 32;
        // Bits up to and including the one asked for, moved to the top.
        let below = map << (63 - (octet & 63));
        let rank = (self.0[8] >> (8 * part) & 0xff) + below.count_ones();
        let array = self.0[9];
        let is_set = below >> 63 != 0;
        if rank != 0 && (is_set || array & Self::RUNS != 0) {
            (array & Self::ARRAY_MASK) + rank - 1
        } else {
            0
        }
    }

    /// The record at `position`, or `None` for a position no builder writes.
    #[inline(always)]
    pub fn record(&self, position: u32) -> Option<&Record> {
        let words = self.0.get(position as usize * RECORD_WORDS..)?.first_chunk()?;
        Some(Record::from_words(words))
    }
}

/// One IPv6 prefix that is alone in its part of the trie.
///
/// Words 0..4: address, low word of each 64-bit half first, upper half first. Word 4: number of host bits (128 minus
/// the prefix length) in bits 29..22, payload in 21..0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Record([u32; RECORD_WORDS]);

impl Record {
    /// The record of the prefix at `hi`, `lo` that leaves `host_bits` free (0..=111).
    pub const fn new(hi: u64, lo: u64, host_bits: u8, payload: Payload) -> Self {
        let last = (host_bits as u32) << 22 | payload.bits();
        Self([hi as u32, (hi >> 32) as u32, lo as u32, (lo >> 32) as u32, last])
    }

    #[inline(always)]
    const fn from_words(words: &[u32; RECORD_WORDS]) -> &Self {
        // SAFETY: `Record` is a transparent wrapper of exactly this array type, so size, alignment and validity agree,
        // and the result borrows from `words`.
        unsafe { &*core::ptr::from_ref(words).cast::<Self>() }
    }

    /// The words.
    pub const fn words(&self) -> &[u32; RECORD_WORDS] {
        &self.0
    }

    /// Payload of the prefix.
    #[inline(always)]
    pub const fn payload(&self) -> Payload {
        Payload::from_bits(self.0[4])
    }

    /// Is the address inside the prefix?
    #[inline(always)]
    pub const fn covers(&self, hi: u64, lo: u64) -> bool {
        let upper = hi ^ (self.0[0] as u64 | (self.0[1] as u64) << 32);
        let lower = lo ^ (self.0[2] as u64 | (self.0[3] as u64) << 32);
        let host_bits = self.0[4] >> 22 & 0xff;
        // Shift counts are taken modulo 64, so no count from a damaged image is out of range.
        if host_bits < 64 {
            upper == 0 && lower.wrapping_shr(host_bits) == 0
        } else {
            upper.wrapping_shr(host_bits) == 0
        }
    }
}

/// Checksum of `words`, taken two at a time; an odd last word counts as followed by 0.
///
/// Guards against damage, not against forgery: a change within one pair always shows.
pub fn checksum(words: &[u32]) -> u64 {
    let (pairs, odd) = words.as_chunks::<2>();
    let odd = odd.first().map(|&low| [low, 0]);
    pairs.iter().copied().chain(odd).fold(0xcbf2_9ce4_8422_2325, |sum: u64, [low, high]| {
        (sum ^ (u64::from(low) | u64::from(high) << 32)).wrapping_mul(0x0100_0000_01b3)
    })
}
