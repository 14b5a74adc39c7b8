//! Who told of requests, and which of them are disputed: kept with the facts, so that it is read without them.

use std::collections::HashMap;

use ducat_ledger::{Key, Request, UnixMs, WitnessRollup, WitnessRollupKey, Witnesses};
use ducat_prices::NanoUsd;
use ducat_report::{Coverage, CoverageQuery, Dispute, DisputeSums, Disputed, DisputedSession, Fields};
use rusqlite::{Connection, Row, params, params_from_iter};

use crate::check::stored;
use crate::rows::{self, Stored};
use crate::session_sums::SessionSums;
use crate::{Doing, Pricer, Reader, StoreError, TenantId, spans};

const WRITING: &str = "writing who told of requests";
const READING: &str = "reading who told of requests";
/// The index has all that is read here.
const DISPUTED: &str = "SELECT owner, disputed_agent, disputed_fields, difference_nano, is_difference_unknown
    FROM requests INDEXED BY requests_disputed WHERE tenant = ?1 AND disputed_fields IS NOT NULL";
const SUMMING: &str = "summing requests by who told of them";

/// What of a request that counts is disputed, by today's table.
pub(crate) fn dispute_of(stored: &Stored<Request>, pricer: &dyn Pricer) -> Option<Disputed> {
    // What counts nowhere is in no sum and in no list.
    WitnessRollup::of(stored.role, None)?;
    Dispute::of(&stored.fact, &|request| pricer.price(request)).map(|dispute| dispute.sums())
}

/// From the columns `disputed_fields`, `difference_nano` and `is_difference_unknown`, which begin at `place`.
pub(crate) fn disputed_at(row: &Row<'_>, place: usize) -> Result<Option<Disputed>, rusqlite::Error> {
    let Some(fields) = row.get::<_, Option<u16>>(place)? else { return Ok(None) };
    let difference = row.get::<_, Option<i64>>(place + 1)?.unwrap_or_default();
    let is_unknown = row.get::<_, Option<bool>>(place + 2)?.unwrap_or_default();
    Ok(Some(Disputed { fields: Fields(fields), difference: NanoUsd(difference), is_unknown }))
}

/// What a request adds to the sums by witnesses, and where.
pub(crate) fn rollup_of(
    stored: &Stored<Request>,
    cost: Option<NanoUsd>,
    disputed: Option<Disputed>,
) -> Option<(WitnessRollupKey, WitnessRollup)> {
    let mut sums = WitnessRollup::of(stored.role, cost)?;
    if let Some(Disputed { difference, is_unknown, .. }) = disputed {
        (sums.difference_nano, sums.unknown_differences) = (difference.0, i64::from(is_unknown));
    }
    let request = &stored.fact;
    let key = WitnessRollupKey {
        bucket: rows::bucket(request.started_at.get().copied()),
        agent: request.agent.clone(),
        witnesses: request.witnesses,
        is_disputed: disputed.is_some(),
    };
    Some((key, sums))
}

/// The rows that sum a request: of its quarter-hour and, where it told a time, of its day of UTC. With the length of their buckets in quarter-hours.
pub(crate) fn rows_of(key: WitnessRollupKey) -> impl Iterator<Item = (i64, WitnessRollupKey)> {
    spans::buckets_of(key.bucket).map(move |(span, bucket)| (span, WitnessRollupKey { bucket, ..key.clone() }))
}

/// New minus old of a commit, by the length of the buckets.
#[derive(Default)]
pub(crate) struct CoverageChanges(HashMap<(TenantId, i64, WitnessRollupKey), WitnessRollup>);

