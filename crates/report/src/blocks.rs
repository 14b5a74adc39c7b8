//! Five-hour blocks: the windows that plans are limited by, as the vendor told them, else guessed.

use std::collections::BTreeMap;

use ducat_ledger::{Quota, UnixMs};

use crate::Totals;
use crate::report::RowSums;

/// Length of a block in minutes.
pub const BLOCK_MINUTES: u32 = 300;
const BLOCK_MS: i64 = BLOCK_MINUTES as i64 * 60_000;
const HOUR_MS: i64 = 3_600_000;

/// What a block's row says besides its sums.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockColumns {
    pub agent: String,
    pub start: UnixMs,
    pub end: UnixMs,
    /// Nobody told of the window: it begins with the hour of the first request that no block before it holds.
    pub guessed: bool,
    /// Now is in it.
    pub active: bool,
    /// All of the agent's requests are summed, none was filtered out.
    pub whole: bool,
    /// Share of the plan's quota that was used, in parts per million, where told.
    pub used_ppm: Option<u32>,
    /// Of an active one.
    pub outlook: Option<Outlook>,
}

/// Where an active block is going.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    /// Nano-USD an hour, since the first request.
    pub nano_per_hour: i64,
    /// Cost at its end, if it goes on like this, in nano-USD.
    pub projected_nano: i64,
    /// Used share at its end by the quota's own pace, in parts per million.
    pub projected_ppm: Option<u64>,
    pub used_up_at: Option<UnixMs>,
}

/// Requests of agents by time, not yet cut into blocks.
#[derive(Debug, Default)]
pub(crate) struct Points(BTreeMap<(String, UnixMs), RowSums>);

impl Points {
    /// The sums of an agent's requests at a time.
    pub fn at(&mut self, agent: &str, at: UnixMs) -> &mut RowSums {
        self.0.entry((agent.to_owned(), at)).or_default()
    }

    /// Blocks in the order of time.
    pub fn cut(self, quotas: &[Quota], now: UnixMs) -> Vec<(BlockColumns, RowSums)> {
        let mut blocks: Vec<(BlockColumns, RowSums)> = Vec::new();
        for ((agent, at), sums) in self.0 {
            let told = || quotas.iter().filter(|quota| quota.agent == agent);
            let open = blocks.last_mut().filter(|(block, _)| block.agent == agent && block.end > at);
            match open {
                Some((_, known)) => known.add(&sums),
                None => {
                    let before = blocks.last().filter(|(block, _)| block.agent == agent).map(|(block, _)| block.end);
                    let block = match told().find(|quota| start_of(quota) <= at && at < quota.resets_at()) {
                        Some(quota) => told_block(quota, now),
                        None => guessed_block(&agent, at, before, told().map(start_of).filter(|start| *start > at).min(), now),
                    };
                    blocks.push((block, sums));
                }
            }
        }
        for (block, sums) in &mut blocks {
            if block.active {
                let quota =
                    quotas.iter().find(|quota| !block.guessed && quota.agent == block.agent && quota.resets_at() == block.end);
                block.outlook = Some(outlook(block, &sums.totals, sums.first_at, quota, now));
            }
        }
        blocks.sort_by(|(one, _), (other, _)| (one.start, &one.agent).cmp(&(other.start, &other.agent)));
        blocks
    }
}

fn start_of(quota: &Quota) -> UnixMs {
    quota.resets_at().saturating_sub(quota.window_ms())
}

fn told_block(quota: &Quota, now: UnixMs) -> BlockColumns {
    let (start, end) = (start_of(quota), quota.resets_at());
    let active = (start..end).contains(&now);
    BlockColumns {
        agent: quota.agent.clone(),
        start,
        end,
        guessed: false,
        active,
        whole: true,
        used_ppm: Some(quota.used()),
        outlook: None,
    }
}

fn guessed_block(agent: &str, at: UnixMs, before: Option<UnixMs>, next: Option<UnixMs>, now: UnixMs) -> BlockColumns {
    let hour = at.div_euclid(HOUR_MS).saturating_mul(HOUR_MS);
    let start = before.map_or(hour, |before| before.max(hour));
    let end = start.saturating_add(BLOCK_MS).min(next.unwrap_or(UnixMs::MAX));
    let active = (start..end).contains(&now);
    BlockColumns { agent: agent.to_owned(), start, end, guessed: true, active, whole: true, used_ppm: None, outlook: None }
}

