//! `ducat-hook`: the process an agent starts on every tool call. It hands one event to the server, or to the spool, within its deadline,
//! and never disturbs the agent: it exits 0 and prints nothing unless the server answers with something for the agent.
//!
//! The payload comes on standard input. The one optional argument is the agent's name, `claude-code` when absent.
#![cfg_attr(not(test), no_main)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

use std::env;
use std::io::{self, Write};
use std::panic;
use std::path::PathBuf;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ducat_hook::{Outcome, Target, deadline_from_environment, ignore_broken_pipes, read_input, start_server};
use ducat_spool::{EventId, Frame, Limits, Spool, data_folder, now_ms, redact, spool_folder};

/// How long the agent may take to write the event.
const LONGEST_INPUT: Duration = Duration::from_secs(1);
/// Payloads above this are sent without their content.
const LARGEST_WHOLE: usize = 1 << 20;

const HELP: &str = "ducat-hook: hands one event of an agent to Ducat (`ducat setup claude-code` installs it)

Usage: ducat-hook [AGENT] < event.json

It always exits 0, and what could not be delivered waits in the spool.

  DUCAT_SOCKET            the server's socket (default $XDG_RUNTIME_DIR/ducat/hook.sock, run/hook.sock in the data folder)
  DUCAT_URL               http://HOST:PORT of a server to ask instead of the socket; DUCAT_API_KEY is its key
  DUCAT_HOOK_DEADLINE_MS  how long delivering may take (default 100, at most 60000)
  DUCAT_SPOOL_CONTENT=1   spool content too, not only its length and hash
  DUCAT_DATA_DIR          the data folder with the spool";

/// C's `main`: what std does before its own takes longer than all that is done here (reading `/proc/self/maps` for a guard page, signal
/// stacks), on every tool call.
#[cfg(not(test))]
#[allow(unsafe_code)]
// SAFETY: the one `main` of this program, with C's signature but for arguments that it leaves alone.
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    // Whatever is wrong is no affair of the agent's.
    let _ = panic::catch_unwind(run);
    0
}

/// The tests' own `main` takes its place.
#[cfg(test)]
fn main() {
    let _ = panic::catch_unwind(run);
}

fn run() {
    ignore_broken_pipes();
    // Nothing is printed, whatever happens.
    panic::set_hook(Box::new(|_| {}));
    let begun = Instant::now();
    let (id, at_ms) = (EventId::new(), now_ms());
    let agent = env::args_os().nth(1).map_or_else(|| "claude-code".to_owned(), |agent| agent.to_string_lossy().into_owned());
    if matches!(agent.as_str(), "--help" | "-h") {
        let _ = writeln!(io::stdout(), "{HELP}");
        return;
    }
    if matches!(agent.as_str(), "--version" | "-V") {
        let _ = writeln!(io::stdout(), "ducat-hook {}", env!("CARGO_PKG_VERSION"));
        return;
    }
    let deadline = begun + deadline_from_environment();
    let Some(data) = data_folder() else { return };
    let spool = Spool::new(spool_folder(&data), Limits::default());

    let target = Target::from_environment(&data);
    let tries = target.is_some() && spool.may_deliver();
    // Only a server that hooks reach over its socket is one of this machine.
    let startable = target.as_ref().is_some_and(|target| matches!(target, Target::Sockets(_)) && tries).then_some(data);
    let event = Arc::new(Event { id, at_ms, agent: agent_name(&agent), spool, tries, startable, payload: Mutex::new(None) });

    if target.as_ref().is_some_and(Target::may_wait) {
        // A second thread ends the process when the deadline is missed.
        let watched = event.clone();
        let watch = thread::Builder::new().spawn(move || {
            while Instant::now() < deadline || watched.lock().is_none() {
                thread::sleep(Duration::from_millis(1));
            }
            watched.end(&if tries { Outcome::Late } else { Outcome::Away });
        });
        if watch.is_err() {
            return;
        }
    }
    // An agent that writes nothing leaves nothing to deliver.
    let Some(payload) = read_input(begun + LONGEST_INPUT) else { return };
    let sent = if payload.len() > LARGEST_WHOLE { redact(&payload) } else { payload.clone() };
    *event.lock() = Some(payload);
    let outcome = match target.filter(|_| tries) {
        Some(target) => target.deliver(&Frame { id, at_ms, agent, payload: sent }, deadline),
        None => Outcome::Away,
    };
    event.end(&outcome);
}

/// The one event of this process.
struct Event {
    id: EventId,
    at_ms: u64,
    agent: String,
    spool: Spool,
    /// The server is asked at all.
    tries: bool,
    /// The data folder, where a server may be started when there is none.
    startable: Option<PathBuf>,
    /// Once it is read. Who ends the process keeps it locked.
    payload: Mutex<Option<Vec<u8>>>,
}

impl Event {
    fn lock(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.payload.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Spools what was not delivered, and ends the process, whatever the other thread is doing.
    fn end(&self, outcome: &Outcome) -> ! {
        let payload = self.lock();
        match outcome {
            Outcome::Delivered(body) => {
                self.spool.mark_answering();
                if !body.is_empty() {
                    let _ = io::stdout().write_all(body);
                }
            }
            Outcome::Away | Outcome::Late => {
                if matches!(outcome, Outcome::Late) {
                    self.spool.mark_hanging();
                } else if self.tries {
                    // Nobody hangs where nobody listens.
                    self.spool.mark_answering();
                }
                if let Some(payload) = &*payload {
                    let keeps_content = env::var_os("DUCAT_SPOOL_CONTENT").is_some_and(|value| value == "1");
                    let redacted = if keeps_content { None } else { Some(redact(payload)) };
                    // A full disk is no reason to disturb the agent.
                    let _ = self.spool.put(self.id, self.at_ms, &self.agent, redacted.as_ref().unwrap_or(payload));
                }
                if let (Outcome::Away, Some(data)) = (outcome, &self.startable) {
                    start_server(data);
                }
            }
        }
        process::exit(0)
    }
}

/// A name that can stand in a file's.
fn agent_name(agent: &str) -> String {
    agent.chars().filter(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_')).take(64).collect()
}
