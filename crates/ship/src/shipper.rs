//! One look at everything that is new, sent batch by batch.

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use ducat_capture::{HookVerdict, event_decoder};
use ducat_ledger::remote::{Answer, EventName, Head, LONGEST_LINE, PROTOCOL, Word};
use ducat_ledger::{Fact, TIMES, UnixMs};
use ducat_scan::{Home, Imported, Sink, Transcripts, WorkspaceResolver};
use ducat_spool::{Frame, Spool, now_ms};
use ducat_store::FileCursor;

use crate::batch::{Batch, Waiting};
use crate::progress::{Progress, ProgressError};
use crate::receiver::{Receiver, Unsent};

/// Between attempts: doubling from the first to the longest, each at random between half of it and all of it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A receiver may ask for more, but not for a day.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// A new key file is noticed this soon.
const KEY_LOOK: Duration = Duration::from_millis(500);

/// How long a batch is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Gives up after this long without an answer, and at once when refused.
    Limited(Duration),
    /// Tries for ever; what is refused is tried every minute.
    Endless,
}

#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// Nothing of it is lost: it is sent the next time.
    #[error("not everything was sent: {0}")]
    Unsent(String),
    #[error(transparent)]
    Progress(#[from] ProgressError),
    #[error("packing a batch: {0}")]
    Pack(#[from] io::Error),
    /// Inside only: all is to be sent again.
    #[error("the receiver has another ledger")]
    Anew,
}

/// Hears what people should know, a line each.
pub type Say = Box<dyn Fn(&str)>;

/// What a look sent, all of it acknowledged.
#[derive(Debug, Default)]
pub struct Shipped {
    pub facts: u64,
    pub events: u64,
    pub refused_lines: u64,
    pub batches: u64,
    /// Bytes sent, packed.
    pub bytes: u64,
    /// What the receiver calls this machine.
    pub host: String,
    pub clock_skew_ms: i64,
}

/// Sends to one receiver; keep it between looks.
pub struct Shipper {
    transcripts: Transcripts,
    excluded: Vec<PathBuf>,
    sending: Sending,
}

/// The way to the receiver, apart from what is read.
struct Sending {
    receiver: Receiver,
    progress: Progress,
    spool: Option<Spool>,
    patience: Patience,
    machine: [u8; 16],
    host: String,
    say: Say,
    batch: Batch,
    shipped: Shipped,
    /// What went wrong last was said.
    is_said: bool,
}

impl Shipper {
    pub fn new(
        receiver: Receiver,
        progress: Progress,
        (machine, host): ([u8; 16], String),
        patience: Patience,
        say: Say,
    ) -> Self {
        let sending = Sending {
            receiver,
            progress,
            spool: None,
            patience,
            machine,
            host,
            say,
            batch: Batch::default(),
            shipped: Shipped::default(),
            is_said: false,
        };
        Self { transcripts: Transcripts::new(Vec::new(), Vec::new()), excluded: Vec::new(), sending }
    }

    /// What to read: transcripts below `homes`, and events of `spool`; nothing of `excluded` folders.
    pub fn set_sources(&mut self, homes: Vec<Home>, spool: Option<Spool>, excluded: Vec<PathBuf>) {
        if self.excluded != excluded {
            self.transcripts = Transcripts::new(homes, excluded.clone());
            self.excluded = excluded;
        } else {
            self.transcripts.set_homes(homes);
        }
        self.sending.spool = spool;
    }

    /// Sends all that is new and returns when it is acknowledged; with nothing new it says that this machine is there.
    pub fn look(&mut self, progress: &dyn Fn(usize, usize)) -> Result<(Shipped, Imported), ShipError> {
        let mut looked = self.look_once(progress);
        if let Err(ShipError::Anew) = looked {
            (self.sending.say)("the receiver has another ledger, or takes now what it refused before; sending all again");
            self.transcripts.forget();
            looked = self.look_once(progress);
        }
        match looked {
            Err(error) => {
                // What was read and not sent is read again.
                self.transcripts.forget();
                // Twice in a row: they take turns, and none of them would ever have all of it.
                let turns = || ShipError::Unsent(format!("several ledgers answer at {}", self.sending.receiver.url()));
                Err(if matches!(error, ShipError::Anew) { turns() } else { error })
            }
            done => done,
        }
    }

    fn look_once(&mut self, progress: &dyn Fn(usize, usize)) -> Result<(Shipped, Imported), ShipError> {
        self.sending.batch = Batch::default();
        self.sending.shipped = Shipped::default();
        self.read_spool()?;
        let imported = self.transcripts.look(&mut self.sending, progress)?;
        if !self.sending.batch.is_empty() || self.sending.shipped.batches == 0 {
            self.sending.flush()?;
        }
        Ok((std::mem::take(&mut self.sending.shipped), imported))
    }

    /// Events that hooks and status lines left: their facts, under the event's own id.
    fn read_spool(&mut self) -> Result<(), ShipError> {
        let Some(spool) = self.sending.spool.clone() else { return Ok(()) };
        let mut workspaces = WorkspaceResolver::new(self.excluded.clone());
        let hooks = spool.waiting()?.into_iter().map(|event| Ok((event.frame()?, Waiting::Event(event))));
        let latest =
            spool.take_latest().into_iter().map(|taken| taken.map(|latest| (latest.frame.clone(), Waiting::Latest(latest))));
        for taken in hooks.chain(latest) {
            let (frame, event) = match taken {
                Ok(taken) => taken,
                // Somebody else took it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    (self.sending.say)(&format!("an event in the spool cannot be read: {error}"));
                    continue;
                }
            };
            let kept = match facts_of(&frame, &mut workspaces) {
                Ok(Some(word)) => self.sending.batch.add_event(&word, event)?.map_err(|event| (event, too_long())),
                Ok(None) => {
                    event.remove()?;
                    continue;
                }
                Err(fault) => Err((event, fault)),
            };
            if let Err((event, fault)) = kept {
                (self.sending.say)(&format!("an event of {} cannot be sent and is set aside: {fault}", frame.agent));
                set_aside(&spool, &event)?;
            }
            if self.sending.batch.events.len() >= EVENTS || self.sending.batch.is_full() {
                self.sending.flush()?;
            }
        }
        Ok(())
    }
}