fn outlook(block: &BlockColumns, totals: &Totals, first_at: Option<UnixMs>, quota: Option<&Quota>, now: UnixMs) -> Outlook {
    // Ten minutes at least: the first request is no pace.
    let elapsed = now.saturating_sub(first_at.unwrap_or(block.start)).max(10 * 60_000);
    let cost = totals.cost.0;
    let over = |time: i64| i64::try_from(i128::from(cost) * i128::from(time) / i128::from(elapsed)).unwrap_or(i64::MAX);
    let pace = quota.and_then(|quota| quota.pace(now));
    Outlook {
        nano_per_hour: over(HOUR_MS),
        projected_nano: cost.saturating_add(over(block.end.saturating_sub(now))),
        projected_ppm: pace.map(|pace| pace.projected_ppm),
        used_up_at: pace.and_then(|pace| pace.used_up_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_ledger::RequestRollup;

    const HOUR: i64 = HOUR_MS;

    fn blocks(times: &[i64], quotas: &[Quota], now: i64) -> Vec<(BlockColumns, RowSums)> {
        let mut points = Points::default();
        for at in times {
            let sums = points.at("claude-code", *at);
            sums.totals.add("m", &RequestRollup { requests: 1, cost_nano: 1_000_000_000, ..RequestRollup::default() });
            sums.first_at = Some(*at);
        }
        points.cut(quotas, now)
    }

    fn spans(blocks: &[(BlockColumns, RowSums)]) -> Vec<(i64, i64, bool, u64)> {
        blocks
            .iter()
            .map(|(block, sums)| (block.start / 60_000, block.end / 60_000, block.guessed, sums.totals.requests))
            .collect()
    }

    #[test]
    fn guessed_blocks_begin_with_the_hour() {
        let times = [10 * HOUR + 20 * 60_000, 14 * HOUR, 15 * HOUR, 15 * HOUR + 1, 40 * HOUR];
        let spans = spans(&blocks(&times, &[], 99 * HOUR));
        assert_eq!(spans, [(600, 900, true, 2), (900, 1200, true, 2), (2400, 2700, true, 1)]);
    }

    #[test]
    fn what_was_told_wins_and_what_is_left_is_guessed_around_it() {
        let mut quota = Quota::new("claude-code", None, None, BLOCK_MINUTES, 17 * HOUR + 40 * 60_000);
        quota.tell(13 * HOUR, 250_000);
        let times = [10 * HOUR + 20 * 60_000, 12 * HOUR + 41 * 60_000, 17 * HOUR + 39 * 60_000, 17 * HOUR + 41 * 60_000];
        let blocks = blocks(&times, &[quota], 14 * HOUR);
        assert_eq!(spans(&blocks), [(600, 760, true, 1), (760, 1060, false, 2), (1060, 1360, true, 1)]);
        let told = &blocks[1].0;
        assert_eq!((told.active, told.used_ppm), (true, Some(250_000)));
        let outlook = told.outlook.clone().unwrap();
        assert!(outlook.projected_ppm.is_some() && outlook.projected_nano > 2_000_000_000, "{outlook:?}");
    }

    /// A fact may hold any time.
    #[test]
    fn times_in_no_calendar_end_nothing() {
        for now in [i64::MIN, 0, i64::MAX] {
            let quota = Quota::new("claude-code", None, None, BLOCK_MINUTES, i64::MIN);
            let blocks = blocks(&[i64::MIN, i64::MIN + 1, 0, i64::MAX - 1, i64::MAX], &[quota], now);
            assert_eq!(blocks.iter().map(|(_, sums)| sums.totals.requests).sum::<u64>(), 5);
        }
    }

    #[test]
    fn a_first_request_is_no_pace() {
        let active = &blocks(&[10 * HOUR], &[], 10 * HOUR + 1)[0].0;
        assert_eq!(active.outlook.as_ref().unwrap().nano_per_hour, 6_000_000_000);
    }
}
