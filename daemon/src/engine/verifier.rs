//! The verifier: after each publication, and every few minutes, compares what is served with what should be: the image
//! with its checksum, our own DNS port and the kernel with the image.
//!
//! A round begins as a task beside the engine (image and DNS take time) and ends on the engine's thread with the
//! kernel, whose handle the engine owns. What is wrong is counted, logged, shown, and repaired by publishing again, at
//! most once a minute. With a packet filter the image is in the kernel's own pages, so a damaged one is damaged for
//! both: it is never the source of a repair, but built again, or read from its file. That the image says what was
//! merged is checked before it is published, by [`crate::core::build`].
//!
//! Bounds of a round: [`MAX_PROBES`] addresses, each probed once in the kernel (some 10 ms in all); [`MAX_QUESTIONS`]
//! DNS questions about addresses, one at a time, and for each zone of domains and each listening address
//! [`verify::MAX_NAMES`] about names; one pass over the image.

use super::packet_filter::PacketFilter;
use super::status::{LastRound, VerifierStatus};
use super::unix_now;
use crate::core::domain::dotted;
use crate::core::explain::Target;
use crate::core::name::{Asked, QuestionName};
use crate::core::verify::{self, Mismatch, Probe};
use crate::core::view::View;
use crate::core::zone::{Named, Zone};
use crate::dns::client::{Client, Said};
use crate::filter::FilterError;
use crate::stats::Stats;
use rand::seq::{IndexedRandom, SliceRandom};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until};

#[cfg(doc)]
use crate::core::verify::MAX_PROBES;

/// Time between rounds while nothing is published.
const EVERY: Duration = Duration::from_secs(300);
/// Least time between the starts of two rounds, however often is published.
const GAP: Duration = Duration::from_secs(1);
/// Least time between two repairs: what comes back at once is not mended by doing it again.
const REPAIR_GAP: Duration = Duration::from_secs(60);
/// Most DNS questions in a round, over all zones and listening addresses.
const MAX_QUESTIONS: usize = 1024;
/// Most mismatches of one round that are logged one by one.
const MAX_LOGGED: usize = 10;

/// What the engine has to do next for the verifier.
pub(super) enum Step {
    /// A round is due: [`Verifier::begin`].
    Due,
    /// The part of a round that needs no engine is done: [`Verifier::finish`]. `None`: it was lost.
    Asked(Option<Round>),
}

/// A round so far.
pub(super) struct Round {
    view: View,
    probes: Vec<Probe>,
    /// Drawn from the table of domains, in wire form.
    names: Vec<Vec<u8>>,
    /// Is the image as it was compiled?
    intact: bool,
    questions: u64,
    mismatches: Vec<Mismatch>,
    /// What could not be asked.
    problems: Vec<String>,
}

/// What a round comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repair {
    /// Nothing to do, or nothing that may be done now.
    None,
    /// Publish the same generation again.
    Republish,
    /// The image itself is damaged: build it again.
    Rebuild,
}

/// The verifier's state between rounds.
pub(super) struct Verifier {
    listening: watch::Receiver<Vec<SocketAddr>>,
    /// By which our DNS server knows us.
    pass: Option<[u8; 16]>,
    stats: Arc<Stats>,
    /// Never more than one.
    rounds: JoinSet<Round>,
    begun: Option<Instant>,
    due: Instant,
    repaired: Option<Instant>,
    last: Option<LastRound>,
}

impl Verifier {
    /// Asks DNS at the addresses in `listening`, as they are when a round begins, with the `pass` of our server.
    pub(super) fn new(
        listening: watch::Receiver<Vec<SocketAddr>>,
        pass: Option<[u8; 16]>,
        stats: Arc<Stats>,
    ) -> Self {
        Self {
            listening,
            pass,
            stats,
            rounds: JoinSet::new(),
            begun: None,
            due: Instant::now(),
            repaired: None,
            last: None,
        }
    }

    /// Something was published: the next round is due at once.
    pub(super) fn published(&mut self) {
        let earliest = self.begun.map_or_else(Instant::now, |begun| begun + GAP);
        self.due = self.due.min(earliest);
    }

    /// Waits for the next step. Nothing is lost when it is dropped.
    pub(super) async fn next(&mut self) -> Step {
        match self.rounds.join_next().await {
            Some(round) => Step::Asked(round.ok()),
            None => {
                sleep_until(self.due).await;
                Step::Due
            }
        }
    }

    /// Begins a round over `view`: the generation that should be served, and the live entries over it.
    pub(super) fn begin(&mut self, view: Option<View>) {
        let now = Instant::now();
        self.begun = Some(now);
        self.due = now + EVERY;
        if let Some(view) = view {
            self.rounds.spawn(ask(view, self.listening.borrow().clone(), self.pass));
        }
    }

