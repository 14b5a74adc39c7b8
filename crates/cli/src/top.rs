//! `ducat top`, on the command line.

use std::env;
use std::path::PathBuf;

use clap::ValueHint;
use ducat_spool::data_folder;
use ducat_top::Show;

use crate::doctor::server_address;
use crate::service::record::Record as Service;

/// Watch what is spent, as it is spent: sessions, tools, the plan's quota, live events
///
/// Asks a running server and keeps up with it. Today's cost, what the last hour cost, the windows of the plan and when they reset, live
/// sessions, and a bar for each of the last hours stand in the first line. `s` sorts, `/` filters, Enter opens a session, `?` says the
/// rest, `q` quits. Works from 40x10 on; where there is no room, columns go. Without a terminal, one frame is printed as plain text.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The server: http://HOST[:PORT] or https://HOST[:PORT]; without it the one of this machine. Its key is read from METRICS_API_KEY, else DUCAT_API_KEY
    #[arg(long, value_name = "URL", env = "DUCAT_URL", hide_env_values = true, value_hint = ValueHint::Url)]
    url: Option<String>,
    /// Certificates to trust instead of the system's, PEM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ca: Option<PathBuf>,
    /// Time zone of the day: local, UTC, or a name like Europe/Berlin
    #[arg(long, default_value = "local", value_name = "ZONE")]
    timezone: String,
    /// Print one frame as plain text and end, as it does where standard output is no terminal
    #[arg(long, conflicts_with = "json")]
    once: bool,
    /// Print one JSON object and end: {"schema_version":1,"today":…,"sessions":[…],"tools":[…]}
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Examples:
  ducat top
  ducat top --url https://meter.example.org --timezone UTC
  ducat top --once | head -1
  ducat top --json | jq '.sessions[] | select(.is_live) | .project'
  NO_COLOR=1 ducat top";

pub fn run(args: &Args) -> anyhow::Result<()> {
    let zone = ducat_report::parse_timezone(&args.timezone)?;
    let told = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let url = args.url.clone().filter(|url| !url.is_empty()).unwrap_or_else(|| {
        // A record that cannot be read is told by `ducat doctor`.
        let service = data_folder().and_then(|data| Service::find(&data).ok().flatten());
        format!("http://{}", server_address(service.as_ref(), None, None))
    });
    let show = match (args.json, args.once) {
        (true, _) => Show::Json,
        (false, true) => Show::Once,
        (false, false) => Show::Live,
    };
    // A machine's key, which hooks have, reads nothing.
    let key = told("METRICS_API_KEY").or_else(|| told("DUCAT_API_KEY"));
    ducat_top::run(&url, key, args.ca.as_deref(), zone, show)
}
