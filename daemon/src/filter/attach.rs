//! The program on one interface: which entry, which mode, and in words why not.

use super::bpf;
use super::program::{LinkHeader, Program};
use super::{FilterError, kernel_error, privileges};
use crate::core::filter_plan::Mode;
use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use thiserror::Error;

/// How the program sits on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// In the driver.
    Native,
    /// In the network stack.
    Generic,
}

impl Attached {
    fn flags(self) -> u32 {
        match self {
            Self::Native => bpf::NATIVE,
            Self::Generic => bpf::GENERIC,
        }
    }
}

impl fmt::Display for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

/// Why an interface is not filtered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AttachError {
    /// No such interface in this network namespace.
    #[error("interface {0} does not exist")]
    Unknown(String),
    /// Neither Ethernet nor plain IP.
    #[error("interface {name} is of hardware type {kind}, which is neither Ethernet nor plain IP")]
    Kind {
        /// The interface.
        name: String,
        /// `ARPHRD_*` of the kernel.
        kind: u16,
    },
    /// The kernel or the driver refused.
    #[error("interface {name} refuses {how} mode: {why}")]
    Refused {
        /// The interface.
        name: String,
        /// The mode tried.
        how: Attached,
        /// The error in words.
        why: String,
    },
    /// The interface was deleted, or deleted and made again, since it was attached.
    #[error("interface {0} is not the one that was attached any more")]
    Gone(String),
    /// The loaded program cannot be used.
    #[error("interface {name}: {why}")]
    Program {
        /// The interface.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The program on one interface. Detached when dropped, or by the kernel when the process ends.
pub(super) struct Attachment {
    pub(super) name: String,
    pub(super) how: Attached,
    /// Why it is not native although native was tried first.
    pub(super) fallback: Option<AttachError>,
    ifindex: u32,
    header: LinkHeader,
    link: Link,
}

/// A link that lets go of its interface when it is dropped. Closing the descriptor alone would leave that to the last
/// copy of it, and a child process between fork and exec has one.
struct Link(OwnedFd);

impl Drop for Link {
    fn drop(&mut self) {
        // Refused only where there is nothing to let go of: the interface is gone, or the kernel is older than 5.9 and
        // detaches when the descriptor is closed, which is next.
        let _ = bpf::detach(self.0.as_fd());
    }
}

impl Attachment {
    /// Attaches `program` to the interface `name` of this thread's network namespace.
    pub(super) fn new(program: &Program, name: &str, mode: Mode) -> Result<Self, AttachError> {
        let unknown = || AttachError::Unknown(name.to_owned());
        let c_name = CString::new(name).map_err(|_| unknown())?;
        let ifindex = bpf::interface_index(&c_name).map_err(|_| unknown())?;
        let kind = bpf::interface_type(&c_name).map_err(|_| unknown())?;
        let header = link_header(kind).ok_or_else(|| AttachError::Kind { name: name.to_owned(), kind })?;
        let entry = program
            .entry(header)
            .map_err(|error| AttachError::Program { name: name.to_owned(), why: error.to_string() })?;

        let attach = |how: Attached| {
            let link = bpf::attach(entry, ifindex, how.flags());
            link.map_err(|error| {
                (AttachError::Refused { name: name.to_owned(), how, why: explain(how, &error) }, error)
            })
        };
        let (how, link, fallback) = match mode {
            Mode::Generic => (Attached::Generic, attach(Attached::Generic), None),
            Mode::Native => (Attached::Native, attach(Attached::Native), None),
            Mode::Auto => match attach(Attached::Native) {
                Err((refusal, error)) if generic_may_work(&error) => {
                    (Attached::Generic, attach(Attached::Generic), Some(refusal))
                }
                result => (Attached::Native, result, None),
            },
        };
        let link = Link(link.map_err(|(refusal, _)| refusal)?);
        Ok(Self { name: name.to_owned(), how, fallback, ifindex, header, link })
    }

    /// Exchanges the program; no packet in between meets neither. A deleted interface has no packets, so it is fine.
    pub(super) fn replace(&self, program: &Program) -> Result<(), FilterError> {
        match bpf::replace(self.link.0.as_fd(), program.entry(self.header)?) {
            Err(error) if error.raw_os_error() != Some(libc::ENOLINK) => {
                Err(kernel_error("exchange the program on an interface", &error))
            }
            _ => Ok(()),
        }
    }

    /// Attaches anew in another mode. A link cannot change its mode and the kernel takes no program beside it, so there
    /// is a moment without filter; if the new mode is refused, the old one returns.
    pub(super) fn into_mode(self, program: &Program, mode: Mode) -> Result<Self, AttachError> {
        let Self { name, how, link, .. } = self;
        drop(link);
        Self::new(program, &name, mode).or_else(|refusal| {
            let old = match how {
                Attached::Native => Mode::Native,
                Attached::Generic => Mode::Generic,
            };
            Ok(Self { fallback: Some(refusal), ..Self::new(program, &name, old)? })
        })
    }

    /// Is the interface of this name still the one attached to?
    pub(super) fn is_alive(&self) -> bool {
        let index = CString::new(self.name.as_str()).map(|name| bpf::interface_index(&name));
        matches!(index, Ok(Ok(index)) if index == self.ifindex)
    }

    /// Is this what `mode` asks for?
    pub(super) fn satisfies(&self, mode: Mode) -> bool {
        match mode {
            Mode::Auto => true,
            Mode::Native => self.how == Attached::Native,
            Mode::Generic => self.how == Attached::Generic,
        }
    }
}

/// What a device of this hardware type puts before IP, or `None` when we do not know.
fn link_header(kind: u16) -> Option<LinkHeader> {
    match kind {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Some(LinkHeader::Ethernet),
        libc::ARPHRD_NONE | libc::ARPHRD_PPP => Some(LinkHeader::None),
        _ => None,
    }
}

/// Is it worth trying the network stack after the driver refused? Not when the reason holds for both.
fn generic_may_work(error: &io::Error) -> bool {
    !matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST | libc::EPERM | libc::ENODEV))
}

