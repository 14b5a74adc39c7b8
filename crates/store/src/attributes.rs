//! The sets of further names that roll-ups are summed by, each a number, and the values that each name has, bounded: what a client can
//! make up must not make up rows of a report without end.

use std::collections::{HashMap, HashSet};

use ducat_ledger::{Attributes, OTHER, Request, labels};
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use crate::check::stored;
use crate::rollups::RollupChanges;
use crate::{Doing, Reader, StoreError, TenantId, rows, schema};

/// Values of one name and tenant; later ones are `other`.
const MOST_VALUES: i64 = 1000;
/// Names of labels a tenant; requests are summed by no later one.
const MOST_LABELS: i64 = 64;
/// How a label's name begins where all names stand beside each other.
const LABEL: &str = "label:";
/// Where its names end: `;` comes after `:`.
const AFTER_LABELS: &str = "label;";
/// Where none is told; it is no row of `attribute_sets`.
const NONE: i64 = 0;
const WRITING: &str = "writing attributes";
const READING: &str = "reading attributes";

/// What becomes of a name's value.
enum Standing {
    Known,
    /// It came after the bound was reached.
    Other,
    /// So did its name.
    Unnamed,
}

/// The set as it may stand in a roll-up. What is known stays so and what is not never will be, so that a request is taken out where
/// it was put in.
fn folded(
    told: Attributes<&str>,
    mut standing: impl FnMut(&str, &str) -> Result<Standing, StoreError>,
) -> Result<Attributes, StoreError> {
    let mut columns: [Option<String>; Attributes::<String>::NAMES.len()] = Default::default();
    for ((name, value), place) in Attributes::<String>::NAMES.into_iter().zip(told.columns()).zip(&mut columns) {
        let Some(value) = value else { continue };
        if name != "labels" {
            let is_known = matches!(standing(name, value)?, Standing::Known);
            *place = Some(if is_known { (*value).to_owned() } else { OTHER.to_owned() });
            continue;
        }
        let mut kept = Vec::new();
        for (name, value) in labels(value) {
            match standing(&format!("{LABEL}{name}"), value)? {
                Standing::Known => kept.push(format!("{name}={value}")),
                Standing::Other => kept.push(format!("{name}={OTHER}")),
                Standing::Unnamed => {}
            }
        }
        *place = Some(kept.join("\n")).filter(|kept| !kept.is_empty());
    }
    Ok(Attributes::from_columns(columns))
}

/// Numbers of sets, for one commit.
pub(crate) struct AttributeSets<'c> {
    connection: &'c Connection,
    /// As told: the number, and the set as it stands in a roll-up.
    known: HashMap<(TenantId, Attributes), (i64, Attributes)>,
}

impl<'c> AttributeSets<'c> {
    pub fn new(connection: &'c Connection) -> Self {
        Self { connection, known: HashMap::new() }
    }

    /// Makes names the set that requests of them are summed under, and tells its number; a new one where they are new and within bounds.
    pub fn put_in(&mut self, tenant: TenantId, names: &mut Attributes) -> Result<i64, StoreError> {
        if names.is_empty() {
            return Ok(NONE);
        }
        let key = (tenant, names.clone());
        let (number, set) = match self.known.get(&key) {
            Some(known) => known.clone(),
            // A set that is there is of known values, or of `other`.
            None => match self.find(tenant, names)? {
                Some(number) => (number, names.clone()),
                None => {
                    let set = folded(names.as_deref(), |name, value| self.standing(tenant, name, value))?;
                    (self.insert(tenant, &set)?, set)
                }
            },
        };
        names.clone_from(&set);
        self.known.insert(key, (number, set));
        Ok(number)
    }

    fn find(&self, tenant: TenantId, set: &Attributes) -> Result<Option<i64>, StoreError> {
        let mut find = self
            .connection
            .prepare_cached(
                "SELECT number FROM attribute_sets WHERE tenant = ?1 AND subagent_type = ?2 AND skill = ?3 AND mcp_server = ?4
                 AND plugin = ?5 AND query_source = ?6 AND effort = ?7 AND labels = ?8",
            )
            .doing(WRITING)?;
        find.query_row(params_from_iter(row_of(tenant, set)), |row| row.get(0)).optional().doing(WRITING)
    }

    fn insert(&self, tenant: TenantId, set: &Attributes) -> Result<i64, StoreError> {
        if set.is_empty() {
            return Ok(NONE);
        }
        if let Some(number) = self.find(tenant, set)? {
            return Ok(number);
        }
        let sql = "INSERT INTO attribute_sets (tenant, subagent_type, skill, mcp_server, plugin, query_source, effort, labels)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let mut insert = self.connection.prepare_cached(sql).doing(WRITING)?;
        insert.insert(params_from_iter(row_of(tenant, set))).doing(WRITING)
    }

    /// How a value stands; a new one is known from here on where there is room.
    fn standing(&self, tenant: TenantId, name: &str, value: &str) -> Result<Standing, StoreError> {
        let count = |sql: &str, name: &str, other: &str| {
            let mut counting = self.connection.prepare_cached(sql).doing(WRITING)?;
            counting.query_row(params![tenant.0, name, other], |row| row.get::<_, i64>(0)).doing(WRITING)
        };
        let is_there = "SELECT COUNT(*) FROM attribute_values WHERE tenant = ?1 AND name = ?2 AND value = ?3";
        if count(is_there, name, value)? > 0 {
            return Ok(Standing::Known);
        }
        let values = count("SELECT COUNT(*) FROM attribute_values WHERE tenant = ?1 AND name = ?2 AND value != ?3", name, "")?;
        if values >= MOST_VALUES {
            return Ok(Standing::Other);
        }
        if values == 0 && name.starts_with(LABEL) {
            let names = "SELECT COUNT(DISTINCT name) FROM attribute_values WHERE tenant = ?1 AND name >= ?2 AND name < ?3";
            if count(names, LABEL, AFTER_LABELS)? >= MOST_LABELS {
                return Ok(Standing::Unnamed);
            }
        }
        let mut insert = self.connection.prepare_cached("INSERT INTO attribute_values VALUES (?1, ?2, ?3)").doing(WRITING)?;
        insert.execute(params![tenant.0, name, value]).doing(WRITING)?;
        Ok(Standing::Known)
    }
}

