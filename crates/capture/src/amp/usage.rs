//! What an answer used. Anthropic's models are told with input, written and read apart; for other models the client puts what was not read from
//! the cache under `cacheCreationInputTokens` with an input of 0, or (in newer versions) tells the whole as input.

use std::borrow::Cow;

use ducat_ledger::UnixMs;
use sonic_rs::LazyValue;

use crate::json;
use crate::telling::without;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage<'a> {
    pub model: Option<Cow<'a, str>>,
    pub at: Option<UnixMs>,
    pub input: Option<u64>,
    pub output: Option<u64>,
    pub cache_read: Option<u64>,
    pub cache_write: Option<u64>,
    total_input: Option<u64>,
}

impl<'a> Usage<'a> {
    /// From an answer's `usage`, or the `tokens` of a ledger's event.
    pub fn parse(value: &LazyValue<'a>) -> Self {
        let mut usage = Self::default();
        json::for_fields(value, |field, value| match field {
            "model" => usage.model = json::id(&value),
            "timestamp" => usage.at = json::time(&value),
            "inputTokens" | "input" => usage.input = json::count(&value),
            "outputTokens" | "output" => usage.output = json::count(&value),
            "cacheReadInputTokens" => usage.cache_read = json::count(&value),
            "cacheCreationInputTokens" => usage.cache_write = json::count(&value),
            "totalInputTokens" => usage.total_input = json::count(&value),
            _ => {}
        });
        usage
    }

    pub fn is_zero(&self) -> bool {
        [self.input, self.output, self.cache_read, self.cache_write].into_iter().all(|count| count.unwrap_or_default() == 0)
    }

    /// With input, read and written apart.
    pub fn apart(self) -> Self {
        if self.model.as_deref().is_none_or(|model| model.contains("claude")) {
            return self;
        }
        let [input, read, written] = [self.input, self.cache_read, self.cache_write].map(Option::unwrap_or_default);
        let is_whole = match self.total_input {
            Some(total) => input == total && input.saturating_add(read).saturating_add(written) != total,
            None => input > 0 && written == 0,
        };
        let (input, cache_read) = if is_whole {
            without(self.input, self.cache_read)
        } else {
            (self.input.map(|input| input.saturating_add(written)), self.cache_read)
        };
        Self { input, cache_read, cache_write: None, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(model: &str, counts: &str) -> [Option<u64>; 3] {
        let text = format!(r#"{{"model":"{model}",{counts}}}"#);
        let usage = Usage::parse(&json::document(text.as_bytes()).unwrap()).apart();
        [usage.input, usage.cache_read, usage.cache_write]
    }

    #[test]
    fn other_models_have_no_cache_to_write_to() {
        let counts = r#""inputTokens":10,"cacheCreationInputTokens":986,"cacheReadInputTokens":11372,"totalInputTokens":12368"#;
        assert_eq!(apart("claude-haiku-4-5", counts), [Some(10), Some(11372), Some(986)]);
        let misses = r#""inputTokens":0,"cacheCreationInputTokens":5000,"cacheReadInputTokens":4000,"totalInputTokens":9000"#;
        assert_eq!(apart("gpt-5", misses), [Some(5000), Some(4000), None]);
        let whole = r#""inputTokens":9000,"cacheCreationInputTokens":null,"cacheReadInputTokens":4000,"totalInputTokens":9000"#;
        assert_eq!(apart("gpt-5", whole), [Some(5000), Some(4000), None]);
        let both = r#""inputTokens":9000,"cacheCreationInputTokens":5000,"cacheReadInputTokens":4000,"totalInputTokens":9000"#;
        assert_eq!(apart("gpt-5", both), [Some(5000), Some(4000), None]);
        assert_eq!(apart("gpt-5", r#""inputTokens":9000,"cacheReadInputTokens":99000"#), [Some(9000), None, None]);
    }
}
