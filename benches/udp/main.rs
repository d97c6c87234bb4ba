//! The answer code alone; then the released daemon beside rbldnsd, over UDP on loopback: what an answer costs, how many
//! there are, how late they come, and how late while a new list is published.
//!
//! Both serve the same list and are asked the same questions by turns; the one not asked sleeps. The generator has
//! core 0 to itself and spins, the server has core 1, so what is said of it holds for one core. Loopback makes the
//! server's core pay for the generator's half of each reply, and the other way round, for both servers alike.

mod batch;
mod clock;
mod generator;
mod handler;
#[path = "../measure.rs"]
mod measure;
mod server;
mod workload;

use generator::{Outcome, Pace, Until, ask};
use measure::{Aim, Samples, report, size, skipped};
use server::{CORES, PATIENCE, Server, pin, rbldnsd};
use std::error::Error;
use std::time::Duration;
use workload::Workload;

/// Root of the zone both serve.
const ZONE: &str = "bl.example";
/// What TXT says of a listed address.
const TEXT: &str = "Listed, see https://bl.example/?q=$";
/// The peer's program.
const PEER: &str = "rbldnsd";

/// Rounds of each measurement and server.
const ROUNDS: usize = 5;
/// Questions a second where the rate is fixed.
const RATE: u32 = 50_000;
/// How long to ask at that rate: a second of CPU time, of which the kernel's split is good to a few hundredths.
const STEADY: Duration = Duration::from_secs(4);
/// How long to ask flat out.
const FLAT_OUT: Duration = Duration::from_secs(2);
/// Lines of the lists, and ns the answer code may take.
const SIZES: [(usize, f64); 2] = [(120_000, 150.0), (1_000_000, 250.0)];
/// The list that is published under questions.
const PUBLISHED: usize = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    for (count, limit) in SIZES {
        let workload = Workload::new(count);
        let times = handler::measure(&workload, ROUNDS)?;
        report("answer code alone", &size(count), &Samples::new(times, "ns"), None, Aim::AtMost(limit));
    }
    let what = "answers over UDP beside rbldnsd";
    let Some(program) = rbldnsd() else {
        skipped(what, "no rbldnsd here; on Debian `apt-get install --no-install-recommends rbldnsd`");
        return Ok(());
    };
    if std::thread::available_parallelism()?.get() < CORES.len() {
        skipped(what, "needs two cores, one for the generator and one for the server");
        return Ok(());
    }
    pin(CORES[0])?;
    for (count, _) in SIZES {
        let workload = Workload::new(count);
        let servers = [Server::blackthorn(&workload)?, Server::rbldnsd(&program, &workload)?];
        let late = steady(&servers, &workload, &size(count))?;
        flat_out(&servers, &workload, &size(count))?;
        if count == PUBLISHED {
            published(&servers, &workload, &size(count), late)?;
        }
    }
    Ok(())
}

/// At a fixed rate: CPU time and latency. Returns our 99th percentile in microseconds.
fn steady(servers: &[Server; 2], workload: &Workload, case: &str) -> Result<f64, Box<dyn Error>> {
    let mut columns = [(); 2].map(|()| Columns::<7>::default());
    for _ in 0..ROUNDS {
        for (server, columns) in servers.iter().zip(&mut columns) {
            let before = server.cpu()?;
            let outcome = asked(server, workload, Pace::Rate(RATE), Until::Elapsed(STEADY))?;
            let (total, user) = server.cpu()?.since(before);
            let answered = outcome.answered as f64;
            let percentile = |percent| outcome.percentile(percent);
            columns.push([
                total / answered,
                user / answered,
                percentile(50.0),
                percentile(99.0),
                percentile(99.9),
                outcome.lost(),
                outcome.rate(),
            ]);
        }
    }
    let [ours, peer] = &columns;
    let rate = format!("at {} k q/s", RATE / 1000);
    let row = |what: &str, case: &str, column: usize, unit, aim| {
        report(
            &format!("{what} {rate}"),
            case,
            &ours.rounds(column, unit),
            Some(&peer.rounds(column, unit)),
            aim,
        );
    };
    row("server CPU for a query", case, 0, "ns", Aim::TimesPeer(1.33));
    row("its part in user space", case, 1, "ns", Aim::AtMost(400.0));
    row("latency, median,", case, 2, "us", Aim::None);
    row("latency, 99 %,", case, 3, "us", Aim::AtMost(1000.0));
    row("latency, 99.9 %,", case, 4, "us", Aim::None);
    lost(&format!("queries lost {rate}"), case, [ours, peer], 5, 6);
    Ok(ours.rounds(3, "us").median())
}

