//! Reading what witnesses said against each other.

use std::collections::BTreeMap;

use ducat_ledger::{BUCKET_MS, Billing, Key, Request, RequestRollup, Role, Session, ToolCall, UnixMs};
use ducat_prices::NanoUsd;
use ducat_report::{LedgerDay, ReconcileQuery, Reconciled, Reconciliation};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rusqlite::{Row, params};

use crate::reader::rollup_at;
use crate::{Doing, Pricer, Reader, StoreError, TenantId};

const READING: &str = "reading what witnesses said";

impl Reader {
    /// What the sessions' witnesses said, and what of it is believed; none when the one session asked for is not there, or not the only one.
    pub fn reconcile(
        &self,
        tenant: TenantId,
        query: &ReconcileQuery,
        pricer: &dyn Pricer,
    ) -> Result<Option<Reconciliation>, StoreError> {
        // All of it is of one commit.
        let transaction = self.connection.unchecked_transaction().doing(READING)?;
        let mut reconciliation = Reconciliation::new(query);
        let is_asked = |agent: &str| query.agent.as_deref().is_none_or(|asked| asked == agent);
        let is_full = |found: &Reconciliation| query.limit.is_some_and(|limit| found.sessions.len() >= limit);
        match &query.session {
            Some(id) => match self.find_session(tenant, id)? {
                Some(session) if is_asked(&session.agent) => reconciliation.add(self.reconciled(tenant, session, pricer)?),
                Some(_) => {}
                None => return Ok(None),
            },
            None => self.each_session_between(tenant, query.range, |session| {
                if is_asked(&session.agent) {
                    reconciliation.add(self.reconciled(tenant, session, pricer)?);
                }
                Ok(!is_full(&reconciliation))
            })?,
        }
        if query.session.is_none() && !is_full(&reconciliation) {
            let mut by_agent = BTreeMap::<String, Reconciled>::new();
            self.unowned_requests(tenant, query.range, |request, role, cost| {
                if is_asked(&request.agent) {
                    let row = by_agent.entry(request.agent.clone()).or_insert_with(|| Reconciled::new(None, &request.agent));
                    row.add_request(&request, role, cost, &|request| pricer.price(request));
                }
            })?;
            for row in by_agent.into_values() {
                if !is_full(&reconciliation) {
                    reconciliation.add(row);
                }
            }
        }
        transaction.finish().doing(READING)?;
        Ok(Some(reconciliation))
    }

    /// What is believed of each UTC day and model, from the roll-ups: a day of UTC is a whole number of them.
    pub fn ledger_days(&self, tenant: TenantId, from: UnixMs, until: UnixMs) -> Result<Vec<LedgerDay>, StoreError> {
        let sql = "SELECT * FROM rollup_requests WHERE tenant = ?1 AND bucket >= ?2 AND bucket < ?3";
        let mut statement = self.connection.prepare_cached(sql).doing(READING)?;
        let buckets = params![tenant.0, from.div_euclid(BUCKET_MS), until.div_euclid(BUCKET_MS)];
        let mut rows = statement.query(buckets).doing(READING)?;
        let mut days = BTreeMap::<(Date, String, bool), RequestRollup>::new();
        while let Some(row) = rows.next().doing(READING)? {
            let (bucket, model): (i64, String) = (row.get(1).doing(READING)?, row.get(3).doing(READING)?);
            let billing = Billing::parse(&row.get::<_, String>(9).doing(READING)?);
            let is_billed = !matches!(billing, Some(Billing::Plan | Billing::Credits | Billing::Local));
            // Every bucket between two times that a calendar holds is one.
            let Ok(at) = Timestamp::from_millisecond(bucket * BUCKET_MS) else { continue };
            days.entry((TimeZone::UTC.to_datetime(at).date(), model, is_billed)).or_default().add(&rollup_at(row)?);
        }
        let of = |((day, model, is_billed), sums)| LedgerDay { day, model, is_billed, sums };
        Ok(days.into_iter().map(of).collect())
    }

    fn reconciled(&self, tenant: TenantId, session: Session, pricer: &dyn Pricer) -> Result<Reconciled, StoreError> {
        let (key, agent) = (session.key, session.agent.clone());
        let mut row = Reconciled::new(Some(session), &agent);
        self.requests_of(tenant, key, |request, role, cost| {
            row.add_request(&request, role, cost, &|request| pricer.price(request));
        })?;
        self.owned::<ToolCall>(tenant, key)?.iter().for_each(|call| row.add_tool_call(call));
        Ok(row)
    }

    /// Sessions that were alive in a time, the latest first, for as long as more are wanted.
    fn each_session_between(
        &self,
        tenant: TenantId,
        (from, until): (Option<UnixMs>, Option<UnixMs>),
        mut wants_more: impl FnMut(Session) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let sql = "SELECT fact FROM sessions WHERE tenant = ?1 AND (?2 IS NULL OR last_at >= ?2) ORDER BY last_at DESC, key";
        let mut statement = self.connection.prepare_cached(sql).doing(READING)?;
        let mut rows = statement.query(params![tenant.0, from]).doing(READING)?;
        while let Some(row) = rows.next().doing(READING)? {
            let session: Session = serde_json::from_str(&row.get::<_, String>(0).doing(READING)?)?;
            let began = until.is_none_or(|until| session.started_at.get().is_none_or(|at| *at < until));
            if began && !wants_more(session)? {
                break;
            }
        }
        Ok(())
    }

    fn requests_of(
        &self,
        tenant: TenantId,
        owner: Key,
        mut each: impl FnMut(Request, Role, Option<NanoUsd>),
    ) -> Result<(), StoreError> {
        let sql = "SELECT fact, role, cost_nano FROM requests INDEXED BY requests_by_owner
                   WHERE tenant = ?1 AND owner = ?2 AND role != 0 ORDER BY started_at, key";
        let mut statement = self.connection.prepare_cached(sql).doing(READING)?;
        let mut rows = statement.query(params![tenant.0, owner.0]).doing(READING)?;
        while let Some(row) = rows.next().doing(READING)? {
            let (request, role, cost) = told(row)?;
            each(request, role, cost);
        }
        Ok(())
    }

    fn unowned_requests(
        &self,
        tenant: TenantId,
        (from, until): (Option<UnixMs>, Option<UnixMs>),
        mut each: impl FnMut(Request, Role, Option<NanoUsd>),
    ) -> Result<(), StoreError> {
        let sql = "SELECT fact, role, cost_nano FROM requests WHERE tenant = ?1 AND owner IS NULL AND role != 0
                   AND (?2 IS NULL OR started_at >= ?2) AND (?3 IS NULL OR started_at < ?3)";
        let mut statement = self.connection.prepare_cached(sql).doing(READING)?;
        let mut rows = statement.query(params![tenant.0, from, until]).doing(READING)?;
        while let Some(row) = rows.next().doing(READING)? {
            let (request, role, cost) = told(row)?;
            each(request, role, cost);
        }
        Ok(())
    }
}

fn told(row: &Row<'_>) -> Result<(Request, Role, Option<NanoUsd>), StoreError> {
    let fact = row.get_ref(0).doing(READING)?.as_str().map_err(rusqlite::Error::from).doing(READING)?;
    let role = Role::from_code(row.get(1).doing(READING)?).unwrap_or(Role::One);
    let cost: Option<i64> = row.get(2).doing(READING)?;
    Ok((serde_json::from_str(fact)?, role, cost.map(NanoUsd)))
}
