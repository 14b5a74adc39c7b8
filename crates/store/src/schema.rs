//! The tables, one migration a version; a migration that has shipped never changes.

use rusqlite::Connection;

use crate::{Doing, Pricer, StoreError, attributes, coverage, session_sums, timings};

const MIGRATIONS: [&str; 13] = ["
CREATE TABLE sessions (
    tenant INTEGER NOT NULL, key BLOB NOT NULL, id TEXT NOT NULL, agent TEXT NOT NULL,
    last_at INTEGER, fact TEXT NOT NULL,
    PRIMARY KEY (tenant, key)) WITHOUT ROWID;
CREATE INDEX sessions_by_time ON sessions (tenant, last_at);

CREATE TABLE requests (
    tenant INTEGER NOT NULL, key BLOB NOT NULL, owner BLOB, started_at INTEGER,
    model TEXT NOT NULL, cost_nano INTEGER, fact TEXT NOT NULL,
    PRIMARY KEY (tenant, key)) WITHOUT ROWID;
CREATE INDEX requests_by_time ON requests (tenant, started_at);
CREATE INDEX requests_by_owner ON requests (tenant, owner);

CREATE TABLE tool_calls (
    tenant INTEGER NOT NULL, key BLOB NOT NULL, owner BLOB, started_at INTEGER, fact TEXT NOT NULL,
    PRIMARY KEY (tenant, key)) WITHOUT ROWID;
CREATE INDEX tool_calls_by_owner ON tool_calls (tenant, owner);

CREATE TABLE turns (
    tenant INTEGER NOT NULL, key BLOB NOT NULL, owner BLOB, started_at INTEGER, fact TEXT NOT NULL,
    PRIMARY KEY (tenant, key)) WITHOUT ROWID;
CREATE INDEX turns_by_owner ON turns (tenant, owner);

CREATE TABLE incidents (
    tenant INTEGER NOT NULL, key BLOB NOT NULL, owner BLOB, started_at INTEGER, fact TEXT NOT NULL,
    PRIMARY KEY (tenant, key)) WITHOUT ROWID;
CREATE INDEX incidents_by_owner ON incidents (tenant, owner);

-- Transcript lines by uuid: a line that one session holds only is one it wrote.
CREATE TABLE lines (
    tenant INTEGER NOT NULL, uuid BLOB NOT NULL, session BLOB NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (tenant, uuid, session)) WITHOUT ROWID;
CREATE INDEX lines_by_session ON lines (tenant, session, at);

-- A session's first line that it alone holds, or its opening, whichever is earlier.
CREATE TABLE births (
    tenant INTEGER NOT NULL, session BLOB NOT NULL, at INTEGER,
    PRIMARY KEY (tenant, session)) WITHOUT ROWID;

-- Facts that several sessions hold, by session: whose owner may change with a birth.
CREATE TABLE shared (
    tenant INTEGER NOT NULL, session BLOB NOT NULL, kind TEXT NOT NULL, key BLOB NOT NULL,
    PRIMARY KEY (tenant, session, kind, key)) WITHOUT ROWID;

CREATE TABLE event_ids (
    tenant INTEGER NOT NULL, id BLOB NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)) WITHOUT ROWID;
CREATE INDEX event_ids_by_time ON event_ids (at);

CREATE TABLE file_cursors (
    tenant INTEGER NOT NULL, path TEXT NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL,
    offset INTEGER NOT NULL, tail BLOB NOT NULL, state TEXT NOT NULL,
    PRIMARY KEY (tenant, path)) WITHOUT ROWID;

-- Sums by quarter-hour since 1970 (the least integer for facts without a time); absent names are ''.
CREATE TABLE rollup_requests (
    tenant INTEGER NOT NULL, bucket INTEGER NOT NULL, agent TEXT NOT NULL, model TEXT NOT NULL, project TEXT NOT NULL,
    branch TEXT NOT NULL, user TEXT NOT NULL, team TEXT NOT NULL, host TEXT NOT NULL, billing TEXT NOT NULL,
    requests INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL, cache_write_5m_tokens INTEGER NOT NULL, cache_write_1h_tokens INTEGER NOT NULL,
    web_search_requests INTEGER NOT NULL, cost_nano INTEGER NOT NULL, unpriced_requests INTEGER NOT NULL,
    PRIMARY KEY (tenant, bucket, agent, model, project, branch, user, team, host, billing)) WITHOUT ROWID;