/// As fast as it goes.
fn flat_out(servers: &[Server; 2], workload: &Workload, case: &str) -> Result<(), Box<dyn Error>> {
    let mut columns = [(); 2].map(|()| Columns::<5>::default());
    for _ in 0..ROUNDS {
        for (server, columns) in servers.iter().zip(&mut columns) {
            let before = server.cpu()?;
            let outcome = asked(server, workload, Pace::FlatOut, Until::Elapsed(FLAT_OUT))?;
            let (total, _) = server.cpu()?.since(before);
            let (wall, answered) = (outcome.elapsed.as_secs_f64() * 1e9, outcome.answered_in_time as f64);
            // A server that is not busy all the time waits for the generator.
            let (answers, busy) = (answered / wall * 1e6, total / wall * 100.0);
            columns.push([wall / answered, answers, outcome.lost(), busy, outcome.rate()]);
        }
    }
    let [ours, peer] = &columns;
    let said = |columns: &Columns<5>, name: &str| {
        let [answers, busy] = [1, 3].map(|column| columns.rounds(column, "").median());
        format!("{name} {answers:.0} k/s, core {busy:.0} % busy")
    };
    let [own, other] = [said(ours, "ours"), said(peer, "peer")];
    let (time, peer_time) = (ours.rounds(0, "ns"), peer.rounds(0, "ns"));
    report(
        "time per answer, flat out",
        &format!("{case}; {own}; {other}"),
        &time,
        Some(&peer_time),
        Aim::TimesPeer(1.3),
    );
    lost("queries lost, flat out", case, [ours, peer], 2, 4);
    Ok(())
}

/// At a fixed rate, from the signal until the new list is in force. `late` is our usual 99th percentile.
fn published(
    servers: &[Server; 2],
    workload: &Workload,
    case: &str,
    late: f64,
) -> Result<(), Box<dyn Error>> {
    let mut columns = [(); 2].map(|()| Columns::<5>::default());
    for round in 0..ROUNDS {
        for (server, columns) in servers.iter().zip(&mut columns) {
            let listed = round % 2 == 0;
            server.replace_list(workload, listed)?;
            let until = Until::Marker { listed, patience: PATIENCE };
            let outcome = asked(server, workload, Pace::Rate(RATE), until)?;
            let seconds = outcome.elapsed.as_secs_f64();
            let percentile = |percent| outcome.percentile(percent);
            columns.push([percentile(99.0), percentile(99.9), outcome.lost(), seconds, outcome.rate()]);
        }
    }
    let [ours, peer] = &columns;
    let row = |what: &str, case: &str, column: usize, unit, aim| {
        report(what, case, &ours.rounds(column, unit), Some(&peer.rounds(column, unit)), aim);
    };
    let usual = format!("{case}; else {late:.0} us");
    row("latency, 99 %, while a list is published", &usual, 0, "us", Aim::AtMost((late * 1.2).round()));
    row("latency, 99.9 %, while a list is published", case, 1, "us", Aim::None);
    row("from the signal to the first new answer", case, 3, "s", Aim::None);
    lost("queries lost while a list is published", case, [ours, peer], 2, 4);
    Ok(())
}

/// Reports what got no reply, and how much was asked: too little when something else ran on the generator's core.
fn lost<const N: usize>(what: &str, case: &str, servers: [&Columns<N>; 2], lost: usize, rate: usize) {
    let [ours, peer] = servers.map(|columns| columns.rounds(lost, "%"));
    let [own, other] = servers.map(|columns| columns.rounds(rate, "k/s"));
    let case = format!("{case}; asked {own}; peer lost {peer}, asked {other}");
    report(what, &case, &ours, None, Aim::AtMost(0.1));
}

fn asked(server: &Server, workload: &Workload, pace: Pace, until: Until) -> Result<Outcome, Box<dyn Error>> {
    ask(server.address, workload, pace, until).map_err(|why| format!("{}: {why}", server.name).into())
}

/// What the rounds of one server gave, `N` figures each.
struct Columns<const N: usize>([Vec<f64>; N]);

impl<const N: usize> Default for Columns<N> {
    fn default() -> Self {
        Self([const { Vec::new() }; N])
    }
}

impl<const N: usize> Columns<N> {
    fn push(&mut self, figures: [f64; N]) {
        for (column, figure) in self.0.iter_mut().zip(figures) {
            column.push(figure);
        }
    }

    fn rounds(&self, column: usize, unit: &'static str) -> Samples {
        Samples::new(self.0[column].clone(), unit)
    }
}
