//! The compiled table as one position-free image: what its words mean, written once for builder, daemon and kernel.
//!
//! An image is a run of `u32` words in native byte order. Every reference inside is a word number or a node number
//! (units of 16 words) counted from its start, so the same bytes work wherever they are mapped:
//!
//! | words | content |
//! |---|---|
//! | 0..1024 | header: [`header`] |
//! | 1024..66560 | IPv4 root: one [`Slot`] per /16, [`Slot::NO_LIST`] where nothing is listed |
//! | 66560..132096 | IPv6 root: one [`Slot`] per /16 |
//! | 132096.. | lines of 16 words: [`Node`]s, slot arrays, IPv4 lists and IPv6 records, near those that refer to them |

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
/// Most entries of an IPv4 list: one count, 29 halves of addresses and one word fill a line.
pub const LIST_ENTRIES: u32 = 29;
/// Most IPv6 records that fit a line.
pub const LINE_RECORDS: u32 = 5;
/// Levels of nodes below the IPv6 root: 8 bits each for the 112 bits behind the first 16.
pub const V6_LEVELS: u32 = 14;

/// Word numbers and values of the header. Words not named are zero.
pub mod header {
    /// "BTIM" read as bytes on a little-endian machine.
    pub const MAGIC: u32 = u32::from_le_bytes(*b"BTIM");
    /// Changes whenever an older reader would misread the image. Also part of the pin path.
    pub const VERSION: u32 = 2;
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

    /// Always 0, and so an IPv4 list without entries: see [`super::Slot::NO_LIST`].
    pub const AT_NO_LIST: u32 = 9;

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
/// | 00 | number of the child node |
/// | 01 in IPv4 | a list of all that is below ([`Node::listed`]): its word number in bits 27..0 |
/// | 10 | leaf: payload in bits 21..0 |
/// | 11 in IPv4 | in the slot of a /24: one address below, last octet in bits 29..22, payload in 21..0 |
/// | 11 in IPv6 | records of what differs from the default ([`Node::recorded`]): word number in bits 27..0 |
///
/// A leaf whose payload is 0 says "nothing listed" like the word 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct Slot(u32);

impl Slot {
    const LIST: u32 = 0b01 << 30;
    const LEAF: u32 = 0b10 << 30;
    const ONE: u32 = 0b11 << 30;
    /// Bits of a node or word number.
    const NUMBER: u32 = (1 << 28) - 1;

    /// Nothing listed.
    pub const EMPTY: Self = Self(0);

    /// Nothing listed, said by a list that is empty. In the IPv4 root most slots are empty or lists, with no order for a
    /// processor to guess by; this way they are all lists.
    pub const NO_LIST: Self = Self::list(header::AT_NO_LIST);

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
        Self(number & Self::NUMBER)
    }

    /// One IPv4 address of a /24 has this payload, the others have the default of the node.
    #[inline(always)]
    pub const fn host(octet: u8, payload: Payload) -> Self {
        Self(Self::ONE | (octet as u32) << 22 | payload.bits())
    }

    /// The IPv4 list at word `number`, at most 28 bits; the rest is cut off.
    #[inline(always)]
    pub const fn list(number: u32) -> Self {
        Self(Self::LIST | number & Self::NUMBER)
    }

    /// The IPv6 records from word `number` on, at most 28 bits; the rest is cut off.
    #[inline(always)]
    pub const fn records(number: u32) -> Self {
        Self(Self::ONE | number & Self::NUMBER)
    }

    /// Does the slot lead to a child node?
    #[inline(always)]
    pub const fn is_child(self) -> bool {
        self.0 != 0 && self.0 < Self::LIST
    }

    /// Is it an IPv4 list?
    #[inline(always)]
    pub const fn is_list(self) -> bool {
        self.0 & Self::ONE == Self::LIST
    }

    /// Is it a single address (IPv4) or records (IPv6)?
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

    /// Word number of the list or of the first record.
    #[inline(always)]
    pub const fn word_number(self) -> u32 {
        self.0 & Self::NUMBER
    }
}

