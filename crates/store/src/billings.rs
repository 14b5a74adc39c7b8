//! Who is paid for the requests of a commit.

use std::collections::HashMap;

use ducat_ledger::{Billing, Key, Quota, Request, Session, UnixMs, billing};
use rusqlite::Connection;

use crate::batch::Joined;
use crate::rows::{self, Owned, Stored};
use crate::{Doing, StoreError, TenantId};

/// What sessions and quotas say of billing: those of the commit, else those that are stored, each read once.
pub(crate) struct Billings<'c> {
    connection: &'c Connection,
    sessions: &'c Joined<Session>,
    quotas: &'c Joined<Quota>,
    stored_sessions: HashMap<(TenantId, Key), Option<Billing>>,
    /// Windows that were told to be full.
    used_up: HashMap<TenantId, Vec<Quota>>,
}

impl<'c> Billings<'c> {
    pub fn new(connection: &'c Connection, sessions: &'c Joined<Session>, quotas: &'c Joined<Quota>) -> Self {
        Self { connection, sessions, quotas, stored_sessions: HashMap::new(), used_up: HashMap::new() }
    }

    pub fn of(&mut self, tenant: TenantId, request: &Stored<Request>) -> Result<Option<Billing>, StoreError> {
        let of_session = match request.owner {
            Some(owner) => self.of_session(tenant, owner)?,
            None => None,
        };
        let told = request.fact.billing.get().copied();
        // Quotas are looked at only where there is a plan.
        let used_up = if told.or(of_session) == Some(Billing::Plan) { self.used_up(tenant, &request.fact)? } else { Vec::new() };
        Ok(billing(told, of_session, request.fact.at(), &used_up))
    }

    fn of_session(&mut self, tenant: TenantId, session: Key) -> Result<Option<Billing>, StoreError> {
        if let Some((_, known)) = self.sessions.get(&(tenant, session)) {
            return Ok(known.billing.get().copied());
        }
        if let Some(known) = self.stored_sessions.get(&(tenant, session)) {
            return Ok(*known);
        }
        let found = rows::load_session(self.connection, tenant, session)?.and_then(|known| known.billing.get().copied());
        self.stored_sessions.insert((tenant, session), found);
        Ok(found)
    }

    /// From when windows that this request counts against were used up until they reset.
    fn used_up(&mut self, tenant: TenantId, request: &Request) -> Result<Vec<(UnixMs, UnixMs)>, StoreError> {
        if !self.used_up.contains_key(&tenant) {
            let mut statement = self
                .connection
                .prepare_cached("SELECT fact FROM quotas WHERE tenant = ?1 AND used_up_at IS NOT NULL")
                .doing("reading quotas")?;
            let stored = statement.query_map([tenant.0], |row| row.get::<_, String>(0)).doing("reading quotas")?;
            let mut quotas: HashMap<Key, Quota> = HashMap::new();
            for fact in stored {
                let quota: Quota = serde_json::from_str(&fact.doing("reading quotas")?)?;
                quotas.insert(quota.key, quota);
            }
            let of_commit = self.quotas.iter().filter(|((of, _), _)| *of == tenant);
            quotas.extend(of_commit.map(|((_, key), (_, quota))| (*key, quota.clone())));
            self.used_up.insert(tenant, quotas.into_values().filter(|quota| quota.used_up().is_some()).collect());
        }
        let model = request.model.get().map_or("", String::as_str);
        let windows = self.used_up.get(&tenant).into_iter().flatten();
        Ok(windows.filter(|quota| quota.agent == request.agent && quota.covers(model)).filter_map(Quota::used_up).collect())
    }
}