CREATE TABLE rollup_tools (
    tenant INTEGER NOT NULL, bucket INTEGER NOT NULL, agent TEXT NOT NULL, tool TEXT NOT NULL, outcome TEXT NOT NULL,
    project TEXT NOT NULL, user TEXT NOT NULL, team TEXT NOT NULL,
    calls INTEGER NOT NULL, duration_ms INTEGER NOT NULL, result_bytes INTEGER NOT NULL,
    PRIMARY KEY (tenant, bucket, agent, tool, outcome, project, user, team)) WITHOUT ROWID;
", "
-- Single values: `counts_since`, the time from which facts enter the counters (ms since 1970).
CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

-- Series of the metrics; `amounts` is a JSON array: a counter's value, or a histogram's sum and the counts of its buckets.
CREATE TABLE series (
    tenant INTEGER NOT NULL, family INTEGER NOT NULL, label_values TEXT NOT NULL, created_at INTEGER NOT NULL, amounts TEXT NOT NULL,
    PRIMARY KEY (tenant, family, label_values)) WITHOUT ROWID;
", "
-- What no session owns is looked for by no owner, and would cost a page of the index each.
DROP INDEX requests_by_owner;
DROP INDEX tool_calls_by_owner;
DROP INDEX turns_by_owner;
DROP INDEX incidents_by_owner;
CREATE INDEX requests_by_owner ON requests (tenant, owner) WHERE owner IS NOT NULL;
CREATE INDEX tool_calls_by_owner ON tool_calls (tenant, owner) WHERE owner IS NOT NULL;
CREATE INDEX turns_by_owner ON turns (tenant, owner) WHERE owner IS NOT NULL;
CREATE INDEX incidents_by_owner ON incidents (tenant, owner) WHERE owner IS NOT NULL;
", "
-- Windows of plans' quotas; `used_up_at` is when one was first told to be full.
CREATE TABLE quotas (
    tenant INTEGER NOT NULL, key BLOB NOT NULL, resets_at INTEGER NOT NULL, used_up_at INTEGER, fact TEXT NOT NULL,
    PRIMARY KEY (tenant, key)) WITHOUT ROWID;
CREATE INDEX quotas_by_reset ON quotas (tenant, resets_at);

-- Who is paid: derived of the request, its session and the quota.
ALTER TABLE requests ADD COLUMN billing TEXT;

CREATE TABLE rollup_requests_wide (
    tenant INTEGER NOT NULL, bucket INTEGER NOT NULL, agent TEXT NOT NULL, model TEXT NOT NULL, project TEXT NOT NULL,
    branch TEXT NOT NULL, user TEXT NOT NULL, team TEXT NOT NULL, host TEXT NOT NULL, billing TEXT NOT NULL,
    subagent_type TEXT NOT NULL, skill TEXT NOT NULL, mcp_server TEXT NOT NULL,
    requests INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL, cache_write_5m_tokens INTEGER NOT NULL, cache_write_1h_tokens INTEGER NOT NULL,
    web_search_requests INTEGER NOT NULL, cost_nano INTEGER NOT NULL, unpriced_requests INTEGER NOT NULL,
    PRIMARY KEY (tenant, bucket, agent, model, project, branch, user, team, host, billing, subagent_type, skill, mcp_server)) WITHOUT ROWID;
INSERT INTO rollup_requests_wide
    SELECT tenant, bucket, agent, model, project, branch, user, team, host, billing, '', '', '', requests, input_tokens, output_tokens,
    reasoning_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, web_search_requests, cost_nano, unpriced_requests
    FROM rollup_requests;
DROP TABLE rollup_requests;
ALTER TABLE rollup_requests_wide RENAME TO rollup_requests;
", "
-- Keys of other machines; `hash` is of the secret, which is kept nowhere.
CREATE TABLE keys (
    id TEXT NOT NULL PRIMARY KEY, tenant INTEGER NOT NULL, name TEXT NOT NULL, hash BLOB NOT NULL, scope TEXT NOT NULL,
    created_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER, last_used_at INTEGER) WITHOUT ROWID;
CREATE UNIQUE INDEX keys_by_name ON keys (tenant, name) WHERE revoked_at IS NULL;

