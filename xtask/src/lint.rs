//! Chore lint: rustfmt and clippy over everything, warnings denied. The fuzz targets are formatted only: clippy would have
//! to build all they depend on once more.

use crate::{
    command::{self, cargo, root},
    kernel_tools,
    setup::cargo_component,
};
use anyhow::Result;

#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args) -> Result<()> {
    cargo_component("fmt", "rustfmt")?;
    cargo_component("clippy", "clippy")?;
    let kernel_program = root().join("ebpf/program/Cargo.toml").is_file();
    command::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    if kernel_program {
        command::run(&mut cargo(&["fmt", "--check", "--manifest-path", "ebpf/program/Cargo.toml"]))?;
    }
    command::run(&mut cargo(&["fmt", "--check", "--manifest-path", "fuzz/Cargo.toml"]))?;
    command::run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    if kernel_program { kernel_tools::clippy() } else { Ok(()) }
}
