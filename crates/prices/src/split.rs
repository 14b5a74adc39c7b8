//! How a request's cache writes divide into five minutes and an hour, solved from what it cost.

use crate::{PriceQuery, PriceTable, Usage};

/// Half a micro-USD: clients tell costs rounded to micro-USD.
const ROUNDING_NANO: i64 = 500;

impl PriceTable {
    /// The one split (5 minutes, 1 hour) of `usage.cache_write_unsplit` that costs `cost_nano` to the micro-USD; `None` where there is none or
    /// more than one, or where the cost is unknown.
    pub fn split_cache_writes(&self, query: &PriceQuery<'_>, usage: &Usage, cost_nano: i64) -> Option<(u64, u64)> {
        let writes = usage.cache_write_unsplit;
        // What `hour` tokens for an hour and the rest for five minutes cost above what was told.
        let above = |hour: u64| {
            let (five, unsplit) = (usage.cache_write_5m.saturating_add(writes - hour), 0);
            let hour = usage.cache_write_1h.saturating_add(hour);
            let split = Usage { cache_write_5m: five, cache_write_1h: hour, cache_write_unsplit: unsplit, ..*usage };
            self.cost(query, &split).amount()?.0.checked_sub(cost_nano)
        };
        let fits = |above: i64| (-ROUNDING_NANO..=ROUNDING_NANO).contains(&above);
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
