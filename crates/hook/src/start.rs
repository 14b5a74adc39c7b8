//! Starting the server where nothing else does: by choice of the user (`ducat service install --on-demand`), when a hook finds nobody there.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ducat_spool::{Start, socket_paths};

use crate::os;

/// A server that did not come, or did not stay, is left alone this long.
const BETWEEN: Duration = Duration::from_secs(30);

/// Starts the server that the data folder names, if it names one, and leaves it to itself. Of any number of hooks one does. Whatever goes
/// wrong is no affair of the agent's; `ducat service status` tells it.
pub fn start_server(data: &Path) {
    // Without the file this is all that it costs.
    let Ok(mut file) = File::open(Start::place(data)) else { return };
    // A folder that depends on where the agent works is not the user's.
    if !data.is_absolute() || file.try_lock().is_err() {
        return;
    }
    let Ok(start) = Start::read(&mut file, os::user()) else { return };
    if was_tried(data) || !listens_to_us(&start) || is_there(data) {
        return;
    }
    if let Err(fault) = run(&start, data)
        && let Ok(mut words) = OpenOptions::new().append(true).open(Start::words(data))
    {
        let _ = writeln!(words, "ducat-hook: starting {}: {fault}", start.program.display());
    }
}

fn was_tried(data: &Path) -> bool {
    let at = fs::metadata(Start::tried(data)).and_then(|meta| meta.modified());
    // One in the future is of a clock that was set back.
    at.is_ok_and(|at| at.elapsed().is_ok_and(|age| age < BETWEEN))
}

/// An agent with a socket of its own (a container's) would not be heard by this server.
fn listens_to_us(start: &Start) -> bool {
    let own = env::var("DUCAT_SOCKET").ok().filter(|socket| !socket.is_empty());
    own.as_deref() == start.variables.iter().find(|(name, _)| name == "DUCAT_SOCKET").map(|(_, value)| value.as_str())
}

/// Another hook may have started it since.
fn is_there(data: &Path) -> bool {
    socket_paths(data).iter().any(|socket| os::connect_at_once(socket).is_ok())
}

fn run(start: &Start, data: &Path) -> std::io::Result<()> {
    let words = Start::words(data);
    if let Some(folder) = words.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let words = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(words)?;
    // Before the start: one that ends this process too is not tried on every hook.
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(Start::tried(data))?.write_all(b".")?;
    let mut command = Command::new(&start.program);
    command
        .args(&start.arguments)
        .env_clear()
        .envs(start.variables.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(words.try_clone()?)
        .stderr(words);
    // Nobody waits for it: this process ends now, and the system takes its child over.
    os::detach(&mut command).spawn().map(drop)
}
