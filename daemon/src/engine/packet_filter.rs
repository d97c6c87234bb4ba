//! The engine's hand on the packet filter: on, or off with a reason.

use super::status::{FilterCounter, FilterStatus, InterfaceState};
use crate::config;
use crate::core::filter_plan::FilterPlan;
use crate::core::table::Table;
use crate::filter::{self, Filter, FilterError, InterfaceStatus, Overlay, Published};
use std::sync::Arc;

/// Why it is off where nobody asked for it.
const UNUSED: &str = "no interface is configured";

/// The packet filter as it is now.
pub(super) enum PacketFilter {
    /// No interface is configured.
    Unused,
    /// Configured, but it cannot run, and why. Tried again with the next reload.
    Off(String),
    /// Loaded.
    On {
        /// The filter.
        filter: Box<Filter>,
        /// Has it been said that the daemon cannot read the kernel's tables in place?
        told: bool,
    },
}

impl PacketFilter {
    /// Loads and attaches, if any interface is configured. What cannot be done is logged once.
    pub(super) fn open(config: &config::Filter) -> Self {
        if config.interfaces.is_empty() {
            tracing::info!("the packet filter is off: {UNUSED}");
            return Self::Unused;
        }
        match Filter::open(&plan(config)) {
            Ok((filter, interfaces)) => {
                log(&interfaces);
                Self::On { filter: Box::new(filter), told: false }
            }
            Err(error) => {
                tracing::warn!("{error}");
                Self::Off(error.to_string())
            }
        }
    }

    /// Does it see packets?
    pub(super) fn is_on(&self) -> bool {
        matches!(self, Self::On { .. })
    }

    /// Brings it in line with a new configuration; an interface that stays is not touched.
    pub(super) fn reconfigure(&mut self, config: &config::Filter) {
        match self {
            Self::On { filter, .. } if !config.interfaces.is_empty() => {
                match filter.reconfigure(&plan(config)) {
                    Ok(interfaces) => log(&interfaces),
                    Err(error) => tracing::error!("packet filter unchanged: {error}"),
                }
            }
            Self::Unused if config.interfaces.is_empty() => {}
            _ => *self = Self::open(config),
        }
    }

    /// Attaches to interfaces that have come, or come back, since.
    pub(super) fn refresh(&mut self, config: &config::Filter) {
        let Self::On { filter, .. } = self else { return };
        let before = filter.status();
        match filter.reconfigure(&plan(config)) {
            Ok(after) if after != before => log(&after),
            Ok(_) => {}
            Err(error) => tracing::error!("packet filter unchanged: {error}"),
        }
    }

    /// Puts a table into force. Gives back the same table for the readers: in the pages in which the kernel looks, so
    /// that it is in memory once; without a filter, or if it cannot be shared, the one given.
    ///
    /// # Errors
    /// Then the previous table stays in force.
    pub(super) fn publish(&mut self, table: &Table) -> Result<Table, FilterError> {
        let Self::On { filter, told } = self else { return Ok(table.clone()) };
        let Published { took, bytes, table: shared } = filter.publish(table.words())?;
        tracing::debug!(bytes, ?took, "table published to the kernel");
        Ok(shared.unwrap_or_else(|error| {
            if !*told {
                tracing::warn!("tables are in memory twice: {error}");
            }
            *told = true;
            table.clone()
        }))
    }

    /// Where the live entries go; `None` while there is no filter.
    pub(super) fn overlay(&self) -> Option<Arc<Overlay>> {
        match self {
            Self::On { filter, .. } => Some(filter.overlay()),
            Self::Unused | Self::Off(_) => None,
        }
    }

    /// What to tell the operator.
    pub(super) fn status(&self, config: &config::Filter) -> FilterStatus {
        let action = if config.enforce { "drop" } else { "monitor" };
        match self {
            Self::Unused => FilterStatus {
                action: "off".to_owned(),
                note: Some(UNUSED.to_owned()),
                ..FilterStatus::default()
            },
            Self::Off(why) => FilterStatus {
                action: "off".to_owned(),
                note: Some(why.clone()),
                interfaces: config.interfaces.iter().map(|name| unattached(name)).collect(),
                ..FilterStatus::default()
            },
            Self::On { filter, .. } => {
                let (counters, note) = match filter.counters() {
                    Ok(counters) => (counters.iter().map(counter).collect(), None),
                    Err(error) => (Vec::new(), Some(error.to_string())),
                };
                let interfaces = filter.status().iter().map(interface).collect();
                FilterStatus { action: action.to_owned(), note, interfaces, counters }
            }
        }
    }
}

fn plan(config: &config::Filter) -> FilterPlan {
    FilterPlan { interfaces: config.interfaces.clone(), mode: config.mode, enforce: config.enforce }
}

fn log(interfaces: &[InterfaceStatus]) {
    for status in interfaces {
        match status.state {
            filter::InterfaceState::Filtered { .. } => tracing::info!("{status}"),
            filter::InterfaceState::Unfiltered(_) => tracing::warn!("{status}"),
        }
    }
}

fn unattached(name: &str) -> InterfaceState {
    InterfaceState { name: name.to_owned(), mode: None, note: None }
}

fn interface(status: &InterfaceStatus) -> InterfaceState {
    let (mode, note) = match &status.state {
        filter::InterfaceState::Filtered { how, fallback } => {
            (Some(how.to_string()), fallback.as_ref().map(ToString::to_string))
        }
        filter::InterfaceState::Unfiltered(why) => (None, Some(why.to_string())),
    };
    InterfaceState { name: status.name.clone(), mode, note }
}

fn counter(
    (reason, count): (blackthorn_common::verdict::Reason, blackthorn_common::abi::Count),
) -> FilterCounter {
    FilterCounter { reason: reason.name().to_owned(), packets: count.packets, bytes: count.bytes }
}