-- Machines that ship: `told` is what one calls itself, `host` what it is called here.
CREATE TABLE machines (
    tenant INTEGER NOT NULL, machine BLOB NOT NULL, host TEXT NOT NULL, told TEXT NOT NULL, client TEXT NOT NULL, key TEXT NOT NULL,
    first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL, clock_skew_ms INTEGER NOT NULL,
    facts INTEGER NOT NULL, events INTEGER NOT NULL, refused INTEGER NOT NULL,
    PRIMARY KEY (tenant, machine)) WITHOUT ROWID;
CREATE UNIQUE INDEX machines_by_host ON machines (tenant, host);

-- Which ledger this is, for machines that keep how far they sent.
CREATE TABLE identity (id BLOB NOT NULL PRIMARY KEY) WITHOUT ROWID;
INSERT INTO identity VALUES (randomblob(8));
", "
-- How a row counts: 0 another row tells the same, 1 one request or call, 2 a sum of requests, 3 a sum whose requests are told one by one,
-- 4 an estimate. `base` is what was told of the row itself, where `fact` has more from its twins.
ALTER TABLE requests ADD COLUMN role INTEGER NOT NULL DEFAULT 1;
ALTER TABLE requests ADD COLUMN pair_group BLOB;
ALTER TABLE requests ADD COLUMN base TEXT;
ALTER TABLE tool_calls ADD COLUMN role INTEGER NOT NULL DEFAULT 1;
ALTER TABLE tool_calls ADD COLUMN pair_group BLOB;
ALTER TABLE tool_calls ADD COLUMN base TEXT;
CREATE INDEX requests_sums ON requests (tenant, owner) WHERE role IN (2, 3);

-- Rows that may be told twice: the rows at one place of a group, one a lane, are one fact. A lane is in the order of time.
CREATE TABLE pairs (
    tenant INTEGER NOT NULL, pair_group BLOB NOT NULL, lane INTEGER NOT NULL, at INTEGER NOT NULL, key BLOB NOT NULL, place INTEGER NOT NULL,
    PRIMARY KEY (tenant, pair_group, lane, at, key)) WITHOUT ROWID;
CREATE INDEX pairs_by_place ON pairs (tenant, pair_group, place);

-- Agents of which single requests were told.
CREATE TABLE told_singly (tenant INTEGER NOT NULL, agent TEXT NOT NULL, PRIMARY KEY (tenant, agent)) WITHOUT ROWID;
INSERT INTO told_singly SELECT DISTINCT tenant, json_extract(fact, '$.agent') FROM requests;

ALTER TABLE rollup_requests ADD COLUMN sums INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_requests ADD COLUMN estimated_requests INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_requests ADD COLUMN estimated_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_requests ADD COLUMN estimated_cost_nano INTEGER NOT NULL DEFAULT 0;
", "
-- Further names of requests: the values that each has, bounded, and the sets of them that roll-ups are summed by. Names are those of the
-- columns, of labels 'label:' and their own. What roll-ups have is known.
CREATE TABLE attribute_values (tenant INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (tenant, name, value)) WITHOUT ROWID;
INSERT INTO attribute_values SELECT DISTINCT tenant, 'subagent_type', subagent_type FROM rollup_requests WHERE subagent_type != '';
INSERT INTO attribute_values SELECT DISTINCT tenant, 'skill', skill FROM rollup_requests WHERE skill != '';
INSERT INTO attribute_values SELECT DISTINCT tenant, 'mcp_server', mcp_server FROM rollup_requests WHERE mcp_server != '';
CREATE TABLE attribute_sets (
    number INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, subagent_type TEXT NOT NULL, skill TEXT NOT NULL, mcp_server TEXT NOT NULL,
    plugin TEXT NOT NULL, query_source TEXT NOT NULL, effort TEXT NOT NULL, labels TEXT NOT NULL,
    UNIQUE (tenant, subagent_type, skill, mcp_server, plugin, query_source, effort, labels));
INSERT INTO attribute_sets (tenant, subagent_type, skill, mcp_server, plugin, query_source, effort, labels)
    SELECT DISTINCT tenant, subagent_type, skill, mcp_server, '', '', '', '' FROM rollup_requests
    WHERE subagent_type != '' OR skill != '' OR mcp_server != '';

