//! A reconciliation on a terminal.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use comfy_table::Table;
use ducat_ledger::{FieldClass, Witness};
use ducat_prices::NanoUsd;
use ducat_report::{Disagreement, Field, FieldClaims, Presence, Reconciled, Reconciliation, figures};
use jiff::Timestamp;

use crate::table;

/// Sessions that differ, or one in full; as wide as the terminal, where there is one.
pub fn text(reconciliation: &Reconciliation, all: bool, width: Option<u16>) -> Result<String, fmt::Error> {
    let mut text = String::new();
    if reconciliation.sessions.is_empty() {
        writeln!(text, "Nothing to reconcile: no session matches, or none has told of requests yet.")?;
        return Ok(text);
    }
    if reconciliation.is_full {
        for row in &reconciliation.sessions {
            one(&mut text, row, width)?;
        }
    } else {
        many(&mut text, reconciliation, all, width)?;
    }
    let tolerance = reconciliation.tolerance;
    let distance = reconciliation.distance();
    let unknown: u64 = reconciliation.sessions.iter().map(Reconciled::total_unknown).sum();
    let verdict = if reconciliation.is_agreed() { "Agreed" } else { "Not agreed" };
    write!(text, "\n{verdict}: {} of differences, up to {tolerance} tolerated", signless(distance))?;
    if unknown > 0 {
        write!(text, "; {} requests or sums differ by an unknown price", figures::count(unknown))?;
    }
    writeln!(text, ".")?;
    Ok(text)
}

fn many(text: &mut String, reconciliation: &Reconciliation, all: bool, width: Option<u16>) -> fmt::Result {
    let sum = |count: fn(&Reconciled) -> u64| figures::count(reconciliation.sessions.iter().map(count).sum());
    writeln!(
        text,
        "{} sessions, {} requests: {} differ, {} unconfirmed.\n",
        figures::count(reconciliation.sessions.iter().filter(|row| row.session.is_some()).count() as u64),
        sum(|row| row.requests),
        sum(|row| row.differing_requests),
        sum(|row| row.unconfirmed),
    )?;
    let witnesses = reconciliation.witnesses();
    let rows: Vec<_> = witnesses.iter().map(|(name, (sessions, one))| (*name, Some(*sessions), one)).collect();
    writeln!(text, "{}\n", lines(witness_table(&rows), width))?;
    let is_shown = |row: &&Reconciled| all || is_apart(row);
    let shown: Vec<&Reconciled> = reconciliation.sessions.iter().filter(is_shown).collect();
    if shown.is_empty() {
        writeln!(text, "The witnesses of every session agree; --all lists them.")?;
        return Ok(());
    }
    let mut list = table::table(&["LAST", "SESSION", "WITNESSES", "REQUESTS", "DIFFER", "COST", "DIFFERENCE"], 3);
    for row in &shown {
        list.add_row([
            row.session.as_ref().and_then(|session| session.last_at.get()).map_or_else(|| "?".to_owned(), |at| day(*at)),
            row.session.as_ref().map_or_else(|| format!("none ({})", row.agent), |session| session.id.chars().take(8).collect()),
            row.witnesses.keys().copied().collect::<Vec<_>>().join(", "),
            figures::count(row.requests),
            figures::count(row.differing_requests),
            cost(row),
            difference(row),
        ]);
    }
    writeln!(text, "{}", lines(list, width))?;
    let agreed = reconciliation.sessions.len() - shown.len();
    if agreed > 0 {
        writeln!(text, "{} more agree; --all lists them.", figures::count(agreed as u64))?;
    }
    Ok(())
}

fn is_apart(row: &Reconciled) -> bool {
    row.differing_requests > 0
        || row.total_unknown() > 0
        || !row.disagreements.is_empty()
        || row.total_distance() != NanoUsd::ZERO
}

