//! `blackthorn pin`, `rollback` and `resume`: hold the live generation or an earlier one, and end that.

use super::text::ago;
use super::{Verdict, client, output, wait};
use crate::cli;
use crate::engine::hold::Held;
use crate::engine::status::HoldStatus;
use crate::engine::unix_now;
use std::error::Error;

/// Holds, and says what is held.
pub(super) fn pin(args: &cli::Hold) -> Result<Verdict, Box<dyn Error>> {
    let client = client(&args.daemon)?;
    let held = wait(client.pin())??;
    output::show(args.form.json, &held, |held| text(held, unix_now()))?;
    Ok(Verdict::Yes)
}

/// Brings an earlier generation back, and says what is held.
pub(super) fn rollback(args: &cli::Rollback) -> Result<Verdict, Box<dyn Error>> {
    let client = client(&args.daemon)?;
    let held = wait(client.rollback(args.serial))??;
    output::show(args.form.json, &held, |held| text(held, unix_now()))?;
    Ok(Verdict::Yes)
}

/// Ends the hold, and says what is in force.
pub(super) fn resume(args: &cli::Hold) -> Result<Verdict, Box<dyn Error>> {
    let client = client(&args.daemon)?;
    let held = wait(client.resume())??;
    output::show(args.form.json, &held, |held| text(held, unix_now()))?;
    Ok(Verdict::Yes)
}

fn text(held: &Held, now: u64) -> String {
    let serial = held.serial;
    let mut text = match (&held.hold, held.changed) {
        (Some(HoldStatus { rolled_back_to: Some(earlier), .. }), true) => format!(
            "rolled back to {earlier}: its data is HELD as generation {serial}, nothing new is published until \
             `blackthorn resume`\n"
        ),
        (Some(_), true) => {
            format!("generation {serial} is HELD: nothing new is published until `blackthorn resume`\n")
        }
        (Some(hold), false) => {
            format!("generation {serial} is held already, since {}\n", ago(now, hold.since))
        }
        (None, true) => format!("resumed; generation {serial} is in force\n"),
        (None, false) => format!("nothing was held; generation {serial} is in force\n"),
    };
    if let Some(why) = &held.not_saved {
        text += &format!("note: a restart forgets this, because it could not be saved: {why}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_told() {
        let hold = Some(HoldStatus { serial: 7, since: 940, rolled_back_to: None, waiting: false });
        let held = |hold: &Option<HoldStatus>, changed| {
            text(&Held { serial: 7, hold: hold.clone(), changed, not_saved: None }, 1_000)
        };
        assert_eq!(
            held(&hold, true),
            "generation 7 is HELD: nothing new is published until `blackthorn resume`\n"
        );
        assert_eq!(held(&hold, false), "generation 7 is held already, since 1m ago\n");
        assert_eq!(held(&None, true), "resumed; generation 7 is in force\n");
        assert_eq!(held(&None, false), "nothing was held; generation 7 is in force\n");
        let rolled_back = hold.map(|hold| HoldStatus { rolled_back_to: Some(5), ..hold });
        assert!(held(&rolled_back, true).starts_with("rolled back to 5: its data is HELD as generation 7, "));
        let unsaved = Held { serial: 7, hold: None, changed: true, not_saved: Some("disk full".to_owned()) };
        assert!(
            text(&unsaved, 0).ends_with("a restart forgets this, because it could not be saved: disk full\n")
        );
    }
}
