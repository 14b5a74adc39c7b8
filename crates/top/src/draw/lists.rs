//! Sessions, tools and events, as the list shows them.

use ducat_report::figures;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

use super::Piece;
use super::table::{Column, table};
use super::theme::{Theme, Tone};
use crate::event::Event;
use crate::plain::{place, plain};
use crate::snapshot::{Session, Snapshot, Tool};
use crate::state::{Sort, State};
use crate::words;

/// Not told; a figure would be a guess.
const UNTOLD: &str = "–";

/// Columns go in this order: user, host, branch, started, agent, errors, tools, requests, at, turns, model, last, $/h, cost, project.
pub fn sessions(state: &State, theme: Theme, is_live: bool, area: Rect, buffer: &mut Buffer) {
    let sessions = state.sessions();
    let text = |text: &Option<String>| (text.as_deref().map_or_else(|| UNTOLD.to_owned(), plain), Tone::Plain);
    let now = state.now;
    let mut columns: Vec<Column<'_, Session>> = vec![
        Column::text("  SESSION", (10, 10), 0, move |row: &Session| {
            let id: String = plain(&row.session).chars().take(8).collect();
            if row.is_live(now) { (format!("● {id}"), Tone::Good) } else { (format!("  {id}"), Tone::Plain) }
        }),
        Column::text("PROJECT", (10, 24), 1, project),
        Column::text("AGENT", (12, 12), 11, |row: &Session| (plain(&row.agent), Tone::Plain)),
        Column::text("MODEL", (10, 16), 5, |row: &Session| (model(state, row), Tone::Plain)),
        Column::text("BRANCH", (12, 20), 13, move |row: &Session| text(&row.branch)),
        Column::text("USER", (10, 16), 15, move |row: &Session| text(&row.user)),
        Column::text("HOST", (10, 16), 14, move |row: &Session| text(&row.host)),
        Column::figure("STARTED", 7, 12, |row: &Session| {
            row.started_at.map_or_else(|| UNTOLD.to_owned(), |at| words::when(at, now, &state.zone))
        }),
        Column::figure("REQUESTS", 8, 8, |row: &Session| row.requests.map_or_else(|| "unknown".to_owned(), figures::count)),
        Column::figure("TOOLS", 6, 9, |row: &Session| figures::count(row.tool_calls)),
        Column {
            cell: Box::new(|row: &Session| match row.failed_tool_calls {
                None => (UNTOLD.to_owned(), Tone::Plain),
                Some(0) => ("0".to_owned(), Tone::Plain),
                Some(failed) => (figures::count(failed), Tone::Warning),
            }),
            ..Column::figure("ERR", 4, 10, |_| String::new())
        },
        Column::figure("TURNS", 5, 6, |row: &Session| figures::count(row.turns)),
        Column::figure("COST", 9, 2, |row: &Session| words::money(row.cost, row.unpriced_requests)),
    ];
    if state.snapshot.as_ref().is_some_and(|snapshot| snapshot.last_hour.is_some()) {
        columns.push(Column::figure("$/H", 8, 3, |row: &Session| match state.per_hour(row) {
            None => UNTOLD.to_owned(),
            Some(cost) => words::money(cost, 0),
        }));
    }
    columns.push(Column::figure("AT", 6, 7, |row: &Session| last_at(state, row)));
    columns.push(Column::text("LAST", (15, 60), 4, |row: &Session| last(state, row)));
    if sessions.is_empty() {
        let what = match state.filter.is_empty() {
            true => " No sessions yet: `ducat setup claude-code` has an agent tell of itself.".to_owned(),
            false => format!(" No session matches {:?}; Esc takes the filter away.", state.filter),
        };
        buffer.set_stringn(area.x, area.y, what, area.width.into(), theme.style(Tone::Plain));
        return;
    }
    let sorted = match state.sort {
        Sort::Last => "AT",
        Sort::Cost => "COST",
        Sort::PerHour => "$/H",
        Sort::Turns => "TURNS",
    };
    let selected = state.place(&sessions);
    let rows = usize::from(area.height).saturating_sub(1).max(1);
    // The selected one stays on the screen.
    let first = (selected + 1).saturating_sub(rows);
    let shown = &sessions[first.min(sessions.len())..];
    table(buffer, area, theme, &columns, shown.iter().copied(), (is_live.then_some(selected - first), Some(sorted)));
}

