//! Project chores: set-up, tests, lints, the kernel object. `main` only dispatches.

use anyhow::Result;
use clap::{Parser, Subcommand};

mod bench;
mod build_ebpf;
mod clients;
mod command;
mod fuzz;
mod kernel_object;
mod kernel_tools;
mod lint;
mod setup;
mod test;
mod verify_ebpf;

#[derive(Parser)]
#[command(about = "blackthorn's project chores")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run the benches and write benches/RESULTS.md.
    Bench(bench::Args),
    /// Build the kernel program with nightly and put it under ebpf/prebuilt with its manifest.
    BuildEbpf(build_ebpf::Args),
    /// Fail when the committed kernel object does not match its sources.
    VerifyEbpf(verify_ebpf::Args),
    /// Run the fuzz targets, each for a bounded time.
    Fuzz(fuzz::Args),
    /// rustfmt and clippy, warnings denied.
    Lint(lint::Args),
    /// Install what the tests need, and nothing else.
    Setup(setup::Args),
    /// Install what the tests need, then run all of them, the fuzz targets last.
    Test(test::Args),
}

fn main() -> Result<()> {
    match Cli::parse().chore {
        Chore::Bench(args) => bench::run(&args),
        Chore::BuildEbpf(args) => build_ebpf::run(&args),
        Chore::VerifyEbpf(args) => verify_ebpf::run(&args),
        Chore::Fuzz(args) => fuzz::run(&args),
        Chore::Lint(args) => lint::run(&args),
        Chore::Setup(args) => setup::run(&args),
        Chore::Test(args) => test::run(&args),
    }
}
