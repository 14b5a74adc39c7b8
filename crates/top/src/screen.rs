//! The terminal while we have it: taken, drawn on, and given back however we end.

use std::io::{self, Stdout};
use std::panic;
use std::process;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use crossterm::event::{self, Event as Input, KeyEventKind};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};
use jiff::Timestamp;
use ratatui_core::terminal::Terminal;
use ratatui_crossterm::CrosstermBackend;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::draw::{Theme, draw};
use crate::follow::{Message, follow};
use crate::server::Server;
use crate::state::{State, Wish};
use crate::wishes::Wishes;

/// News are drawn at most this often; keys at once.
const DRAWN_EVERY: Duration = Duration::from_millis(250);
/// Times of day pass without news too.
const LATEST: Duration = Duration::from_secs(30);
/// Messages that wait to be read.
const BEHIND: usize = 256;

struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        // From here on dropping it gives the terminal back.
        let screen = Terminal::new(CrosstermBackend::new(io::stdout())).map(Self).inspect_err(|_| give_back())?;
        let (before, drawing) = (panic::take_hook(), thread::current().id());
        panic::set_hook(Box::new(move |what| {
            give_back();
            before(what);
            // Without the threads that it hangs on, the screen would go on and show what is not so.
            if thread::current().id() != drawing {
                process::exit(101);
            }
        }));
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// What of it fails, fails because there is no terminal any more.
fn give_back() {
    let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
}

/// Shows what happens until it is told to end.
pub fn show(server: &Arc<Server>, mut state: State) -> anyhow::Result<()> {
    let (out, messages) = mpsc::sync_channel(BEHIND);
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT]).context("signals")?;
    let to = out.clone();
    thread::spawn(move || signals.forever().all(|signal| to.send(Message::Signal(signal)).is_ok()));
    let mut screen = Screen::take().context("the terminal")?;
    let to = out.clone();
    thread::spawn(move || read_keys(&to));
    let wishes = follow(server, &state.zone, &out);
    let ended_by = run(&mut screen, &mut state, &messages, &wishes);
    drop(screen);
    if let Some(signal) = ended_by? {
        // Whoever waits for us is to see that a signal ended us.
        signal_hook::low_level::emulate_default_handler(signal)?;
    }
    Ok(())
}

fn read_keys(to: &SyncSender<Message>) {
    loop {
        let read = event::read();
        let is_last = read.is_err();
        if to.send(read.map_or_else(Message::NoInput, Message::Input)).is_err() || is_last {
            return;
        }
    }
}

/// The signal that ended it, if one did.
fn run(screen: &mut Screen, state: &mut State, messages: &Receiver<Message>, wishes: &Wishes) -> anyhow::Result<Option<i32>> {
    let theme = Theme::of_environment();
    let mut drawn_at: Option<Instant> = None;
    let mut is_due = true;
    loop {
        let since = drawn_at.map_or(DRAWN_EVERY, |at| at.elapsed());
        if is_due && since >= DRAWN_EVERY {
            state.now = Timestamp::now();
            screen.0.draw(|frame| draw(state, theme, true, frame.buffer_mut())).context("the terminal")?;
            (drawn_at, is_due) = (Some(Instant::now()), false);
        }
        let patience = if is_due { DRAWN_EVERY.saturating_sub(since) } else { LATEST };
        let message = match messages.recv_timeout(patience) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => {
                is_due = true;
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        };
        is_due = true;
        match message {
            Message::Input(Input::Key(key)) if key.kind == KeyEventKind::Release => {}
            Message::Input(input) => {
                drawn_at = None;
                match if let Input::Key(key) = input { state.key(key) } else { None } {
                    None => {}
                    Some(Wish::Quit) => return Ok(None),
                    Some(Wish::Open(session)) => wishes.open(session),
                    Some(Wish::Close) => wishes.close(),
                }
            }
            Message::NoInput(error) => return Err(error).context("the terminal"),
            Message::Signal(signal) => return Ok(Some(signal)),
            Message::Figures(figures) => state.take_figures(figures.map(|figures| *figures)),
            Message::Detail(detail) => state.take_detail(detail.map(|detail| *detail)),
            Message::Event(event) => state.take_event(event),
            Message::Listening => state.deaf = None,
            Message::Deaf(why) => state.deaf = Some(why),
        }
    }
}
