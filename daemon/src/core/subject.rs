//! Subject: what an answer is about, and how it is spelled in the texts of the answer.
//!
//! A text says an address in full. Of a domain it says the end of the queried name: as many whole labels, counted from the
//! zone, as consist of letters, digits, `-` and `_` and as fit. What a client put in front of that is never repeated. What
//! was listed is made of such labels, so it is always in the part that is clean.
//!
//! No text is ever cut by truncation: all of them, with heads and question, fit a reply of 512 octets, whatever the
//! transport, so that one name has one RRset. For addresses the configuration sees to it, but for those behind a key. A
//! domain may leave less room, as a question may have 255 octets; then its spelling gets shorter by whole labels, down to
//! nothing. Where that is not enough, texts are left out from the last on, and of a single one only the beginning is said.

use super::name::{MAX_NAME, QuestionName};
use super::text::{MAX_STRING, RECORD_HEAD, Template, rdata_len};
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

/// What an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An address.
    Address(IpAddr),
    /// The domain made of the first labels of the question's name, this many.
    Domain {
        /// Labels in front of the zone.
        labels: usize,
    },
}

/// Header and type and class of the question, of a reply of 512 octets the part that is always the same.
const FIXED: usize = 12 + 4;
/// Octets of a reply that reaches everybody over UDP (RFC 1035 section 4.2.1).
const REPLY: usize = 512;

/// Room to spell a subject without allocating.
#[derive(Debug)]
pub struct Spelled {
    octets: [u8; MAX_NAME],
    /// Where the spelling begins; it ends with the octets.
    start: usize,
}

impl Default for Spelled {
    fn default() -> Self {
        Self { octets: [0; MAX_NAME], start: MAX_NAME }
    }
}

/// Texts that fit the reply to one question.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'t> {
    /// The templates.
    pub templates: &'t [Arc<Template>],
    /// What to write for `$`.
    pub subject: &'t str,
    /// Most octets of each text.
    pub longest: usize,
}

impl Spelled {
    /// The texts about `subject` in the reply to a question for `name`.
    pub fn texts<'t>(
        &'t mut self,
        templates: &'t [Arc<Template>],
        subject: Subject,
        name: &QuestionName<'_>,
    ) -> Texts<'t> {
        let room = (REPLY - FIXED).saturating_sub(name.wire().len());
        match subject {
            Subject::Address(address) => self.address(address),
            Subject::Domain { labels } => self.domain(templates, name, labels, room),
        }
        self.fitting(templates, room)
    }

    fn address(&mut self, address: IpAddr) {
        let mut rest = &mut self.octets[..];
        // No address is longer than the longest name.
        let _ = write!(rest, "{address}");
        let len = MAX_NAME - rest.len();
        self.octets.copy_within(..len, MAX_NAME - len);
        self.start = MAX_NAME - len;
    }

    fn domain(&mut self, templates: &[Arc<Template>], name: &QuestionName<'_>, labels: usize, room: usize) {
        for label in (0..labels).rev().map(|index| name.label(index)) {
            let before = self.start;
            let fits = |spelled: &Self| records_len(templates, MAX_NAME - spelled.start) <= room;
            if !self.put_in_front(label) || !fits(self) {
                self.start = before;
                break;
            }
        }
    }

    /// The texts that fit together.
    fn fitting<'t>(&'t self, templates: &'t [Arc<Template>], room: usize) -> Texts<'t> {
        let len = MAX_NAME - self.start;
        let (mut count, mut used) = (0, 0);
        for template in templates {
            used += RECORD_HEAD + rdata_len(template.len_with(len));
            if used > room {
                break;
            }
            count += 1;
        }
        // There is room for one string in the reply to any question.
        let cut = room.saturating_sub(RECORD_HEAD + 1).min(MAX_STRING);
        let (count, longest) = if count == 0 { (1, cut) } else { (count, usize::MAX) };
        Texts { templates: templates.get(..count).unwrap_or(templates), subject: self.text(), longest }
    }

    /// Puts a label in front of what is there. False, and nothing done, if it is not clean or there is no room.
    fn put_in_front(&mut self, label: &[u8]) -> bool {
        let clean = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let dot = usize::from(self.start < MAX_NAME);
        let Some(start) = self.start.checked_sub(label.len() + dot) else { return false };
        if label.is_empty() || !label.iter().all(clean) {
            return false;
        }
        let place = self.octets.get_mut(start..self.start).unwrap_or_default();
        place.fill(b'.');
        place.iter_mut().zip(label).for_each(|(to, from)| *to = from.to_ascii_lowercase());
        self.start = start;
        true
    }

    /// All of it is ASCII.
    fn text(&self) -> &str {
        let octets = self.octets.get(self.start..).unwrap_or_default();
        str::from_utf8(octets).unwrap_or_default()
    }
}

