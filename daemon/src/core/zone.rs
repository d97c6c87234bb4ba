//! Zones: how a DNSBL query root turns listings into answers.
//!
//! A zone is a view. It names the feeds that answer in it, each with a code and a text; compiled against the listings
//! of a generation it is an array from listing number to answer, so that one table serves every zone.

mod domains;

pub use domains::{Named, Shown, Tables};

use super::listing::{FeedIndex, ListingId, Listings, Member};
use super::live_set::Action;
use super::live_table::LiveTable;
use super::name::{DomainName, MAX_NAME, NameError, QuestionName};
use super::network::fold;
use super::presence::{NEVER, Presence};
use super::span::Span;
use super::table::Table;
use super::text::{RECORD_HEAD, Template, TextError, text_room};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use thiserror::Error;

/// TTL of SOA and NS at the zone itself, in seconds. The SOA of negative answers carries the smaller negative TTL.
pub const APEX_TTL: u32 = 3600;
/// TTL of everything in a zone that is closed, and its SOA MINIMUM, in seconds.
pub const RETIRED_TTL: u32 = 86_400;
/// SOA REFRESH, in seconds. Nobody transfers the zone, so the usual value is as good as any.
pub const SOA_REFRESH: u32 = 3600;
/// SOA RETRY, in seconds.
pub const SOA_RETRY: u32 = 600;
/// SOA EXPIRE, in seconds.
pub const SOA_EXPIRE: u32 = 604_800;

/// What the test entry answers in a zone without feeds, and the address of that entry (RFC 5782 section 5).
pub(super) const TEST_CODE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// What the test entry says where the feed has no text of its own.
const TEST_TEXT: &str = "Test entry: $ is always listed here";

/// A zone as configured, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneSpec {
    /// Query root, absolute, lower case, without the final dot: `bl.example`.
    pub name: String,
    /// Feeds that answer here, in configuration order.
    pub feeds: Vec<ZoneFeed>,
    /// Are names that are no addresses looked up as domains? Where a feed lists such, even if it does not at the moment.
    #[serde(default)]
    pub domains: bool,
    /// What it says of addresses blocked by hand; `None`: nothing, blocks are not shown here.
    pub live: Option<ZoneLive>,
    /// TTL of positive answers, in seconds.
    pub ttl: u32,
    /// TTL of negative answers (SOA MINIMUM), in seconds.
    pub negative_ttl: u32,
    /// Name servers (absolute, without final dot). Empty: the zone names itself.
    pub ns: Vec<String>,
    /// SOA RNAME in domain form; `None`: `hostmaster.` and the zone.
    pub contact: Option<String>,
    /// Which names above listed ones exist.
    #[serde(default)]
    pub ent: Ent,
    /// Its data must not be older, in seconds; `None`: it never expires.
    #[serde(default)]
    pub max_age: Option<u32>,
    /// The list is closed: it lists nothing, and says this in a TXT record of its own (RFC 6471 section 3.6).
    #[serde(default)]
    pub retired: Option<String>,
}

/// Which names with nothing but other names below them exist: empty non-terminals (RFC 8020).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ent {
    /// Those above something listed. A resolver that has learned that a name does not exist may deny everything below
    /// it, new listings included, until the negative TTL is over.
    #[default]
    Exact,
    /// All that are the front part of an address.
    Always,
}

/// One feed's part in a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneFeed {
    /// Which feed.
    pub feed: FeedIndex,
    /// A record of its listings, in 127.0.0.0/8.
    pub code: Ipv4Addr,
    /// TXT template; `$` stands for the queried address or domain, `$$` for a dollar sign.
    pub text: String,
}

/// The part of live entries in a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneLive {
    /// A record of blocked addresses, in 127.0.0.0/8.
    pub code: Ipv4Addr,
    /// TXT template, as in [`ZoneFeed`].
    pub text: String,
}

