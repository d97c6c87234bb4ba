//! Generation file: a whole generation as bytes, and back. Pure; `generations` knows about files.
//!
//! The large arrays lie in the file as they lie in memory, on 64-byte boundaries, and are read in place. All numbers are
//! in the byte order of the machine that wrote them.
//!
//! | bytes | content |
//! |---|---|
//! | 0..8 | [`MAGIC`] |
//! | 8..12 | byte order mark |
//! | 12..16 | [`VERSION`] |
//! | 16..24 | length of the file |
//! | 24..240 | for each section: offset, length, checksum |
//! | 240..248 | checksum over all before |
//!
//! Sections: manifest (JSON), image, listings, IPv4 and IPv6 spans of the zones, zones (JSON), reservations (JSON), image of
//! the domains, marks of the names above domains of the zones.
//! Nothing is used before its checksum is seen to be right. Whatever the bytes are, reading them ends with a generation
//! or a [`Damage`], in time and memory linear in their number.

use super::domain_table::{DomainImageError, DomainPresence, DomainTable};
use super::entry::FeedId;
use super::feed::domain_pattern;
use super::generation::{FeedCopy, Generation, Lineage, Part, Size};
use super::listing::{FeedIndex, ListingId, Listings, Member};
use super::merge::HeldBack;
use super::network::Network;
use super::presence::Presence;
use super::protection::{Reservations, Reserved, ReservedDomain};
use super::slab::{Bytes, Plain, Slab, as_bytes};
use super::span::Span;
use super::table::{ImageError, Table};
use super::zone::{Shown, Zone, ZoneError, ZoneSpec};
use blackthorn_common::payload::Payload;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::Arc;
use thiserror::Error;

/// The first bytes of every generation file.
pub const MAGIC: [u8; 8] = *b"BTHORNGN";
/// Changes whenever an older release would misread the file.
pub const VERSION: u32 = 2;
/// Longest file that is read, in bytes: an image of 1 GiB, and as much again for each family of spans and the rest.
pub const MAX_BYTES: u64 = 4 << 30;

/// Reads differently on a machine of the other byte order.
const BYTE_ORDER: u32 = 0x0102_0304;
/// Where sections begin: at multiples of this, a cache line.
const ALIGN: usize = 64;
const SECTIONS: usize = 9;
const AT_TABLE: usize = 24;
const ENTRY: usize = 24;
const AT_CHECKSUM: usize = AT_TABLE + SECTIONS * ENTRY;
const HEADER: usize = AT_CHECKSUM + 8;

/// A part of the file; the discriminant is its place in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What the generation is.
    Manifest,
    /// The table.
    Image,
    /// Who lists what.
    Listings,
    /// IPv4 addresses visible in the zones.
    SpansV4,
    /// IPv6 addresses visible in the zones.
    SpansV6,
    /// The zones.
    Zones,
    /// Exclusions and protections.
    Reservations,
    /// The table of domains.
    Domains,
    /// Names above the domains visible in the zones.
    DomainMarks,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Manifest => "manifest",
            Self::Image => "image",
            Self::Listings => "listings",
            Self::SpansV4 => "IPv4 spans",
            Self::SpansV6 => "IPv6 spans",
            Self::Zones => "zones",
            Self::Reservations => "reservations",
            Self::Domains => "domains",
            Self::DomainMarks => "marks of domains",
        })
    }
}

