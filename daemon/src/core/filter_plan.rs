//! What the packet filter should do, in plain types that configuration and filter share.

/// How the kernel program is attached to an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Native where the driver can, generic otherwise; the status says which.
    #[default]
    Auto,
    /// In the driver, before a packet costs anything. Refused where the driver cannot.
    Native,
    /// In the network stack, on any device. Slower.
    Generic,
}

/// The packet filter as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterPlan {
    /// Names of the interfaces whose incoming packets are filtered.
    pub interfaces: Vec<String>,
    /// How to attach.
    pub mode: Mode,
    /// Drop listed sources; otherwise only count what would be dropped.
    pub enforce: bool,
}