-- `attributes` is the number of the set, 0 where none of its names is told.
CREATE TABLE rollup_requests_by_set (
    tenant INTEGER NOT NULL, bucket INTEGER NOT NULL, agent TEXT NOT NULL, model TEXT NOT NULL, project TEXT NOT NULL,
    branch TEXT NOT NULL, user TEXT NOT NULL, team TEXT NOT NULL, host TEXT NOT NULL, billing TEXT NOT NULL, attributes INTEGER NOT NULL,
    requests INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL, cache_write_5m_tokens INTEGER NOT NULL, cache_write_1h_tokens INTEGER NOT NULL,
    web_search_requests INTEGER NOT NULL, cost_nano INTEGER NOT NULL, unpriced_requests INTEGER NOT NULL, sums INTEGER NOT NULL,
    estimated_requests INTEGER NOT NULL, estimated_tokens INTEGER NOT NULL, estimated_cost_nano INTEGER NOT NULL,
    PRIMARY KEY (tenant, bucket, agent, model, project, branch, user, team, host, billing, attributes)) WITHOUT ROWID;
INSERT INTO rollup_requests_by_set
    SELECT r.tenant, bucket, agent, model, project, branch, user, team, host, billing, IFNULL(s.number, 0), requests, input_tokens,
    output_tokens, reasoning_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, web_search_requests, cost_nano,
    unpriced_requests, sums, estimated_requests, estimated_tokens, estimated_cost_nano
    FROM rollup_requests r LEFT JOIN attribute_sets s ON s.tenant = r.tenant AND s.subagent_type = r.subagent_type
    AND s.skill = r.skill AND s.mcp_server = r.mcp_server AND s.plugin = '' AND s.query_source = '' AND s.effort = '' AND s.labels = '';
DROP TABLE rollup_requests;
ALTER TABLE rollup_requests_by_set RENAME TO rollup_requests;
", "
-- When witnesses were heard as things happened, by our clock; `session` is all zero for what belongs to none.
CREATE TABLE spells (
    tenant INTEGER NOT NULL, agent TEXT NOT NULL, session BLOB NOT NULL, witness INTEGER NOT NULL,
    began_at INTEGER NOT NULL, heard_at INTEGER NOT NULL, project TEXT,
    PRIMARY KEY (tenant, agent, session, witness, began_at)) WITHOUT ROWID;

-- Witnesses that somebody took out: their silence is meant.
CREATE TABLE taken_out (
    tenant INTEGER NOT NULL, agent TEXT NOT NULL, host TEXT NOT NULL, witness INTEGER NOT NULL,
    PRIMARY KEY (tenant, agent, host, witness)) WITHOUT ROWID;
", "
-- Turns and incidents are told under several ids too, and have their columns as requests do.
ALTER TABLE turns ADD COLUMN role INTEGER NOT NULL DEFAULT 1;
ALTER TABLE turns ADD COLUMN pair_group BLOB;
ALTER TABLE turns ADD COLUMN base TEXT;
ALTER TABLE incidents ADD COLUMN role INTEGER NOT NULL DEFAULT 1;
ALTER TABLE incidents ADD COLUMN pair_group BLOB;
ALTER TABLE incidents ADD COLUMN base TEXT;
", "
-- Sessions that hold a row without an id, by the table of the row: only their rows are in `pairs`.
CREATE TABLE keyless_sessions (
    tenant INTEGER NOT NULL, kind TEXT NOT NULL, session BLOB NOT NULL,
    PRIMARY KEY (tenant, kind, session)) WITHOUT ROWID;

-- Rows in the order of `spot` (time, lane, key); `cluster` is the spot of the first of those that are one fact.
DROP TABLE pairs;
CREATE TABLE pairs (
    tenant INTEGER NOT NULL, pair_group BLOB NOT NULL, lane INTEGER NOT NULL, spot BLOB NOT NULL, cluster BLOB,
    PRIMARY KEY (tenant, pair_group, lane, spot)) WITHOUT ROWID;
CREATE INDEX pairs_by_cluster ON pairs (tenant, pair_group, cluster);
CREATE INDEX pairs_begun ON pairs (tenant, pair_group, spot) WHERE cluster = spot;
-- They are paired anew when the session's next row without an id comes.
UPDATE requests SET pair_group = NULL WHERE pair_group IS NOT NULL;
UPDATE tool_calls SET pair_group = NULL WHERE pair_group IS NOT NULL;
UPDATE turns SET pair_group = NULL WHERE pair_group IS NOT NULL;
UPDATE incidents SET pair_group = NULL WHERE pair_group IS NOT NULL;

