//! The packet filter: keeps the kernel program loaded, its table current and the configured interfaces attached.
//!
//! In the order of the flow: `plan` sizes the table map (pure), `table_map` fills one, for kernel and daemon to read,
//! `program` loads the kernel object and publishes tables into it if `memory` finds room, `overlay` the small table of
//! live entries, `attach` puts it on interfaces, `counters` reads what it did. `bpf` holds the system calls, `privileges`
//! explains refusals. Everything lives by file descriptors: when the process ends, however it ends, the kernel detaches
//! the program and frees its memory.

mod attach;
mod bpf;
mod counters;
mod memory;
mod overlay;
mod plan;
mod privileges;
mod program;
mod table_map;

pub use attach::{AttachError, Attached};
pub use counters::Counters;
pub use overlay::Overlay;
pub use program::LinkHeader;

use crate::core::filter_plan::FilterPlan;
use crate::core::table::Table;
use attach::Attachment;
use blackthorn_common::abi::Enforcement;
use blackthorn_common::layout::header;
use blackthorn_common::payload::Payload;
use plan::SizeClass;
use program::Program;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Why the filter could not do what was asked. Whatever was in force before still is.
#[derive(Debug, Error)]
pub enum FilterError {
    /// Capabilities are missing, or the kernel denies them their effect.
    #[error("the packet filter is off: {} ({why})", privileges::NEEDED)]
    Privileges {
        /// What is missing, or what the kernel refused.
        why: String,
    },
    /// The embedded kernel object is not what this program expects.
    #[error("the kernel object of the packet filter cannot be used: {0}; rebuild it")]
    Object(String),
    /// The kernel's verifier did not accept the program.
    #[error("the kernel does not accept the packet filter: {error}: {last}")]
    Verifier {
        /// What the system call said.
        error: String,
        /// The last line of the verifier's explanation.
        last: String,
    },
    /// A table map could not be allocated.
    #[error(
        "no memory for a table map of {} MiB; the previous table stays in force, raise the memory limit",
        bytes >> 20
    )]
    Memory {
        /// Size of the map.
        bytes: usize,
    },
    /// A table map would not fit beside the one in force.
    #[error(
        "a table map of {} MiB does not fit beside the one in force: {} MiB are free, limited by {limit}; \
         the previous table stays in force, allow {} MiB more or disable a feed",
        bytes >> 20, free >> 20, missing.div_ceil(1 << 20)
    )]
    NoRoom {
        /// Size of the map.
        bytes: usize,
        /// Bytes that may still be taken.
        free: u64,
        /// Bytes more that are needed, with some to spare.
        missing: u64,
        /// What limits them.
        limit: String,
    },
    /// The words to publish are not a table image.
    #[error("not a table image of {words} words; the previous table stays in force")]
    Image {
        /// Number of words given.
        words: usize,
    },
    /// The image is larger than any table map.
    #[error("a table image of {words} words is larger than any table map; the previous table stays in force")]
    TooLarge {
        /// Number of words given.
        words: usize,
    },
    /// Any other refusal.
    #[error("the kernel refused to {doing}: {why}")]
    Kernel {
        /// What was tried.
        doing: &'static str,
        /// What it said.
        why: String,
    },
}

/// The error of a kernel call, told in words where the cause is known.
fn kernel_error(doing: &'static str, error: &(dyn Error + 'static)) -> FilterError {
    match errno(error) {
        Some(libc::EPERM) => FilterError::Privileges { why: format!("the kernel refused to {doing}") },
        code => {
            let why =
                code.map_or_else(|| error.to_string(), |code| io::Error::from_raw_os_error(code).to_string());
            FilterError::Kernel { doing, why }
        }
    }
}

/// The error number at the bottom of a chain of errors.
fn errno(error: &(dyn Error + 'static)) -> Option<i32> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
        Some(code) => Some(code),
        None => errno(error.source()?),
    }
}

/// What came of one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Filtered or not.
    pub state: InterfaceState,
}

/// Is an interface filtered?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceState {
    /// Yes.
    Filtered {
        /// In the driver or in the network stack.
        how: Attached,
        /// Why not in the driver, when that was tried first.
        fallback: Option<AttachError>,
    },
    /// No, and why.
    Unfiltered(AttachError),
}

impl fmt::Display for InterfaceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            InterfaceState::Filtered { how, fallback: None } => {
                write!(f, "interface {} is filtered in {how} mode", self.name)
            }
            InterfaceState::Filtered { how, fallback: Some(why) } => {
                write!(f, "interface {} is filtered in {how} mode: {why}", self.name)
            }
            InterfaceState::Unfiltered(why) => write!(f, "not filtered: {why}"),
        }
    }
}

