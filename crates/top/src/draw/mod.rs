//! One frame: the same on a terminal, in a pipe and in tests.

mod detail;
#[cfg(test)]
mod frames;
mod headline;
mod lists;
mod table;
mod theme;

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

pub use theme::Theme;

use crate::plain::{cut, plain, width};
use crate::server::Unanswered;
use crate::snapshot::Snapshot;
use crate::state::{State, View};
use crate::words;
use theme::Tone;

/// The smallest terminal that has room for an answer.
const NARROWEST: u16 = 40;
const LOWEST: u16 = 10;
/// Below these the tools and the events are left out.
const LOW: u16 = 16;
const NARROW: u16 = 76;
/// From here the tools get more columns.
const WIDE: u16 = 120;

type Piece = (String, Tone);

/// Draws the whole; `is_live`: keys are taken.
pub fn draw(state: &State, theme: Theme, is_live: bool, buffer: &mut Buffer) {
    let area = buffer.area;
    if area.width < NARROWEST || area.height < LOWEST {
        let lines = [format!("ducat top needs {NARROWEST}x{LOWEST};"), format!("this is {}x{}.", area.width, area.height)];
        for (y, line) in (area.y..area.bottom()).zip(lines) {
            write(buffer, theme, y, vec![(line, Tone::Plain)]);
        }
        return;
    }
    match state.view {
        View::Help => help(buffer, theme),
        View::Session(first) => detail::draw(state, theme, buffer, first),
        View::List => list(state, theme, is_live, buffer),
    }
}

fn list(state: &State, theme: Theme, is_live: bool, buffer: &mut Buffer) {
    let area = buffer.area;
    write(buffer, theme, area.y, headline::pieces(state, area.width.into()));
    write(buffer, theme, area.y + 1, notice(state));
    let mut body = Rect::new(area.x, area.y + 2, area.width, area.height - 2 - u16::from(is_live));
    if is_live {
        write(buffer, theme, area.bottom() - 1, keys(state));
    }
    let Some(snapshot) = &state.snapshot else { return };
    if area.height >= LOW {
        let low = body.height * 2 / 5;
        let below = Rect::new(body.x, body.bottom() - low, body.width, low);
        body.height -= low + 1;
        bottom(state, snapshot, theme, is_live, below, buffer);
    }
    lists::sessions(state, theme, is_live, body, buffer);
}

/// Tools, and what happened last, where it was listened for.
fn bottom(state: &State, snapshot: &Snapshot, theme: Theme, is_live: bool, area: Rect, buffer: &mut Buffer) {
    let mut tools = area;
    if is_live && area.width >= NARROW {
        tools.width = if area.width >= WIDE { 65 } else { 46 };
        let x = tools.right() + 3;
        lists::events(state, theme, Rect::new(x, area.y, area.right() - x, area.height), buffer);
    }
    lists::tools(snapshot, theme, tools, buffer);
}

/// What qualifies the figures; most times nothing.
fn notice(state: &State) -> Vec<Piece> {
    let moment = |at| words::moment(at, state.now, &state.zone);
    let mut said = Vec::new();
    match (&state.lost, &state.snapshot) {
        (Some(_), Some(snapshot)) => {
            said.push((format!("not connected since {}; these are the last figures", moment(snapshot.at)), Tone::Bad))
        }
        (Some(why), None) => said.push((plain(&why.to_string()), Tone::Bad)),
        (None, None) => said.push((format!("asking {} …", plain(&state.url)), Tone::Dim)),
        (None, Some(snapshot)) => {
            let older: Vec<&str> = [(snapshot.last_hour.is_none(), "$/h"), (snapshot.tools.is_none(), "tools")]
                .into_iter()
                .filter_map(|(is_missing, what)| is_missing.then_some(what))
                .collect();
            if snapshot.today.requests == 0 && snapshot.live_sessions(state.now) == 0 {
                let heard = snapshot
                    .last_at()
                    .map_or_else(|| "nothing heard yet".to_owned(), |at| format!("nothing heard since {}", moment(at)));
                said.push((heard, Tone::Plain));
            }
            if snapshot.is_plan {
                said.push(("on a plan: costs are at list price".to_owned(), Tone::Dim));
            }
            if snapshot.today.unpriced_requests > 0 {
                let requests = if snapshot.today.unpriced_requests == 1 { "request" } else { "requests" };
                said.push((
                    format!(
                        "{} {requests} of unknown price today",
                        ducat_report::figures::count(snapshot.today.unpriced_requests)
                    ),
                    Tone::Warning,
                ));
            }
            if !older.is_empty() {
                said.push((format!("an older server: no {}", older.join(", no ")), Tone::Dim));
            }
            if let Some(why) = &state.deaf {
                let why = match why {
                    Unanswered::Away { why, .. } => why.clone(),
                    why => why.to_string(),
                };
                said.push((format!("no live events ({})", plain(&why)), Tone::Warning));
            }
        }
    }
    let mut pieces = Vec::new();
    for (text, tone) in said {
        let before = if pieces.is_empty() { " " } else { " · " };
        pieces.push((before.to_owned(), Tone::Plain));
        pieces.push((text, tone));
    }
    pieces
}

fn keys(state: &State) -> Vec<Piece> {
    let dim = |text: String| (text, Tone::Dim);
    if state.is_typing {
        return vec![(format!(" /{}_", state.filter), Tone::Strong), dim("  Enter keep  Esc clear".to_owned())];
    }
    let filter = if state.filter.is_empty() { "filter".to_owned() } else { format!("filter: {}", cut(&state.filter, 20)) };
    vec![dim(format!(" q quit  ? help  s sort: {}  / {filter}  Enter open", state.sort.name()))]
}

const HELP: &str = "
 s          sort by the last sign of life, cost, $/h, turns
 /          filter by session, project, model, agent, branch, user, host
 Esc        take the filter away; back from a session
 j k ↓ ↑    move; PageUp, PageDown, Home, End
 Enter      open the session
 q Ctrl-C   quit

 $/h        what the last hour cost
 4.21+?     some of it has no price
 unknown    nothing of it has one
 ●          live: heard of in the last five minutes
 5h 62% →   the plan's window, and when it resets; ! it will not last so long,
            out: until when it lasts";

fn help(buffer: &mut Buffer, theme: Theme) {
    let area = buffer.area;
    write(buffer, theme, area.y, vec![(" ducat top: any key goes back".to_owned(), Tone::Strong)]);
    for (y, line) in (area.y + 1..area.bottom()).zip(HELP.lines()) {
        write(buffer, theme, y, vec![(line.to_owned(), Tone::Plain)]);
    }
}

/// Writes a line, cut to its room.
fn write(buffer: &mut Buffer, theme: Theme, y: u16, pieces: Vec<Piece>) {
    let area = buffer.area;
    let mut room = usize::from(area.width);
    for (text, tone) in pieces {
        let text = cut(&text, room);
        let x = area.right().saturating_sub(u16::try_from(room).unwrap_or(u16::MAX));
        buffer.set_stringn(x, y, &text, room, theme.style(tone));
        room -= width(&text);
    }
}