    /// Ends a round. `current` is what should be served now: a round over another generation means nothing, and a new one
    /// is due already. What live entries decide, then or now, is left out if they have changed.
    pub(super) fn finish(
        &mut self,
        round: Option<Round>,
        current: Option<&View>,
        filter: &PacketFilter,
    ) -> Repair {
        let Some(mut round) = round else {
            tracing::error!("a round of verification was lost; this is a defect");
            return Repair::None;
        };
        let Some(current) =
            current.filter(|current| Arc::ptr_eq(&current.generation, &round.view.generation))
        else {
            return Repair::None;
        };
        if !Arc::ptr_eq(&current.overlay, &round.view.overlay) {
            let decided =
                |address| [&current.overlay, &round.view.overlay].iter().any(|o| o.action(address).is_some());
            round.mismatches.retain(|mismatch| match mismatch.subject {
                Target::Address(address) => !decided(address),
                Target::Domain(_) => true,
            });
        }
        let kernel = match filter.compare(&round.probes) {
            Ok(None) => false,
            Ok(Some(mismatches)) => {
                round.mismatches.extend(mismatches);
                true
            }
            Err(error) => {
                round.problems.push(error.to_string());
                false
            }
        };
        self.note(&round, kernel);
        self.repair(&round)
    }

    /// Counts, logs and keeps for the status.
    fn note(&mut self, round: &Round, kernel: bool) {
        let stats = &self.stats.verifier;
        stats.rounds.add_one();
        stats.questions.add(round.questions);
        let mismatches = round.mismatches.len() as u64 + u64::from(!round.intact);
        stats.mismatches.add(mismatches);
        if !round.intact {
            tracing::error!("verification: the table image in memory is damaged");
        }
        for mismatch in round.mismatches.iter().take(MAX_LOGGED) {
            tracing::error!("verification: {mismatch}");
        }
        if round.mismatches.len() > MAX_LOGGED {
            tracing::error!("verification: {} more mismatches", round.mismatches.len() - MAX_LOGGED);
        }
        for problem in &round.problems {
            tracing::warn!("verification is incomplete: {problem}");
        }
        let serial = round.view.generation.serial;
        tracing::debug!(
            serial,
            addresses = round.probes.len(),
            questions = round.questions,
            mismatches,
            "verified"
        );
        let damaged = (!round.intact).then(|| "the table image in memory is damaged".to_owned());
        self.last = Some(LastRound {
            at: unix_now(),
            serial,
            addresses: round.probes.len() as u64,
            questions: round.questions,
            kernel,
            mismatches,
            example: damaged.or_else(|| round.mismatches.first().map(ToString::to_string)),
            problems: round.problems.clone(),
        });
    }

    fn repair(&mut self, round: &Round) -> Repair {
        if round.intact && round.mismatches.is_empty() {
            return Repair::None;
        }
        let now = Instant::now();
        if let Some(again) = self.repaired.map(|repaired| repaired + REPAIR_GAP).filter(|again| now < *again)
        {
            // Look again when something may be done about it.
            self.due = self.due.min(again);
            return Repair::None;
        }
        self.repaired = Some(now);
        self.stats.verifier.repairs.add_one();
        self.published();
        if round.intact { Repair::Republish } else { Repair::Rebuild }
    }

    /// What to tell the operator.
    pub(super) fn status(&self) -> VerifierStatus {
        let stats = &self.stats.verifier;
        VerifierStatus {
            last: self.last.clone(),
            rounds: stats.rounds.get(),
            mismatches: stats.mismatches.get(),
            repairs: stats.repairs.get(),
        }
    }

    /// What is wrong or cannot be told, as of the last round.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        let wrong = self.last.iter().filter_map(|last| {
            let example = last.example.as_ref()?;
            Some(format!("verifier: {} wrong in the last round: {example}", last.mismatches))
        });
        let problems = self.last.iter().flat_map(|last| &last.problems);
        wrong.chain(problems.map(|problem| format!("verifier: {problem}")))
    }
}

impl PacketFilter {
    /// Compares the kernel's table with what is expected; `None` where no filter is loaded.
    fn compare(&self, probes: &[Probe]) -> Result<Option<Vec<Mismatch>>, FilterError> {
        let Self::On { filter, .. } = self else { return Ok(None) };
        let mut mismatches = Vec::new();
        for probe in probes {
            match filter.probe(probe.address)? {
                Some(found) => mismatches.extend(verify::mismatch(probe, "the kernel", found)),
                None => mismatches.push(Mismatch {
                    subject: Target::Address(probe.address),
                    place: "the kernel".to_owned(),
                    expected: "a table".to_owned(),
                    found: "that it has none".to_owned(),
                }),
            }
        }
        Ok(Some(mismatches))
    }
}

