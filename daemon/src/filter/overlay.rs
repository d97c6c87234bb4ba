//! The table of live entries in the kernel. It is published beside the large table, from another thread if need be, and
//! stays in force when the program is exchanged for one of another size.

use super::table_map::FrozenMap;
use super::{FilterError, bpf, check_image, kernel_error};
use blackthorn_common::abi::{CHUNK_BYTES, OVERLAY_CHUNKS};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

/// The live entries of a packet filter. Shared by those who change them.
#[derive(Debug)]
pub struct Overlay(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Where each loaded program looks: one array of maps, or two while programs are exchanged.
    slots: Vec<OwnedFd>,
    /// What is in all of them.
    table: Option<FrozenMap>,
}

impl Overlay {
    pub(super) fn new(slot: OwnedFd) -> Self {
        Self(Mutex::new(State { slots: vec![slot], table: None }))
    }

    /// Puts an image of at most 8 MiB into force, or none. When this returns, no packet meets the one before.
    ///
    /// # Errors
    /// When the kernel refuses; then the one before stays in force.
    pub fn publish(&self, words: Option<&[u32]>) -> Result<(), FilterError> {
        let table = match words {
            Some(words) => {
                check_image(words)?;
                if size_of_val(words) > OVERLAY_CHUNKS as usize * CHUNK_BYTES {
                    return Err(FilterError::TooLarge { words: words.len() });
                }
                Some(FrozenMap::new(OVERLAY_CHUNKS, words)?)
            }
            None => None,
        };
        self.change(|state| {
            for slot in &state.slots {
                fill(slot, table.as_ref(), state.table.is_some())?;
            }
            state.table = table;
            Ok(())
        })
    }

    /// A program more: its slot gets what the others have.
    pub(super) fn add(&self, slot: OwnedFd) -> Result<(), FilterError> {
        self.change(|state| {
            fill(&slot, state.table.as_ref(), false)?;
            state.slots.push(slot);
            Ok(())
        })
    }

    /// Forgets all programs but the one added last.
    pub(super) fn keep_last(&self) {
        self.change(|state| drop(state.slots.drain(..state.slots.len().saturating_sub(1))));
    }

    /// Forgets the program added last.
    pub(super) fn drop_last(&self) {
        self.change(|state| drop(state.slots.pop()));
    }

    /// Nothing in here panics half-way, so a poisoned lock holds a whole state.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn fill(slot: &OwnedFd, table: Option<&FrozenMap>, was_full: bool) -> Result<(), FilterError> {
    let filled = match table {
        Some(table) => bpf::set_slot(slot.as_fd(), table.as_fd()),
        None if was_full => bpf::empty_slot(slot.as_fd()),
        None => Ok(()),
    };
    filled.map_err(|error| kernel_error("put live entries into force", &error))
}