/// A finished publication.
#[derive(Debug)]
pub struct Published {
    /// From the call to the moment when no packet meets the old table any more.
    pub took: Duration,
    /// Size of the image.
    pub bytes: usize,
    /// The same table, read in the very pages in which the kernel looks, or why that is not possible. It is not checked
    /// again: [`Table::is_intact`]. The pages stay as long as the table does.
    pub table: Result<Table, FilterError>,
}

/// The running packet filter. Dropping it detaches everything.
pub struct Filter {
    program: Program,
    overlay: Arc<Overlay>,
    plan: FilterPlan,
    attachments: Vec<Attachment>,
    refusals: Vec<(String, AttachError)>,
    /// Counts of programs this one has replaced.
    earlier: Counters,
}

impl Filter {
    /// Loads the program and attaches it to the interfaces of `plan`. Until the first [`Self::publish`] everything
    /// passes. An interface that is missing or refuses does not stop the others; its status says why.
    ///
    /// # Errors
    /// When the program cannot be loaded at all; [`FilterError::Privileges`] without the needed capabilities.
    pub fn open(plan: &FilterPlan) -> Result<(Self, Vec<InterfaceStatus>), FilterError> {
        let missing = privileges::missing();
        if !missing.is_empty() {
            return Err(FilterError::Privileges { why: format!("missing: {}", missing.join(", ")) });
        }
        let program = Program::load(SizeClass::SMALLEST, enforcement(plan))?;
        let overlay = Arc::new(Overlay::new(program.overlay_slot()?));
        let plan = plan.clone();
        let earlier = Counters::default();
        let mut filter =
            Self { program, overlay, plan, attachments: Vec::new(), refusals: Vec::new(), earlier };
        filter.attach_missing();
        let status = filter.status();
        Ok((filter, status))
    }

    /// Brings interfaces, mode and action in line with a changed plan. Interfaces that stay are not touched. Calling it
    /// with the same plan attaches what has come (back) since.
    ///
    /// # Errors
    /// When the action cannot be changed; then nothing is.
    pub fn reconfigure(&mut self, plan: &FilterPlan) -> Result<Vec<InterfaceStatus>, FilterError> {
        self.program.set_enforcement(enforcement(plan))?;
        self.plan = plan.clone();
        self.attachments
            .retain(|attachment| attachment.is_alive() && plan.interfaces.contains(&attachment.name));
        self.change_mode();
        self.attach_missing();
        Ok(self.status())
    }

    /// Puts a table image into force. Each packet meets the old table or the new one, never a mixture and never none.
    /// A table too large for the loaded program brings a new program with it, exchanged on every interface in place.
    ///
    /// # Errors
    /// On any error the previous table stays in force on every interface.
    pub fn publish(&mut self, words: &[u32]) -> Result<Published, FilterError> {
        let start = Instant::now();
        check_image(words)?;
        let table = if self.program.class().fits(words.len()) {
            memory::check(self.program.class().bytes())?;
            self.program.publish(words)?
        } else {
            let class =
                SizeClass::for_words(words.len()).ok_or(FilterError::TooLarge { words: words.len() })?;
            memory::check(class.bytes())?;
            let mut program = Program::load(class, enforcement(&self.plan))?;
            let table = program.publish(words)?;
            self.exchange(program)?;
            table
        };
        Ok(Published { took: start.elapsed(), bytes: size_of_val(words), table })
    }

    /// The table of live entries, asked before the one that [`Self::publish`] puts into force.
    pub fn overlay(&self) -> Arc<Overlay> {
        Arc::clone(&self.overlay)
    }

    /// Every interface of the plan, in its order, as it is now.
    pub fn status(&self) -> Vec<InterfaceStatus> {
        self.plan
            .interfaces
            .iter()
            .map(|name| InterfaceStatus { name: name.clone(), state: self.state(name) })
            .collect()
    }

    /// Packets and bytes by reason since [`Self::open`], test runs included.
    ///
    /// # Errors
    /// When the kernel does not let the counters be read.
    pub fn counters(&self) -> Result<Counters, FilterError> {
        Ok(self.earlier.plus(self.program.counters()?))
    }

    /// Runs one frame of at least 14 bytes through the program as it is in force, away from any interface: would it be
    /// dropped? For checks of the published table against the kernel's own word. Counts as a packet.
    ///
    /// # Errors
    /// When the kernel does not run it.
    pub fn test_run(&self, header: LinkHeader, frame: &[u8]) -> Result<bool, FilterError> {
        self.program.test_run(header, frame)
    }