/// Why bytes are not a generation of this release.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Damage {
    /// Something else.
    #[error("it is no generation file")]
    NoGeneration,
    /// From a machine of the other byte order.
    #[error("it was written on a machine of the other byte order")]
    ByteOrder,
    /// From an older or newer release.
    #[error("it has format version {found}, this release reads version {VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
    /// Not as long as it says.
    #[error("it has {found} bytes instead of {expected}")]
    Length {
        /// What its header says.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// Longer than any generation.
    #[error("it has {found} bytes, the limit is {MAX_BYTES}")]
    TooLarge {
        /// What there is.
        found: u64,
    },
    /// The header is not what was written.
    #[error("the checksum of its header is wrong")]
    Header,
    /// A section is not what was written.
    #[error("the checksum of its {0} is wrong")]
    Checksum(Section),
    /// A section has a form no writer gives it.
    #[error("its {section} cannot be read: {why}")]
    Form {
        /// Which one.
        section: Section,
        /// What is wrong.
        why: String,
    },
    /// The table.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The table of domains.
    #[error(transparent)]
    Domains(#[from] DomainImageError),
    /// A zone cannot be served.
    #[error(transparent)]
    Zone(#[from] ZoneError),
}

fn form(section: Section, why: impl Into<String>) -> Damage {
    Damage::Form { section, why: why.into() }
}

/// What a generation is, without its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Serial.
    pub serial: u32,
    /// When it was built, seconds since 1970.
    pub built_at: u64,
    /// What it came from.
    pub lineage: Lineage,
    /// How much it lists.
    pub size: Size,
    /// Its feeds, by their number.
    pub feeds: Vec<FeedManifest>,
}

/// One feed in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedManifest {
    /// Feed id.
    pub id: String,
    /// The copy its data came from; `None` where nothing was ever loaded.
    pub copy: Option<FeedCopy>,
    /// Does the packet filter act on it?
    pub filtered: bool,
    /// Addresses an exclusion kept from it, in decimal: they outgrow what JSON can carry.
    excluded: String,
    /// Addresses a protection kept from being dropped, in decimal.
    protected: String,
    /// Names at which an exclusion overruled it.
    excluded_domains: u64,
}

impl Manifest {
    /// Accepted entries of all feeds.
    pub fn entries(&self) -> u64 {
        let copies = self.feeds.iter().filter_map(|feed| feed.copy.as_ref());
        copies.fold(0, |sum, copy| {
            sum.saturating_add(copy.entries_v4).saturating_add(copy.entries_v6).saturating_add(copy.domains)
        })
    }
}

/// First element and number of elements in a section of spans or marks.
type Place = (usize, usize);

/// A zone in the file.
#[derive(Serialize, Deserialize)]
struct ZoneRecord {
    spec: ZoneSpec,
    loaded: bool,
    spans_v4: Place,
    spans_v6: Place,
    domain_marks: Place,
}

/// Both kinds of reservations in the file.
#[derive(Default, Serialize, Deserialize)]
struct ReservationRecords {
    exclusions: Vec<(Ends, String)>,
    protections: Vec<(Ends, String)>,
    /// Domain patterns of exclusions.
    domains: Vec<(String, String)>,
}

/// First and last address. Not as text of a network, in which IPv4-mapped prefixes would change their family.
#[derive(Serialize, Deserialize)]
enum Ends {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

/// A generation, ready to be written.
#[derive(Debug)]
pub struct Encoded<'a> {
    header: Vec<u8>,
    sections: [Cow<'a, [u8]>; SECTIONS],
}

impl Encoded<'_> {
    /// The bytes of the file, in order.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let sections = self.sections.iter().flat_map(|bytes| [&**bytes, padding(bytes.len())]);
        [&*self.header, padding(self.header.len())].into_iter().chain(sections)
    }

    /// Length of the file.
    pub fn len(&self) -> u64 {
        self.chunks().map(|chunk| chunk.len() as u64).sum()
    }

    /// Never true: there is always a header.
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// What follows `len` bytes up to where the next section begins.
fn padding(len: usize) -> &'static [u8] {
    const ZEROS: [u8; ALIGN] = [0; ALIGN];
    ZEROS.get(..len.next_multiple_of(ALIGN) - len).unwrap_or_default()
}

