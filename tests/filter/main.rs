//! The packet filter in a real kernel: programs through the verifier, frames through test runs, packets over veth.
//!
//! Needs root, BPF and iproute2. Without them every test prints why and passes; with
//! `BLACKTHORN_REQUIRE_PRIVILEGED=1` it fails instead.
#![expect(clippy::unwrap_used, reason = "test code: a step that fails ends the test")]
#![expect(clippy::panic, reason = "test code: a missing privilege must fail loudly where it is required")]

mod overlay;
mod setup;
mod tables;
mod verdicts;
mod wire;
