//! Roll-up rows: summed in memory for a commit, written once a touched row.

use std::collections::HashMap;

use ducat_ledger::{Billing, RequestRollup, RequestRollupKey};
use rusqlite::{Connection, params};

use crate::attributes::AttributeSets;
use crate::timings::TimingChanges;
use crate::{Doing, StoreError, TenantId};

/// Where [`RequestRollup::is_empty`].
const NO_REQUESTS: &str = "requests = 0 AND sums = 0 AND estimated_requests = 0 AND estimated_tokens = 0";
/// SQL for the sum of a column. `SUM` fails past 64 bits; this one is exact as far as they reach, and the largest integer beyond.
pub(crate) fn sum_of(column: &str) -> String {
    format!("CAST(IFNULL(SUM({column} >> 32), 0) * 4294967296 + IFNULL(SUM({column} & 4294967295), 0) AS INTEGER)")
}

/// What a commit adds to each row, its attributes as they stand in the row.
pub(crate) type RequestChanges = Vec<((TenantId, RequestRollupKey), RequestRollup)>;

/// New minus old of a commit.
#[derive(Default)]
pub(crate) struct RollupChanges {
    requests: HashMap<(TenantId, RequestRollupKey), RequestRollup>,
    pub timings: TimingChanges,
}

impl RollupChanges {
    pub fn request(
        &mut self,
        tenant: TenantId,
        before: Option<(RequestRollupKey, RequestRollup)>,
        after: Option<(RequestRollupKey, RequestRollup)>,
    ) {
        if before == after {
            return;
        }
        if let Some((key, sums)) = before {
            self.requests.entry((tenant, key)).or_default().subtract(&sums);
        }
        if let Some((key, sums)) = after {
            self.requests.entry((tenant, key)).or_default().add(&sums);
        }
    }

    /// Sums past 64 bits would become floating-point numbers in SQLite, which no report reads: the casts stop them at the largest integer.
    pub fn write(self, connection: &Connection) -> Result<RequestChanges, StoreError> {
        let text = |name: &Option<String>| name.clone().unwrap_or_default();
        let mut upsert = connection
            .prepare_cached(
                "INSERT INTO rollup_requests VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)
                 ON CONFLICT DO UPDATE SET requests = CAST(requests + excluded.requests AS INTEGER), input_tokens = CAST(input_tokens + excluded.input_tokens AS INTEGER),
                 output_tokens = CAST(output_tokens + excluded.output_tokens AS INTEGER), reasoning_tokens = CAST(reasoning_tokens + excluded.reasoning_tokens AS INTEGER),
                 cache_read_tokens = CAST(cache_read_tokens + excluded.cache_read_tokens AS INTEGER),
                 cache_write_5m_tokens = CAST(cache_write_5m_tokens + excluded.cache_write_5m_tokens AS INTEGER),
                 cache_write_1h_tokens = CAST(cache_write_1h_tokens + excluded.cache_write_1h_tokens AS INTEGER),
                 web_search_requests = CAST(web_search_requests + excluded.web_search_requests AS INTEGER), cost_nano = CAST(cost_nano + excluded.cost_nano AS INTEGER),
                 unpriced_requests = CAST(unpriced_requests + excluded.unpriced_requests AS INTEGER), sums = CAST(sums + excluded.sums AS INTEGER),
                 estimated_requests = CAST(estimated_requests + excluded.estimated_requests AS INTEGER), estimated_tokens = CAST(estimated_tokens + excluded.estimated_tokens AS INTEGER),
                 estimated_cost_nano = CAST(estimated_cost_nano + excluded.estimated_cost_nano AS INTEGER)",
            )
            .doing("writing a roll-up")?;
        let mut emptied = Vec::new();
        // In order, so that which values are within bounds depends on no hash.
        let mut changes: RequestChanges = self.requests.into_iter().collect();
        changes.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let mut sets = AttributeSets::new(connection);
        for ((tenant, key), sums) in &mut changes {
            let [
                requests,
                input,
                output,
                reasoning,
                read,
                write_5m,
                write_1h,
                searches,
                cost,
                unpriced,
                some,
                guesses,
                guessed,
                guessed_cost,
            ] = sums.columns();
            let (project, branch, user) = (text(&key.project), text(&key.branch), text(&key.user));
            let (team, host, billing) = (text(&key.team), text(&key.host), key.billing.map_or("", Billing::name));
            let attributes = sets.put_in(*tenant, &mut key.attributes)?;
            upsert
                .execute(params![
                    tenant.0,
                    key.bucket,
                    key.agent,
                    key.model,
                    project,
                    branch,
                    user,
                    team,
                    host,
                    billing,
                    attributes,
                    requests,
                    input,
                    output,
                    reasoning,
                    read,
                    write_5m,
                    write_1h,
                    searches,
                    cost,
                    unpriced,
                    some,
                    guesses,
                    guessed,
                    guessed_cost
                ])
                .doing("writing a roll-up")?;
            if requests < 1 {
                emptied.push((*tenant, key.bucket));
            }
        }
        for (tenant, bucket) in emptied {
            let sql = format!("DELETE FROM rollup_requests WHERE tenant = ?1 AND bucket = ?2 AND {NO_REQUESTS}");
            connection
                .prepare_cached(&sql)
                .and_then(|mut delete| delete.execute(params![tenant.0, bucket]))
                .doing("writing a roll-up")?;
        }
        self.timings.write(connection)?;
        Ok(changes)
    }
}
