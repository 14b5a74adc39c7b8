//! Findings for people and for programs.

use std::env;
use std::io::{self, IsTerminal, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, Width};
use serde_json::{Value, json};

use super::finding::{Exam, Finding, Severity};

/// Lines longer than this are hard to read on a wide terminal.
const WIDEST: u16 = 100;

pub fn json(exam: &Exam) -> anyhow::Result<()> {
    let findings: Vec<Value> = exam.findings.iter().map(Finding::to_json).collect();
    let checked: Vec<Value> = exam.sound.iter().map(|(id, what)| json!({ "id": id, "what": what })).collect();
    Ok(writeln!(io::stdout(), "{}", json!({ "schema_version": 1, "findings": findings, "checked": checked }))?)
}

/// What was done, what is sound when asked for, and what is wrong.
pub fn text<'d>(exam: &Exam, done: impl Iterator<Item = &'d anyhow::Result<String>>, verbose: bool) -> anyhow::Result<()> {
    let colours = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if let Some(width) = table.width() {
        table.set_width(width.min(WIDEST));
    }
    let mut is_first = true;
    for outcome in done {
        is_first = false;
        match outcome {
            Ok(what) => table.add_row([label("fixed", Color::Green, colours), Cell::new(what)]),
            Err(error) => table.add_row([label("failed", Color::Red, colours), Cell::new(format!("{error:#}"))]),
        };
    }
    if verbose {
        for (id, what) in &exam.sound {
            is_first = false;
            table.add_row([label("ok", Color::Green, colours), Cell::new(format!("{}: {what}", id.replace('-', " ")))]);
        }
    }
    for finding in &exam.findings {
        if !is_first {
            table.add_row([Cell::new(""), Cell::new("")]);
        }
        is_first = false;
        let colour = match finding.severity {
            Severity::Error => Color::Red,
            Severity::Warning => Color::Yellow,
            Severity::Note => Color::Blue,
        };
        table.add_row([label(finding.severity.name(), colour, colours), Cell::new(&finding.what)]);
        table.add_row([Cell::new(""), Cell::new(format!("→ {}", finding.remedy))]);
    }
    if table.is_empty() {
        return Ok(());
    }
    if let Some(column) = table.column_mut(0) {
        column.set_padding((0, 2)).set_constraint(ColumnConstraint::Absolute(Width::Fixed(9)));
    }
    if let Some(column) = table.column_mut(1) {
        column.set_padding((0, 0));
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}", crate::table::lines(&table))?;
    if let Some(summary) = summary(&exam.findings) {
        writeln!(out, "\n{summary}")?;
    }
    Ok(out.flush()?)
}

fn label(word: &str, colour: Color, colours: bool) -> Cell {
    let cell = Cell::new(word);
    if colours { cell.fg(colour).add_attribute(Attribute::Bold) } else { cell }
}

/// `1 error, 2 warnings; ducat doctor --fix repairs 1 of them.`
fn summary(findings: &[Finding]) -> Option<String> {
    let of = |severity: Severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let counts: Vec<String> = [Severity::Error, Severity::Warning, Severity::Note]
        .into_iter()
        .filter(|severity| of(*severity) > 0)
        .map(|severity| super::finding::several(of(severity) as u64, severity.name()))
        .collect();
    let fixable = findings.iter().filter(|finding| finding.fix.is_some()).count();
    let repairs = match (fixable, findings.len()) {
        (0, _) => ".".to_owned(),
        (1, 1) => "; `ducat doctor --fix` repairs it.".to_owned(),
        (fixable, _) => format!("; `ducat doctor --fix` repairs {fixable} of them."),
    };
    (!counts.is_empty()).then(|| counts.join(", ") + &repairs)
}