/// The file of a generation.
///
/// # Errors
/// [`Damage::Form`] when a section has no JSON form, which no generation of ours brings about.
pub fn encode(generation: &Generation) -> Result<Encoded<'_>, Damage> {
    let ZoneSections { records, spans_v4, spans_v6, domain_marks } = encode_zones(&generation.zones);
    let reservations = ReservationRecords {
        exclusions: encode_reservations(&generation.exclusions),
        protections: encode_reservations(&generation.protections),
        domains: encode_domains(generation.exclusions.domains()),
    };
    let sections = [
        Cow::Owned(json(Section::Manifest, &manifest(generation))?),
        Cow::Borrowed(as_bytes(generation.table.words())),
        Cow::Owned(encode_listings(&generation.listings)),
        spans_v4,
        spans_v6,
        Cow::Owned(json(Section::Zones, &records)?),
        Cow::Owned(json(Section::Reservations, &reservations)?),
        Cow::Borrowed(as_bytes(generation.domains.words())),
        domain_marks,
    ];
    let mut offset = HEADER.next_multiple_of(ALIGN);
    let mut table = Vec::with_capacity(SECTIONS * ENTRY);
    for bytes in &sections {
        for number in [offset as u64, bytes.len() as u64, checksum(bytes)] {
            table.extend(number.to_ne_bytes());
        }
        offset += bytes.len().next_multiple_of(ALIGN);
    }
    let mut header = MAGIC.to_vec();
    header.extend(BYTE_ORDER.to_ne_bytes());
    header.extend(VERSION.to_ne_bytes());
    header.extend((offset as u64).to_ne_bytes());
    header.extend(table);
    header.extend(checksum(&header).to_ne_bytes());
    Ok(Encoded { header, sections })
}

/// The manifest of a generation.
pub fn manifest(generation: &Generation) -> Manifest {
    let feed = |part: &Part| FeedManifest {
        id: part.id.to_string(),
        copy: part.copy.clone(),
        filtered: part.filtered,
        excluded: part.held_back.excluded.to_string(),
        protected: part.held_back.protected.to_string(),
        excluded_domains: part.held_back.domains,
    };
    Manifest {
        serial: generation.serial,
        built_at: generation.built_at,
        lineage: generation.lineage.clone(),
        size: generation.size,
        feeds: generation.parts.iter().map(feed).collect(),
    }
}

fn json<T: Serialize>(section: Section, value: &T) -> Result<Vec<u8>, Damage> {
    serde_json::to_vec(value).map_err(|error| form(section, error.to_string()))
}

/// For each listing the number of its members, then feed and value of each.
fn encode_listings(listings: &Listings) -> Vec<u8> {
    let mut words: Vec<u32> = Vec::new();
    for (_, members) in listings.iter() {
        // At most one member for each feed, whose numbers are 16 bits.
        words.push(members.len() as u32);
        words.extend(members.iter().flat_map(|member| [u32::from(member.feed.0), member.value]));
    }
    as_bytes(&words).to_vec()
}

/// The zones, and the sections with what they show.
#[derive(Default)]
struct ZoneSections<'a> {
    records: Vec<ZoneRecord>,
    spans_v4: Cow<'a, [u8]>,
    spans_v6: Cow<'a, [u8]>,
    domain_marks: Cow<'a, [u8]>,
}

/// Encodes zones; what several of them show is there only once.
fn encode_zones(zones: &[Zone]) -> ZoneSections<'_> {
    let mut addresses: Vec<(&Presence, Place, Place)> = Vec::new();
    let mut domains: Vec<(&DomainPresence, Place)> = Vec::new();
    let mut sections = ZoneSections::default();
    for zone in zones {
        let presence = zone.presence();
        let place = addresses.iter().find(|(other, ..)| std::ptr::eq(*other, presence)).copied();
        let (_, spans_v4, spans_v6) = place.unwrap_or_else(|| {
            let spans_v4 = append(&mut sections.spans_v4, presence.v4());
            let spans_v6 = append(&mut sections.spans_v6, presence.v6());
            addresses.push((presence, spans_v4, spans_v6));
            (presence, spans_v4, spans_v6)
        });
        let presence = zone.domain_presence();
        let place = domains.iter().find(|(other, _)| std::ptr::eq(*other, presence)).copied();
        let (_, domain_marks) = place.unwrap_or_else(|| {
            let place = append(&mut sections.domain_marks, presence.words());
            domains.push((presence, place));
            (presence, place)
        });
        let (spec, loaded) = (zone.spec().clone(), zone.loaded);
        sections.records.push(ZoneRecord { spec, loaded, spans_v4, spans_v6, domain_marks });
    }
    sections
}

/// Appends the bytes of `elements`; where they are now, in elements.
fn append<'a, T: Plain>(bytes: &mut Cow<'a, [u8]>, elements: &'a [T]) -> Place {
    let place = (bytes.len() / size_of::<T>(), elements.len());
    if bytes.is_empty() {
        *bytes = Cow::Borrowed(as_bytes(elements));
    } else {
        bytes.to_mut().extend_from_slice(as_bytes(elements));
    }
    place
}

