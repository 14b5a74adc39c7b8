//! Tables on a terminal.

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table};

/// A table without lines: first columns left, the others right, the head dim where colours are on.
pub fn table(head: &[&str], left: usize) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(head.iter().map(|title| Cell::new(title).add_attribute(Attribute::Dim)));
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        column.set_cell_alignment(if place < left { CellAlignment::Left } else { CellAlignment::Right });
    }
    table
}

/// A row that stands out: the total.
pub fn bold(cells: Vec<String>) -> Vec<Cell> {
    cells.into_iter().map(|cell| Cell::new(cell).add_attribute(Attribute::Bold)).collect()
}

/// The lines without the blanks that fill them up.
pub fn lines(table: &Table) -> String {
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// Columns of the terminal, where standard output is one.
pub fn width() -> Option<u16> {
    Table::new().width()
}