/// Moves what was summed without plugin, query source, effort and labels under the set with them.
pub(crate) fn sum_by(connection: &Connection) -> Result<(), StoreError> {
    const MOVING: &str = "summing requests by their attributes";
    let sql = "SELECT fact, owner, role, model, cost_nano, billing, tenant FROM requests WHERE fact LIKE '%\"plugin\":%'
               OR fact LIKE '%\"query_source\":%' OR fact LIKE '%\"effort\":%' OR fact LIKE '%\"labels\":%'";
    let mut statement = connection.prepare(sql).doing(MOVING)?;
    let mut found = statement.query([]).doing(MOVING)?;
    let mut changes = RollupChanges::default();
    while let Some(row) = found.next().doing(MOVING)? {
        let stored = stored::<Request>(row)?;
        let priced = rows::priced_at(row, 3).doing(MOVING)?;
        let after = rows::request_rollup(&stored, &priced);
        let before = after.clone().map(|(mut key, sums)| {
            let Attributes { subagent_type, skill, mcp_server, .. } = key.attributes;
            key.attributes = Attributes { subagent_type, skill, mcp_server, ..Attributes::default() };
            (key, sums)
        });
        changes.request(TenantId(row.get(6).doing(MOVING)?), before, after);
    }
    changes.write(connection).map(drop)
}

fn row_of(tenant: TenantId, set: &Attributes) -> impl Iterator<Item = rusqlite::types::Value> {
    let texts = set.columns().map(|value| rusqlite::types::Value::Text(value.cloned().unwrap_or_default()));
    std::iter::once(rusqlite::types::Value::Integer(i64::from(tenant.0))).chain(texts)
}

/// A tenant's sets and known values, as of one moment.
pub(crate) struct KnownAttributes {
    sets: HashMap<i64, Attributes>,
    values: HashMap<String, HashSet<String>>,
}

impl KnownAttributes {
    /// The set of a roll-up's row.
    pub fn set(&self, number: i64) -> Attributes<&str> {
        self.sets.get(&number).map(Attributes::as_deref).unwrap_or_default()
    }

    /// What a request's names stand under.
    pub fn fold(&self, told: Attributes<&str>) -> Result<Attributes, StoreError> {
        folded(told, |name, value| {
            Ok(match self.values.get(name) {
                Some(values) if values.contains(value) => Standing::Known,
                Some(_) => Standing::Other,
                None => Standing::Unnamed,
            })
        })
    }
}

/// A tenant's sets by number.
pub(crate) fn sets(connection: &Connection, tenant: TenantId) -> Result<HashMap<i64, Attributes>, StoreError> {
    let sql = "SELECT subagent_type, skill, mcp_server, plugin, query_source, effort, labels, number
               FROM attribute_sets WHERE tenant = ?1";
    let mut statement = connection.prepare_cached(sql).doing(READING)?;
    let mut rows = statement.query([tenant.0]).doing(READING)?;
    let mut sets = HashMap::new();
    while let Some(row) = rows.next().doing(READING)? {
        let mut columns: [Option<String>; Attributes::<String>::NAMES.len()] = Default::default();
        for (place, column) in columns.iter_mut().enumerate() {
            *column = row.get::<_, Option<String>>(place).doing(READING)?.filter(|text| !text.is_empty());
        }
        sets.insert(row.get(7).doing(READING)?, Attributes::from_columns(columns));
    }
    Ok(sets)
}

impl Reader {
    pub(crate) fn known_attributes(&self, tenant: TenantId) -> Result<KnownAttributes, StoreError> {
        let sets = sets(&self.connection, tenant)?;
        let mut statement =
            self.connection.prepare_cached("SELECT name, value FROM attribute_values WHERE tenant = ?1").doing(READING)?;
        let mut rows = statement.query([tenant.0]).doing(READING)?;
        let mut values: HashMap<String, HashSet<String>> = HashMap::new();
        while let Some(row) = rows.next().doing(READING)? {
            values.entry(row.get(0).doing(READING)?).or_default().insert(row.get(1).doing(READING)?);
        }
        Ok(KnownAttributes { sets, values })
    }

    /// Names of the labels that requests are summed by, in order.
    pub fn label_names(&self, tenant: TenantId) -> Result<Vec<String>, StoreError> {
        schema::require_current(&self.connection)?;
        let sql =
            "SELECT DISTINCT substr(name, ?4) FROM attribute_values WHERE tenant = ?1 AND name >= ?2 AND name < ?3 ORDER BY 1";
        let mut statement = self.connection.prepare_cached(sql).doing(READING)?;
        let rows = statement
            .query_map(params![tenant.0, LABEL, AFTER_LABELS, LABEL.len() as i64 + 1], |row| row.get(0))
            .doing(READING)?;
        rows.collect::<Result<_, _>>().doing(READING)
    }
}
