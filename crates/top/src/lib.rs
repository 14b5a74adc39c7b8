//! `ducat top`: what is spent, as it is spent, in a terminal.
//!
//! Asks a running server over its API and hears its live events, as the page does; reads no ledger.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod call;
mod detail;
mod draw;
mod event;
mod follow;
mod json;
mod plain;
mod screen;
mod server;
mod snapshot;
mod sse;
#[cfg(test)]
mod stand_in;
mod state;
mod wishes;
mod words;

use std::env;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

use server::Server;
use snapshot::Snapshot;
use state::State;

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// On the terminal, as it goes; one frame where standard output is none.
    Live,
    /// One frame, as plain text.
    Once,
    /// One JSON object.
    Json,
}

/// `url`: where the server is; `authority`: a file of certificates to trust instead of the system's; `zone`: of the day and of times.
///
/// # Errors
/// In a line for people: the server is away, wants a key or is no Ducat; the terminal failed.
pub fn run(url: &str, key: Option<String>, authority: Option<&Path>, zone: TimeZone, show: Show) -> anyhow::Result<()> {
    let server = Arc::new(Server::new(url, key, authority)?);
    // The server cuts days by a zone's name.
    let zone = if zone.iana_name().is_some() && !zone.is_unknown() { zone } else { TimeZone::UTC };
    let now = Timestamp::now();
    // Before the terminal is taken: without a server there is nothing to show.
    let snapshot = Snapshot::ask(&server, &zone, now)?;
    if show == Show::Json {
        writeln!(io::stdout(), "{}", json::json(server.url(), &snapshot))?;
        return Ok(());
    }
    let mut state = State::new(server.url(), zone, now);
    state.take_figures(Ok(snapshot));
    let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    if show == Show::Live && io::stdout().is_terminal() && !is_dumb {
        return screen::show(&server, state);
    }
    let (width, height) = size();
    Ok(io::stdout().write_all(frame(&state, width, height).as_bytes())?)
}

/// Of the terminal; `COLUMNS` and `LINES` where there is none, 80x24 where nothing is said.
fn size() -> (u16, u16) {
    let told = |name| env::var(name).ok().and_then(|value| value.parse::<u16>().ok()).filter(|told| (1..=1000).contains(told));
    let of_terminal = io::stdout().is_terminal().then(|| crossterm::terminal::size().ok()).flatten();
    of_terminal.unwrap_or_else(|| (told("COLUMNS").unwrap_or(80), told("LINES").unwrap_or(24)))
}

/// One frame as text, without the blanks at the ends of lines.
fn frame(state: &State, width: u16, height: u16) -> String {
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    draw::draw(state, draw::Theme { has_color: false }, false, &mut buffer);
    text(&buffer)
}

fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut x = 0;
        while x < buffer.area.width {
            let symbol = buffer.cell((x, y)).map_or(" ", |cell| cell.symbol());
            line.push_str(symbol);
            // What follows a wide letter is its second half.
            x += u16::try_from(plain::width(symbol)).unwrap_or(1).max(1);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
