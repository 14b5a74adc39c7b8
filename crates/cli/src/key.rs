//! `ducat key`: keys for machines that ship their facts here.

use std::io::{self, Write};

use anyhow::{Context, bail};
use clap::{Subcommand, ValueEnum};
use ducat_spool::data_folder;
use ducat_store::{DataFolder, FolderError, KeyRow, Keys, Scope, Store, TenantId};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::config::Config;
use crate::import::open_ledger;
use crate::table;

/// Keys with which other machines ship their facts here: make, list and revoke them
///
/// Works beside a running server, which knows of it with the next request. A key may send facts and hook events, and can read nothing.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  ducat key create laptop > laptop.key   the key alone goes to stdout, once
  ducat key create runner --expires 90d
  ducat key list
  ducat key revoke laptop";

#[derive(Subcommand)]
enum Command {
    /// Make a key; it is shown once and kept as a hash
    #[command(after_help = "Examples:\n  ducat key create laptop > laptop.key\n  ducat key create runner --expires 90d")]
    Create {
        /// What to call it: a machine, or a group of them
        name: String,
        /// What it may do
        #[arg(long, value_enum, default_value_t = KeyScope::Ship)]
        scope: KeyScope,
        /// When it ends: 12h, 90d, or a day such as 2027-01-31
        #[arg(long, value_name = "WHEN", value_parser = expiry)]
        expires: Option<Timestamp>,
    },
    /// The keys, also revoked ones, without their secrets
    #[command(after_help = "Examples:\n  ducat key list\n  ducat key list --json")]
    List {
        /// JSON: {"schema_version":1,"rows":[…]}
        #[arg(long)]
        json: bool,
    },
    /// End a key at once, by its name or id
    #[command(after_help = "Examples:\n  ducat key revoke laptop\n  ducat key revoke 15c0fd80")]
    Revoke {
        /// Its name, or the 8 digits of its id
        key: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum KeyScope {
    /// Send facts and hook events; read nothing
    Ship,
}

fn expiry(text: &str) -> Result<Timestamp, String> {
    let now = Timestamp::now();
    let wrong = || "must be like 12h, 90d or 2027-01-31".to_owned();
    if let Ok(day) = text.parse::<jiff::civil::Date>() {
        let at = day.to_zoned_datetime(TimeZone::system()).map_err(|_| wrong())?.timestamp();
        return if at > now { Ok(at) } else { Err("is over already".to_owned()) };
    }
    let (count, hours) = match text.strip_suffix('d') {
        Some(days) => (days, 24),
        None => (text.strip_suffix('h').ok_or_else(wrong)?, 1),
    };
    let count: i64 = count.parse().ok().filter(|count| (1..=36_500).contains(count)).ok_or_else(wrong)?;
    now.checked_add(jiff::SignedDuration::from_hours(count * hours)).map_err(|_| wrong())
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let (keys, _held) = open()?;
    let now = Timestamp::now().as_millisecond();
    match args.command {
        Command::Create { name, scope: KeyScope::Ship, expires } => {
            let key = keys.create(TenantId::LOCAL, &name, Scope::Ship, now, expires.map(Timestamp::as_millisecond))?;
            writeln!(
                io::stderr(),
                "ducat: key {name}, shown only now; on the other machine: DUCAT_SHIP_KEY=… ducat ship --to URL"
            )?;
            writeln!(io::stdout(), "{key}")?;
        }
        Command::List { json } => {
            let rows = keys.list(TenantId::LOCAL)?;
            if json {
                let rows: Vec<_> = rows.iter().map(|key| key_json(key, now)).collect();
                writeln!(io::stdout(), "{}", json!({ "schema_version": 1, "rows": rows }))?;
            } else if rows.is_empty() {
                writeln!(io::stdout(), "There is no key yet; make one with `ducat key create NAME`.")?;
            } else {
                let day = |at| time(at).map_or_else(|| "-".to_owned(), |at| at[..16].replace('T', " "));
                let mut list = table::table(&["ID", "NAME", "SCOPE", "STATE", "CREATED (UTC)", "EXPIRES", "LAST USED"], 7);
                for key in &rows {
                    let times = [Some(key.created_at), key.expires_at, key.last_used_at].map(day);
                    let names = [&key.id, &key.name, &key.scope].map(String::clone);
                    list.add_row(names.into_iter().chain([state(key, now).to_owned()]).chain(times));
                }
                writeln!(io::stdout(), "{}", table::lines(&list))?;
            }
        }
        Command::Revoke { key } => {
            let revoked = keys.revoke(TenantId::LOCAL, &key, now)?;
            writeln!(io::stdout(), "Revoked {} ({}); it opens nothing from now on.", revoked.name, revoked.id)?;
        }
    }
    Ok(())
}

/// The keys; through the ledger where nobody serves it, which makes or updates it, else beside the server.
fn open() -> anyhow::Result<(Keys, Option<(DataFolder, Store)>)> {
    match open_ledger(&Config::load()?, None) {
        Ok((folder, store, _)) => Ok((store.keys()?, Some((folder, store)))),
        Err(error) => match error.downcast_ref::<FolderError>() {
            Some(FolderError::InUse { .. }) => {
                let folder = data_folder().context("no home folder for the data; name one with DUCAT_DATA_DIR")?;
                Ok((Keys::open(&DataFolder::database_in(&folder))?, None))
            }
            _ => bail!(error),
        },
    }
}

fn state(key: &KeyRow, now: i64) -> &'static str {
    match (key.revoked_at, key.expires_at) {
        (Some(_), _) => "revoked",
        (None, Some(expires)) if expires <= now => "expired",
        _ => "good",
    }
}

fn time(at: Option<i64>) -> Option<String> {
    at.and_then(|at| Timestamp::from_millisecond(at).ok()).map(|at| format!("{at:.0}"))
}

fn key_json(key: &KeyRow, now: i64) -> serde_json::Value {
    json!({
        "id": key.id, "name": key.name, "scope": key.scope, "state": state(key, now), "created_at": time(Some(key.created_at)),
        "expires_at": time(key.expires_at), "revoked_at": time(key.revoked_at), "last_used_at": time(key.last_used_at),
    })
}