/// Why a zone cannot be served as configured.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ZoneError {
    /// A name is not one, or does not fit.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A text is not one, or does not fit.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A code outside of 127.0.0.0/8 (RFC 5782 section 2.1).
    #[error("code {0} is outside of 127.0.0.0/8")]
    CodeOutside(Ipv4Addr),
    /// 127.0.0.1 as code: clients take it for a list out of service (RFC 5782 section 5).
    #[error("code 127.0.0.1 tells clients that the list is broken; use 127.0.0.2 or above")]
    CodeLoopback,
    /// A code in 127.255.255.0/24, by convention an error answer.
    #[error("code {0} is read as an error by clients; keep out of 127.255.255.0/24")]
    CodeReserved(Ipv4Addr),
    /// A zone inside another one whose name hides addresses of the outer one.
    #[error(
        "zone `{inner}` hides addresses of `{outer}`: the label in front of `{outer}` must have two or more characters, \
         not all of them digits"
    )]
    Hides {
        /// The inner zone.
        inner: String,
        /// The outer zone.
        outer: String,
    },
}

/// Checks a code: in 127.0.0.0/8, not 127.0.0.1, not in 127.255.255.0/24.
///
/// # Errors
/// Says which of the three it breaks.
pub fn check_code(code: Ipv4Addr) -> Result<(), ZoneError> {
    match code.octets() {
        [127, 0, 0, 1] => Err(ZoneError::CodeLoopback),
        [127, 255, 255, _] => Err(ZoneError::CodeReserved(code)),
        [127, ..] => Ok(()),
        _ => Err(ZoneError::CodeOutside(code)),
    }
}

/// Checks a query root: legal labels, and short enough for 32 nibbles in front of it.
///
/// # Errors
/// [`ZoneError::Name`].
pub fn check_zone_name(name: &str) -> Result<(), ZoneError> {
    Ok(DomainName::parse(name)?.fits(MAX_NAME - 64, name)?)
}

/// Checks that a zone inside another one cannot be mistaken for a part of an address (RFC 5782 section 2.3).
///
/// # Errors
/// [`ZoneError::Hides`], and [`ZoneError::Name`] when a name is not one.
pub fn check_nesting(inner: &str, outer: &str) -> Result<(), ZoneError> {
    let front = DomainName::parse(inner)?.below(&DomainName::parse(outer)?).is_some_and(|f| !f.is_empty());
    // Past the check above, the text ends in a dot and `outer`; the label in front of that dot is what counts.
    let label = inner.len().checked_sub(outer.len() + 1).and_then(|end| inner.get(..end));
    let label = label.and_then(|front| front.rsplit('.').next()).unwrap_or_default();
    let safe = label.len() >= 2 && !label.bytes().all(|b| b.is_ascii_digit());
    if !front || safe { Ok(()) } else { Err(ZoneError::Hides { inner: inner.into(), outer: outer.into() }) }
}

/// The addresses the built-in feed [`FeedIndex::TEST`] lists for these zones: 127.0.0.2 and every code as address.
/// Sorted, without repeats.
pub fn test_addresses(specs: &[ZoneSpec]) -> Vec<Ipv4Addr> {
    let codes = specs.iter().flat_map(|zone| &zone.feeds).map(|feed| feed.code);
    let live = specs.iter().filter_map(|zone| zone.live.as_ref()).map(|live| live.code);
    let mut addresses: Vec<_> = codes.chain(live).chain([TEST_CODE]).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// What a zone says of the addresses of one listing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listed {
    codes: Box<[Ipv4Addr]>,
    texts: Box<[Arc<Template>]>,
    feeds: Box<[FeedIndex]>,
}

impl Listed {
    /// One code, and a text if there is one.
    pub fn one(code: Ipv4Addr, text: Option<Template>) -> Self {
        let texts = text.map(Arc::new).into_iter().collect();
        Self { codes: [code].into(), texts, feeds: Box::default() }
    }

    /// A records: ascending, without repeats, at least one.
    pub fn codes(&self) -> &[Ipv4Addr] {
        &self.codes
    }

    /// TXT records, in the order of the zone's feeds, without repeats; none if no feed has a text.
    pub fn texts(&self) -> &[Arc<Template>] {
        &self.texts
    }

    /// The feeds of the zone that list it; none for test entries and what was blocked by hand alone.
    pub fn feeds(&self) -> &[FeedIndex] {
        &self.feeds
    }
}

/// What a zone says of the addresses of one listing, and what it says if they are blocked as well.
#[derive(Debug)]
struct Answers {
    listed: Listed,
    blocked: Option<Listed>,
}