fn encode_reservations(reservations: &Reservations) -> Vec<(Ends, String)> {
    let record = |reserved: &Reserved| {
        let ends = match reserved.network {
            Network::V4(span) => Ends::V4(span.first.into(), span.last.into()),
            Network::V6(span) => Ends::V6(span.first.into(), span.last.into()),
        };
        (ends, reserved.reason.clone())
    };
    reservations.iter().map(record).collect()
}

fn encode_domains(domains: &[ReservedDomain]) -> Vec<(String, String)> {
    domains.iter().map(|reserved| (reserved.pattern(), reserved.reason.clone())).collect()
}

fn decode_domains(records: Vec<(String, String)>) -> Result<Vec<ReservedDomain>, Damage> {
    let reserved = |(pattern, reason): (String, String)| {
        let (name, scope) = domain_pattern(&pattern)
            .map_err(|why| form(Section::Reservations, format!("`{pattern}`: {why}")))?;
        Ok(ReservedDomain { name, scope, reason })
    };
    records.into_iter().map(reserved).collect()
}

/// The bytes of a generation file: header and manifest are checked, the rest is when it is asked for.
pub struct GenerationFile {
    bytes: Arc<dyn Bytes>,
    /// Inside `bytes`, each of them.
    sections: [(Range<usize>, u64); SECTIONS],
    manifest: Manifest,
}

impl GenerationFile {
    /// Reads header and manifest.
    ///
    /// # Errors
    /// Why the bytes are not a generation.
    pub fn open(bytes: Arc<dyn Bytes>) -> Result<Self, Damage> {
        let sections = sections(bytes.bytes())?;
        let size = Size::default();
        let manifest =
            Manifest { serial: 0, built_at: 0, lineage: Lineage::default(), size, feeds: Vec::new() };
        let mut file = Self { bytes, sections, manifest };
        file.manifest = file.json(Section::Manifest)?;
        Ok(file)
    }

    /// What the generation is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Ids of the feeds, by their number.
    ///
    /// # Errors
    /// [`Damage::Form`] when one is no feed id.
    pub fn feed_ids(&self) -> Result<Vec<FeedId>, Damage> {
        let id = |feed: &FeedManifest| FeedId::new(&feed.id).map_err(|why| form(Section::Manifest, why));
        self.manifest.feeds.iter().map(id).collect()
    }

    /// The table, read in place.
    ///
    /// # Errors
    /// When its checksum is wrong, or it is none.
    pub fn table(&self) -> Result<Table, Damage> {
        self.checked(Section::Image)?;
        let (range, _) = self.part(Section::Image);
        Ok(Table::within(&self.bytes, range.start, range.len())?)
    }

    /// The table of domains, read in place.
    ///
    /// # Errors
    /// As for [`Self::table`].
    pub fn domains(&self) -> Result<DomainTable, Damage> {
        self.checked(Section::Domains)?;
        let (range, _) = self.part(Section::Domains);
        Ok(DomainTable::within(&self.bytes, range.start, range.len())?)
    }

    /// The listings.
    ///
    /// # Errors
    /// When the checksum is wrong, or members are out of order or not of a feed of the manifest.
    pub fn listings(&self) -> Result<Listings, Damage> {
        let wrong = |why: &str| form(Section::Listings, why);
        let mut words = self.checked(Section::Listings)?.as_chunks().0.iter().map(|b| u32::from_ne_bytes(*b));
        let mut next = || words.next();
        let mut listings = Listings::default();
        let mut members: Vec<Member> = Vec::new();
        let mut number = 0;
        while let Some(count) = next() {
            members.clear();
            for _ in 0..count {
                let (Some(feed), Some(value)) = (next(), next()) else { return Err(wrong("it ends early")) };
                let feed = u16::try_from(feed).map(FeedIndex).map_err(|_| wrong("a feed has no number"))?;
                if feed != FeedIndex::TEST && usize::from(feed.0) >= self.manifest.feeds.len() {
                    return Err(wrong("a feed is not in the manifest"));
                }
                if members.last().is_some_and(|before| before.feed >= feed) {
                    return Err(wrong("feeds are out of order"));
                }
                members.push(Member { feed, value });
            }
            // The first listing is the empty one, and no other is a repetition.
            if number > Payload::MAX_LISTING || listings.intern(&members) != ListingId(number) {
                return Err(wrong("listings are repeated, or too many"));
            }
            number += 1;
        }
        Ok(listings)
    }

