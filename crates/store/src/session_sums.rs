//! What each session owns, summed in one row: what the list of sessions filters and sorts by.

use std::collections::BTreeMap;

use ducat_ledger::{Billing, Incident, IncidentKind, Key, Outcome, Priced, Request, RequestRollup, Session, ToolCall, Turn};
use ducat_prices::NanoUsd;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use crate::batch::Joined;
use crate::names::{Name, Names};
use crate::rows::{self, Owned, Stored, owner_copy};
use crate::{Doing, StoreError, TenantId};

const WRITING: &str = "writing a session's sums";
const COLUMNS: usize = RequestRollup::COLUMNS + 5;

/// Sums of what a session owns. Signed, because a changed fact is taken out as it was and put in as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionSums {
    pub requests: RequestRollup,
    pub turns: i64,
    pub tool_calls: i64,
    /// Those that have an outcome other than `ok`.
    pub failed_tool_calls: i64,
    pub incidents: i64,
    /// Those incidents that are a provider's error.
    pub api_errors: i64,
}

impl SessionSums {
    /// Unknown where nobody told of single ones: hooks tell of none, sums of unknown many.
    pub fn known_requests(&self) -> Option<i64> {
        (self.requests.requests > 0).then_some(self.requests.requests)
    }

    /// Sum of the known costs; unknown when nobody told of requests, or none of them has a price.
    pub fn known_cost(&self) -> Option<NanoUsd> {
        let RequestRollup { requests, sums, unpriced_requests, cost_nano, .. } = self.requests;
        (unpriced_requests < requests.saturating_add(sums)).then_some(NanoUsd(cost_nano))
    }

    /// Failed tool calls and API errors.
    pub fn errors(&self) -> i64 {
        self.failed_tool_calls.saturating_add(self.api_errors)
    }

    /// Of all kinds; reasoning is a part of the output.
    pub fn tokens(&self) -> i64 {
        let of = &self.requests;
        [of.input_tokens, of.output_tokens, of.cache_read_tokens, of.cache_write_5m_tokens, of.cache_write_1h_tokens]
            .into_iter()
            .fold(0, i64::saturating_add)
    }

    pub fn add(&mut self, other: &Self) {
        self.combine(other, i64::saturating_add);
    }

    fn combine(&mut self, other: &Self, with: fn(i64, i64) -> i64) {
        let (ours, theirs) = (self.columns(), other.columns());
        *self = Self::from_columns(std::array::from_fn(|place| with(ours[place], theirs[place])));
    }

    pub(crate) fn columns(&self) -> [i64; COLUMNS] {
        let mut columns = [0; COLUMNS];
        columns[..RequestRollup::COLUMNS].copy_from_slice(&self.requests.columns());
        let others = [self.turns, self.tool_calls, self.failed_tool_calls, self.incidents, self.api_errors];
        columns[RequestRollup::COLUMNS..].copy_from_slice(&others);
        columns
    }

    fn from_columns(columns: [i64; COLUMNS]) -> Self {
        let mut requests = [0; RequestRollup::COLUMNS];
        requests.copy_from_slice(&columns[..RequestRollup::COLUMNS]);
        let [turns, tool_calls, failed_tool_calls, incidents, api_errors] =
            std::array::from_fn(|place| columns[RequestRollup::COLUMNS + place]);
        let requests = RequestRollup::from_columns(requests);
        Self { requests, turns, tool_calls, failed_tool_calls, incidents, api_errors }
    }

    /// As stored: a JSON array of the columns.
    fn to_text(self) -> String {
        let columns = self.columns().map(|column| column.to_string());
        format!("[{}]", columns.join(","))
    }