/// A zone compiled for one generation.
#[derive(Clone, Debug)]
pub struct Zone {
    spec: ZoneSpec,
    name: DomainName,
    ns: Vec<DomainName>,
    contact: DomainName,
    /// By listing number; `None`: the zone does not show it.
    answers: Box<[Option<Arc<Answers>>]>,
    /// What it says of blocked addresses that no feed of it lists; `None`: blocks are not shown.
    blocked: Option<Listed>,
    shown: Shown,
    /// Other zones inside this one.
    nested: Vec<DomainName>,
    texts_left_out: usize,
    /// Is there data to answer from? `false`: every name of the zone is SERVFAIL, because an empty zone would say
    /// that nothing is listed.
    pub loaded: bool,
}

impl Zone {
    /// Compiles the zones of a generation together: zones that show the same addresses share one [`Presence`], and
    /// each learns which others lie inside it.
    ///
    /// Memory per zone: 8 octets per listing, and per distinct presence 8 (IPv4) or 32 (IPv6) octets per run of
    /// addresses.
    ///
    /// # Errors
    /// [`ZoneError::Name`] and [`ZoneError::Text`] for a specification that was not checked.
    pub fn compile_all(
        specs: &[ZoneSpec],
        listings: &Listings,
        tables: Tables<'_>,
    ) -> Result<Vec<Self>, ZoneError> {
        let mut collector = domains::Collector::new(tables);
        Self::compile_each(specs, listings, |number, visible| {
            collector.shown(visible, specs.get(number).is_some_and(|spec| spec.domains))
        })
    }

    /// As [`Self::compile_all`], with what they show collected before: that of `specs`, in the same order.
    ///
    /// # Errors
    /// As [`Self::compile_all`].
    pub(super) fn compile_with(
        specs: &[ZoneSpec],
        listings: &Listings,
        shown: &[Shown],
    ) -> Result<Vec<Self>, ZoneError> {
        Self::compile_each(specs, listings, |number, _| shown.get(number).cloned().unwrap_or_default())
    }

    /// `shown` gives what a zone shows, by its number and which listings it shows.
    fn compile_each(
        specs: &[ZoneSpec],
        listings: &Listings,
        mut shown: impl FnMut(usize, Vec<bool>) -> Shown,
    ) -> Result<Vec<Self>, ZoneError> {
        let names = specs.iter().map(|spec| DomainName::parse(&spec.name));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let compile = |(number, (spec, name)): (usize, (&ZoneSpec, &DomainName))| {
            let view = View::new(spec, name)?;
            let (answers, texts_left_out) = view.answers(listings);
            let shown = shown(number, answers.iter().map(Option::is_some).collect());
            let ns = spec.ns.iter().map(|ns| DomainName::parse(ns)).collect::<Result<Vec<_>, _>>()?;
            let contact = spec.contact.clone().unwrap_or_else(|| format!("hostmaster.{}", spec.name));
            let inside = |other: &&DomainName| other.below(name).is_some_and(|front| !front.is_empty());
            Ok(Self {
                spec: spec.clone(),
                name: name.clone(),
                ns: if ns.is_empty() { vec![name.clone()] } else { ns },
                contact: DomainName::parse(&contact)?,
                answers,
                blocked: view.blocked(&[], &[], &[]),
                shown,
                nested: names.iter().filter(inside).cloned().collect(),
                texts_left_out,
                loaded: true,
            })
        };
        specs.iter().zip(&names).enumerate().map(compile).collect()
    }

    /// SOA MINIMUM, in seconds.
    pub fn minimum(&self) -> u32 {
        if self.spec.retired.is_some() { RETIRED_TTL } else { self.spec.negative_ttl }
    }

    /// The configuration it was compiled from.
    pub fn spec(&self) -> &ZoneSpec {
        &self.spec
    }

    /// The query root.
    pub fn name(&self) -> &DomainName {
        &self.name
    }

    /// NS records, at least one; the first is the SOA MNAME.
    pub fn ns(&self) -> &[DomainName] {
        &self.ns
    }

    /// SOA RNAME.
    pub fn contact(&self) -> &DomainName {
        &self.contact
    }

