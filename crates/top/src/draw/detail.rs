//! One session: what it is and cost, by model, and what happened in it, the latest first.

use ducat_report::figures;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

use super::table::{Column, table};
use super::theme::{Theme, Tone};
use super::{Piece, notice, write};
use crate::detail::{Detail, Happened, OfModel};
use crate::plain::plain;
use crate::state::State;
use crate::words;

/// Models that are shown.
const MODELS: usize = 4;

pub fn draw(state: &State, theme: Theme, buffer: &mut Buffer, first: usize) {
    let area = buffer.area;
    let line = |text: String, tone| -> Vec<Piece> { vec![(format!(" {text}"), tone)] };
    write(buffer, theme, area.bottom() - 1, line("q quit  Esc back  j k move".to_owned(), Tone::Dim));
    let detail = match &state.detail {
        None => return write(buffer, theme, area.y, line("asking …".to_owned(), Tone::Dim)),
        Some(Err(why)) => return write(buffer, theme, area.y, line(plain(&why.to_string()), Tone::Bad)),
        Some(Ok(detail)) => detail,
    };
    let mut y = area.y;
    for (number, text) in detail.head.iter().enumerate() {
        write(buffer, theme, y, line(text.clone(), if number == 0 { Tone::Strong } else { Tone::Plain }));
        y += 1;
    }
    // Of the whole it says only what holds here too.
    write(buffer, theme, y, if state.lost.is_some() { notice(state) } else { Vec::new() });
    y += 1;
    let room = area.bottom() - 1;
    if area.height >= super::LOW && !detail.models.is_empty() {
        let rows = u16::try_from(detail.models.len().min(MODELS)).unwrap_or(0);
        models(detail, theme, Rect::new(area.x, y, area.width, rows + 1), buffer);
        y += rows + 2;
    }
    let rows = detail.happened.get(first..).unwrap_or_default();
    let area = Rect::new(area.x, y, area.width, room.saturating_sub(y));
    let columns: Vec<Column<'_, Happened>> = vec![
        Column::text(" TIME", (9, 9), 0, |row: &Happened| {
            (
                format!(
                    " {}",
                    row.at.map_or_else(|| "?".to_owned(), |at| state.zone.to_datetime(at).strftime("%H:%M:%S").to_string())
                ),
                Tone::Plain,
            )
        }),
        Column::text("", (1, 1), 2, |row: &Happened| match row.is_well {
            Some(true) => ("✓".to_owned(), Tone::Good),
            Some(false) => ("✗".to_owned(), Tone::Bad),
            None => (String::new(), Tone::Plain),
        }),
        Column::text("WHAT", (14, 100), 1, |row: &Happened| (row.what.clone(), Tone::Plain)),
        Column::figure("", 20, 3, |row: &Happened| row.outcome.clone()),
    ];
    table(buffer, area, theme, &columns, rows.iter(), (None, None));
}

/// Columns go in this order: written, cache read, input, output, requests.
fn models(detail: &Detail, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let columns: Vec<Column<'_, OfModel>> = vec![
        Column::text(" MODEL", (12, 30), 0, |row: &OfModel| (format!(" {}", row.model), Tone::Plain)),
        Column::figure("REQUESTS", 8, 2, |row: &OfModel| figures::count(row.requests)),
        Column::figure("INPUT", 7, 4, |row: &OfModel| figures::tokens(row.input)),
        Column::figure("OUTPUT", 7, 3, |row: &OfModel| figures::tokens(row.output)),
        Column::figure("CACHE READ", 10, 5, |row: &OfModel| figures::tokens(row.cache_read)),
        Column::figure("WRITTEN", 7, 6, |row: &OfModel| figures::tokens(row.cache_write)),
        Column::figure("COST", 9, 1, |row: &OfModel| words::money(row.cost, row.unpriced)),
    ];
    table(buffer, area, theme, &columns, detail.models.iter(), (None, None));
}