impl CoverageChanges {
    pub fn request(
        &mut self,
        tenant: TenantId,
        before: Option<(WitnessRollupKey, WitnessRollup)>,
        after: Option<(WitnessRollupKey, WitnessRollup)>,
    ) {
        if before == after {
            return;
        }
        if let Some((key, sums)) = before {
            rows_of(key).for_each(|(span, key)| self.0.entry((tenant, span, key)).or_default().subtract(&sums));
        }
        if let Some((key, sums)) = after {
            rows_of(key).for_each(|(span, key)| self.0.entry((tenant, span, key)).or_default().add(&sums));
        }
    }

    /// As other roll-ups: sums stop at the largest integer.
    pub fn write(self, connection: &Connection) -> Result<(), StoreError> {
        let mut upsert = connection
            .prepare_cached(
                "INSERT INTO rollup_witnesses VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
                 ON CONFLICT DO UPDATE SET requests = CAST(requests + excluded.requests AS INTEGER), sums = CAST(sums + excluded.sums AS INTEGER),
                 cost_nano = CAST(cost_nano + excluded.cost_nano AS INTEGER),
                 unpriced_requests = CAST(unpriced_requests + excluded.unpriced_requests AS INTEGER),
                 difference_nano = CAST(difference_nano + excluded.difference_nano AS INTEGER),
                 unknown_differences = CAST(unknown_differences + excluded.unknown_differences AS INTEGER)",
            )
            .doing(WRITING)?;
        let mut clean = connection
            .prepare_cached(
                "DELETE FROM rollup_witnesses WHERE tenant = ?1 AND span = ?2 AND bucket = ?3 AND requests = 0 AND sums = 0",
            )
            .doing(WRITING)?;
        let mut emptied = Vec::new();
        for ((tenant, span, key), sums) in self.0 {
            let [requests, some, cost, unpriced, difference, unknown] = sums.columns();
            let (bucket, witnesses) = (key.bucket, key.witnesses.0);
            let row = params![
                tenant.0,
                span,
                bucket,
                key.agent,
                witnesses,
                key.is_disputed,
                requests,
                some,
                cost,
                unpriced,
                difference,
                unknown
            ];
            upsert.execute(row).doing(WRITING)?;
            if requests < 1 {
                emptied.push((tenant, span, bucket));
            }
        }
        // After all of them: a row that is empty now may be filled again.
        for (tenant, span, bucket) in emptied {
            clean.execute(params![tenant.0, span, bucket]).doing(WRITING)?;
        }
        Ok(())
    }
}

/// Decides what is disputed of every request of a ledger that did not know, and sums all by who told of them.
pub(crate) fn fill(connection: &Connection, pricer: &dyn Pricer) -> Result<(), StoreError> {
    let (mut changes, mut found) = (CoverageChanges::default(), Vec::new());
    let mut statement = connection.prepare("SELECT fact, owner, role, tenant, cost_nano FROM requests").doing(SUMMING)?;
    let mut rows = statement.query([]).doing(SUMMING)?;
    while let Some(row) = rows.next().doing(SUMMING)? {
        let (tenant, cost) = (TenantId(row.get(3).doing(SUMMING)?), row.get::<_, Option<i64>>(4).doing(SUMMING)?);
        let stored = stored::<Request>(row)?;
        let disputed = dispute_of(&stored, pricer);
        changes.request(tenant, None, rollup_of(&stored, cost.map(NanoUsd), disputed));
        found.extend(disputed.map(|disputed| (tenant, stored.fact.key, stored.fact.agent, disputed)));
    }
    let sql = "UPDATE requests SET disputed_fields = ?3, difference_nano = ?4, is_difference_unknown = ?5, disputed_agent = ?6 WHERE tenant = ?1 AND key = ?2";
    let mut set = connection.prepare(sql).doing(SUMMING)?;
    for (tenant, key, agent, Disputed { fields, difference, is_unknown }) in found {
        set.execute(params![tenant.0, key.0, fields.0, difference.0, is_unknown, agent]).doing(SUMMING)?;
    }
    changes.write(connection)
}

