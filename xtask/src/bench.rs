//! Runs all benches in release and puts what they report into one table, with the machine it comes from.
//!
//! The kernel lookups need `ebpf/bench`, which is built here on demand and not committed: an object that lags behind the
//! layout of the image would measure nothing. Without nightly or bpf-linker they are skipped, and the table says so.

use crate::build_ebpf;
use crate::command::{announce, cargo, output, program, root};
use anyhow::{Context, Result, ensure};
use std::fmt::Write;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

/// Where the table goes.
const RESULTS: &str = "benches/RESULTS.md";
/// The benches, in the order of the table.
const BENCHES: [&str; 5] = ["lookup", "domains", "build", "kernel", "udp"];
/// What the cells of a reported line are; the last says whether the aim is met.
const HEADINGS: [&str; 7] = ["what", "case", "ours", "peer", "peer / ours", "aim", "met"];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these benches; the results are shown and not written.
    #[arg(value_parser = BENCHES)]
    benches: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let all = args.benches.is_empty();
    let names = if all { BENCHES.map(str::to_owned).to_vec() } else { args.benches.clone() };
    let object = if names.iter().any(|name| name == "kernel") { kernel_object() } else { None };
    let before = load();
    let mut rows = Vec::new();
    for name in &names {
        rows.extend(bench(name, object.as_ref())?);
    }
    let text = document(&machine(&before, &load())?, &rows);
    print!("{text}");
    if all {
        fs::write(root().join(RESULTS), &text).with_context(|| format!("writing {RESULTS}"))?;
    }
    Ok(())
}

/// The programs of `ebpf/bench`, or `None` after saying why not.
fn kernel_object() -> Option<PathBuf> {
    match build_ebpf::compile(root(), "ebpf/bench", "bench") {
        Ok((object, ..)) => Some(object),
        Err(error) => {
            eprintln!("no lookups in the kernel: {error:#}");
            None
        }
    }
}

/// Runs one bench; its lines, cut into cells.
fn bench(name: &str, object: Option<&PathBuf>) -> Result<Vec<Vec<String>>> {
    let mut command = cargo(&["bench", "--quiet", "-p", "blackthorn", "--bench", name]);
    if let Some(object) = object {
        command.env("BLACKTHORN_BENCH_OBJECT", object);
    }
    let line = announce(&command);
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{line}`"))?;
    let mut rows = Vec::new();
    for text in child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
        let text = text.with_context(|| format!("output of `{line}`"))?;
        // Everything else is what criterion has to say, for whoever waits.
        if text.contains('\t') {
            rows.push(cells(&text));
        } else {
            eprintln!("{text}");
        }
    }
    let status = child.wait().with_context(|| format!("waiting for `{line}`"))?;
    ensure!(status.success(), "`{line}` failed: {status}");
    ensure!(!rows.is_empty(), "`{line}` reports nothing");
    ensure!(rows.iter().all(|row| row.len() == HEADINGS.len()), "`{line}` reports something else: {rows:?}");
    Ok(rows)
}

fn cells(line: &str) -> Vec<String> {
    line.split('\t').map(str::to_owned).collect()
}

/// The machine, the tools and the load before and after, one line each.
fn machine(before: &str, after: &str) -> Result<Vec<String>> {
    let value = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = value(&meminfo, "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .map_or("unknown".into(), |kib| format!("{} GiB", kib >> 20));
    let cpu = value(&cpuinfo, "model name").unwrap_or("unknown CPU".into());
    let level = |index: &str| {
        let size = fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size"));
        size.map_or("?".into(), |size| size.trim().to_owned())
    };
    Ok(vec![
        format!("{cpu}, {cores} cores, {memory}, L2 {}, L3 {}", level("2"), level("3")),
        format!(
            "Linux {}, {}",
            output(&mut program("uname", &["-r"]))?.trim(),
            output(&mut program("rustc", &["--version"]))?.trim()
        ),
        format!("load {before} before, {after} after"),
    ])
}

/// Processes that ran or waited to over the last minute, on average.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// The results as Markdown.
fn document(machine: &[String], rows: &[Vec<String>]) -> String {
    let mut text = String::from(
        "# Results\n\nWritten by `cargo xtask bench`. Each figure is the median of eleven samples, the fastest and the slowest in \
         brackets; own and peer\nare measured directly after one another in one process. Lookups ask the same addresses \
         over and over, after a warm-up: both sides\nare warm, their part of the caches holds what fits. CPU time of \
         the measuring thread, except for publishing, which is by the\nclock. Peers are `ip_network_table` 0.2, \
         for domains a hash map of whole\nnames, in the kernel `LPM_TRIE`. Answers over UDP: five rounds beside rbldnsd, \
         by turns, CPU time of the server's process. Compare\nthe columns of one run: figures of two machines say \
         little about each other.\n\n",
    );
    for line in machine {
        // Writing to a string does not fail.
        let _ = writeln!(text, "- {line}");
    }
    let rule = HEADINGS.map(|_| "---".to_owned());
    text.push('\n');
    for row in [HEADINGS.map(str::to_owned).to_vec(), rule.to_vec()].iter().chain(rows) {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_rows_of_a_table() {
        let rows = [cells("lookup\t1 M\t2.0 ns\t8.0 ns\t4.0x\t>= 4x\tyes")];
        let text = document(&["a machine".into()], &rows);
        let expected = "\n- a machine\n\n\
            | what | case | ours | peer | peer / ours | aim | met |\n\
            | --- | --- | --- | --- | --- | --- | --- |\n\
            | lookup | 1 M | 2.0 ns | 8.0 ns | 4.0x | >= 4x | yes |\n";
        assert!(text.ends_with(expected), "{text}");
    }
}
