//! The command line: every command, option and help text. Parsing only; `commands` does the work.

use crate::config::units::duration;
use crate::core::explain::Target;
use crate::core::network::Network;
use crate::logging;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;
use tracing::level_filters::LevelFilter;

/// Where the configuration is looked for without `--config`.
pub const DEFAULT_CONFIG: &str = "/etc/blackthorn/blackthorn.toml";

/// Exit codes, as shown by `--help`.
const EXIT_CODES: &str = "\
Exit codes:
  0  done; for lookup: listed; for check: valid
  1  a negative answer: lookup: not listed; check: invalid; diff: different; preview: nothing would change;
     unblock: there was nothing
  2  it could not be done; standard error says why";

const RUN_HELP: &str = "\
Everything is served from the last good copies first; feeds are fetched after that. Try it as any user:
  blackthorn run --config config/quickstart.toml";

const CHECK_HELP: &str = "\
Reads the configuration, its exclusion files, and the feeds that are files. No network, nothing is written.
A feed that cannot be used now is a warning: the daemon starts without it and says so in its status.

Example, before a reload:
  blackthorn check && systemctl reload blackthorn

Exit codes: 0 valid, 1 invalid; every error is one line, FILE:LINE: WHAT.";

const LOOKUP_HELP: &str = "\
Asks the running daemon, or reads the state directory if none answers. Shown for each address:
  feeds       who lists it: the network around it, its score, and the lines as written in the feed
  zones       what mail servers are told: codes and texts
  exclusions  what overrules the feeds, and where it is written
  filter      what becomes of packets from it
For a domain the entry of each feed that decides is shown, and zones that list domains.
With --why-not, of addresses also what keeps it off the lists: feeds that fail or are in quarantine, and since when; lines that a
feed's own rules leave out (min_score, special_use, widths); zones that do not show the feeds that list it.

Examples:
  blackthorn lookup 192.0.2.7
  blackthorn lookup 192.0.2.7 --why-not
  blackthorn lookup www.bad.example
  blackthorn lookup 192.0.2.7 2001:db8::7 --json
  blackthorn lookup 192.0.2.7 >/dev/null && echo listed

Exit codes: 0 all of them are listed, 1 at least one is not, 2 it could not be found out.";

const STATUS_HELP: &str = "\
Example, for a monitor:
  blackthorn status --json

Exit codes: 0 the daemon answers, 2 it does not.";

const FEEDS_HELP: &str = "\
Asks the running daemon, or reads the state directory if none answers. States:
  ok           the last attempt succeeded
  waiting      nothing was tried yet
  failing      it could not be fetched; the last good copy stays in use
  quarantined  what was fetched did not pass the checks; the last good copy stays in use

Examples:
  blackthorn feeds
  blackthorn feeds ipsum
  blackthorn feeds ipsum --rejects";

const LIVE_HELP: &str = "\
What is blocked is listed in every zone and dropped by the packet filter within milliseconds; what is allowed is not
listed and never dropped, whatever feeds say. Of entries that overlap, the narrower one decides, of equal ones the later.
They survive restarts, and end on time. Special-use space, addresses of this host, its gateways and resolvers, and very
wide networks are only blocked with --force, and the packet filter never drops the host's own even then.

Examples:
  blackthorn block 192.0.2.7 --for 1h --reason \"spam run\"
  blackthorn block 192.0.2.0/24 2001:db8:7::/48
  blackthorn allow 192.0.2.9
  blackthorn live
  blackthorn unblock 192.0.2.0/24

Exit codes: 0 done; unblock: 1 there was no entry for one of the networks; 2 nothing is changed, standard error says why.";

const GENERATIONS_HELP: &str = "\
Every published change is a generation with a file of its own; a start serves the newest good one. The files are read
and checked here; a daemon, if one runs, is only asked which one is live.

Examples:
  blackthorn generations
  blackthorn generations --json | jq '.generations[] | select(.damage)'

Exit codes: 0 done, 2 the files cannot be read.";

const DIFF_HELP: &str = "\
Give serials as `blackthorn generations` shows them. Addresses count as changed when other feeds list them, or the same
with another value, or when the packet filter treats them differently. No daemon is asked.

Example:
  blackthorn diff 1795000000 1795003600 --widest 20

Exit codes: 0 they list the same, 1 they differ, 2 they cannot be compared.";

const FORMATS_HELP: &str = "\
The name goes into the configuration:
  [[feed]]
  id = \"mine\"
  source = \"lists/mine.txt\"
  format = \"plain\"";

