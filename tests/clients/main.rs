//! Real resolvers, mail servers and checkers against the real daemon: what mail servers get to see of it in the end.
//!
//! `programs` finds them, `machine` runs them in a network namespace beside the daemon, with what the README says to
//! configure; `resolver` and `smtp` ask them. They come from `cargo xtask setup`; a test that misses its program or root prints why and passes, or fails
//! with `BLACKTHORN_REQUIRE_PRIVILEGED=1`.
#![expect(clippy::unwrap_used, reason = "test code: a step that fails ends the test")]
#![expect(clippy::panic, reason = "test code: what should have happened is said with the log of the program")]

mod bind;
mod dig;
#[path = "../integration/dns.rs"]
#[expect(dead_code, reason = "the tests of the daemon alone ask in more ways")]
mod dns;
mod dnsviz;
mod exim;
mod getent;
mod haproxy;
#[path = "../integration/harness.rs"]
#[expect(dead_code, reason = "the tests of the daemon alone need more of it")]
mod harness;
mod lists;
mod machine;
mod postfix;
mod programs;
mod readme;
mod resolver;
mod smtp;
mod unbound;