    /// What the zone says of `address`, live entries first; `None` if it does not list it.
    pub fn shown(&self, table: &Table, overlay: &LiveTable, address: IpAddr) -> Option<&Listed> {
        match overlay.action(address) {
            Some(Action::Allow) => None,
            Some(Action::Block) if self.blocked.is_some() => match self.answers_of(table, address) {
                Some(answers) => answers.blocked.as_ref(),
                None => self.blocked.as_ref(),
            },
            Some(Action::Block) | None => self.listed(table, address),
        }
    }

    /// What the zone says of `address` without live entries; `None` if it does not list it. 127.0.0.1 is never listed.
    pub fn listed(&self, table: &Table, address: IpAddr) -> Option<&Listed> {
        self.answers_of(table, address).map(|answers| &answers.listed)
    }

    fn answers_of(&self, table: &Table, address: IpAddr) -> Option<&Answers> {
        let address = fold(address);
        if address == Ipv4Addr::from_bits(NEVER) {
            return None;
        }
        self.answers.get(table.lookup(address).listing() as usize)?.as_deref()
    }

    /// What the zone says of a listing.
    pub fn answer_of(&self, listing: ListingId) -> Option<&Listed> {
        self.answers.get(listing.0 as usize)?.as_ref().map(|answers| &answers.listed)
    }

    /// The addresses the zone shows without live entries.
    pub fn presence(&self) -> &Presence {
        &self.shown.addresses
    }

    /// Does the zone show any address of the span? An allowed one may still count: its name then exists, without data.
    pub fn inhabits_v4(&self, overlay: &LiveTable, span: Span<u32>) -> bool {
        self.shown.addresses.any_v4(span) || self.blocks(overlay).is_some_and(|blocked| blocked.any_v4(span))
    }

    /// The same for IPv6.
    pub fn inhabits_v6(&self, overlay: &LiveTable, span: Span<u128>) -> bool {
        self.shown.addresses.any_v6(span) || self.blocks(overlay).is_some_and(|blocked| blocked.any_v6(span))
    }

    fn blocks<'o>(&self, overlay: &'o LiveTable) -> Option<&'o Presence> {
        self.blocked.as_ref().and_then(|_| overlay.blocked())
    }

    /// Does another zone lie below this name?
    pub fn has_zone_below(&self, name: &QuestionName<'_>) -> bool {
        self.nested.iter().any(|zone| name.is_above(zone))
    }

    /// Does the name lie in another zone inside this one?
    pub fn has_zone_above(&self, name: &QuestionName<'_>) -> bool {
        self.nested.iter().any(|zone| name.depth_below(zone).is_some())
    }

    /// Listings with more texts than a reply holds. Each shows the first ones that fit.
    pub fn texts_left_out(&self) -> usize {
        self.texts_left_out
    }
}

/// A zone's feeds arranged for compiling.
struct View {
    by_feed: HashMap<FeedIndex, Vec<Part>>,
    live: Option<Part>,
    /// By number of text, the numbers rising in the order of the zone's feeds.
    texts: Vec<Arc<Template>>,
    /// The part that stands for the zone in the test entry 127.0.0.2.
    test: Part,
    /// Octets of TXT records in the smallest reply.
    room: usize,
}

/// What tells answers apart: codes, numbers of texts, feeds.
type Content = (Vec<Ipv4Addr>, Vec<usize>, Vec<FeedIndex>);

/// A code and the number of its text.
#[derive(Clone, Copy)]
struct Part {
    code: Ipv4Addr,
    text: Option<usize>,
}

