//! What is said of witnesses that have gone quiet.

use std::collections::BTreeMap;

use ducat_ledger::{Freshness, Witness, Witnesses};
use ducat_server::remedy;
use ducat_ship::host_name;

use crate::doctor::local;

/// Witnesses of an agent on a host that are quiet, and what is to be done about all of them.
pub struct Notice<'f> {
    pub rows: Vec<&'f Freshness>,
    /// In one sentence.
    pub what: String,
    pub remedy: String,
}

/// One notice for witnesses that need the same.
pub fn notices(rows: &[Freshness]) -> Vec<Notice<'_>> {
    let own_host = host_name();
    let mut groups = BTreeMap::<(&str, &str, String), Vec<&Freshness>>::new();
    for row in rows.iter().filter(|row| row.quiet.is_some()) {
        groups.entry((&row.agent, &row.host, remedy(row, &own_host))).or_default().push(row);
    }
    groups
        .into_iter()
        .map(|((agent, host, remedy), rows)| notice(agent, (host != own_host).then_some(host), remedy, rows))
        .collect()
}

/// `host`: where it is not this one.
fn notice<'f>(agent: &str, host: Option<&str>, remedy: String, rows: Vec<&'f Freshness>) -> Notice<'f> {
    let mut others = Witnesses::default();
    for quiet in rows.iter().filter_map(|row| row.quiet) {
        others.join(quiet.others);
    }
    // Of several that are quiet, one may have gone on after another.
    let others: Vec<&str> =
        others.iter().filter(|other| rows.iter().all(|row| row.witness != *other)).map(Witness::name).collect();
    let what = format!(
        "{} of {agent}{}: quiet since {}, while {} went on until {}.",
        rows.iter().map(|row| row.witness.name()).collect::<Vec<_>>().join(", "),
        host.map(|host| format!(" on {host}")).unwrap_or_default(),
        local(rows.iter().map(|row| row.heard_at).max().unwrap_or_default()),
        if others.is_empty() { "each other".to_owned() } else { others.join(", ") },
        local(rows.iter().filter_map(|row| row.quiet).map(|quiet| quiet.until).max().unwrap_or_default())
    );
    Notice { rows, what, remedy }
}
