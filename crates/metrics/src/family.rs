//! The families of series that facts move. A family's number is stored and never reused.

/// How the stored integers of a family read in the exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// As they are.
    One,
    /// Thousandths: milliseconds to seconds, score thousandths to scores.
    Thousandth,
    /// Microseconds to seconds.
    Millionth,
    /// Nano-USD to USD.
    Nano,
}

impl Unit {
    pub fn digits(self) -> u32 {
        match self {
            Self::One => 0,
            Self::Thousandth => 3,
            Self::Millionth => 6,
            Self::Nano => 9,
        }
    }
}

macro_rules! families {
    ($($family:ident = $code:literal, $name:literal, [$($label:literal),*], $unit:ident, [$($bound:literal),*], $help:literal;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Family { $($family = $code,)* }

        impl Family {
            pub const ALL: &'static [Self] = &[$(Self::$family,)*];

            pub fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$family),)* _ => None }
            }

            pub fn name(self) -> &'static str {
                match self { $(Self::$family => $name,)* }
            }

            pub fn labels(self) -> &'static [&'static str] {
                match self { $(Self::$family => &[$($label),*],)* }
            }

            pub fn unit(self) -> Unit {
                match self { $(Self::$family => Unit::$unit,)* }
            }

            /// Upper bounds of a histogram's buckets in stored units, without the infinite one; empty for a counter.
            pub fn bounds(self) -> &'static [u64] {
                match self { $(Self::$family => &[$($bound),*],)* }
            }

            pub fn help(self) -> &'static str {
                match self { $(Self::$family => $help,)* }
            }
        }
    };
}

families! {
    Requests = 1, "ducat_requests_total", ["agent", "model", "project", "user", "team"], One, [],
        "Model calls.";
    Tokens = 2, "ducat_tokens_total", ["agent", "model", "project", "user", "team", "kind"], One, [],
        "Tokens of model calls by kind: input (without cache), output (with reasoning), cache_read, cache_write_5m, cache_write_1h.";
    ReasoningTokens = 3, "ducat_reasoning_tokens_total", ["agent", "model"], One, [],
        "Tokens of reasoning, a part of the output tokens.";
    Cost = 4, "ducat_cost_usd_total", ["agent", "model", "project", "user", "team"], Nano, [],
        "Cost of model calls in USD by the price table; calls of unknown price are in none of it.";
    UnpricedRequests = 5, "ducat_unpriced_requests_total", ["agent", "model"], One, [],
        "Model calls whose cost is unknown because no price of the model is known.";
    ToolCalls = 6, "ducat_tool_calls_total", ["agent", "tool", "outcome", "project", "user", "team"], One, [],
        "Tool calls that ended, by outcome: ok, error, refused, interrupted.";
    ToolDuration = 7, "ducat_tool_call_duration_seconds", ["agent", "tool"], Thousandth,
        [10, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000],
        "How long tool calls took.";
    ToolResultBytes = 8, "ducat_tool_result_bytes", ["agent", "tool"], One, [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000],
        "Size of tool results as the model gets them.";
    ToolErrors = 9, "ducat_tool_errors_total", ["agent", "tool", "error_kind"], One, [],
        "Tool calls that ended otherwise than ok, by the kind of error.";
    Turns = 10, "ducat_turns_total", ["agent", "project", "user", "team"], One, [],
        "Prompts.";
    Sessions = 11, "ducat_sessions_total", ["agent", "user", "team"], One, [],
        "Sessions that began.";
    SessionDuration = 12, "ducat_session_duration_seconds", ["agent"], Thousandth, [60_000, 300_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 28_800_000],
        "Length of sessions whose end was told.";
    Incidents = 13, "ducat_incidents_total", ["agent", "kind", "detail"], One, [],
        "Compactions, API errors, permission requests and the like, by kind.";
    Corrections = 14, "ducat_corrections_total", ["fact", "reason"], One, [],
        "Facts that are in the ledger but not in the counters: history (before counting began), changed (after it was counted), lowered, ceased (it turned out to be told by another).";

    AiToolExecutions = 30, "ai_tool_executions_total", ["tool_name", "citizen", "success", "class"], One, [],
        "Tool calls that ended.";
    AiToolDuration = 31, "ai_tool_execution_duration_seconds", ["tool_name", "citizen", "class"], Thousandth,
        [10, 50, 100, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000],
        "How long tool calls took.";
    AiTokens = 32, "ai_tokens_used_total", ["type", "citizen", "model", "class"], One, [],
        "Tokens: prompt (input without cache), completion, cache_read, cache_write.";
    AiTokenCost = 33, "ai_token_cost_dollars", ["citizen", "model", "class"], Nano, [],
        "Cost of tokens in USD.";
    AiSessionDuration = 34, "ai_session_duration_seconds", ["citizen", "class"], Thousandth, [60_000, 300_000, 600_000, 1_800_000, 3_600_000, 7_200_000],
        "Length of sessions whose end was told.";
    AiComplexity = 35, "ai_prompt_complexity_score", ["citizen", "thinking_mode", "class"], Thousandth,
        [1_000, 3_000, 5_000, 7_000, 10_000, 15_000, 20_000, 30_000, 50_000],
        "Complexity of prompts as told.";
    AiThinkingMode = 36, "ai_thinking_mode_usage_total", ["mode", "citizen", "class"], One, [],
        "Prompts by thinking mode.";
    AiSuggestions = 37, "ai_optimization_suggestions_total", ["type", "citizen", "tool"], One, [],
        "Optimization suggestions as told.";
    AiSavings = 38, "ai_potential_savings_dollars", ["citizen", "optimization_type"], Nano, [],
        "Potential savings of suggestions in USD as told.";
    AiErrors = 39, "ai_errors_total", ["error_type", "tool", "citizen"], One, [],
        "Tool calls that did not succeed.";
    AiHookDuration = 40, "ai_hook_execution_duration_seconds", ["hook_type", "citizen"], Millionth,
        [1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000],
        "How long hooks took as told.";
    AiRevenue = 41, "ai_revenue_generated_dollars", ["citizen", "business", "source"], Nano, [],
        "Revenue in USD as told.";
    AiExpired = 42, "ai_tool_calls_expired_total", ["tool_name", "citizen"], One, [],
        "Tool calls that started and were given up because no end came.";
}

impl Family {
    pub fn is_histogram(self) -> bool {
        !self.bounds().is_empty()
    }

    /// A name of the first version that breaks the naming rules for counters; it is exposed with `_total` too.
    pub fn has_odd_name(self) -> bool {
        matches!(self, Self::AiTokenCost | Self::AiSavings | Self::AiRevenue)
    }

    pub fn is_of_first_version(self) -> bool {
        self.name().starts_with("ai_")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_one_to_one() {
        let mut names: Vec<&str> = Family::ALL.iter().map(|family| family.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Family::ALL.len());
        for family in Family::ALL {
            assert_eq!(Family::from_code(*family as u8), Some(*family));
            assert!(family.bounds().is_sorted() && family.help().ends_with('.'));
        }
    }
}