/// The errors of attaching, in words.
fn explain(how: Attached, error: &io::Error) -> String {
    let hint = match (error.raw_os_error(), how) {
        (Some(libc::EBUSY), _) => {
            "another XDP program is attached; detach it first, this one never forces its way"
        }
        (Some(libc::EEXIST), Attached::Native) => "a program is attached in generic mode; detach it first",
        (Some(libc::EEXIST), Attached::Generic) => "a program is attached in native mode; detach it first",
        (Some(libc::EOPNOTSUPP), Attached::Native) => "the driver has no XDP",
        (Some(libc::ERANGE), _) => "the MTU is too large for the driver's XDP",
        (Some(libc::EINVAL), Attached::Native) => {
            "the driver does not take it: MTU too large, or LRO, hardware GRO or too few queues in the way"
        }
        (Some(libc::ENOMEM | libc::ENOSPC), Attached::Native) => {
            "the device has too few queues or too little memory"
        }
        (Some(libc::EPERM), _) => privileges::NEEDED,
        (Some(libc::ENODEV), _) => "the device went away",
        _ => return error.to_string(),
    };
    format!("{hint} ({error})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_type_picks_the_entry() {
        assert_eq!(link_header(1), Some(LinkHeader::Ethernet));
        assert_eq!(link_header(772), Some(LinkHeader::Ethernet));
        assert_eq!(link_header(65534), Some(LinkHeader::None));
        assert_eq!(link_header(512), Some(LinkHeader::None));
        assert_eq!(link_header(801), None);
    }

    #[test]
    fn errors_are_told_in_words() {
        for (errno, how, words) in [
            (libc::EBUSY, Attached::Native, "another XDP program"),
            (libc::EEXIST, Attached::Native, "generic mode"),
            (libc::EEXIST, Attached::Generic, "native mode"),
            (libc::ERANGE, Attached::Native, "MTU"),
            (libc::EINVAL, Attached::Native, "MTU"),
            (libc::EOPNOTSUPP, Attached::Native, "no XDP"),
            (libc::ENOMEM, Attached::Native, "queues"),
            (libc::EPERM, Attached::Generic, "CAP_NET_ADMIN"),
        ] {
            let text = explain(how, &io::Error::from_raw_os_error(errno));
            assert!(text.contains(words), "{errno}: {text}");
        }
        assert!(!explain(Attached::Native, &io::Error::from_raw_os_error(libc::EIO)).is_empty());
    }

    #[test]
    fn generic_is_not_tried_where_it_must_fail_too() {
        assert!(generic_may_work(&io::Error::from_raw_os_error(libc::EOPNOTSUPP)));
        assert!(!generic_may_work(&io::Error::from_raw_os_error(libc::EBUSY)));
        assert!(!generic_may_work(&io::Error::from_raw_os_error(libc::EPERM)));
    }
}