/// A row of `rollup_witnesses`, and what it sums.
pub(crate) fn rollup_at(row: &Row<'_>) -> Result<(WitnessRollupKey, WitnessRollup), rusqlite::Error> {
    let key =
        WitnessRollupKey { bucket: row.get(2)?, agent: row.get(3)?, witnesses: Witnesses(row.get(4)?), is_disputed: row.get(5)? };
    let mut sums = [0; WitnessRollup::COLUMNS];
    for (place, sum) in (6..).zip(&mut sums) {
        *sum = row.get(place)?;
    }
    Ok((key, WitnessRollup::from_columns(sums)))
}

impl Reader {
    /// Who told of the requests of a time, and the sessions whose witnesses' claims differ by most.
    pub fn coverage(&self, tenant: TenantId, query: &CoverageQuery) -> Result<Coverage, StoreError> {
        // All of it is of one commit.
        let transaction = self.connection.unchecked_transaction().doing(READING)?;
        let mut coverage = Coverage::default();
        let sql = "SELECT * FROM rollup_witnesses WHERE tenant = ?1 AND span = ?2 AND bucket >= ?3 AND bucket < ?4";
        let mut statement = self.connection.prepare_cached(sql).doing(READING)?;
        for (span, buckets) in spans::parts(query.range) {
            let mut rows = statement.query(params![tenant.0, span, buckets.start, buckets.end]).doing(READING)?;
            while let Some(row) = rows.next().doing(READING)? {
                let (key, sums) = rollup_at(row).doing(READING)?;
                if query.agent.as_ref().is_none_or(|asked| *asked == key.agent) {
                    coverage.add(&key.agent, key.witnesses, key.is_disputed, &sums);
                }
            }
        }
        self.add_disputed(tenant, query, &mut coverage)?;
        transaction.finish().doing(READING)?;
        Ok(coverage)
    }

    fn add_disputed(&self, tenant: TenantId, query: &CoverageQuery, coverage: &mut Coverage) -> Result<(), StoreError> {
        let (from, until) = query.range;
        let is_all = query.range == (None, None);
        let sql = if is_all { DISPUTED.to_owned() } else { format!("{DISPUTED} AND started_at >= ?2 AND started_at < ?3") };
        let mut statement = self.connection.prepare_cached(&sql).doing(READING)?;
        let range: [i64; 3] = [tenant.0.into(), from.unwrap_or(UnixMs::MIN), until.unwrap_or(UnixMs::MAX)];
        let mut rows = statement.query(params_from_iter(&range[..if is_all { 1 } else { 3 }])).doing(READING)?;
        // What is of no session by agent. Agents are few and rows may be many: each is a number here.
        let mut agents = Vec::<String>::new();
        let mut found = HashMap::<(Option<Key>, usize), DisputeSums>::new();
        while let Some(row) = rows.next().doing(READING)? {
            let agent = row.get_ref(1).and_then(|agent| Ok(agent.as_str()?)).doing(READING)?;
            if query.agent.as_ref().is_some_and(|asked| asked != agent) {
                continue;
            }
            let place = agents.iter().position(|known| known == agent).unwrap_or_else(|| {
                agents.push(agent.to_owned());
                agents.len() - 1
            });
            let owner = row.get::<_, Option<[u8; 16]>>(0).doing(READING)?.map(Key);
            let disputed = disputed_at(row, 2).doing(READING)?;
            disputed.iter().for_each(|disputed| found.entry((owner, place)).or_default().add(disputed));
        }
        coverage.disputed_sessions = found.keys().filter(|(owner, _)| owner.is_some()).count() as u64;
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_by(|(one, cost), (other, others)| {
            let cost_of = |sums: &DisputeSums| (sums.difference, sums.unknown_differences, sums.requests);
            cost_of(others).cmp(&cost_of(cost)).then_with(|| one.cmp(other))
        });
        for ((owner, place), sums) in found.into_iter().take(Coverage::MOST_SESSIONS) {
            let agent = agents[place].clone();
            coverage.disputed.push(self.disputed_session(tenant, owner, agent, sums)?);
        }
        Ok(())
    }