impl View {
    fn new(spec: &ZoneSpec, name: &DomainName) -> Result<Self, ZoneError> {
        let mut texts: Vec<Arc<Template>> = Vec::new();
        let mut by_feed: HashMap<_, Vec<_>> = HashMap::new();
        let mut number = |text: &str| -> Result<Option<usize>, TextError> {
            let template = Template::parse(text)?;
            if template.is_empty() {
                return Ok(None);
            }
            let known = texts.iter().position(|t| **t == template);
            Ok(Some(known.unwrap_or_else(|| {
                texts.push(Arc::new(template));
                texts.len() - 1
            })))
        };
        // Its text gets the lowest number: what was blocked by hand is said first.
        let live = match &spec.live {
            Some(live) => Some(Part { code: live.code, text: number(&live.text)? }),
            None => None,
        };
        let mut parts = Vec::new();
        for feed in &spec.feeds {
            let part = Part { code: feed.code, text: number(&feed.text)? };
            by_feed.entry(feed.feed).or_default().push(part);
            parts.push(part);
        }
        // The plain code if the zone has it, else its lowest, so that clients that look at codes see a hit.
        let test = parts.iter().find(|p| p.code == TEST_CODE).or(parts.iter().min_by_key(|p| p.code));
        let mut test = test.copied().unwrap_or(Part { code: TEST_CODE, text: None });
        if test.text.is_none() {
            test.text = number(TEST_TEXT)?;
        }
        by_feed.entry(FeedIndex::TEST).or_default().extend(parts.into_iter().chain(live));
        Ok(Self { by_feed, live, texts, test, room: text_room(name) })
    }

    /// An answer for each listing, and how many of them have texts left out.
    fn answers(&self, listings: &Listings) -> (Box<[Option<Arc<Answers>>]>, usize) {
        let mut known: HashMap<Content, Arc<Answers>> = HashMap::new();
        let mut left_out = 0;
        let answers = listings.iter().map(|(_, members)| {
            let parts: Vec<Part> = members.iter().flat_map(|member| self.parts(*member)).collect();
            if parts.is_empty() {
                return None;
            }
            let codes = sorted(parts.iter().map(|part| part.code));
            let mut texts = sorted(parts.iter().filter_map(|part| part.text));
            left_out += usize::from(self.cut(&mut texts));
            let own =
                |member: &&Member| member.feed != FeedIndex::TEST && self.by_feed.contains_key(&member.feed);
            let feeds = members.iter().filter(own).map(|member| member.feed).collect();
            let answers = known.entry((codes, texts, feeds)).or_insert_with_key(|(codes, texts, feeds)| {
                let listed = self.listed(codes, texts, feeds);
                Arc::new(Answers { listed, blocked: self.blocked(codes, texts, feeds) })
            });
            Some(answers.clone())
        });
        (answers.collect(), left_out)
    }

    fn listed(&self, codes: &[Ipv4Addr], texts: &[usize], feeds: &[FeedIndex]) -> Listed {
        let texts = texts.iter().filter_map(|&number| self.texts.get(number).cloned());
        Listed { codes: codes.into(), texts: texts.collect(), feeds: feeds.into() }
    }

    /// What is said of these codes and texts together with a block.
    fn blocked(&self, codes: &[Ipv4Addr], texts: &[usize], feeds: &[FeedIndex]) -> Option<Listed> {
        let live = self.live?;
        let codes = sorted(codes.iter().copied().chain([live.code]));
        let mut texts = sorted(texts.iter().copied().chain(live.text));
        self.cut(&mut texts);
        Some(self.listed(&codes, &texts, feeds))
    }

    /// What the zone adds to an answer for one member of a listing.
    fn parts(&self, member: Member) -> Vec<Part> {
        let parts = self.by_feed.get(&member.feed).map_or(&[][..], |parts| parts);
        if member.feed != FeedIndex::TEST {
            return parts.to_vec();
        }
        // 127.x.y.z answers with 127.x.y.z, where a feed of the zone has that code.
        let code = Ipv4Addr::from_bits(0x7f00_0000 | member.value & 0x00ff_ffff);
        if code == TEST_CODE {
            return vec![self.test];
        }
        parts.iter().filter(|part| part.code == code).take(1).copied().collect()
    }

    /// Keeps the texts, in order, that fit the smallest reply together. Says if some did not.
    fn cut(&self, texts: &mut Vec<usize>) -> bool {
        let (mut used, before) = (0, texts.len());
        texts.retain(|&number| {
            let len = self.texts.get(number).map_or(0, |text| RECORD_HEAD + text.longest_rdata());
            let fits = used + len <= self.room;
            used += if fits { len } else { 0 };
            fits
        });
        texts.len() < before
    }
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items.dedup();
    items
}

#[cfg(test)]
mod tests;
