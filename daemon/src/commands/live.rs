//! `blackthorn block`, `allow`, `unblock` and `live`: what is blocked and allowed by hand.

use super::text::{age, ago, columns, counted};
use super::{Verdict, client, output, wait};
use crate::cli;
use crate::config::units::format_duration;
use crate::control::MAX_NETWORKS;
use crate::control::client::{Client, ClientError};
use crate::control::report::{LiveChanged, LiveReport, RemoveLive, SetLive};
use crate::core::explain::LiveVerdict;
use crate::core::live_set::Action;
use crate::core::network::Network;
use crate::engine::unix_now;
use std::error::Error;

/// Blocks or allows networks.
pub(super) fn set(action: Action, args: &cli::SetLive) -> Result<Verdict, Box<dyn Error>> {
    let change = SetLive {
        action,
        networks: Vec::new(),
        lasts: args.lasts.map(|lasts| lasts.as_secs()),
        reason: args.reason.clone(),
        force: args.force,
    };
    let send =
        async |client: &Client, networks| client.set_live(&SetLive { networks, ..change.clone() }).await;
    let changed = in_parts(&args.daemon, &args.networks, &send)?;
    let done = match action {
        Action::Block => "blocked",
        Action::Allow => "allowed",
    };
    let lasts = args.lasts.map_or_else(String::new, |lasts| format!(" for {}", format_duration(lasts)));
    output::show(args.form.json, &changed, |changed| changed_text(&format!("{done}{lasts}"), changed))?;
    Ok(Verdict::Yes)
}

/// Takes entries back. The answer is no if there was none for one of the networks.
pub(super) fn remove(args: &cli::Unblock) -> Result<Verdict, Box<dyn Error>> {
    let send = async |client: &Client, networks| client.remove_live(&RemoveLive { networks }).await;
    let changed = in_parts(&args.daemon, &args.networks, &send)?;
    output::show(args.form.json, &changed, |changed| changed_text("taken back", changed))?;
    Ok(if changed.missing.is_empty() { Verdict::Yes } else { Verdict::No })
}

/// Lists the entries in force.
pub(super) fn list(args: &cli::Status) -> Result<Verdict, Box<dyn Error>> {
    let report = wait(client(&args.daemon)?.live())??;
    output::show(args.form.json, &report, |report| list_text(report, unix_now()))?;
    Ok(Verdict::Yes)
}

/// Sends as many networks at a time as a request takes.
fn in_parts(
    daemon: &cli::DaemonArg,
    networks: &[Network],
    send: &impl AsyncFn(&Client, Vec<String>) -> Result<LiveChanged, ClientError>,
) -> Result<LiveChanged, Box<dyn Error>> {
    let client = client(daemon)?;
    let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
    let all = async {
        let mut all = LiveChanged::default();
        for some in networks.chunks(MAX_NETWORKS) {
            let LiveChanged { changed, missing, expires_at, notes } = send(&client, some.to_vec()).await?;
            all.changed += changed;
            all.missing.extend(missing);
            all.expires_at = expires_at;
            all.notes = notes;
        }
        Ok::<_, ClientError>(all)
    };
    Ok(wait(all)??)
}

fn changed_text(done: &str, changed: &LiveChanged) -> String {
    let what = counted(changed.changed, "network", "networks");
    let missing = changed.missing.iter().map(|network| format!("there was no live entry for {network}\n"));
    let notes = changed.notes.iter().map(|note| format!("note: {note}\n"));
    format!("{what} {done}\n") + &missing.chain(notes).collect::<String>()
}

fn list_text(report: &LiveReport, now: u64) -> String {
    if report.entries.is_empty() {
        return "nothing is blocked or allowed by hand\n".to_owned();
    }
    let heads = ["ACTION", "NETWORK", "ENDS", "SINCE", "BY USER", "REASON"].map(str::to_owned);
    let rows: Vec<_> =
        [heads].into_iter().chain(report.entries.iter().map(|entry| row(entry, now))).collect();
    columns(&rows, &[]).iter().map(|line| format!("{line}\n")).collect()
}

fn row(entry: &LiveVerdict, now: u64) -> [String; 6] {
    [
        entry.action.name().to_owned(),
        entry.network.clone(),
        ends(entry.expires_at, now),
        ago(now, entry.added_at),
        entry.by.to_string(),
        entry.reason.clone(),
    ]
}

/// When an entry is over.
pub(super) fn ends(expires_at: Option<u64>, now: u64) -> String {
    expires_at.map_or_else(|| "never".to_owned(), |at| format!("in {}", age(at.saturating_sub(now))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(action: Action, network: &str, expires_at: Option<u64>, reason: &str) -> LiveVerdict {
        let (network, reason) = (network.to_owned(), reason.to_owned());
        LiveVerdict { action, network, reason, by: 0, added_at: 1_000, expires_at }
    }

    #[test]
    fn the_list_reads_well() {
        let entries = vec![
            entry(Action::Block, "192.0.2.0/24", Some(4_610), "spam run"),
            entry(Action::Allow, "2001:db8::1", None, ""),
        ];
        let expected = "\
ACTION  NETWORK       ENDS   SINCE    BY USER  REASON
block   192.0.2.0/24  in 1h  10s ago  0        spam run
allow   2001:db8::1   never  10s ago  0
";
        let text = list_text(&LiveReport { limit: 9, entries }, 1_010);
        assert_eq!(text, expected);
        assert_eq!(list_text(&LiveReport::default(), 0), "nothing is blocked or allowed by hand\n");
    }

    #[test]
    fn what_was_done_is_said_in_a_line() {
        let mut changed = LiveChanged { changed: 1, expires_at: Some(4_600), ..LiveChanged::default() };
        assert_eq!(changed_text("blocked for 1h", &changed), "1 network blocked for 1h\n");
        changed = LiveChanged {
            changed: 2,
            missing: vec!["192.0.2.1".to_owned()],
            notes: vec!["a".to_owned()],
            ..LiveChanged::default()
        };
        let expected = "2 networks taken back\nthere was no live entry for 192.0.2.1\nnote: a\n";
        assert_eq!(changed_text("taken back", &changed), expected);
    }
}
