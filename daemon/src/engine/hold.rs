//! Hold: one generation stays in force whatever the feeds bring, until an operator says otherwise.
//!
//! While it lasts, feeds go on being fetched, judged and stored, and a reload takes its configuration into force: feeds
//! and schedules, listening addresses, and interfaces, mode and action of the packet filter, unless it would drop without
//! exclusions that wait. What is part of the generation waits: entries, zones with their codes and texts, exclusions, and which feeds the filter acts on. The hold is noted in
//! the store, so that a restart does not end it. A rollback is an earlier generation under a new serial, and a hold.

use super::publish::PublishError;
use super::status::HoldStatus;
use super::{Engine, Kept, unix_now};
use crate::core::generation::Generation;
use crate::core::live_table::LiveTableError;
use crate::filter::FilterError;
use crate::generations::OpenError;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldChange {
    /// Hold what is live.
    Pin,
    /// Publish an earlier generation again and hold it.
    RollBack(u32),
    /// Publish again as data comes.
    Resume,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The live generation now; 0 for none.
    pub serial: u32,
    /// The hold now, if there is one.
    pub hold: Option<HoldStatus>,
    /// Is it another one than before?
    pub changed: bool,
    /// Why a restart would forget it, if so.
    pub not_saved: Option<String>,
}

/// Why it was not done.
#[derive(Debug, Error)]
pub enum HoldError {
    /// There is nothing to hold.
    #[error("no generation is published yet, so there is nothing to hold; see `blackthorn status`")]
    Nothing,
    /// An earlier generation cannot be had.
    #[error("{0}; see `blackthorn generations`")]
    NotAtHand(#[from] OpenError),
    /// An earlier generation would lock us out.
    #[error("generation {serial} would have the packet filter drop {address} ({reason})")]
    LocksOut {
        /// The generation.
        serial: u32,
        /// An address of this host, a gateway or a resolver.
        address: String,
        /// Which of them.
        reason: String,
    },
    /// The kernel refused.
    #[error("nothing has changed: {0}")]
    Filter(#[from] FilterError),
    /// The live entries do not fit over it.
    #[error("nothing has changed: {0}")]
    LiveEntries(#[from] LiveTableError),
}

impl From<PublishError> for HoldError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::LiveEntries(error) => error.into(),
            PublishError::Filter(error) => error.into(),
        }
    }
}

impl Engine {
    /// Takes up the hold that was noted before the restart. One that cannot be read holds nothing: it is said.
    pub(super) fn recall_hold(&mut self) {
        let noted = self.store.hold().map_err(|error| error.to_string()).and_then(|noted| {
            noted.map(|text| serde_json::from_str::<HoldStatus>(&text).map_err(|e| e.to_string())).transpose()
        });
        match noted {
            Ok(hold) => self.hold = hold.map(|hold| HoldStatus { waiting: false, ..hold }),
            Err(error) => tracing::error!("whether a generation is held is unknown: {error}; none is"),
        }
        if let Some(hold) = &self.hold {
            tracing::warn!(
                serial = hold.serial,
                "generations are held: nothing new is published until `blackthorn resume`"
            );
        }
    }

    /// Is something in force that must stay?
    pub(super) fn is_held(&self) -> bool {
        self.hold.is_some() && self.publisher.live().is_some()
    }

    /// Puts the held generation into force at a start that served nothing from a file, as after a change of settings.
    pub(super) fn restore_held(&mut self) {
        let Some(hold) = self.hold.as_ref().filter(|_| self.publisher.live().is_none()) else { return };
        if let Err(error) = self.publisher.restore(hold.serial, &mut self.filter) {
            tracing::error!(serial = hold.serial, "the held generation cannot be served: {error}");
        }
    }

    /// Puts the live generation into force again from its file: what is in memory is damaged, and must not or cannot be
    /// built anew.
    pub(super) fn restore_damaged(&mut self) {
        let serial = self.live_serial();
        match self.publisher.restore(serial, &mut self.filter) {
            Ok(()) => tracing::warn!(serial, "the generation was read again from its file"),
            Err(error) if self.is_held() => {
                tracing::error!("cannot repair: {error}; `blackthorn resume` builds a new one");
            }
            Err(error) => tracing::error!("cannot repair: {error}"),
        }
    }