/// One cache line of the image: 256 slots for 8 address bits; or any mixture of slot arrays, lists and records.
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
const _: () = assert!(MAX_WORDS / NODE_WORDS <= 1 << 28, "node numbers fit a slot");
const _: () = assert!(MAX_WORDS <= 1 << 28, "word numbers fit a slot");

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
        let array = self.0[9];
        // The way of most addresses that are not listed, so it comes before the counting.
        if below >> 63 == 0 && array & Self::RUNS == 0 {
            return 0;
        }
        let rank = (self.0[8] >> (8 * part) & 0xff) + below.count_ones();
        if rank == 0 { 0 } else { (array & Self::ARRAY_MASK) + rank - 1 }
    }

    /// What the IPv4 list at word `at` of this line says of an address, of which the low 16 bits are given.
    ///
    /// A list is a row of halves of words, low half first: the number of entries in bits 4..0 and [`ALIKE`] in bit 15,
    /// then the low 16 bits of the first address of each entry, ascending. From the next whole word on follows an
    /// [`entry`] for each, or one for all of them. It never crosses a line. What no entry covers is not listed.
    #[inline(always)]
    pub const fn listed(&self, at: u32, low: u32) -> Payload {
        let head = self.half(2 * at);
        let count = head & 31;
        let first = 2 * at + 1;
        let after = self.rank(first, count, low);
        let last = after.wrapping_sub(1);
        let which = if head & ALIKE != 0 { 0 } else { last };
        let entry = self.word((at + count / 2 + 1).wrapping_add(which));
        let differs = low ^ self.half(first.wrapping_add(last));
        if (after != 0) & (differs >> (entry >> 22 & 31) == 0) {
            Payload::from_bits(entry)
        } else {
            Payload::NONE
        }
    }

    /// How many of the `count` ascending halves from half `first` on are at most `low`.
    #[inline(always)]
    const fn rank(&self, first: u32, count: u32, low: u32) -> u32 {
        // The loop is only worth it as vector instructions, which a debug build does not make of it.
        if cfg!(any(target_arch = "bpf", debug_assertions)) {
            self.rank_by_halving(first, count, low)
        } else {
            self.rank_at_once(first, count, low)
        }
    }

    /// [`Node::rank`] by comparing all halves of the line, which takes a few vector instructions and, other than a
    /// search, no branch that goes either way as often.
    #[inline(always)]
    const fn rank_at_once(&self, first: u32, count: u32, low: u32) -> u32 {
        let (mut rank, mut place) = (0, 0);
        while place < 2 * NODE_WORDS as u16 {
            let number = if cfg!(target_endian = "big") { place ^ 1 } else { place };
            rank += is_counted(self.halves()[place as usize], low as u16, number, first, count);
            place += 1;
        }
        rank as u32
    }

    /// [`Node::rank`] for a processor without vectors, and without branches because the verifier would walk on from
    /// each of their outcomes.
    #[inline(always)]
    const fn rank_by_halving(&self, first: u32, count: u32, low: u32) -> u32 {
        let (mut rank, mut step) = (0u32, 16);
        while step > 0 {
            let next = rank + step;
            // 1 if both hold: the half is one of those counted, and it is at most `low`.
            let starts =
                (next.wrapping_sub(count + 1) & self.half(first + next - 1).wrapping_sub(low + 1)) >> 31;
            rank += step * starts;
            step /= 2;
        }
        rank
    }

    /// What the IPv6 records from word `at` of this line on say of an address; `default` if none covers it.
    ///
    /// A record is an [`entry`], with [`MORE`] if another one follows, and the first address of a prefix: upper half,
    /// and lower half if it has fewer than 64 host bits; low word of each half first. Records never cross a line.
    #[inline(always)]
    pub const fn recorded(&self, mut at: u32, hi: u64, lo: u64, default: Payload) -> Payload {
        let mut seen = 0;
        while seen < LINE_RECORDS {
            let entry = self.word(at);
            let host_bits = entry >> 22 & 127;
            let upper = hi ^ self.pair(at + 1);
            // Shift counts are taken modulo 64, so no count from a damaged image is out of range.
            let covers = if host_bits < 64 {
                upper == 0 && (lo ^ self.pair(at + 3)).wrapping_shr(host_bits) == 0
            } else {
                upper.wrapping_shr(host_bits) == 0
            };
            if covers {
                return Payload::from_bits(entry);
            }
            if entry & MORE == 0 {
                return default;
            }
            at += record_words(host_bits);
            seen += 1;
        }
        default
    }

    /// Word `at`, counted around the line: an index from a damaged image reads something of it.
    #[inline(always)]
    const fn word(&self, at: u32) -> u32 {
        self.0[(at % NODE_WORDS) as usize]
    }

    /// The line as halves of words, in the order of this machine.
    #[inline(always)]
    const fn halves(&self) -> &[u16; 2 * NODE_WORDS as usize] {
        // SAFETY: 16 `u32` are 32 `u16`: the same size, every bit pattern valid, no stricter alignment; the result
        // borrows from `self`.
        unsafe { &*core::ptr::from_ref(&self.0).cast() }
    }

    /// Half a word, low half first.
    #[inline(always)]
    const fn half(&self, at: u32) -> u32 {
        self.word(at / 2) >> (at % 2 * 16) & 0xffff
    }

    /// Two words, low word first.
    #[inline(always)]
    const fn pair(&self, at: u32) -> u64 {
        self.word(at) as u64 | (self.word(at + 1) as u64) << 32
    }
}