const PREVIEW_HELP: &str = "\
Asks every feed anew, judges and merges what comes, compares it with what is in force, and forgets it again. Nothing is
stored or published. Shown:
  addresses  listed now and then, added and removed
  feeds      what would become of each; one that fails or is quarantined keeps its last good copy
  added      the widest prefixes that would be listed, with their feeds
  held back  what exclusions and protections overrule, now and then

The configuration is that of the running daemon; see `blackthorn check` for a new one.

Example, before a hold ends:
  blackthorn preview && blackthorn resume

Exit codes: 0 something would change, 1 nothing would, 2 it could not be found out.";

const PIN_HELP: &str = "\
Until `blackthorn resume` the live generation stays in force, also over restarts and reloads. Meanwhile
  goes on  feeds are fetched, checked and stored; a reload takes feeds, schedules, listening addresses, and the
           interfaces, mode and action of the filter into force
  waits    everything that is part of the generation: entries, zones with codes and texts, exclusions, and which
           feeds the filter acts on
`blackthorn status` and the log say that it is held, and whether something new waits.

Example, while a publisher sends rubbish:
  blackthorn pin

Exit codes: 0 it is held, also if it was before, 2 it could not be done.";

const ROLLBACK_HELP: &str = "\
Publishes an earlier generation again, under a new serial because serials only rise, and holds it: entries, zones and
exclusions are those of then. As after `blackthorn pin`, feeds go on being collected, and nothing is published until
`blackthorn resume`. One that would drop an address of this host is refused.

Example:
  blackthorn generations
  blackthorn rollback 1795000000

Exit codes: 0 it is in force, 2 it could not be done and nothing has changed.";

const RESUME_HELP: &str = "\
Publishes what has come since, and goes on publishing as data comes. See what that will change first:
  blackthorn preview
  blackthorn resume

Exit codes: 0 nothing is held, also if nothing was before, 2 it could not be done.";

/// blackthorn collects blocklists, merges them into one numbered generation, and serves it as a DNSBL, as a packet
/// filter in the kernel and as data.
#[derive(Debug, Parser)]
#[command(name = "blackthorn", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How the log on standard error looks: text or json.
    #[arg(long, global = true, default_value = "text", value_name = "FORMAT")]
    pub log_format: logging::Format,
    /// Least severity that is logged: error, warn, info, debug or trace. Beats RUST_LOG.
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<LevelFilter>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon in the foreground. HUP reloads, TERM and INT stop, USR1 logs statistics.
    #[command(after_help = RUN_HELP)]
    Run(ConfigArg),
    /// Check a configuration and the files it names, without touching anything.
    #[command(after_help = CHECK_HELP)]
    Check(Check),
    /// Explain addresses and domains: which feeds list them, what each zone answers, what the filter does.
    #[command(after_help = LOOKUP_HELP)]
    Lookup(Lookup),
    /// Show the running daemon: generation, zones, filter, counters, warnings.
    #[command(after_help = STATUS_HELP)]
    Status(Status),
    /// Show feeds: state, age, counts, last error; with an id and --rejects the lines that were refused.
    #[command(after_help = FEEDS_HELP)]
    Feeds(Feeds),
    /// Block networks at once: listed in every zone, dropped by the packet filter.
    #[command(after_help = LIVE_HELP)]
    Block(SetLive),
    /// Allow networks at once: not listed in any zone, never dropped.
    #[command(after_help = LIVE_HELP)]
    Allow(SetLive),
    /// Take a block or an allow back.
    #[command(after_help = LIVE_HELP)]
    Unblock(Unblock),
    /// List what is blocked and allowed by hand.
    #[command(after_help = LIVE_HELP)]
    Live(Status),
    /// List the generations on disk: serial, age, entries, size, live or damaged and why.
    #[command(after_help = GENERATIONS_HELP)]
    Generations(Generations),
    /// Compare two generations: addresses added, removed and changed, by feed, and the widest prefixes.
    #[command(after_help = DIFF_HELP)]
    Diff(Diff),
    /// Describe the feed formats.
    #[command(after_help = FORMATS_HELP)]
    Formats(JsonArg),
    /// Show what the next cycle would change, without changing anything.
    #[command(after_help = PREVIEW_HELP)]
    Preview(Preview),
    /// Hold the live generation: feeds go on being collected, nothing is published.
    #[command(after_help = PIN_HELP)]
    Pin(Hold),
    /// Publish an earlier generation again and hold it.
    #[command(after_help = ROLLBACK_HELP)]
    Rollback(Rollback),
    /// End a hold and publish what has come since.
    #[command(after_help = RESUME_HELP)]
    Resume(Hold),
}

