//! Tables without lines: columns that are dropped in a stated order where there is no room.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Modifier, Style};

use super::Piece;
use super::theme::{Theme, Tone};
use crate::plain::{left, right};

/// Blanks between columns.
const GAP: usize = 2;

type Cell<'s, R> = Box<dyn Fn(&R) -> Piece + 's>;

/// A column: how wide it is never hangs on what is in it, so that nothing jumps.
pub struct Column<'s, R> {
    pub head: &'static str,
    /// Its narrowest.
    pub width: usize,
    /// Its widest, where there is room.
    pub widest: usize,
    pub is_figure: bool,
    /// The column with the largest goes first.
    pub drop: u8,
    pub cell: Cell<'s, R>,
}

impl<'s, R> Column<'s, R> {
    pub fn figure(head: &'static str, width: usize, drop: u8, cell: impl Fn(&R) -> String + 's) -> Self {
        let cell = Box::new(move |row: &R| (cell(row), Tone::Plain));
        Self { head, width, widest: width, is_figure: true, drop, cell }
    }

    pub fn text(head: &'static str, (width, widest): (usize, usize), drop: u8, cell: impl Fn(&R) -> Piece + 's) -> Self {
        Self { head, width, widest, is_figure: false, drop, cell: Box::new(cell) }
    }
}

/// The columns that have room, and how wide each is.
fn fitted<R>(columns: &[Column<'_, R>], room: usize) -> Vec<(usize, usize)> {
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    let taken = |kept: &[usize]| kept.iter().map(|place| columns[*place].width + GAP).sum::<usize>().saturating_sub(GAP);
    while taken(&kept) > room && kept.len() > 1 {
        let last = kept.iter().copied().max_by_key(|place| columns[*place].drop);
        kept.retain(|place| Some(*place) != last);
    }
    let mut fitted: Vec<(usize, usize)> = kept.iter().map(|place| (*place, columns[*place].width.min(room))).collect();
    // What is left goes to columns by how much they can use.
    for _ in taken(&kept)..room {
        let share = |(place, width): &(usize, usize)| {
            let (least, most) = (columns[*place].width, columns[*place].widest);
            (*width < most).then(|| (width - least + 1) * 1000 / (most - least))
        };
        let next = fitted.iter_mut().filter_map(|column| Some((share(column)?, column))).min_by_key(|(share, _)| *share);
        let Some((_, (_, width))) = next else { break };
        *width += 1;
    }
    fitted
}

/// Draws a head and the rows that have room; `selected`: a row that stands out, `sorted`: the head of the column that orders them.
pub fn table<'r, R: 'r>(
    buffer: &mut Buffer,
    area: Rect,
    theme: Theme,
    columns: &[Column<'_, R>],
    rows: impl Iterator<Item = &'r R>,
    (selected, sorted): (Option<usize>, Option<&str>),
) {
    let fitted = fitted(columns, area.width.into());
    let draw = |buffer: &mut Buffer, y: u16, line: Vec<Piece>| {
        let mut x = area.x;
        for ((place, width), (text, tone)) in fitted.iter().zip(line) {
            let text = if columns[*place].is_figure { right(&text, *width) } else { left(&text, *width) };
            buffer.set_stringn(x, y, text, *width, theme.style(tone));
            x = x.saturating_add(u16::try_from(width + GAP).unwrap_or(u16::MAX));
        }
    };
    if area.height == 0 {
        return;
    }
    let head = |head: &str| (head.to_owned(), if sorted == Some(head) { Tone::Strong } else { Tone::Dim });
    draw(buffer, area.y, fitted.iter().map(|(place, _)| head(columns[*place].head)).collect());
    for (number, row) in rows.take(usize::from(area.height) - 1).enumerate() {
        let y = area.y + 1 + u16::try_from(number).unwrap_or(u16::MAX);
        let line = fitted.iter().map(|(place, _)| (columns[*place].cell)(row)).collect();
        draw(buffer, y, line);
        if selected == Some(number) {
            buffer.set_style(Rect::new(area.x, y, area.width, 1), Style::new().add_modifier(Modifier::REVERSED));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_go_in_their_order_and_share_what_is_left() {
        let column = |width, widest, drop| Column::text("", (width, widest), drop, |(): &()| (String::new(), Tone::Plain));
        let columns = [column(8, 8, 0), column(10, 20, 2), column(6, 6, 3), column(5, 30, 1)];
        let fits = |room| fitted(&columns, room);
        assert_eq!(fits(35), [(0, 8), (1, 10), (2, 6), (3, 5)]);
        assert_eq!(fits(34), [(0, 8), (1, 12), (3, 10)]);
        assert_eq!(fits(26), [(0, 8), (3, 16)]);
        assert_eq!(fits(12), [(0, 8)]);
        assert_eq!(fits(3), [(0, 3)]);
        assert_eq!(fits(200), [(0, 8), (1, 20), (2, 6), (3, 30)]);
    }
}
