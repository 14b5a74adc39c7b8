//! Comma-separated values as RFC 4180 has them, with the number of each line.

use jiff::civil::Date;

use super::{BillError, dollars};
use ducat_prices::NanoUsd;

pub(super) struct Row {
    /// Counted from 1.
    pub line: usize,
    pub cells: Vec<String>,
}

pub(super) fn rows(text: &str) -> Result<Vec<Row>, BillError> {
    let (mut rows, mut cells, mut cell) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut first, mut quoted) = (1, 1, false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(std::mem::take(&mut cell)),
            '\n' if !quoted => {
                line += 1;
                cells.push(std::mem::take(&mut cell));
                push(&mut rows, first, &mut cells);
                first = line;
            }
            '\r' if !quoted => {}
            letter => {
                line += usize::from(letter == '\n');
                cell.push(letter);
            }
        }
    }
    if quoted {
        let problem = "a quotation mark is not closed".to_owned();
        return Err(BillError::At { place: format!("line {first}"), field: format!("column {}", cells.len() + 1), problem });
    }
    cells.push(cell);
    push(&mut rows, first, &mut cells);
    Ok(rows)
}

/// Empty lines are none.
fn push(rows: &mut Vec<Row>, line: usize, cells: &mut Vec<String>) {
    let cells = std::mem::take(cells);
    if cells.iter().any(|cell| !cell.trim().is_empty()) {
        rows.push(Row { line, cells });
    }
}

pub(super) struct Table<'t> {
    pub head: &'t [String],
    pub rows: &'t [Row],
}

impl<'t> Table<'t> {
    pub fn column(&self, name: &str) -> Option<usize> {
        self.head.iter().position(|title| title.trim().eq_ignore_ascii_case(name))
    }

    pub fn has(&self, name: &str) -> bool {
        self.column(name).is_some()
    }

    /// The first of these columns that is there.
    pub fn needed(&self, names: &[&'static str]) -> Result<Column, BillError> {
        let found = names.iter().find_map(|name| Some(Column { place: self.column(name)?, name }));
        let field = names.first().copied().unwrap_or_default().to_owned();
        found.ok_or_else(|| BillError::At { place: "line 1".to_owned(), field, problem: "there is no such column".to_owned() })
    }
}

#[derive(Clone, Copy)]
pub(super) struct Column {
    pub place: usize,
    pub name: &'static str,
}

impl Row {
    pub fn text(&self, column: Column) -> Result<&str, BillError> {
        let missing = || self.wrong(column, "the line ends before it");
        Ok(self.cells.get(column.place).ok_or_else(missing)?.trim())
    }

    /// A count; an empty cell is none.
    pub fn count(&self, column: Column) -> Result<Option<u64>, BillError> {
        match self.text(column)? {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| self.wrong(column, &format!("{text:?} is no whole number from 0"))),
        }
    }

    pub fn dollars(&self, column: Column) -> Result<NanoUsd, BillError> {
        let text = self.text(column)?;
        dollars(text).ok_or_else(|| self.wrong(column, &format!("{text:?} is no amount of US dollars")))
    }

    /// A day, or the day of a time in UTC.
    pub fn day(&self, column: Column) -> Result<Date, BillError> {
        let text = self.text(column)?;
        let day = text.get(..10).unwrap_or(text).parse();
        day.map_err(|_| self.wrong(column, &format!("{text:?} is no day such as 2026-01-31")))
    }

    pub fn wrong(&self, column: Column, problem: &str) -> BillError {
        BillError::At { place: format!("line {}", self.line), field: column.name.to_owned(), problem: problem.to_owned() }
    }
}
