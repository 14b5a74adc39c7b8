//! `ducat service status`.

use std::env;
use std::io::{self, Write};

use anyhow::{Context, bail};
use ducat_spool::data_folder;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::process::{Holder, health};
use super::record::{Record, Way};
use super::server::log_file;
use super::{on_demand, systemd};

/// Say how the server is kept, whether it runs, and what went wrong
///
/// Exits with 0 when a service is installed and nothing is wrong, else with 1.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ducat service status\n  ducat service status --json")]
pub struct Args {
    /// For programs
    #[arg(long)]
    json: bool,
}

/// What is found, with the names of the JSON.
pub struct Status {
    pub way: Option<Way>,
    files: Vec<String>,
    pid: Option<i32>,
    since: Option<Timestamp>,
    version: Option<String>,
    url: Option<String>,
    pub lingering: Option<bool>,
    restarts: Option<u64>,
    log: Option<String>,
    /// When and why it does not run.
    pub fault: Option<(Option<Timestamp>, String)>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let status = find()?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", status.to_json())?;
    } else {
        status.print(&mut out)?;
    }
    match (status.way, status.fault) {
        (None, _) => bail!("no service is installed; `ducat service install` does it"),
        (_, Some(_)) => bail!("the server does not run"),
        _ => Ok(()),
    }
}

pub fn find() -> anyhow::Result<Status> {
    let data = std::path::absolute(data_folder().context("no home folder for the data; name one with DUCAT_DATA_DIR")?)?;
    let record = Record::find(&data)?;
    let holder = Holder::of(&data);
    let key = env::var("METRICS_API_KEY").ok();
    let answer = record.as_ref().and_then(|record| health(record.address, key.as_deref()).ok());
    let way = record.as_ref().map(|record| record.way);
    // Asking may have started it.
    let holder = holder.or_else(|| answer.as_ref().and_then(|_| Holder::of(&data)));
    let unit = systemd::state().filter(|_| way == Some(Way::Systemd));
    let fault = match (way, &unit, &holder) {
        (_, _, Some(_)) | (None, _, _) => None,
        (Some(Way::OnDemand), ..) => on_demand::failure(&data).map(|(at, words)| (Timestamp::try_from(at).ok(), words)),
        (Some(Way::Systemd), Some((state, _, result)), _) => {
            Some((None, format!("systemd says {state}, {result}; `journalctl --user -u ducat` tells more")))
        }
        (Some(Way::Systemd), None, _) => Some((None, "systemd does not answer".to_owned())),
        (Some(Way::Launchd), ..) => Some((None, format!("{} tells more", log_file(&data).display()))),
    };
    Ok(Status {
        way,
        files: record
            .iter()
            .flat_map(|record| &record.files)
            .filter(|file| file.exists())
            .map(|file| file.display().to_string())
            .collect(),
        pid: holder.map(|holder| holder.pid),
        since: answer.as_ref().and_then(since),
        version: answer.as_ref().and_then(|answer| Some(answer["version"].as_str()?.to_owned())),
        url: record.map(|record| record.url),
        lingering: if way == Some(Way::Systemd) { systemd::lingers() } else { None },
        restarts: unit.map(|(_, restarts, _)| restarts),
        log: way.map(|way| match way {
            Way::Systemd => "journalctl --user -u ducat".to_owned(),
            _ => log_file(&data).display().to_string(),
        }),
        fault,
    })
}

/// By the server's own word, to the second.
fn since(answer: &Value) -> Option<Timestamp> {
    let uptime = SignedDuration::try_from_secs_f64(answer["uptime"].as_f64()?).ok()?;
    Timestamp::from_second((Timestamp::now() - uptime).as_second()).ok()
}

impl Status {
    fn to_json(&self) -> Value {
        json!({
            "way": self.way, "files": self.files, "running": self.pid.is_some(), "pid": self.pid,
            "since": self.since.map(|at| at.to_string()), "version": self.version, "url": self.url,
            "lingering": self.lingering, "restarts": self.restarts, "log": self.log,
            "fault": self.fault.as_ref().map(|(at, words)| json!({ "at": at.map(|at| at.to_string()), "words": words })),
        })
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let mut line = |name: &str, value: &str| writeln!(out, "{name:<10} {value}");
        line("service", self.way.map_or("none", Way::name))?;
        self.files.iter().try_for_each(|file| line("file", file))?;
        match (self.pid, self.way) {
            (Some(pid), _) => {
                line("running", &format!("process {pid}{}", self.since.map_or(String::new(), |at| format!(" since {at}"))))?
            }
            (None, Some(Way::OnDemand)) => line("running", "no; the next hook starts it")?,
            (None, _) => line("running", "no")?,
        }
        if let Some(version) = &self.version {
            line("version", version)?;
        }
        if let Some(url) = &self.url {
            line("page", url)?;
        }
        match self.lingering {
            Some(true) => line("lingering", "on")?,
            Some(false) => line("lingering", "off: it ends with your last session; `loginctl enable-linger` keeps it running")?,
            None => {}
        }
        if let Some(restarts) = self.restarts {
            line("restarts", &restarts.to_string())?;
        }
        if let Some(log) = &self.log {
            line("log", log)?;
        }
        if let Some((at, words)) = &self.fault {
            line("fault", &format!("{}{words}", at.map_or(String::new(), |at| format!("{at:.0} "))))?;
        }
        Ok(())
    }
}
