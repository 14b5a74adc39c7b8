//! How a request's cache writes divide into five minutes and an hour, solved from what it cost.

use crate::{PriceQuery, PriceTable, Usage};

/// Half a micro-USD: clients tell costs rounded to micro-USD.
const ROUNDING_NANO: i64 = 500;
/// Web searches of one request that its cost may hold; nobody tells their number beside it.
const MOST_SEARCHES: u64 = 20;

impl PriceTable {
    /// Whether this usage costs `cost_nano` to the micro-USD.
    pub fn costs(&self, query: &PriceQuery<'_>, usage: &Usage, cost_nano: i64) -> bool {
        self.above(query, usage, cost_nano).is_some_and(fits)
    }

    /// What it costs above what was told.
    fn above(&self, query: &PriceQuery<'_>, usage: &Usage, cost_nano: i64) -> Option<i64> {
        self.cost(query, usage).amount()?.0.checked_sub(cost_nano)
    }

    /// The one split (5 minutes, 1 hour) of `usage.cache_write_unsplit` that costs `cost_nano` to the micro-USD; `None` where there is none or
    /// more than one, or where the cost is unknown. Nearly any cost has some split, so one into two parts is believed only where
    /// it `is_proven` that the client has these prices; one part alone is hardly ever right by chance.
    pub fn split_cache_writes(
        &self,
        query: &PriceQuery<'_>,
        usage: &Usage,
        cost_nano: i64,
        is_proven: bool,
    ) -> Option<(u64, u64)> {
        let writes = usage.cache_write_unsplit;
        // With `hour` tokens for an hour and the rest for five minutes.
        let split = |hour: u64| Usage {
            cache_write_5m: usage.cache_write_5m.saturating_add(writes - hour),
            cache_write_1h: usage.cache_write_1h.saturating_add(hour),
            cache_write_unsplit: 0,
            ..*usage
        };
        let above = |hour: u64| self.above(query, &split(hour), cost_nano);
        let has_searches = |number| self.costs(query, &Usage { web_search_requests: number, ..split(0) }, cost_nano);
        match (fits(above(0)?), fits(above(writes)?)) {
            (true, true) => return None,
            (true, false) => return Some((writes, 0)),
            _ if usage.web_search_requests == 0 && (1..=MOST_SEARCHES).any(has_searches) => return None,
            (false, true) => return Some((0, writes)),
            (false, false) if !is_proven => return None,
            (false, false) => {}
        }
        // An hour never costs less than five minutes, so the first that is not too cheap is the only candidate.
        let (mut low, mut high) = (0, writes);
        while low < high {
            let middle = low + (high - low) / 2;
            if above(middle)? < -ROUNDING_NANO { low = middle + 1 } else { high = middle }
        }
        let is_unique = low == writes || !fits(above(low + 1)?);
        (fits(above(low)?) && is_unique).then_some((writes - low, low))
    }
}

fn fits(above: i64) -> bool {
    (-ROUNDING_NANO..=ROUNDING_NANO).contains(&above)
}