/// 1 if `half`, of this `number` in its line, is one of the `count` from number `first` on and at most `low`.
///
/// Saturating differences instead of comparisons: vectors of 16-bit numbers without sign have no other.
#[inline(always)]
const fn is_counted(half: u16, low: u16, number: u16, first: u32, count: u32) -> u16 {
    let is_inside = number.wrapping_sub(first as u16).saturating_add(1).saturating_sub(count as u16) == 0;
    (is_inside & (half.saturating_sub(low) == 0)) as u16
}

/// In the count of an IPv4 list: one entry word for all.
pub const ALIKE: u32 = 1 << 15;
/// In the entry of an IPv6 record: another record follows.
pub const MORE: u32 = 1 << 31;

/// The word that says how many host bits a prefix has, in bits 28..22, and its payload.
#[inline(always)]
pub const fn entry(host_bits: u8, payload: Payload) -> u32 {
    (host_bits as u32 & 127) << 22 | payload.bits()
}

/// Words of an IPv4 list of `count` entries.
pub const fn list_words(count: u32, alike: bool) -> u32 {
    count / 2 + 1 + if alike { 1 } else { count }
}

/// Words of an IPv6 record of a prefix with so many host bits.
#[inline(always)]
pub const fn record_words(host_bits: u32) -> u32 {
    if host_bits < 64 { 5 } else { 3 }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Every list of up to 29 ascending halves at every place, by both ways, beside counting.
    #[test]
    fn both_ways_count_the_halves_up_to_an_address() {
        for at in 0..NODE_WORDS {
            let room = (2 * (NODE_WORDS - at) - 1).min(LIST_ENTRIES);
            for count in 0..=room {
                let first = 2 * at + 1;
                // What stands around the list must not count: zeros before it, the highest behind.
                let mut halves = [0; 2 * NODE_WORDS as usize];
                halves[(first + count) as usize..].fill(0xffff);
                let value = |number: u32| number * 0xffff / (count.max(2) - 1);
                for number in 0..count {
                    halves[(first + number) as usize] = value(number);
                }
                let words = core::array::from_fn(|i| halves[2 * i] | halves[2 * i + 1] << 16);
                let node = Node::from_words(&words);
                for low in (0..count).flat_map(|n| [value(n).saturating_sub(1), value(n), value(n) + 1]) {
                    let low = low.min(0xffff);
                    let expected = (0..count).filter(|&number| value(number) <= low).count() as u32;
                    assert_eq!(node.rank_at_once(first, count, low), expected, "{at} {count} {low}");
                    assert_eq!(node.rank_by_halving(first, count, low), expected, "{at} {count} {low}");
                }
            }
        }
    }
}