-- By agent too, as thousands of sums may be of no session.
DROP INDEX requests_sums;
CREATE INDEX requests_sums ON requests (tenant, owner, role, json_extract(fact, '$.agent')) WHERE role IN (2, 3);
-- Requests whose tokens nobody told do not stand for a sum; what is left out here is put in when it is told again.
DELETE FROM told_singly;
INSERT INTO told_singly SELECT DISTINCT tenant, json_extract(fact, '$.agent') FROM requests WHERE role = 1 AND coalesce(
    json_extract(fact, '$.input_tokens'), json_extract(fact, '$.output_tokens'), json_extract(fact, '$.cache_read_tokens'),
    json_extract(fact, '$.cache_write_tokens'), json_extract(fact, '$.cache_write_5m_tokens'), json_extract(fact, '$.cache_write_1h_tokens'),
    json_extract(fact, '$.web_search_requests')) IS NOT NULL;
", "
-- What a session owns, in a row: times of the session (ms since 1970; none untold), `sums` a JSON array of the columns of the sums of requests, then turns,
-- tool calls, failed ones, incidents and API errors; `names` a line each of kind, name as JSON and how many facts have it; `searched` what a search looks in,
-- in lower case. Absent names are ''.
CREATE TABLE session_sums (
    tenant INTEGER NOT NULL, session BLOB NOT NULL, last_at INTEGER, started_at INTEGER, ended_at INTEGER,
    sums TEXT NOT NULL, agent TEXT NOT NULL, project TEXT NOT NULL, names TEXT NOT NULL, searched TEXT NOT NULL,
    PRIMARY KEY (tenant, session)) WITHOUT ROWID;
CREATE INDEX sessions_by_id ON sessions (tenant, id);
", "
-- Which fields of a request somebody claims otherwise than is believed (a bit each; none where all agree), what that would cost more or
-- less, without signs, and whether some of it is unknown; as of when the request was last written.
ALTER TABLE requests ADD COLUMN disputed_fields INTEGER;
ALTER TABLE requests ADD COLUMN difference_nano INTEGER;
ALTER TABLE requests ADD COLUMN is_difference_unknown INTEGER;
-- The fact's agent where it is disputed, because an index by an expression is read together with the facts.
ALTER TABLE requests ADD COLUMN disputed_agent TEXT;
-- All that a list of disputed sessions reads.
CREATE INDEX requests_disputed ON requests (tenant, started_at, owner, disputed_agent, disputed_fields, difference_nano,
    is_difference_unknown) WHERE disputed_fields IS NOT NULL;

-- Requests by who told of them: `witnesses` is a set, a bit each. Buckets are `span` quarter-hours long, 1 or 96: years are read by days.
CREATE TABLE rollup_witnesses (
    tenant INTEGER NOT NULL, span INTEGER NOT NULL, bucket INTEGER NOT NULL, agent TEXT NOT NULL, witnesses INTEGER NOT NULL, is_disputed INTEGER NOT NULL,
    requests INTEGER NOT NULL, sums INTEGER NOT NULL, cost_nano INTEGER NOT NULL, unpriced_requests INTEGER NOT NULL,
    difference_nano INTEGER NOT NULL, unknown_differences INTEGER NOT NULL,
    PRIMARY KEY (tenant, span, bucket, agent, witnesses, is_disputed)) WITHOUT ROWID;
", "
-- Durations by class, the bytes of `ducat_ledger::Durations`; the roll-ups are summed anew from the facts. Buckets are as those of `rollup_witnesses`.
DROP TABLE rollup_tools;
CREATE TABLE rollup_tools (
    tenant INTEGER NOT NULL, span INTEGER NOT NULL, bucket INTEGER NOT NULL, agent TEXT NOT NULL, tool TEXT NOT NULL, outcome TEXT NOT NULL,
    error_kind TEXT NOT NULL, project TEXT NOT NULL, user TEXT NOT NULL, team TEXT NOT NULL,
    calls INTEGER NOT NULL, duration_ms INTEGER NOT NULL, sized_calls INTEGER NOT NULL, result_bytes INTEGER NOT NULL,
    input_bytes INTEGER NOT NULL, durations BLOB NOT NULL,
    PRIMARY KEY (tenant, span, bucket, agent, tool, outcome, error_kind, project, user, team)) WITHOUT ROWID;