    /// Does what an operator asks for.
    pub(super) fn change_hold(&mut self, change: HoldChange) -> Result<Held, HoldError> {
        let changed = match change {
            HoldChange::Pin => self.hold.is_none() && self.hold_live(None)?,
            HoldChange::RollBack(serial) => self.roll_back(serial)?,
            HoldChange::Resume => self.hold.take().is_some(),
        };
        let not_saved = if changed { self.note_hold() } else { None };
        if changed && change == HoldChange::Resume {
            tracing::warn!("resumed: what the feeds brought meanwhile is published");
            self.publish();
        }
        self.report();
        Ok(Held { serial: self.live_serial(), hold: self.hold.clone(), changed, not_saved })
    }

    fn live_serial(&self) -> u32 {
        self.publisher.live().map_or(0, |generation| generation.serial)
    }

    /// Holds what is live from now on.
    fn hold_live(&mut self, rolled_back_to: Option<u32>) -> Result<bool, HoldError> {
        let serial = self.live_serial();
        if serial == 0 {
            return Err(HoldError::Nothing);
        }
        tracing::warn!(serial, rolled_back_to, "held: nothing new is published until `blackthorn resume`");
        self.hold = Some(HoldStatus { serial, since: unix_now(), rolled_back_to, waiting: false });
        Ok(true)
    }

    /// Publishes an earlier generation under a new serial, unless what is live says the same, and holds it.
    fn roll_back(&mut self, serial: u32) -> Result<bool, HoldError> {
        if let Some(next) = self.publisher.recall(serial)? {
            let (new, digest) = next.mark();
            self.save(|store| store.record_published(new, digest));
            self.publisher.publish(next, &mut self.filter)?;
            self.verifier.published();
        }
        self.hold_live(Some(serial))?;
        self.publish();
        Ok(true)
    }

    /// Stands in for a publication while a generation is held: finds out whether there would be another one.
    pub(super) fn look_what_waits(&mut self) {
        let next = self.publisher.build(&self.config, &self.slots, &self.exclusions);
        let waiting = match &next {
            Ok(next) => !self.publisher.says_the_same(next),
            Err(error) => {
                tracing::error!("there would be no new generation: {error}");
                false
            }
        };
        self.dirty = false;
        if let Some(hold) = &mut self.hold {
            if waiting && !hold.waiting {
                tracing::warn!("something new waits: the live generation is held until `blackthorn resume`");
            }
            hold.waiting = waiting;
        }
        self.report();
    }

    /// May settings of the packet filter come into force? Not if it would drop by a held generation that lacks the
    /// exclusions of today.
    pub(super) fn filter_may_follow(&self) -> bool {
        let has_exclusions = |live: &Generation| live.exclusions == self.exclusions;
        !self.is_held()
            || !self.config.filter.enforce
            || self.publisher.live().is_some_and(|live| has_exclusions(&live))
    }

    /// Takes the settings of the packet filter into force while a generation is held.
    pub(super) fn filter_follows(&mut self) {
        if !self.filter_may_follow() {
            tracing::warn!("settings of the packet filter wait: the held generation lacks new exclusions");
            return;
        }
        self.filter.reconfigure(&self.config.filter);
        // One that was only loaded now has no table yet.
        if let Err(error) = self.publisher.republish(&mut self.filter) {
            tracing::error!("the held generation is not in the packet filter: {error}");
        }
        self.verifier.published();
    }

    /// Notes the hold in the store; says why not if it cannot be. It is in force either way.
    fn note_hold(&mut self) -> Option<String> {
        let text = self.hold.as_ref().and_then(|hold| serde_json::to_string(hold).ok());
        match self.save(|store| store.record_hold(text.as_deref())) {
            Kept::Saved => None,
            Kept::NotSaved | Kept::Refused => self.save_problem.clone(),
        }
    }

    /// After a publication in spite of a hold: there was nothing in force yet, and the generation that was held could not
    /// be had any more. The hold goes over to what is in force now.
    pub(super) fn hold_what_is_live(&mut self) {
        let live = self.publisher.live().map_or(0, |generation| generation.serial);
        if let Some(hold) = self.hold.as_mut().filter(|hold| live != 0 && hold.serial != live) {
            tracing::error!(
                held = hold.serial,
                live,
                "the held generation is not at hand any more; the one made of the last good copies is held instead"
            );
            hold.serial = live;
            self.note_hold();
        }
    }

    /// What needs attention because of the hold.
    pub(super) fn hold_warnings(&self) -> Vec<String> {
        let Some(hold) = &self.hold else { return Vec::new() };
        let held =
            format!("generation {} is held: nothing new is published until `blackthorn resume`", hold.serial);
        [held].into_iter().chain(self.publisher.endangered()).collect()
    }
}