    /// The whole generation, large arrays in place.
    ///
    /// # Errors
    /// Why it cannot be served.
    pub fn generation(&self) -> Result<Generation, Damage> {
        let (table, listings) = (self.table()?, self.listings()?);
        let parts = self.manifest.feeds.iter().zip(self.feed_ids()?).map(|(feed, id)| {
            let number =
                |text: &str| text.parse().map_err(|_| form(Section::Manifest, "a count is no number"));
            Ok(Part {
                id,
                flat: None,
                copy: feed.copy.clone(),
                held_back: HeldBack {
                    excluded: number(&feed.excluded)?,
                    protected: number(&feed.protected)?,
                    domains: feed.excluded_domains,
                },
                filtered: feed.filtered,
            })
        });
        let parts = parts.collect::<Result<Vec<Part>, Damage>>()?;
        let zones = self.zones(&listings)?;
        let reservations: ReservationRecords = self.json(Section::Reservations)?;
        let Manifest { serial, built_at, lineage, size, .. } = self.manifest.clone();
        Ok(Generation {
            serial,
            built_at,
            table,
            domains: self.domains()?,
            listings,
            parts,
            zones,
            exclusions: decode_reservations(reservations.exclusions)?
                .with_domains(decode_domains(reservations.domains)?),
            protections: decode_reservations(reservations.protections)?,
            lineage,
            size,
        })
    }

    fn zones(&self, listings: &Listings) -> Result<Vec<Zone>, Damage> {
        let records: Vec<ZoneRecord> = self.json(Section::Zones)?;
        self.checked(Section::SpansV4)?;
        self.checked(Section::SpansV6)?;
        self.checked(Section::DomainMarks)?;
        let mut shown: Vec<Shown> = Vec::with_capacity(records.len());
        for (number, record) in records.iter().enumerate() {
            // Zones that show the same have it in common, as when they were built.
            let shared = |same: fn(&ZoneRecord, &ZoneRecord) -> bool| {
                let first = records.iter().take(number).position(|other| same(other, record))?;
                shown.get(first)
            };
            let addresses = shared(|a, b| (a.spans_v4, a.spans_v6) == (b.spans_v4, b.spans_v6));
            let addresses = match addresses {
                Some(Shown { addresses, .. }) => Arc::clone(addresses),
                None => Arc::new(Presence::from_slabs(
                    self.elements(Section::SpansV4, record.spans_v4)?,
                    self.elements(Section::SpansV6, record.spans_v6)?,
                )),
            };
            let domains = match shared(|a, b| a.domain_marks == b.domain_marks) {
                Some(Shown { domains, .. }) => Arc::clone(domains),
                None => Arc::new(DomainPresence::from_slab(
                    self.elements(Section::DomainMarks, record.domain_marks)?,
                )),
            };
            shown.push(Shown { addresses, domains });
        }
        let (specs, loaded): (Vec<ZoneSpec>, Vec<bool>) =
            records.into_iter().map(|record| (record.spec, record.loaded)).unzip();
        let mut zones = Zone::compile_with(&specs, listings, &shown)?;
        for (zone, loaded) in zones.iter_mut().zip(loaded) {
            zone.loaded = loaded;
        }
        Ok(zones)
    }

    /// Elements of a section of spans or marks.
    fn elements<T: Plain>(&self, section: Section, (first, len): Place) -> Result<Slab<T>, Damage> {
        let (range, _) = self.part(section);
        let size = size_of::<T>();
        let ends = || {
            let start = first.checked_mul(size)?.checked_add(range.start)?;
            let end = len.checked_mul(size)?.checked_add(start)?;
            (end <= range.end).then_some(start)
        };
        let slab = ends().and_then(|start| Slab::within(&self.bytes, start, len));
        slab.ok_or_else(|| form(section, "a zone has a part outside of it"))
    }

