//! `ducat-hook`: the process an agent starts on every tool call. It hands one event to the server, or to the spool, within its deadline,
//! and never disturbs the agent: it exits 0 and prints nothing unless the server answers with something for the agent.
//!
//! The payload comes on standard input. The one optional argument is the agent's name, `claude-code` when absent.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod deliver;
mod peer;

use std::env;
use std::io::{self, Read, Write};
use std::process;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ducat_spool::{EventId, Frame, LARGEST_PAYLOAD, Limits, Spool, data_folder, now_ms, redact, spool_folder};

use deliver::{Outcome, Target};

const DEFAULT_DEADLINE_MS: u64 = 100;
/// How long the agent may take to write the event.
const LONGEST_INPUT: Duration = Duration::from_secs(1);
/// Payloads above this are sent without their content.
const LARGEST_WHOLE: usize = 1 << 20;

const HELP: &str = "ducat-hook: hands one event of an agent to Ducat (`ducat setup claude-code` installs it)

Usage: ducat-hook [AGENT] < event.json

It always exits 0, and what could not be delivered waits in the spool.

  DUCAT_SOCKET            the server's socket (default $XDG_RUNTIME_DIR/ducat/hook.sock, run/hook.sock in the data folder)
  DUCAT_URL               http://HOST:PORT of a server to ask instead of the socket; DUCAT_API_KEY is its key
  DUCAT_HOOK_DEADLINE_MS  how long it may take (default 100)
  DUCAT_SPOOL_CONTENT=1   spool content too, not only its length and hash
  DUCAT_DATA_DIR          the data folder with the spool";

fn main() {
    let begun = Instant::now();
    let (id, at_ms) = (EventId::new(), now_ms());
    let agent = env::args().nth(1).unwrap_or_else(|| "claude-code".to_owned());
    if matches!(agent.as_str(), "--help" | "-h") {
        let _ = writeln!(io::stdout(), "{HELP}");
        return;
    }
    if matches!(agent.as_str(), "--version" | "-V") {
        let _ = writeln!(io::stdout(), "ducat-hook {}", env!("CARGO_PKG_VERSION"));
        return;
    }
    let deadline = env::var("DUCAT_HOOK_DEADLINE_MS").ok().and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_DEADLINE_MS);
    let deadline = begun + Duration::from_millis(deadline);
    let Some(data) = data_folder() else { return };
    let spool = Spool::new(spool_folder(&data), Limits::default());

    // On a thread of its own, because a connect to a full queue or a read of standard input cannot be given a time limit. Its end is not
    // waited for: the process ends with main.
    let (tell, told) = mpsc::channel();
    let target = Target::from_environment(&data);
    let tries = target.is_some() && spool.may_deliver();
    let worker = thread::Builder::new().spawn({
        let agent = agent.clone();
        move || {
            let payload = read_input();
            let sent = if payload.len() > LARGEST_WHOLE { redact(&payload) } else { payload.clone() };
            let _ = tell.send(Step::Read(payload));
            if let Some(target) = target.filter(|_| tries) {
                let outcome = target.deliver(&Frame { id, at_ms, agent, payload: sent }, deadline);
                let _ = tell.send(Step::Tried(outcome));
            }
        }
    });
    if worker.is_err() {
        return;
    }
    // The deadline is for the server; an agent on a busy machine may write late, and what is not read cannot even be spooled.
    let Some(Step::Read(payload)) = receive(&told, deadline.max(begun + LONGEST_INPUT)) else { return };
    let outcome = match (tries, receive(&told, deadline)) {
        (false, _) => Outcome::Away,
        (true, Some(Step::Tried(outcome))) => outcome,
        (true, _) => Outcome::Late,
    };
    match outcome {
        Outcome::Delivered(body) => {
            spool.mark_answering();
            if !body.is_empty() {
                let _ = io::stdout().write_all(&body);
            }
        }
        Outcome::Away | Outcome::Late => {
            if matches!(outcome, Outcome::Late) {
                spool.mark_hanging();
            } else if tries {
                // Nobody hangs where nobody listens.
                spool.mark_answering();
            }
            let keeps_content = env::var_os("DUCAT_SPOOL_CONTENT").is_some_and(|value| value == "1");
            let kept = if keeps_content { payload } else { redact(&payload) };
            // A full disk is no reason to disturb the agent.
            let _ = spool.put(id, at_ms, &agent_name(&agent), &kept);
        }
    }
    process::exit(0);
}

/// What the worker has done.
enum Step {
    Read(Vec<u8>),
    Tried(Outcome),
}

fn receive(from: &mpsc::Receiver<Step>, deadline: Instant) -> Option<Step> {
    from.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
}

fn read_input() -> Vec<u8> {
    let mut payload = Vec::new();
    let mut input = io::stdin().lock();
    let _ = (&mut input).take(u64::from(LARGEST_PAYLOAD)).read_to_end(&mut payload);
    // The agent must not find its pipe closed.
    let _ = io::copy(&mut input, &mut io::sink());
    payload
}

/// A name that can stand in a file's.
fn agent_name(agent: &str) -> String {
    agent.chars().filter(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_')).take(64).collect()
}
