//! The metrics' series: in memory for who reads them, in the database for the next start.

use std::collections::BTreeMap;

use ducat_ledger::UnixMs;
use ducat_metrics::{Family, LabelValues, Row, Series, SeriesKey};
use rusqlite::{Connection, OptionalExtension, params};

use crate::{Doing, StoreError};

/// What `/metrics` reads: the series as of the last commit.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    pub series: Series,
    /// How often a label's value was past its limit and counted as `other`, since the start.
    pub overflows: BTreeMap<&'static str, u64>,
}

/// Reads the series, and the label values in them.
pub(crate) fn restore(connection: &Connection) -> Result<(Series, LabelValues), StoreError> {
    let (mut series, mut labels) = (Series::default(), LabelValues::default());
    let mut statement =
        connection.prepare("SELECT tenant, family, label_values, created_at, amounts FROM series").doing("reading counters")?;
    let mut rows = statement.query([]).doing("reading counters")?;
    while let Some(row) = rows.next().doing("reading counters")? {
        let code: u8 = row.get(1).doing("reading counters")?;
        // Of a later version: kept, and not shown.
        let Some(family) = Family::from_code(code) else { continue };
        let tenant = row.get(0).doing("reading counters")?;
        let joined = row.get(2).doing("reading counters")?;
        let amounts: String = row.get(4).doing("reading counters")?;
        let key = SeriesKey { tenant, family, joined };
        labels.restore(&key);
        series.restore(Row { key, created_at: row.get(3).doing("reading counters")?, values: serde_json::from_str(&amounts)? });
    }
    Ok((series, labels))
}

pub(crate) fn save(connection: &Connection, rows: &[Row]) -> Result<(), StoreError> {
    let mut upsert =
        connection.prepare_cached("INSERT OR REPLACE INTO series VALUES (?1, ?2, ?3, ?4, ?5)").doing("writing counters")?;
    for row in rows {
        let amounts = serde_json::to_string(&row.values)?;
        upsert
            .execute(params![row.key.tenant, row.key.family as u8, row.key.joined, row.created_at, amounts])
            .doing("writing counters")?;
    }
    Ok(())
}

/// When this ledger began to count: the time it was first opened by a version that counts.
pub(crate) fn counts_since(connection: &Connection, now: UnixMs) -> Result<UnixMs, StoreError> {
    let known = connection.query_row("SELECT value FROM meta WHERE name = 'counts_since'", [], |row| row.get(0)).optional();
    match known.doing("reading counters")? {
        Some(since) => Ok(since),
        None => {
            connection.execute("INSERT INTO meta VALUES ('counts_since', ?1)", [now]).doing("writing counters")?;
            Ok(now)
        }
    }
}