-- Times of requests that told any.
CREATE TABLE rollup_latencies (
    tenant INTEGER NOT NULL, span INTEGER NOT NULL, bucket INTEGER NOT NULL, agent TEXT NOT NULL, model TEXT NOT NULL, project TEXT NOT NULL,
    output_tokens INTEGER NOT NULL, output_ms INTEGER NOT NULL, durations BLOB NOT NULL, ttfts BLOB NOT NULL,
    PRIMARY KEY (tenant, span, bucket, agent, model, project)) WITHOUT ROWID;

-- Calls that are summed and told when they began and how long they took: the slowest of a quarter-hour are found here.
CREATE TABLE timed_calls (
    tenant INTEGER NOT NULL, started_at INTEGER NOT NULL, duration_ms INTEGER NOT NULL, key BLOB NOT NULL,
    PRIMARY KEY (tenant, started_at, duration_ms, key)) WITHOUT ROWID;
"];

/// The version from which requests are summed by plugin, query source, effort and labels too.
const SUMMED_BY_ATTRIBUTES: i64 = 7;

/// The version from which what sessions own is summed by session.
const SUMMED_BY_SESSION: i64 = 11;

/// The version from which requests are summed by who told of them, and disputes are known.
pub(crate) const SUMMED_BY_WITNESSES: i64 = 12;
/// The version from which calls and requests are summed by how long they took.
const SUMMED_BY_DURATION: i64 = 13;

/// Brings the database to this version's schema, each migration in a transaction of its own.
pub(crate) fn migrate(connection: &mut Connection, pricer: &dyn Pricer) -> Result<(), StoreError> {
    let found = check(connection)?;
    for (version, sql) in (1..).zip(MIGRATIONS).skip(usize::try_from(found).unwrap_or(0)) {
        let transaction = connection.transaction().doing("migrating")?;
        transaction.execute_batch(sql).doing("migrating")?;
        if version == SUMMED_BY_ATTRIBUTES {
            attributes::sum_by(&transaction)?;
        }
        if version == SUMMED_BY_SESSION {
            session_sums::fill(&transaction)?;
        }
        if version == SUMMED_BY_WITNESSES {
            coverage::fill(&transaction, pricer)?;
        }
        if version == SUMMED_BY_DURATION {
            timings::sum_anew(&transaction)?;
        }
        transaction.pragma_update(None, "user_version", version).doing("migrating")?;
        transaction.commit().doing("migrating")?;
    }
    Ok(())
}

/// The database's schema, which must not be newer than this version's.
pub(crate) fn check(connection: &Connection) -> Result<i64, StoreError> {
    let known = MIGRATIONS.len() as i64;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).doing("reading the schema's version")?;
    if found > known { Err(StoreError::Newer { found, known }) } else { Ok(found) }
}

/// Fails where the database has another schema than this version's.
pub(crate) fn require_current(connection: &Connection) -> Result<(), StoreError> {
    let (found, known) = (check(connection)?, MIGRATIONS.len() as i64);
    if found < known { Err(StoreError::Older { found, known }) } else { Ok(()) }
}

/// The database has this version's schema.
pub(crate) fn is_current(connection: &Connection) -> Result<bool, StoreError> {
    Ok(check(connection)? == MIGRATIONS.len() as i64)
}

/// Settings of every connection.
pub(crate) fn configure(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(std::time::Duration::from_secs(10)).doing("opening the database")?;
    connection.pragma_update(None, "journal_mode", "WAL").doing("opening the database")?;
    connection.pragma_update(None, "temp_store", "MEMORY").doing("opening the database")?;
    connection.pragma_update(None, "cache_size", -8192).doing("opening the database")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Settings of a connection that only reads.
pub(crate) fn configure_reader(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(std::time::Duration::from_secs(10)).doing("opening the database")?;
    connection.pragma_update(None, "temp_store", "MEMORY").doing("opening the database")
}

/// A new ledger as an older version would make it.
#[cfg(test)]
pub(crate) fn of_version(version: i64) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    for sql in &MIGRATIONS[..version as usize] {
        connection.execute_batch(sql).unwrap();
    }
    connection.pragma_update(None, "user_version", version).unwrap();
    connection
}

#[cfg(test)]
mod tests;