    fn json<T: DeserializeOwned>(&self, section: Section) -> Result<T, Damage> {
        serde_json::from_slice(self.checked(section)?).map_err(|error| form(section, error.to_string()))
    }

    fn part(&self, section: Section) -> &(Range<usize>, u64) {
        &self.sections[section as usize]
    }

    /// The bytes of a section, as they were written.
    fn checked(&self, section: Section) -> Result<&[u8], Damage> {
        let (range, sum) = self.part(section);
        let bytes = self.bytes.bytes().get(range.clone()).unwrap_or_default();
        if checksum(bytes) == *sum { Ok(bytes) } else { Err(Damage::Checksum(section)) }
    }
}

impl fmt::Debug for GenerationFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GenerationFile").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

fn decode_reservations(records: Vec<(Ends, String)>) -> Result<Reservations, Damage> {
    let reserved = |(ends, reason)| {
        let network = match ends {
            Ends::V4(first, last) => Span::new(first.into(), last.into()).map(Network::V4),
            Ends::V6(first, last) => Span::new(first.into(), last.into()).map(Network::V6),
        };
        let network =
            network.ok_or_else(|| form(Section::Reservations, "a network ends before it begins"))?;
        Ok(Reserved { network, reason })
    };
    records.into_iter().map(reserved).collect::<Result<Vec<_>, Damage>>().map(Reservations::new)
}

/// Checks the header; the sections are all inside.
fn sections(bytes: &[u8]) -> Result<[(Range<usize>, u64); SECTIONS], Damage> {
    let found = bytes.len() as u64;
    if found > MAX_BYTES {
        return Err(Damage::TooLarge { found });
    }
    let short = |at: usize| bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes);
    let long = |at: usize| bytes.get(at..)?.first_chunk().copied().map(u64::from_ne_bytes);
    if !bytes.starts_with(&MAGIC) {
        return Err(Damage::NoGeneration);
    }
    let order = short(MAGIC.len()).ok_or(Damage::NoGeneration)?;
    if order == BYTE_ORDER.swap_bytes() {
        return Err(Damage::ByteOrder);
    }
    let version = short(12).filter(|_| order == BYTE_ORDER).ok_or(Damage::NoGeneration)?;
    if version != VERSION {
        return Err(Damage::Version { found: version });
    }
    let expected = long(16).ok_or(Damage::NoGeneration)?;
    if expected != found {
        return Err(Damage::Length { expected, found });
    }
    let head = bytes.get(..AT_CHECKSUM).ok_or(Damage::Header)?;
    if long(AT_CHECKSUM) != Some(checksum(head)) {
        return Err(Damage::Header);
    }
    let section = |number: usize| {
        let at = AT_TABLE + number * ENTRY;
        let place = |at| usize::try_from(long(at)?).ok();
        let (start, len) = (place(at)?, place(at + 8)?);
        let end = start.checked_add(len).filter(|end| *end <= bytes.len())?;
        Some((start..end, long(at + 16)?))
    };
    let mut sections: [(Range<usize>, u64); SECTIONS] = Default::default();
    for (number, place) in sections.iter_mut().enumerate() {
        *place = section(number).ok_or(Damage::Header)?;
    }
    Ok(sections)
}

/// Checksum over bytes, taken eight at a time, the last ones followed by zeros. Against damage, not against forgery: a
/// change within one of the eights always shows.
pub fn checksum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks();
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    // Four sums side by side, because each step waits for the one before.
    let step = |sum: u64, word: &[u8; 8]| (sum ^ u64::from_ne_bytes(*word)).wrapping_mul(0x0100_0000_01b3);
    let (fours, odd) = words.as_chunks::<4>();
    let mut sums = [0xcbf2_9ce4_8422_2325u64, 1, 2, 3];
    for four in fours {
        for (sum, word) in sums.iter_mut().zip(four) {
            *sum = step(*sum, word);
        }
    }
    let sums = sums.map(u64::to_ne_bytes);
    let length = (bytes.len() as u64).to_ne_bytes();
    odd.iter().chain([&last]).chain(&sums).chain([&length]).fold(0, step)
}

#[cfg(test)]
mod tests;
