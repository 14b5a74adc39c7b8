//! Neither systemd nor launchd: the first hook that finds no server starts one.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use ducat_spool::Start;

use super::plan::Step;
use super::process::Holder;
use super::server::{ServerPlan, log_file, text};

/// A server that was started has taken its folder by then.
const COMING: Duration = Duration::from_secs(2);

pub fn install(plan: &ServerPlan) -> anyhow::Result<Vec<Step>> {
    let mut variables = plan.variables.clone();
    for name in ["HOME", "XDG_RUNTIME_DIR"] {
        if let Some(value) = env::var_os(name).filter(|value| !value.is_empty()) {
            variables.push((name.to_owned(), text(Path::new(&value)).context(name)?));
        }
    }
    if let Some(key) = &plan.key {
        variables.push(("METRICS_API_KEY".to_owned(), key.clone()));
    }
    let start = Start { program: plan.program.clone(), arguments: plan.arguments_with_log()?, variables };
    let text = start.render().map_err(anyhow::Error::msg)?;
    Ok(vec![
        Step::write_private(Start::place(&plan.data), text, plan.key.is_some()),
        // A new installation is tried at once.
        Step::Delete(Start::tried(&plan.data)),
    ])
}

/// The server to end: the one that the file names, not one that the user started in a terminal.
pub fn started(data: &Path) -> Option<Holder> {
    let start = Start::parse(&fs::read_to_string(Start::place(data)).ok()?)?;
    Holder::of(data).filter(|holder| holder.arguments == start.arguments)
}

/// Takes the file away and ends the server; a hook that is starting one now is waited for.
pub fn remove(data: &Path) -> anyhow::Result<()> {
    let Ok(file) = File::open(Start::place(data)) else { return Ok(()) };
    file.lock().with_context(|| Start::place(data).display().to_string())?;
    // One that was started just now has not taken the folder yet, and without the file nobody would know it as ours.
    while started(data).is_none() && age_of_start(data).is_some_and(|age| age < COMING) {
        thread::sleep(Duration::from_millis(50));
    }
    let server = started(data);
    fs::remove_file(Start::place(data)).with_context(|| Start::place(data).display().to_string())?;
    server.map_or(Ok(()), |server| server.end(data))
}

/// How long ago a server was started that has not run for a while yet.
fn age_of_start(data: &Path) -> Option<Duration> {
    fs::metadata(Start::tried(data)).ok()?.modified().ok()?.elapsed().ok()
}

/// Files beside the installation's own.
pub fn leavings(data: &Path) -> Vec<PathBuf> {
    let log = log_file(data);
    let aside = (1..=3).map(|number| PathBuf::from(format!("{}.{number}", log.display())));
    aside.chain([log.clone(), Start::tried(data), Start::words(data)]).collect()
}

/// When the last start failed, and what it said; or why none would be tried.
pub fn failure(data: &Path) -> Option<(SystemTime, String)> {
    let place = Start::place(data);
    let read = File::open(&place).and_then(|mut file| Start::read(&mut file, rustix::process::geteuid().as_raw()));
    if let Err(fault) = read {
        let words = match fault.kind() {
            io::ErrorKind::PermissionDenied => {
                format!(
                    "others own, read or write {0}, so hooks do not believe it; chown it to yourself and chmod 600 {0}",
                    place.display()
                )
            }
            _ => format!("{} cannot be read ({fault}); install again", place.display()),
        };
        return Some((SystemTime::now(), words));
    }
    let at = fs::metadata(Start::tried(data)).ok()?.modified().ok()?;
    let last_line = |path: PathBuf| {
        let text = fs::read_to_string(path).ok()?;
        text.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned)
    };
    let words = last_line(Start::words(data)).or_else(|| last_line(log_file(data)));
    Some((at, words.unwrap_or_else(|| "it said nothing".to_owned())))
}