    /// What the table in force in the kernel holds for `source`, an IPv4 or a real IPv6 address; `None` before the first
    /// table. Runs the lookup in the kernel, away from any interface and past every counter.
    ///
    /// # Errors
    /// When the kernel does not run it.
    pub fn probe(&self, source: IpAddr) -> Result<Option<Payload>, FilterError> {
        self.program.probe(&probe_packet(source))
    }

    /// Instructions the verifier walked for an entry; 0 on kernels that do not say (before 5.16).
    ///
    /// # Errors
    /// When the kernel does not describe the program.
    pub fn verified_instructions(&self, header: LinkHeader) -> Result<u32, FilterError> {
        self.program.verified_instructions(header)
    }

    fn state(&self, name: &str) -> InterfaceState {
        if let Some(attachment) = self.attachments.iter().find(|attachment| attachment.name == name) {
            return if attachment.is_alive() {
                InterfaceState::Filtered { how: attachment.how, fallback: attachment.fallback.clone() }
            } else {
                InterfaceState::Unfiltered(AttachError::Gone(name.to_owned()))
            };
        }
        let refusal = self.refusals.iter().find(|(refused, _)| refused == name).map(|(_, why)| why.clone());
        InterfaceState::Unfiltered(refusal.unwrap_or_else(|| AttachError::Unknown(name.to_owned())))
    }

    /// Attaches to every interface of the plan that is not, and remembers why not.
    fn attach_missing(&mut self) {
        self.refusals.clear();
        for name in &self.plan.interfaces {
            if self.attachments.iter().any(|attachment| attachment.name == *name) {
                continue;
            }
            match Attachment::new(&self.program, name, self.plan.mode) {
                Ok(attachment) => self.attachments.push(attachment),
                Err(why) => self.refusals.push((name.clone(), why)),
            }
        }
    }

    /// Attaches anew where the mode does not fit the plan any more.
    fn change_mode(&mut self) {
        for attachment in std::mem::take(&mut self.attachments) {
            if attachment.satisfies(self.plan.mode) {
                self.attachments.push(attachment);
            } else {
                // A failure comes back from `attach_missing`, which is next.
                self.attachments.extend(attachment.into_mode(&self.program, self.plan.mode));
            }
        }
    }

    /// Makes `program` the one in force on every interface, or on none.
    fn exchange(&mut self, program: Program) -> Result<(), FilterError> {
        self.overlay.add(program.overlay_slot()?)?;
        for (done, attachment) in self.attachments.iter().enumerate() {
            if let Err(error) = attachment.replace(&program) {
                for attachment in &self.attachments[..done] {
                    // An interface that cannot go back keeps the new program, which has a complete table too.
                    let _ = attachment.replace(&self.program);
                }
                self.overlay.drop_last();
                return Err(error);
            }
        }
        self.overlay.keep_last();
        let old = std::mem::replace(&mut self.program, program);
        // Too late to refuse, the new program is in force: counts that cannot be read are lost.
        self.earlier = self.earlier.plus(old.counters().unwrap_or_default());
        Ok(())
    }
}

/// The least of a packet that shows its source: an IP header and nothing behind it.
fn probe_packet(source: IpAddr) -> Vec<u8> {
    match source {
        IpAddr::V4(source) => {
            let mut packet = vec![0; 20];
            packet[0] = 0x45;
            packet[12..16].copy_from_slice(&source.octets());
            packet
        }
        IpAddr::V6(source) => {
            let mut packet = vec![0; 40];
            packet[0] = 0x60;
            packet[8..24].copy_from_slice(&source.octets());
            packet
        }
    }
}

fn enforcement(plan: &FilterPlan) -> Enforcement {
    if plan.enforce { Enforcement::Drop } else { Enforcement::Count }
}

/// Refuses what was not built as a table image of this layout.
fn check_image(words: &[u32]) -> Result<(), FilterError> {
    let at = |index: u32| words.get(index as usize).copied();
    let is_image = at(header::AT_MAGIC) == Some(header::MAGIC)
        && at(header::AT_VERSION) == Some(header::VERSION)
        && at(header::AT_ENDIAN) == Some(header::ENDIAN)
        && at(header::AT_WORDS).is_some_and(|count| count as usize == words.len());
    if is_image { Ok(()) } else { Err(FilterError::Image { words: words.len() }) }
}