fn one(text: &mut String, row: &Reconciled, width: Option<u16>) -> fmt::Result {
    let id = row.session.as_ref().map_or("no session", |session| session.id.as_str());
    writeln!(
        text,
        "{id} · {}\n{} requests, {} differ, {} unconfirmed · {}\n",
        row.agent,
        figures::count(row.requests),
        figures::count(row.differing_requests),
        figures::count(row.unconfirmed),
        cost(row),
    )?;
    let told: Vec<_> = row.witnesses.iter().map(|(name, one)| (*name, None, one)).collect();
    writeln!(text, "{}", lines(witness_table(&told), width))?;
    let silent: Vec<&str> =
        Witness::ALL.into_iter().map(Witness::name).filter(|name| !row.witnesses.contains_key(name)).collect();
    if !silent.is_empty() {
        writeln!(text, "Nothing heard from: {}", silent.join(", "))?;
    }
    if !row.fields.is_empty() {
        let mut list = table::table(&["FIELD", "CLAIMED BY", "BELIEVED"], 2);
        for (field, claims) in &row.fields {
            list.add_row([field.name().to_owned(), claimed(*field, claims), believed(*field, claims)]);
        }
        writeln!(text, "\n{}", lines(list, width))?;
        rule(text, "requests", FieldClass::Usage)?;
        if row.fields.contains_key(&Field::Outcome) {
            rule(text, "outcomes", FieldClass::Outcome)?;
        }
    }
    sums(text, row)?;
    reported(text, row)?;
    if !row.disagreements.is_empty() {
        let mut list = table::table(&["OF", "FIELD", "CLAIMS", "BELIEVED", "DIFFERENCE"], 3);
        list.add_rows(row.disagreements.iter().map(disagreement));
        writeln!(text, "\n{}", lines(list, width))?;
    }
    Ok(())
}

fn rule(text: &mut String, of: &str, class: FieldClass) -> fmt::Result {
    // In a line of 80 columns.
    writeln!(text, "Believed of {of}: {}", Witness::rule(class).replace(", then ", ", ").replacen("; ", "\n  ", 1))
}

/// Metrics' sums against the requests that they sum.
fn sums(text: &mut String, row: &Reconciled) -> fmt::Result {
    for (name, sums) in &row.sums {
        let counts: Vec<String> = sums
            .claimed
            .iter()
            .map(|(field, claimed)| {
                let believed = row.fields.get(field).map_or(0, |claims| claims.believed);
                let label = field.name().trim_end_matches("_tokens").replace('_', " ");
                if *claimed == believed {
                    format!("{label} {} as believed", figures::count(*claimed))
                } else {
                    format!("{label} {} of {} believed", figures::count(*claimed), figures::count(believed))
                }
            })
            .collect();
        let apart = row.sum_difference(sums).map_or_else(|| "not comparable in dollars".to_owned(), signed);
        writeln!(text, "\nSums of {name} ({}): {} · {apart}", figures::count(sums.rows), counts.join(", "))?;
    }
    Ok(())
}

/// The client's own cost against ours.
fn reported(text: &mut String, row: &Reconciled) -> fmt::Result {
    let costs = &row.reported;
    if costs.requests > 0 {
        let apart = signed(costs.reported.saturating_sub(costs.ours));
        let (reported, ours) = (costs.reported, costs.ours);
        writeln!(text, "\nThe client priced {} requests at {reported}, we at {ours}: {apart}", figures::count(costs.requests))?;
    }
    if let Some(reported) = row.reported_by_session() {
        let apart = signed(reported.saturating_sub(row.cost));
        writeln!(text, "The client said the session cost {reported} since it was started or resumed: {apart}")?;
    }
    Ok(())
}

fn witness_table(rows: &[(&str, Option<u64>, &Presence)]) -> Table {
    let sessions = rows.iter().any(|(_, sessions, _)| sessions.is_some()).then_some("SESSIONS");
    let head: Vec<&str> =
        ["WITNESS"].into_iter().chain(sessions).chain(["REQUESTS", "ALONE", "TOOLS", "DIFFER", "DIFFERENCE"]).collect();
    let mut list = table::table(&head, 1);
    for (name, sessions, one) in rows {
        let counts = [one.requests, one.alone, one.tool_calls, one.differing_requests].map(figures::count);
        let cells = [(*name).to_owned()].into_iter().chain(sessions.map(figures::count)).chain(counts);
        list.add_row(cells.chain([signed(one.difference)]));
    }
    list
}

/// `transcript 60 (1 differs), otlp_log 1,000`.
fn claimed(field: Field, sums: &FieldClaims) -> String {
    let words = sums.claims.iter().map(|(teller, claim)| {
        let what = if is_count(field) { figures::count(claim.claimed) } else { format!("of {}", figures::count(claim.told)) };
        let differing = match claim.differing {
            0 => String::new(),
            1 => " (1 differs)".to_owned(),
            more => format!(" ({} differ)", figures::count(more)),
        };
        format!("{teller} {what}{differing}")
    });
    words.collect::<Vec<_>>().join(", ")
}