fn project(row: &Session) -> Piece {
    let name = row.project.as_deref().or(row.cwd.as_deref()).or(row.user.as_deref());
    (name.map_or_else(|| UNTOLD.to_owned(), |name| plain(place(name))), Tone::Plain)
}

/// The last that was heard, else told.
fn model(state: &State, row: &Session) -> String {
    let name = state.models.get(&row.session).or(row.models.last());
    name.map_or_else(|| UNTOLD.to_owned(), |name| plain(words::model(name)))
}

/// What it did last, where that was heard, else when.
fn last(state: &State, row: &Session) -> Piece {
    match state.heard.get(&row.session) {
        None => (last_at(state, row), Tone::Plain),
        Some(event) => match event.is_well {
            Some(true) => (event.what.clone(), Tone::Plain),
            Some(false) => (format!("✗ {}", event.what), Tone::Warning),
            None => (said(event), Tone::Plain),
        },
    }
}

fn last_at(state: &State, row: &Session) -> String {
    let at = state.heard.get(&row.session).map(|event| event.at).max(row.last_at);
    at.map_or_else(|| UNTOLD.to_owned(), |at| words::when(at, state.now, &state.zone))
}

fn said(event: &Event) -> String {
    if event.outcome.is_empty() { event.what.clone() } else { format!("{} {}", event.what, event.outcome) }
}

/// Columns go in this order: results, p99, p50, p95, errors.
pub fn tools(snapshot: &Snapshot, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(tools) = &snapshot.tools else {
        buffer.set_stringn(area.x, area.y, " This server is older: no tools.", area.width.into(), theme.style(Tone::Dim));
        return;
    };
    if tools.is_empty() {
        buffer.set_stringn(area.x, area.y, " No tool calls today.", area.width.into(), theme.style(Tone::Plain));
        return;
    }
    let ms = |ms: Option<f64>| ms.map_or_else(|| UNTOLD.to_owned(), words::duration);
    let columns: Vec<Column<'_, Tool>> = vec![
        Column::text(" TOOL", (12, 40), 0, |row: &Tool| {
            (format!(" {}", row.tool.as_deref().map_or_else(|| "unknown".to_owned(), plain)), Tone::Plain)
        }),
        Column::figure("CALLS", 6, 1, |row: &Tool| figures::count(row.calls)),
        Column {
            cell: Box::new(|row: &Tool| {
                let share = row.failed as f64 / row.calls.max(1) as f64 * 100.0;
                (words::percent(share), if share >= 10.0 { Tone::Warning } else { Tone::Plain })
            }),
            ..Column::figure("ERR", 4, 2, |_| String::new())
        },
        Column::figure("P50", 8, 4, move |row: &Tool| ms(row.p50_ms)),
        Column::figure("P95", 8, 3, move |row: &Tool| ms(row.p95_ms)),
        Column::figure("P99", 8, 5, move |row: &Tool| ms(row.p99_ms)),
        Column::figure("RESULTS", 8, 6, |row: &Tool| {
            row.result_bytes.map_or_else(|| UNTOLD.to_owned(), |bytes| format!("{}B", figures::tokens(bytes)))
        }),
    ];
    table(buffer, area, theme, &columns, tools.iter(), (None, None));
}

pub fn events(state: &State, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let columns: Vec<Column<'_, Event>> = vec![
        Column::text("EVENTS", (8, 8), 0, |row: &Event| {
            (state.zone.to_datetime(row.at).strftime("%H:%M:%S").to_string(), Tone::Plain)
        }),
        Column::text("", (1, 1), 2, |row: &Event| match row.is_well {
            Some(true) => ("✓".to_owned(), Tone::Good),
            Some(false) => ("✗".to_owned(), Tone::Bad),
            None => (String::new(), Tone::Plain),
        }),
        Column::text("", (18, 60), 1, |row: &Event| (said(row), Tone::Plain)),
        Column::text("", (10, 20), 3, |row: &Event| {
            (row.project.as_deref().map(|name| plain(place(name))).unwrap_or_default(), Tone::Dim)
        }),
    ];
    table(buffer, area, theme, &columns, state.events.iter(), (None, None));
    if state.events.is_empty() && area.height > 1 {
        let what = format!("nothing heard since {}", words::moment(state.since, state.now, &state.zone));
        buffer.set_stringn(area.x, area.y + 1, what, area.width.into(), theme.style(Tone::Plain));
    }
}
