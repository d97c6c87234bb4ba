//! The real daemon, driven from outside: signals, configuration and list files in, DNS answers, log lines and packets
//! out.
//!
//! `harness` runs daemons, `dns` asks them, `load` asks without pause, `http` plays the publishers of feeds, `trace`
//! watches system calls and kills at one of them. Every test has a directory and ports of its own and waits for answers
//! or log lines, never for time.
#![expect(clippy::unwrap_used, reason = "test code: a step that fails ends the test")]
#![expect(clippy::panic, reason = "test code: what should have happened is said with the log of the daemon")]

mod access;
mod checklist;
mod corpus;
mod dns;
mod domains;
mod encrypted;
mod feeds;
mod filter;
mod generations;
mod harness;
mod hold;
mod http;
mod kill;
mod live;
mod load;
mod pages;
mod preview;
mod publish;
mod queries;
mod reload;
mod restart;
mod trace;
mod verify;
mod why_not;
