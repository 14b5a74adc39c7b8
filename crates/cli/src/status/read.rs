//! Where the day stands: by the ledger while a server keeps it, else by the transcripts.

use std::collections::HashSet;

use ducat_ledger::{Billing, Quota, Session, UnixMs};
use ducat_prices::NanoUsd;
use ducat_report::{Calendar, Document, Grouping, Period, Report, ReportQuery};
use ducat_scan::{ScanOptions, agent_homes, scan};
use ducat_spool::data_folder;
use ducat_store::{DataFolder, Reader, StoreError, TenantId};
use jiff::tz::TimeZone;

use super::{Source, Status};
use crate::config::{Config, report_cache};
use crate::report::cache_name;
use crate::service::process::Holder;

const HOUR_MS: i64 = 3_600_000;
/// As long as a session counts as active in the metrics.
const ACTIVE_MS: i64 = 5 * 60_000;

pub fn status(config: &Config, zone: TimeZone, now: UnixMs) -> anyhow::Result<Status> {
    let data = data_folder();
    let reader =
        data.as_deref().map(DataFolder::database_in).filter(|path| path.exists()).and_then(|path| Reader::open(&path).ok());
    // What a plan has left is told by no transcript, so an old word of it is better than none.
    let quotas = reader.as_ref().map(|reader| reader.quotas(TenantId::LOCAL, now)).transpose().ok().flatten().unwrap_or_default();
    let quotas: Vec<Quota> = Quota::fold(quotas).into_iter().filter(|quota| quota.limit.is_none()).collect();
    let query = today(&zone, now);
    let mut status = Status {
        now,
        zone,
        source: Source::Ledger,
        requests: 0,
        cost: Some(NanoUsd::ZERO),
        unpriced_requests: 0,
        last_hour: NanoUsd::ZERO,
        active_sessions: 0,
        quotas,
        is_plan: false,
        port: config.server.port_in_effect(),
    };
    match reader.filter(|_| data.as_deref().is_some_and(|data| Holder::of(data).is_some())) {
        Some(reader) => from_ledger(&mut status, &reader, query)?,
        None => from_transcripts(&mut status, config, query)?,
    }
    status.is_plan |= !status.quotas.is_empty();
    Ok(status)
}

fn today(zone: &TimeZone, now: UnixMs) -> ReportQuery {
    let today = Calendar::new(zone.clone()).date(now);
    ReportQuery { by: Grouping::Billing, period: Period::day(zone.clone(), today), ..ReportQuery::default() }
}

fn take_day(status: &mut Status, day: &Document) {
    status.requests = day.totals.requests;
    status.cost = day.totals.known_cost();
    status.unpriced_requests = day.totals.unpriced_requests;
    status.is_plan = day.rows.iter().any(|row| row.name.as_deref() == Some(Billing::Plan.name()));
}

fn from_ledger(status: &mut Status, reader: &Reader, query: ReportQuery) -> Result<(), StoreError> {
    let (tenant, now) = (TenantId::LOCAL, status.now);
    let range = query.time_range();
    let mut day = Report::new(query);
    reader.add_to(tenant, range, &mut day)?;
    take_day(status, &day.finish());
    let mut hour = Report::new(ReportQuery::default());
    reader.add_to(tenant, (Some(now - HOUR_MS), None), &mut hour)?;
    status.last_hour = hour.finish().totals.cost;
    let is_active = |session: &&Session| {
        let last = session.last_at.get().copied();
        // One that was resumed after its end is active again.
        session.ended_at.get().is_none_or(|ended| last.is_some_and(|last| *ended < last))
    };
    status.active_sessions = reader.sessions_since(tenant, now - ACTIVE_MS)?.iter().filter(is_active).count() as u64;
    Ok(())
}

/// As `ducat report` reads them, with the same memory of what it read.
fn from_transcripts(status: &mut Status, config: &Config, query: ReportQuery) -> anyhow::Result<()> {
    let homes = agent_homes();
    let prices = config.price_table()?;
    let cache = report_cache().map(|folder| folder.join(cache_name(&homes)));
    let scanned = scan(&ScanOptions { homes, excluded: config.excluded_folders(), cache }, &|_, _| {});
    let mut day = Report::new(query);
    let mut active = HashSet::new();
    let (now, mut last_hour) = (status.now, NanoUsd::ZERO);
    scanned.for_each(&prices, &mut |row| {
        day.add(row);
        let ago = row.started_at.map_or(i64::MAX, |at| now.saturating_sub(at));
        if ago <= HOUR_MS {
            last_hour = last_hour.saturating_add(NanoUsd(row.sums.cost_nano));
        }
        if ago <= ACTIVE_MS {
            active.insert(row.session.to_owned());
        }
    });
    take_day(status, &day.finish());
    (status.source, status.last_hour, status.active_sessions) = (Source::Transcripts, last_hour, active.len() as u64);
    Ok(())
}
