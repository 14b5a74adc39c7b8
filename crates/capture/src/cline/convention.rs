//! Which tokens an input includes. Cline passes on what each provider's client counts, which differs; Roo Code told the same until October 2025
//! and the whole since. The sources say it for some; for the others a part larger than its whole does.

use crate::telling::without;

/// Providers whose input Cline tells without what was read from and written to the cache, as its source has it.
const WITHOUT_CACHE: [&str; 15] = [
    "anthropic",
    "baseten",
    "bedrock",
    "claude-code",
    "cline",
    "deepseek",
    "gemini",
    "groq",
    "minimax",
    "moonshot",
    "openai-codex",
    "openai-native",
    "openrouter",
    "vercel-ai-gateway",
    "vertex",
];

/// What a request used, as told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub input: Option<u64>,
    pub output: Option<u64>,
    pub cache_read: Option<u64>,
    pub cache_write: Option<u64>,
}

impl Counts {
    pub fn is_zero(&self) -> bool {
        [self.input, self.output, self.cache_read, self.cache_write].into_iter().all(|count| count.unwrap_or_default() == 0)
    }

    fn cached(&self) -> u64 {
        self.cache_read.unwrap_or_default().saturating_add(self.cache_write.unwrap_or_default())
    }

    /// DeepSeek has no cache to write to: what is told as written is what was not found in it.
    pub fn without_misses(self, provider: Option<&str>, model: Option<&str>) -> Self {
        let is_deepseek =
            provider == Some("deepseek") || model.is_some_and(|model| model.to_ascii_lowercase().contains("deepseek"));
        match (self.input, self.cache_write) {
            (Some(input), Some(misses)) if is_deepseek => {
                // Some clients tell the misses beside an input of 0, others within the whole.
                let input = if self.cached() <= input { input } else { input.saturating_add(misses) };
                Self { input: Some(input), cache_write: None, ..self }
            }
            _ => self,
        }
    }

    /// With the input less what was read from and written to the cache.
    pub fn less_cache(self) -> Self {
        let (input, cache_read) = without(self.input, self.cache_read);
        let (input, cache_write) = without(input, self.cache_write);
        Self { input, cache_read, cache_write, ..self }
    }
}

/// Whether inputs include the cache: of requests of one provider (and protocol) in one task.
pub fn includes_cache<'a>(provider: Option<&str>, requests: impl IntoIterator<Item = &'a Counts>) -> bool {
    let is_known = provider.is_some_and(|provider| WITHOUT_CACHE.contains(&provider));
    !is_known && requests.into_iter().all(|counts| counts.cached() <= counts.input.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(input: u64, cache_read: u64, cache_write: u64) -> Counts {
        Counts { input: Some(input), output: Some(1), cache_read: Some(cache_read), cache_write: Some(cache_write) }
    }

    #[test]
    fn a_part_larger_than_its_whole_tells_that_it_is_no_part() {
        let (whole, apart) = (counts(9000, 4000, 0), counts(7, 4000, 30));
        assert!(includes_cache(Some("openai"), [&whole]));
        assert!(!includes_cache(Some("openai"), [&whole, &apart]));
        assert!(!includes_cache(Some("anthropic"), [&whole]), "known from the source");
        assert!(includes_cache(None, [&whole]));
        assert_eq!(whole.less_cache(), counts(5000, 4000, 0));
    }

    #[test]
    fn a_deepseek_miss_is_input() {
        let told = |input| counts(input, 4, 6).without_misses(Some("deepseek"), None);
        assert_eq!(told(0), Counts { cache_write: None, ..counts(6, 4, 0) });
        assert_eq!(counts(10, 4, 6).without_misses(Some("openai"), Some("deepseek-chat")).input, Some(10));
        assert_eq!(counts(10, 4, 6).without_misses(Some("openai"), Some("gpt-5")), counts(10, 4, 6));
    }
}
