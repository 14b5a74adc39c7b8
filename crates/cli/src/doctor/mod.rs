//! `ducat doctor`: what is wrong on this machine, and what to do about each.

mod agents;
pub mod ask;
mod client;
mod configuration;
mod data;
mod finding;
mod firing;
mod fix;
pub mod history;
mod hooks;
mod machine;
mod print;
mod server;
mod service;
mod spool;
mod surroundings;
mod transcripts;
mod witnesses;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueHint;

use finding::{Exam, Severity};
pub use firing::local;
use machine::Machine;
pub use machine::{says_version_within, server_address};

/// Find what is wrong with hooks, server, ledger, transcripts and settings, and say what to do
///
/// Prints nothing and exits 0 when all is well; exits 1 when there is an error or a warning (notes alone are none). Nothing is changed
/// without --fix.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ducat doctor\n  ducat doctor --fix\n  ducat doctor --probe --verbose\n  ducat doctor --json | jq '.findings[] | select(.severity == \"error\").remedy'"
)]
pub struct Args {
    /// Repair what can be repaired without losing anything: modes, left-over files, hooks that the client removed
    #[arg(long)]
    fix: bool,
    /// Also start Claude Code to see that it reads its settings and runs the hooks (some seconds; no model is asked)
    #[arg(long)]
    probe: bool,
    /// Print what was looked at, too
    #[arg(long, short, conflicts_with = "json")]
    verbose: bool,
    /// JSON: {"schema_version":1,"findings":[…],"checked":[…]}
    #[arg(long)]
    json: bool,
    /// Address of the server [default: the service's, else the configuration's, else localhost]
    #[arg(long, env = "METRICS_HOST", value_parser = crate::config::listening_address, value_name = "ADDRESS")]
    host: Option<IpAddr>,
    /// Port of the server [default: the service's, else the configuration's, else 9090]
    #[arg(long, env = "METRICS_PORT")]
    port: Option<u16>,
    /// Look for system files below this folder
    #[arg(long, hide = true, default_value = "/", value_hint = ValueHint::DirPath)]
    root: PathBuf,
}

type Area = (&'static str, fn(&Machine, &mut Exam));

const AREAS: [Area; 12] = [
    ("Claude Code", client::look),
    ("hooks", hooks::look),
    ("the agents' wiring", agents::look),
    ("the last events", firing::look),
    ("the server", server::look),
    ("the service", service::look),
    ("the data folder", data::look),
    ("the spool", spool::look),
    ("the transcripts", transcripts::look),
    ("the witnesses", witnesses::look),
    ("the configuration", configuration::look),
    ("the surroundings", surroundings::look),
];

/// Whatever hangs (a disk, a network, a client) holds up its own area only, and that no longer than this.
const LONGEST: Duration = Duration::from_secs(8);

pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut exam = args.examine();
    let mut done = BTreeMap::new();
    if args.fix {
        // What is repaired can let another finding show, which can be repaired too; each only once.
        while let Some(fix) =
            exam.findings.iter().filter_map(|finding| finding.fix.clone()).find(|fix| !done.contains_key(&format!("{fix:?}")))
        {
            let outcome = fix.apply();
            done.insert(format!("{fix:?}"), outcome);
            if exam.findings.iter().filter_map(|finding| finding.fix.as_ref()).all(|fix| done.contains_key(&format!("{fix:?}"))) {
                exam = args.examine();
            }
        }
    }
    exam.findings.sort_by_key(|finding| finding.severity);
    if args.json {
        print::json(&exam)?;
    } else {
        print::text(&exam, done.values(), args.verbose)?;
    }
    if exam.findings.iter().any(|finding| finding.severity != Severity::Note) {
        process::exit(1);
    }
    Ok(())
}

impl Args {
    fn examine(&self) -> Exam {
        let (root, host, port) = (self.root.clone(), self.host, self.port);
        let (tell, told) = mpsc::channel();
        thread::spawn(move || tell.send(Arc::new(Machine::new(root, host, port))));
        let mut exam = Exam::default();
        let Ok(machine) = told.recv_timeout(LONGEST) else {
            hangs("the settings and the configuration", &mut exam);
            return exam;
        };
        exam.add(examine(&machine));
        if self.probe {
            client::probe(&machine, &mut exam);
        } else if self.verbose {
            exam.sound("probe", "not done: --probe starts Claude Code for it, which takes some seconds");
        }
        exam
    }
}

/// All areas at once, each on a thread of its own; those that do not end are findings.
fn examine(machine: &Arc<Machine>) -> Exam {
    let (tell, told) = mpsc::channel();
    let mut exams: Vec<(&str, Option<Exam>)> = Vec::new();
    for (place, (name, look)) in AREAS.into_iter().enumerate() {
        let (machine, tell) = (machine.clone(), tell.clone());
        exams.push((name, None));
        thread::spawn(move || {
            let mut exam = Exam::default();
            look(&machine, &mut exam);
            // Nobody listens any more when it took too long.
            let _ = tell.send((place, exam));
        });
    }
    drop(tell);
    let end = Instant::now() + LONGEST;
    while let Ok((place, exam)) = told.recv_timeout(end.saturating_duration_since(Instant::now())) {
        exams[place].1 = Some(exam);
    }
    let mut all = Exam::default();
    for (name, exam) in exams {
        match exam {
            Some(exam) => all.add(exam),
            None => hangs(name, &mut all),
        }
    }
    all
}

fn hangs(area: &str, exam: &mut Exam) {
    exam.warning(
        "check-hangs",
        format!("Looking at {area} did not end within {} s.", LONGEST.as_secs()),
        "See whether the disk or network it is on answers; `ducat doctor --verbose` lists what else was looked at.",
    );
}