    /// Reads what [`SessionSums::to_text`] wrote, of every row of a list: a JSON parser takes three times as long.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let (mut columns, mut place, mut is_negative) = ([0_i64; COLUMNS], 0, false);
        for byte in text {
            let Some(column) = columns.get_mut(place) else { break };
            match byte {
                b'-' => is_negative = true,
                b'0'..=b'9' => {
                    let digit = i64::from(byte - b'0');
                    *column = column.saturating_mul(10).saturating_add(if is_negative { -digit } else { digit });
                }
                b',' => (place, is_negative) = (place + 1, false),
                _ => {}
            }
        }
        Self::from_columns(columns)
    }
}

/// What one fact adds to its owner.
#[derive(PartialEq)]
pub(crate) struct Part<'f> {
    owner: Key,
    sums: SessionSums,
    names: [Option<&'f str>; Name::ALL.len()],
}

/// A fact as far as it is summed by session; `D` is what is derived of it.
pub(crate) trait InSession<D>: Owned {
    fn sums(&self, derived: &D) -> SessionSums;
    /// User, team, host, billing and model.
    fn told<'f>(&'f self, derived: &'f D) -> [Option<&'f str>; 5];

    /// Nothing where no session owns it, or another row counts.
    fn part<'f>(stored: &'f Stored<Self>, derived: &'f D) -> Option<Part<'f>> {
        let owner = stored.owner.filter(|_| stored.role.counts())?;
        let copy = owner_copy(stored);
        let [user, team, host, billing, model] = stored.fact.told(derived);
        let project = copy.and_then(|copy| copy.project.as_deref());
        let branch = copy.and_then(|copy| copy.branch.as_deref());
        let names = [project, branch, user, team, host, billing, model];
        Some(Part { owner, sums: stored.fact.sums(derived), names })
    }
}

impl InSession<Priced> for Request {
    fn sums(&self, priced: &Priced) -> SessionSums {
        SessionSums { requests: RequestRollup::of(self, priced.cost), ..SessionSums::default() }
    }

    fn told<'f>(&'f self, priced: &'f Priced) -> [Option<&'f str>; 5] {
        let told = [&self.user, &self.team, &self.host].map(|told| told.get().map(String::as_str));
        [told[0], told[1], told[2], priced.billing.map(Billing::name), Some(priced.model.as_str())]
    }
}

impl InSession<()> for ToolCall {
    fn sums(&self, (): &()) -> SessionSums {
        let failed = self.outcome.get().is_some_and(|outcome| *outcome != Outcome::Ok);
        SessionSums { tool_calls: 1, failed_tool_calls: i64::from(failed), ..SessionSums::default() }
    }

    fn told<'f>(&'f self, (): &'f ()) -> [Option<&'f str>; 5] {
        let told = [&self.user, &self.team, &self.host].map(|told| told.get().map(String::as_str));
        [told[0], told[1], told[2], None, None]
    }
}

impl InSession<()> for Turn {
    fn sums(&self, (): &()) -> SessionSums {
        SessionSums { turns: 1, ..SessionSums::default() }
    }

    fn told<'f>(&'f self, (): &'f ()) -> [Option<&'f str>; 5] {
        [self.user.get().map(String::as_str), self.team.get().map(String::as_str), None, None, None]
    }
}

impl InSession<()> for Incident {
    fn sums(&self, (): &()) -> SessionSums {
        let is_error = self.kind.get() == Some(&IncidentKind::ApiError);
        SessionSums { incidents: 1, api_errors: i64::from(is_error), ..SessionSums::default() }
    }

    fn told<'f>(&'f self, (): &'f ()) -> [Option<&'f str>; 5] {
        [self.user.get().map(String::as_str), self.team.get().map(String::as_str), None, None, None]
    }
}

/// Sums and names of sessions: new minus old of a commit, or all of them.
#[derive(Default)]
pub(crate) struct SessionChanges(BTreeMap<(TenantId, Key), (SessionSums, Names)>);