/// Octets of all texts as records, with a subject of this length.
fn records_len(templates: &[Arc<Template>], subject: usize) -> usize {
    templates.iter().map(|template| RECORD_HEAD + rdata_len(template.len_with(subject))).sum()
}

impl Texts<'_> {
    /// The texts, for people.
    pub fn expanded(&self) -> impl Iterator<Item = String> {
        self.templates.iter().map(|template| {
            let (_, pieces) = template.pieces(self.subject);
            let mut text: String = pieces.collect();
            // Templates and subjects are ASCII.
            text.truncate(self.longest);
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::domain::labels;
    use proptest::prelude::*;

    /// The texts said of the labels in front of `bl.example`.
    fn said(templates: &[&str], front: &[&[u8]]) -> Vec<String> {
        let templates: Vec<_> =
            templates.iter().map(|text| Arc::new(Template::parse(text).unwrap())).collect();
        let wire = wire(front);
        let name = QuestionName::read(&wire).unwrap();
        let mut spelled = Spelled::default();
        let subject = Subject::Domain { labels: front.len() };
        let texts: Vec<String> = spelled.texts(&templates, subject, &name).expanded().collect();
        let len: usize = texts.iter().map(|text| RECORD_HEAD + rdata_len(text.len())).sum();
        assert!(FIXED + wire.len() + len <= REPLY, "{texts:?}");
        texts
    }

    fn wire(front: &[&[u8]]) -> Vec<u8> {
        let front: Vec<u8> = front.iter().flat_map(|label| [&[label.len() as u8], *label].concat()).collect();
        [&front[..], b"\x02bl\x07example\0"].concat()
    }

    #[test]
    fn a_domain_is_said_as_asked_in_lower_case() {
        assert_eq!(
            said(&["$ is listed"], &[b"WWW", b"a_b-c", b"xn--Bcher-kva", b"Com"]),
            ["www.a_b-c.xn--bcher-kva.com is listed"]
        );
        let mut spelled = Spelled::default();
        let name = QuestionName::read(b"\x02bl\0").unwrap();
        let templates = [Arc::new(Template::parse("see $").unwrap())];
        let address = Subject::Address("2001:db8::1".parse().unwrap());
        assert_eq!(
            spelled.texts(&templates, address, &name).expanded().collect::<Vec<_>>(),
            ["see 2001:db8::1"]
        );
    }

    #[test]
    fn what_is_no_plain_label_is_left_out_with_all_in_front() {
        let odd: [&[u8]; 5] = [b"<b>", b"a.b", b"\0", b"\xff", b"\""];
        for label in odd {
            assert_eq!(said(&["$"], &[b"www", label, b"example", b"com"]), ["example.com"]);
        }
    }

    #[test]
    fn long_names_leave_out_first_labels_then_texts() {
        let long = [b'x'; 63];
        let front: [&[u8]; 5] = [&long, &long, &long, b"bad", b"example"];
        let longest = &"t".repeat(390);
        assert_eq!(said(&["$"], &front).concat().len(), 3 * 64 + 11);
        assert_eq!(said(&[&format!("{}$", "t".repeat(200))], &front), ["t".repeat(200) + "bad.example"]);
        let both = ["a".repeat(150), "b".repeat(150)];
        assert_eq!(said(&[&both[0], &both[1]], &front), [both[0].clone()]);
        let cut = said(&[longest], &front);
        assert!(cut.len() == 1 && cut[0].len() > 200 && longest.starts_with(&cut[0]), "{cut:?}");
        assert_eq!(said(&[longest], &[b"bad", b"example"]), std::slice::from_ref(longest));
    }

    proptest! {
        /// Whatever is asked, the reply fits and nothing but clean labels is said.
        #[test]
        fn every_reply_fits(
            front in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..64), 1..60),
            plain: bool,
            texts in prop::collection::vec("[a$ ]{1,400}", 1..4),
        ) {
            let front: Vec<Vec<u8>> = match plain {
                true => front.iter().map(|label| label.iter().map(|b| b'a' + b % 26).collect()).collect(),
                false => front,
            };
            let mut front: Vec<&[u8]> = front.iter().map(|label| &label[..]).collect();
            while wire(&front).len() > MAX_NAME {
                front.pop();
            }
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let said = said(&texts, &front);
            prop_assert!(!said.is_empty());
            let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_. $".contains(&b);
            prop_assert!(said.iter().all(|text| text.bytes().all(legal)));
            prop_assert!(labels(&wire(&front)[..wire(&front).len() - 1]).is_some());
        }
    }
}
