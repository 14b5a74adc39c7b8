//! Where a session and its day stand: what a status line shows of the ledger.

use ducat_ledger::{BUCKET_MS, Key, Quota, UnixMs};
use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

use crate::rollups::sum_of;
use crate::session_sums::SessionSums;
use crate::{Doing, Reader, StoreError, TenantId};

/// Sums of known costs in nano-USD, and the quota.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Of all requests since the asked time.
    pub day_nano: i64,
    /// Requests since then whose cost is unknown.
    pub day_unpriced: u64,
    /// Of all requests that the session owns.
    pub session_nano: i64,
    /// Of them, those whose cost is unknown.
    #[serde(default)]
    pub session_unpriced: u64,
    /// Windows that have not reset.
    pub quotas: Vec<Quota>,
}

impl Reader {
    /// The standing of a session in a day that began at `day_start` (rounded down to a quarter-hour).
    pub fn standing(&self, tenant: TenantId, session: Key, day_start: UnixMs, now: UnixMs) -> Result<Standing, StoreError> {
        let mut day = self
            .connection
            .prepare_cached(&format!(
                "SELECT {}, {} FROM rollup_requests WHERE tenant = ?1 AND bucket >= ?2",
                sum_of("cost_nano"),
                sum_of("unpriced_requests")
            ))
            .doing("reading roll-ups")?;
        let since = day_start.div_euclid(BUCKET_MS);
        let (day_nano, unpriced): (i64, i64) =
            day.query_row(params![tenant.0, since], |row| Ok((row.get(0)?, row.get(1)?))).doing("reading roll-ups")?;
        let mut owned = self
            .connection
            .prepare_cached("SELECT sums FROM session_sums WHERE tenant = ?1 AND session = ?2")
            .doing("reading a session")?;
        let sums = owned
            .query_row(params![tenant.0, session.0], |row| Ok(SessionSums::parse(row.get_ref(0)?.as_bytes()?)))
            .optional()
            .doing("reading a session")?
            .unwrap_or_default();
        let (session_nano, session_unpriced) = (sums.requests.cost_nano, sums.requests.unpriced_requests);
        let quotas = Quota::fold(self.quotas(tenant, now)?);
        let (day_unpriced, session_unpriced) = (unpriced.max(0).unsigned_abs(), session_unpriced.max(0).unsigned_abs());
        Ok(Standing { day_nano, day_unpriced, session_nano, session_unpriced, quotas })
    }
}