    fn disputed_session(
        &self,
        tenant: TenantId,
        owner: Option<Key>,
        agent: String,
        sums: DisputeSums,
    ) -> Result<DisputedSession, StoreError> {
        let mut found = DisputedSession { session: None, agent, project: None, requests: None, sums };
        let Some(owner) = owner else { return Ok(found) };
        found.session = rows::load_session(&self.connection, tenant, owner)?;
        let sql = "SELECT sums, project FROM session_sums WHERE tenant = ?1 AND session = ?2";
        let mut statement = self.connection.prepare_cached(sql).doing(READING)?;
        let mut rows = statement.query(params![tenant.0, owner.0]).doing(READING)?;
        if let Some(row) = rows.next().doing(READING)? {
            let sums = row.get_ref(0).and_then(|sums| Ok(sums.as_bytes()?)).doing(READING)?;
            found.requests = SessionSums::parse(sums).known_requests().and_then(|requests| u64::try_from(requests).ok());
            found.project = Some(row.get(1).doing(READING)?).filter(|project: &String| !project.is_empty());
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use ducat_ledger::{KeySpace, Told};

    use super::*;
    use crate::schema;

    #[test]
    fn the_list_of_disputed_requests_reads_its_index_only() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection, &ducat_prices::PriceTable::embedded()).unwrap();
        for (range, by) in [("", "tenant=?"), (" AND started_at >= ?2 AND started_at < ?3", "started_at>? AND started_at<?")] {
            let sql = format!("EXPLAIN QUERY PLAN {DISPUTED}{range}");
            let plan: String = connection
                .query_row(&sql, [1, 2, 3].get(..if range.is_empty() { 1 } else { 3 }).map(params_from_iter).unwrap(), |row| {
                    row.get(3)
                })
                .unwrap();
            assert!(plan.contains("COVERING INDEX requests_disputed") && plan.contains(by), "{plan}");
        }
    }

    #[test]
    fn who_told_of_requests_is_summed_and_disputes_are_found_in_an_older_ledger() {
        let mut connection = schema::of_version(schema::SUMMED_BY_WITNESSES - 1);
        for (id, outputs, role) in
            [("agreed", [7, 7], 1), ("disputed", [3, 7], 1), ("a twin", [3, 7], 0), ("a sum", [7, 7], 2), ("covered", [3, 7], 3)]
        {
            let mut request = Request::new(Key::of(KeySpace::Request, "a", id), "a", id);
            request.witnesses = Witnesses(0b11);
            request.model = Told::by(3, "claude-opus-4-8".to_owned());
            for (rank, output) in [3, 6].into_iter().zip(outputs) {
                request.output_tokens.join_each(&Told::by(rank, output));
            }
            let fact = serde_json::to_string(&request).unwrap();
            let sql = "INSERT INTO requests (tenant, key, model, cost_nano, fact, role) VALUES (1, ?1, 'm', 175000, ?2, ?3)";
            connection.execute(sql, rusqlite::params![request.key.0, fact, role]).unwrap();
        }
        schema::migrate(&mut connection, &ducat_prices::PriceTable::embedded()).unwrap();
        let sql = "SELECT group_concat(is_disputed || ' ' || requests || ' ' || sums || ' ' || cost_nano || ' ' || difference_nano, ', ')
                   FROM rollup_witnesses WHERE witnesses = 3 AND span = 1";
        let rows: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        // 4 output tokens of 25 USD a million.
        assert_eq!(rows, "0 1 1 350000 0, 1 1 0 175000 100000");
        let sql = "SELECT COUNT(*), SUM(difference_nano) FROM requests WHERE disputed_fields IS NOT NULL";
        let found: (i64, i64) = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(found, (1, 100_000));
    }
}