/// The part of a round that can be done beside the engine.
async fn ask(view: View, listening: Vec<SocketAddr>, pass: Option<[u8; 16]>) -> Round {
    let generation = Arc::clone(&view.generation);
    let mut round = Round {
        view,
        probes: Vec::new(),
        names: Vec::new(),
        intact: true,
        questions: 0,
        mismatches: Vec::new(),
        problems: Vec::new(),
    };
    let reading = spawn_blocking(move || {
        let intact = generation.table.is_intact() && generation.domains.is_intact();
        let names = verify::names(&generation.domains, rand::random());
        (intact, verify::from_table(&generation.table, rand::random()), names)
    });
    match reading.await {
        Ok((intact, probes, names)) => (round.intact, round.probes, round.names) = (intact, probes, names),
        Err(lost) => round.problems.push(format!("the image was not read: {lost}")),
    }
    ask_dns(&mut round, &listening, pass).await;
    round
}

/// Asks every listening address about every zone with data, as far as the bound allows, in random order.
async fn ask_dns(round: &mut Round, listening: &[SocketAddr], pass: Option<[u8; 16]>) {
    let generation = Arc::clone(&round.view.generation);
    let view = round.view.clone();
    // A closed zone lists nothing, and one that has expired answers nothing, whatever the table says.
    let answers = |zone: &&Zone| zone.spec().retired.is_none() && view.is_ready(zone, unix_now());
    let zones: Vec<&Zone> = generation.zones.iter().filter(answers).collect();
    let mut pairs: Vec<(SocketAddr, &Zone)> =
        listening.iter().flat_map(|at| zones.iter().map(|zone| (*at, *zone))).collect();
    pairs.shuffle(&mut rand::rng());
    let each = (MAX_QUESTIONS / pairs.len().max(1)).max(1);
    for (at, zone) in pairs.into_iter().take(MAX_QUESTIONS) {
        let chosen: Vec<Probe> = round.probes.choose_multiple(&mut rand::rng(), each).copied().collect();
        let asked = match Client::connect(at, pass).await {
            Ok(client) => match ask_zone(round, &client, zone, &chosen).await {
                Ok(()) if zone.spec().domains => ask_names(round, &client, zone).await,
                asked => asked,
            },
            Err(error) => Err(error),
        };
        if let Err(error) = asked {
            let name = &zone.spec().name;
            round.problems.push(format!("zone {name} cannot be asked at {at}: {error}"));
        }
    }
}

async fn ask_zone(round: &mut Round, client: &Client, zone: &Zone, probes: &[Probe]) -> std::io::Result<()> {
    let name = &zone.spec().name;
    for probe in probes {
        round.questions += 1;
        let found = client.codes(name, probe.address, rand::random()).await?;
        let listed = zone.shown(&round.view.generation.table, &round.view.overlay, probe.address);
        let expected = Said::Codes(listed.map(|listed| listed.codes().to_vec()).unwrap_or_default());
        // It may expire in the meantime.
        if found != expected && round.view.is_ready(zone, unix_now()) {
            round.mismatches.push(Mismatch {
                subject: Target::Address(probe.address),
                place: format!("zone {name} at {}", client.server()),
                expected: expected.to_string(),
                found: found.to_string(),
            });
        }
    }
    Ok(())
}

/// Asks about names drawn from the table, at most [`MAX_NAMES`](verify::MAX_NAMES).
async fn ask_names(round: &mut Round, client: &Client, zone: &Zone) -> std::io::Result<()> {
    let root = zone.name();
    for name in round.names.clone() {
        let wire = [&name[..], root.wire()].concat();
        let Some(question) = QuestionName::read(&wire) else { continue };
        let labels = question.labels().saturating_sub(root.labels());
        // Names of a zone inside this one are its own, and addresses have been asked for.
        if zone.has_zone_above(&question) || !matches!(Asked::read(&question, labels), Asked::NotAnAddress) {
            continue;
        }
        let Some(named) = zone.named(&round.view.generation.domains, &question, labels) else {
            return Ok(());
        };
        let listed = match named {
            Named::Listed(listed) => listed.codes().to_vec(),
            Named::Above | Named::Unlisted => Vec::new(),
        };
        round.questions += 1;
        let asked = format!("{}.{}", dotted(&name), zone.spec().name);
        let (expected, found) = (Said::Codes(listed), client.codes_at(&asked, rand::random()).await?);
        // It may expire in the meantime.
        if found != expected && round.view.is_ready(zone, unix_now()) {
            round.mismatches.push(Mismatch {
                subject: Target::Domain(name),
                place: format!("zone {} at {}", zone.spec().name, client.server()),
                expected: expected.to_string(),
                found: found.to_string(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