fn too_long() -> String {
    format!("it tells more than {LONGEST_LINE} bytes")
}

/// What no receiver takes; the last word of a status line is followed by others.
fn set_aside(spool: &Spool, event: &Waiting) -> io::Result<()> {
    match event {
        Waiting::Event(event) => spool.set_aside(event),
        Waiting::Latest(latest) => latest.remove(),
    }
}

/// Events of one batch; each is a commit at the receiver.
const EVENTS: usize = 200;

/// What an event tells, nothing for one without facts or of an excluded folder; an error says why it cannot be understood.
pub(crate) fn facts_of(event: &Frame, workspaces: &mut WorkspaceResolver) -> Result<Option<Word>, String> {
    let Some(at) = UnixMs::try_from(event.at_ms).ok().filter(|at| TIMES.contains(at)) else {
        return Err("its time is in no calendar".to_owned());
    };
    let mut facts = Vec::new();
    let out = &mut |fact| facts.push(fact);
    match event_decoder(&event.agent)?(&event.payload, at, workspaces, out) {
        HookVerdict::Decoded => Ok(Some(Word { event: Some(EventName { id: event.id.0, at }), facts })),
        HookVerdict::NoFacts | HookVerdict::Excluded => Ok(None),
        HookVerdict::Malformed(reason) => Err(reason.to_owned()),
    }
}

impl Sink for Sending {
    type Error = ShipError;

    fn cursor(&mut self, path: &str) -> Result<Option<FileCursor>, ShipError> {
        Ok(self.progress.cursor(path).cloned())
    }

    fn write(&mut self, facts: Vec<Fact>, cursor: FileCursor) -> Result<(), ShipError> {
        for fact in facts {
            if !self.batch.add_fact(fact)? {
                self.shipped.refused_lines += 1;
                (self.say)(&format!("a fact of {} is left out: {}", cursor.path, too_long()));
            }
            if self.batch.is_full() {
                self.flush()?;
            }
        }
        self.batch.cursors.push(cursor);
        Ok(())
    }
}