impl SessionChanges {
    pub fn change(&mut self, tenant: TenantId, before: Option<Part<'_>>, after: Option<Part<'_>>) {
        if before == after {
            return;
        }
        for (part, sign) in [(before, -1), (after, 1)] {
            if let Some(part) = part {
                let (sums, names) = self.0.entry((tenant, part.owner)).or_default();
                sums.combine(&part.sums, if sign < 0 { i64::saturating_sub } else { i64::saturating_add });
                names.count(part.names, sign);
            }
        }
    }

    /// Writes the rows of what changed, and of the sessions of the commit; each once. Tells which.
    pub fn write(mut self, connection: &Connection, sessions: &Joined<Session>) -> Result<Vec<(TenantId, Key)>, StoreError> {
        for (of, (before, after)) in sessions {
            if before.as_ref() != Some(after) {
                self.0.entry(*of).or_default();
            }
        }
        let mut load = connection
            .prepare_cached("SELECT sums, names FROM session_sums WHERE tenant = ?1 AND session = ?2")
            .doing(WRITING)?;
        let mut save = connection
            .prepare_cached("INSERT OR REPLACE INTO session_sums VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")
            .doing(WRITING)?;
        let written = self.0.keys().copied().collect();
        for ((tenant, key), (mut sums, mut names)) in self.0 {
            let known = load
                .query_row(params![tenant.0, key.0], |row| {
                    Ok((SessionSums::parse(row.get_ref(0)?.as_bytes()?), Names::parse(row.get_ref(1)?.as_str()?)))
                })
                .optional()
                .doing(WRITING)?;
            if let Some((known_sums, known_names)) = known {
                sums.add(&known_sums);
                names.add(known_names);
            }
            let loaded;
            let session = match sessions.get(&(tenant, key)) {
                Some((_, session)) => Some(session),
                None => {
                    loaded = rows::load_session(connection, tenant, key)?;
                    loaded.as_ref()
                }
            };
            match row(&sums, &names, session) {
                Some(columns) => {
                    let of = [Value::Integer(tenant.0.into()), Value::Blob(key.0.to_vec())];
                    save.execute(params_from_iter(of.into_iter().chain(columns))).doing(WRITING)?;
                }
                None => {
                    connection
                        .execute("DELETE FROM session_sums WHERE tenant = ?1 AND session = ?2", params![tenant.0, key.0])
                        .doing(WRITING)?;
                }
            }
        }
        Ok(written)
    }

    /// The rows as they would be written, without key; `session` finds a session.
    pub fn rows(
        self,
        mut session: impl FnMut(Key) -> Result<Option<Session>, StoreError>,
    ) -> Result<Vec<(Key, [Value; ROW])>, StoreError> {
        let mut found = Vec::new();
        for ((_, key), (sums, names)) in self.0 {
            found.extend(row(&sums, &names, session(key)?.as_ref()).map(|row| (key, row)));
        }
        Ok(found)
    }

    /// A session that may own nothing.
    pub fn see(&mut self, tenant: TenantId, session: Key) {
        self.0.entry((tenant, session)).or_default();
    }
}

/// Columns of a row behind its key.
pub(crate) const ROW: usize = 8;
/// The place of the sums among them.
pub(crate) const SUMS: usize = 3;

/// Nothing for a session that nobody told of and that owns nothing any more.
fn row(sums: &SessionSums, names: &Names, session: Option<&Session>) -> Option<[Value; ROW]> {
    if session.is_none() && *sums == SessionSums::default() && names.is_empty() {
        return None;
    }
    let names = match session {
        Some(session) => names.with_own_words_of(session),
        None => names.clone(),
    };
    let at = |at: fn(&Session) -> Option<&i64>| session.and_then(at).map_or(Value::Null, |at| Value::Integer(*at));
    let agent = session.map_or("", |session| &session.agent);
    let project = names.main(Name::Project).unwrap_or_default();
    let searched = [
        session.map_or("", |session| &session.id),
        session.and_then(|session| session.cwd.get()).map_or("", String::as_str),
        agent,
        &names.all(Name::Project).collect::<Vec<_>>().join("\n"),
        &names.all(Name::Branch).collect::<Vec<_>>().join("\n"),
        &names.all(Name::Host).collect::<Vec<_>>().join("\n"),
        &names.all(Name::User).collect::<Vec<_>>().join("\n"),
    ]
    .join("\n")
    .to_lowercase();
    Some([
        at(|session| session.last_at.get()),
        at(|session| session.started_at.get()),
        at(|session| session.ended_at.get()),
        Value::Text(sums.to_text()),
        Value::Text(agent.to_owned()),
        Value::Text(project.to_owned()),
        Value::Text(names.to_text()),
        Value::Text(searched),
    ])
}

