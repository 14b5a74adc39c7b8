//! What one model call used.

/// Tokens by kind, and what else is billed by the piece. `input` is without cache; `output` holds `reasoning`, which is never added again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Usage {
    pub input: u64,
    pub output: u64,
    pub reasoning: u64,
    pub cache_read: u64,
    /// Written to the cache for five minutes.
    pub cache_write_5m: u64,
    /// Written to the cache for an hour.
    pub cache_write_1h: u64,
    /// Written to the cache for a time nobody told; priced at the five-minute rate.
    pub cache_write_unsplit: u64,
    pub web_search_requests: u64,
}

impl Usage {
    pub fn saturating_add(&self, other: &Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write_5m: self.cache_write_5m.saturating_add(other.cache_write_5m),
            cache_write_1h: self.cache_write_1h.saturating_add(other.cache_write_1h),
            cache_write_unsplit: self.cache_write_unsplit.saturating_add(other.cache_write_unsplit),
            web_search_requests: self.web_search_requests.saturating_add(other.web_search_requests),
        }
    }

    /// Tokens the model was given, cached or not: what long-context tiers are decided by.
    pub fn context_tokens(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write_5m)
            .saturating_add(self.cache_write_1h)
            .saturating_add(self.cache_write_unsplit)
    }

    /// Tokens of all kinds.
    pub fn tokens(&self) -> u64 {
        self.context_tokens().saturating_add(self.output)
    }

    /// Nothing at all was used.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}