impl Sending {
    /// Sends what waits until it is acknowledged, then keeps how far it was.
    fn flush(&mut self) -> Result<(), ShipError> {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        let answer = loop {
            let head = Head {
                protocol: PROTOCOL,
                machine: self.machine,
                host: self.host.clone(),
                client: env!("CARGO_PKG_VERSION").to_owned(),
                now: UnixMs::try_from(now_ms()).unwrap_or(UnixMs::MAX),
            };
            let body = self.batch.pack(&head)?;
            let (why, wait) = match self.receiver.send(&body) {
                Ok(answer) => {
                    self.shipped.bytes += body.len() as u64;
                    break answer;
                }
                Err(Unsent::Refused(why)) if self.patience != Patience::Endless => return Err(ShipError::Unsent(why)),
                Err(Unsent::Refused(why)) => {
                    pause = FIRST_PAUSE;
                    (why, LONGEST_PAUSE)
                }
                Err(Unsent::Later { why, after }) => {
                    let wait = after.map_or(between(pause / 2, pause), |after| after.clamp(FIRST_PAUSE, LONGEST_ASKED));
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    (why, wait)
                }
            };
            if let Patience::Limited(limit) = self.patience
                && begun.elapsed() + wait > limit
            {
                return Err(ShipError::Unsent(why));
            }
            if !self.is_said {
                (self.say)(&format!("{why}; trying again, nothing is lost meanwhile"));
                self.is_said = true;
            }
            self.wait(wait);
        };
        if self.is_said {
            (self.say)(&format!("{} answers again", self.receiver.url()));
            self.is_said = false;
        }
        self.acknowledge(answer)
    }

    /// Until it is time, or the key is another.
    fn wait(&self, wait: Duration) {
        let (begun, key) = (Instant::now(), self.receiver.key());
        while begun.elapsed() < wait && self.receiver.key() == key {
            thread::sleep(KEY_LOOK.min(wait));
        }
    }

    fn acknowledge(&mut self, answer: Answer) -> Result<(), ShipError> {
        let batch = std::mem::take(&mut self.batch);
        // Not all that was refused is named: then all events stay, and those that were taken are known when they come again.
        let all_are_named = answer.refused_lines <= answer.refused.len() as u64;
        for (line, event) in batch.events.iter().filter(|_| all_are_named) {
            if !answer.refused.iter().any(|refused| refused.line == *line) {
                let _ = event.remove();
            } else if let Some(spool) = &self.spool {
                set_aside(spool, event)?;
            }
        }
        for line in &answer.refused {
            (self.say)(&format!("{} refused line {}: {}", self.receiver.url(), line.line, line.reason));
        }
        if self.progress.note(&answer.ledger, &answer.version, answer.refused_lines > 0)? {
            return Err(ShipError::Anew);
        }
        self.progress.keep(batch.cursors)?;
        let shipped = &mut self.shipped;
        shipped.facts += answer.facts;
        shipped.events += answer.events + answer.repeated_events + answer.stale_events;
        shipped.refused_lines += answer.refused_lines;
        shipped.batches += 1;
        (shipped.host, shipped.clock_skew_ms) = (answer.host, answer.clock_skew_ms);
        Ok(())
    }
}

/// At random, so that machines that were cut off together do not come back together.
fn between(least: Duration, most: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let span = u64::try_from((most - least).as_millis()).unwrap_or(u64::MAX);
    least + Duration::from_millis(RandomState::new().hash_one(()) % span.max(1))
}

#[cfg(test)]
mod tests {
    use ducat_spool::EventId;

    use super::*;

    #[test]
    fn hooks_of_all_agents_are_understood() {
        let mut workspaces = WorkspaceResolver::new(Vec::new());
        let mut tells = |agent: &str, payload: &str| {
            let frame =
                Frame { id: EventId([7; 16]), at_ms: 1_780_000_000_000, agent: agent.to_owned(), payload: payload.into() };
            facts_of(&frame, &mut workspaces).map(|word| word.map_or(0, |word| word.facts.len()))
        };
        let call = r#"{"hook_event_name":"PreToolUse","session_id":"s","cwd":"/w","tool_use_id":"t","tool_name":"shell"}"#;
        assert_eq!(tells("claude-code", call), Ok(2));
        assert_eq!(tells("codex", call), Ok(2));
        let after = call.replace("PreToolUse", "AfterTool").replace("\"s\"", "\"s\",\"timestamp\":\"2026-06-01T00:00:00Z\"");
        assert_eq!(tells("gemini-cli", &after), Ok(2));
        assert!(tells("nobody", call).unwrap_err().starts_with(r#"agent: "nobody" is not known; there are claude-code, codex,"#));
    }
}