/// Which configuration.
#[derive(Debug, Args)]
pub struct ConfigArg {
    /// Configuration file.
    #[arg(short, long, default_value = DEFAULT_CONFIG, value_name = "FILE")]
    pub config: PathBuf,
}

/// Which daemon.
#[derive(Debug, Args)]
pub struct DaemonArg {
    /// Which configuration: it names the control socket.
    #[command(flatten)]
    pub config: ConfigArg,
    /// Control socket of the daemon; then the configuration is not read.
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

/// JSON or text.
#[derive(Debug, Args)]
pub struct JsonArg {
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// `blackthorn check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Which configuration.
    #[command(flatten)]
    pub config: ConfigArg,
    /// Output form.
    #[command(flatten)]
    pub form: JsonArg,
}

/// `blackthorn status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Which daemon.
    #[command(flatten)]
    pub daemon: DaemonArg,
    /// Output form.
    #[command(flatten)]
    pub form: JsonArg,
}

/// `blackthorn lookup`.
#[derive(Debug, Args)]
pub struct Lookup {
    /// IPv4 or IPv6 addresses, and domains.
    #[arg(required = true, value_name = "ADDRESS|DOMAIN")]
    pub targets: Vec<Target>,
    /// Say also what keeps each address off the lists. Reads every stored copy.
    #[arg(long)]
    pub why_not: bool,
    /// Ask the stored copies on disk even if a daemon is running.
    #[arg(long)]
    pub from_disk: bool,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: DaemonArg,
    /// Output form.
    #[command(flatten)]
    pub form: JsonArg,
}

/// `blackthorn block` and `blackthorn allow`.
#[derive(Debug, Args)]
pub struct SetLive {
    /// Addresses, prefixes or ranges of both families.
    #[arg(required = true, value_name = "NET")]
    pub networks: Vec<Network>,
    /// How long, such as 90s, 1h30m or 2d; without it, until it is taken back.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub lasts: Option<Duration>,
    /// Why, for whoever reads `blackthorn live` or `lookup`. At most 200 characters are kept.
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub reason: String,
    /// Do it even if it looks like a mistake.
    #[arg(long)]
    pub force: bool,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: DaemonArg,
    /// Output form.
    #[command(flatten)]
    pub form: JsonArg,
}

/// `blackthorn unblock`.
#[derive(Debug, Args)]
pub struct Unblock {
    /// Networks, exactly as they were blocked or allowed.
    #[arg(required = true, value_name = "NET")]
    pub networks: Vec<Network>,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: DaemonArg,
    /// Output form.
    #[command(flatten)]
    pub form: JsonArg,
}

/// `blackthorn feeds`.
#[derive(Debug, Args)]
pub struct Feeds {
    /// Only this feed.
    #[arg(value_name = "ID")]
    pub feed: Option<String>,
    /// List the refused lines of the feed's last body, with line number and reason.
    #[arg(long, requires = "feed")]
    pub rejects: bool,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: DaemonArg,
    /// Output form.
    #[command(flatten)]
    pub form: JsonArg,
}

/// `blackthorn generations`.
#[derive(Debug, Args)]
pub struct Generations {
    /// Which daemon.
    #[command(flatten)]
    pub daemon: DaemonArg,
    /// Output form.
    #[command(flatten)]
    pub form: JsonArg,
}

/// `blackthorn diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// Serial of the older generation.
    #[arg(value_name = "FROM")]
    pub from: u32,
    /// Serial of the newer generation.
    #[arg(value_name = "TO")]
    pub to: u32,
    /// How many of the widest changed prefixes of each family are named.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub widest: u16,
    /// Which configuration: it names the state directory.
    #[command(flatten)]
    pub config: ConfigArg,
    /// Output form.
    #[command(flatten)]
    pub form: JsonArg,
}

/// `blackthorn preview`.
#[derive(Debug, Args)]
pub struct Preview {
    /// Which daemon.
    #[command(flatten)]
    pub daemon: DaemonArg,
    /// Output form.
    #[command(flatten)]
    pub form: JsonArg,
}

/// `blackthorn pin` and `blackthorn resume`.
#[derive(Debug, Args)]
pub struct Hold {
    /// Which daemon.
    #[command(flatten)]
    pub daemon: DaemonArg,
    /// Output form.
    #[command(flatten)]
    pub form: JsonArg,
}

/// `blackthorn rollback`.
#[derive(Debug, Args)]
pub struct Rollback {
    /// Which generation.
    pub serial: u32,
    /// Which daemon.
    #[command(flatten)]
    pub daemon: DaemonArg,
    /// Output form.
    #[command(flatten)]
    pub form: JsonArg,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }
}