/// Sums what a ledger of before holds.
pub(crate) fn fill(connection: &Connection) -> Result<(), StoreError> {
    let mut changes = SessionChanges::default();
    let tenants: Vec<u32> = {
        let sql = "SELECT tenant FROM requests UNION SELECT tenant FROM sessions UNION SELECT tenant FROM tool_calls";
        let mut statement = connection.prepare(sql).doing(WRITING)?;
        let found = statement.query_map([], |row| row.get(0)).doing(WRITING)?;
        found.collect::<Result<_, _>>().doing(WRITING)?
    };
    for tenant in tenants.into_iter().map(TenantId) {
        sum(connection, tenant, &mut changes)?;
    }
    changes.write(connection, &Joined::default()).map(drop)
}

/// Adds all that a tenant's sessions own.
pub(crate) fn sum(connection: &Connection, tenant: TenantId, changes: &mut SessionChanges) -> Result<(), StoreError> {
    let mut statement = connection.prepare("SELECT key FROM sessions WHERE tenant = ?1").doing(WRITING)?;
    let mut found = statement.query([tenant.0]).doing(WRITING)?;
    while let Some(row) = found.next().doing(WRITING)? {
        changes.see(tenant, Key(row.get(0).doing(WRITING)?));
    }
    let sql = "SELECT fact, owner, role, model, cost_nano, billing FROM requests WHERE tenant = ?1 AND owner IS NOT NULL";
    each::<Request>(connection, sql, tenant, |stored, row| {
        let priced = rows::priced_at(row, 3).doing(WRITING)?;
        changes.change(tenant, None, Request::part(&stored, &priced));
        Ok(())
    })?;
    plain::<ToolCall>(connection, tenant, changes)?;
    plain::<Turn>(connection, tenant, changes)?;
    plain::<Incident>(connection, tenant, changes)
}

fn plain<F: InSession<()>>(connection: &Connection, tenant: TenantId, changes: &mut SessionChanges) -> Result<(), StoreError> {
    let sql = format!("SELECT fact, owner, role FROM {} WHERE tenant = ?1 AND owner IS NOT NULL", F::TABLE);
    each::<F>(connection, &sql, tenant, |stored, _| {
        changes.change(tenant, None, F::part(&stored, &()));
        Ok(())
    })
}

fn each<F: Owned>(
    connection: &Connection,
    sql: &str,
    tenant: TenantId,
    mut see: impl FnMut(Stored<F>, &rusqlite::Row<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare(sql).doing(WRITING)?;
    let mut found = statement.query([tenant.0]).doing(WRITING)?;
    while let Some(row) = found.next().doing(WRITING)? {
        see(crate::check::stored(row)?, row)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_read_as_they_were_written() {
        let mut columns = [0; COLUMNS];
        for (place, column) in columns.iter_mut().enumerate() {
            *column = [0, 7, -3, i64::MAX, i64::MIN, 1_234_567][place % 6] + i64::from(place == 1);
        }
        let sums = SessionSums::from_columns(columns);
        assert_eq!(SessionSums::parse(sums.to_text().as_bytes()), sums);
        assert_eq!(serde_json::from_str::<Vec<i64>>(&sums.to_text()).unwrap(), columns);
        assert_eq!(SessionSums::parse(b""), SessionSums::default());
    }
}
