//! Hold: one generation stays in force whatever the feeds bring, until an operator says otherwise.
//!
//! While it lasts, feeds go on being fetched, judged and stored, and a reload takes its configuration into force: feeds
//! and schedules, listening addresses, interfaces, mode and action of the packet filter. What is part of the generation
//! waits: entries, zones with their codes and texts, exclusions, and which feeds the filter acts on. The hold is noted in
//! the store, so that a restart does not end it.

use super::status::HoldStatus;
use super::{Engine, Kept, unix_now};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldChange {
    /// Hold what is live.
    Pin,
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
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HoldError {
    /// There is nothing to hold.
    #[error("no generation is published yet, so there is nothing to hold; see `blackthorn status`")]
    Nothing,
}

impl Engine {
    /// Takes up the hold that was noted before the restart. One that cannot be read holds nothing: it is said.
    pub(super) fn recall_hold(&mut self) {
        let noted = self.store.hold().map_err(|error| error.to_string()).and_then(|noted| {
            noted.map(|text| serde_json::from_str::<HoldStatus>(&text).map_err(|e| e.to_string())).transpose()
        });
        match noted {
            Ok(hold) => self.hold = hold,
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

    /// Does what an operator asks for.
    pub(super) fn change_hold(&mut self, change: HoldChange) -> Result<Held, HoldError> {
        let live = self.publisher.live().map_or(0, |generation| generation.serial);
        let (hold, changed) = match (change, self.hold.take()) {
            (HoldChange::Pin, Some(hold)) => (Some(hold), false),
            (HoldChange::Pin, None) if live == 0 => return Err(HoldError::Nothing),
            (HoldChange::Pin, None) => {
                (Some(HoldStatus { serial: live, since: unix_now(), waiting: false }), true)
            }
            (HoldChange::Resume, hold) => (None, hold.is_some()),
        };
        self.hold = hold;
        let not_saved = if changed { self.note_hold() } else { None };
        match (change, changed) {
            (_, false) => {}
            (HoldChange::Pin, true) => {
                tracing::warn!(serial = live, "pinned: nothing new is published until `blackthorn resume`");
            }
            (HoldChange::Resume, true) => {
                tracing::warn!("resumed: what the feeds brought meanwhile is published");
                self.publish();
            }
        }
        self.report();
        let serial = self.publisher.live().map_or(0, |generation| generation.serial);
        Ok(Held { serial, hold: self.hold_status(), changed, not_saved })
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

    /// The hold as the status shows it.
    pub(super) fn hold_status(&self) -> Option<HoldStatus> {
        self.hold.clone().map(|hold| HoldStatus { waiting: self.dirty, ..hold })
    }

    /// What needs attention because of the hold.
    pub(super) fn hold_warnings(&self) -> Vec<String> {
        let Some(hold) = &self.hold else { return Vec::new() };
        let held =
            format!("generation {} is held: nothing new is published until `blackthorn resume`", hold.serial);
        [held].into_iter().chain(self.publisher.endangered()).collect()
    }
}