fn believed(field: Field, sums: &FieldClaims) -> String {
    let from = |from: &BTreeMap<&'static str, u64>| from.keys().copied().collect::<Vec<_>>().join(", ");
    if is_count(field) { figures::count(sums.believed) } else { from(&sums.believed_from) }
}

fn is_count(field: Field) -> bool {
    !matches!(field, Field::Model | Field::Outcome)
}

fn disagreement(one: &Disagreement) -> [String; 5] {
    let claims: Vec<String> = one.claims.iter().map(|(teller, value)| format!("{teller} {value}")).collect();
    let apart = match one.difference {
        None => "unknown".to_owned(),
        Some(_) if one.field == Field::Outcome => String::new(),
        Some(difference) => signed(difference),
    };
    [one.id.chars().take(28).collect(), one.field.name().to_owned(), claims.join(", "), one.believed.clone(), apart]
}

fn cost(row: &Reconciled) -> String {
    match row.unpriced {
        0 => row.cost.to_string(),
        unpriced => format!("{} + {unpriced} unknown", row.cost),
    }
}

fn difference(row: &Reconciled) -> String {
    let known = signless(row.total_distance());
    let unknown = row.total_unknown();
    if unknown > 0 { format!("{known} + {unknown} unknown") } else { known }
}

fn signless(amount: NanoUsd) -> String {
    if amount == NanoUsd::ZERO { "none".to_owned() } else { amount.to_string() }
}

pub(super) fn signed(amount: NanoUsd) -> String {
    match amount.0 {
        0 => "the same".to_owned(),
        1.. => format!("+{amount}"),
        _ => amount.to_string(),
    }
}

fn day(at: i64) -> String {
    Timestamp::from_millisecond(at).map_or_else(|_| "?".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
}

fn lines(mut list: Table, width: Option<u16>) -> String {
    if let Some(width) = width {
        list.set_width(width);
    }
    table::lines(&list)
}

#[cfg(test)]
mod tests {
    use ducat_ledger::{Key, KeySpace, Priced, Request, Role, Session, Told, Witnesses};
    use ducat_report::ReconcileQuery;

    use super::*;

    fn reconciliation(id: &str) -> Reconciliation {
        let agent = "claude-code";
        let mut session = Session::new(Key::of(KeySpace::Session, agent, id), agent, id);
        session.witnesses = Witnesses(0b101_0011);
        session.last_at = Told::by(1, 1_795_000_000_000);
        let mut row = Reconciled::new(Some(session), agent);
        for at in 0..3_u64 {
            let id = format!("req_011CSHoEeqs5C35K2UUqR7Fy{at}");
            let mut request = Request::new(Key::of(KeySpace::Request, agent, &id), agent, id);
            request.witnesses = Witnesses(0b101);
            request.model = Told::by(6, "claude-opus-4-8".to_owned());
            request.output_tokens = Told::by(6, 123_456);
            request.output_tokens.join_each(&Told::by(3, 123_456 - at));
            request.input_tokens = Told::by(3, 1_000_000);
            let price = |request: &Request| Priced {
                model: request.model.get().cloned().unwrap_or_default(),
                cost: Some(NanoUsd(request.output_tokens.or_default() as i64 * 25_000)),
                billing: None,
            };
            let cost = price(&request).cost;
            row.add_request(&request, Role::One, cost, &price);
        }
        let asked = ReconcileQuery { session: Some(id.to_owned()), ..ReconcileQuery::default() };
        let mut reconciliation = Reconciliation::new(&asked);
        reconciliation.add(row);
        reconciliation
    }

    #[test]
    fn it_fits_terminals() {
        let mut reconciliation = reconciliation("52189995-7f6b-4e0e-8f57-1d1f4ea2c7a1");
        for full in [true, false] {
            reconciliation.is_full = full;
            for width in [80, 120] {
                let text = text(&reconciliation, false, Some(width)).unwrap();
                let widest = text.lines().map(|line| line.chars().count()).max();
                assert!(widest <= Some(usize::from(width)), "{width}\n{text}");
                assert!(text.contains("Not agreed: $0.000075 of differences, up to $0.00 tolerated"), "{text}");
                assert!(text.contains("transcript") && text.contains("-$0.000075"), "{text}");
            }
        }
    }

    #[test]
    fn nothing_says_so() {
        let text = text(&Reconciliation::default(), false, Some(80)).unwrap();
        assert!(text.starts_with("Nothing to reconcile"), "{text}");
    }
}
