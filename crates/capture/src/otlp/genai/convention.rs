//! What the conventions call a request's tokens, and whether a count is a part of another. docs/genai.md says where each was looked up.

use std::fmt;

use super::super::record::Record;

/// How one convention names token counts.
struct Convention {
    input: &'static str,
    output: &'static str,
    total: &'static str,
    /// The first that is told.
    cache_read: &'static [&'static str],
    cache_write: &'static [&'static str],
    reasoning: &'static [&'static str],
}

/// OpenLLMetry's names beside OpenTelemetry's own, the current ones first.
const CACHE_READ: &[&str] = &["gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens"];
const CACHE_WRITE: &[&str] = &["gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens"];
const REASONING: &[&str] =
    &["gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens", "llm.usage.reasoning_tokens"];

/// A span that speaks several is read by the first. In all of them input includes cache reads and writes, and output includes reasoning.
const CONVENTIONS: [Convention; 4] = [
    // OpenTelemetry since 1.27; OpenLLMetry since 0.5 of its conventions.
    Convention {
        input: "gen_ai.usage.input_tokens",
        output: "gen_ai.usage.output_tokens",
        total: "gen_ai.usage.total_tokens",
        cache_read: CACHE_READ,
        cache_write: CACHE_WRITE,
        reasoning: REASONING,
    },
    // OpenTelemetry 1.26; OpenLLMetry until then.
    Convention {
        input: "gen_ai.usage.prompt_tokens",
        output: "gen_ai.usage.completion_tokens",
        total: "llm.usage.total_tokens",
        cache_read: CACHE_READ,
        cache_write: CACHE_WRITE,
        reasoning: REASONING,
    },
    // OpenInference.
    Convention {
        input: "llm.token_count.prompt",
        output: "llm.token_count.completion",
        total: "llm.token_count.total",
        cache_read: &["llm.token_count.prompt_details.cache_read"],
        cache_write: &["llm.token_count.prompt_details.cache_write"],
        reasoning: &["llm.token_count.completion_details.reasoning"],
    },
    // OpenLLMetry before OpenTelemetry had a convention.
    Convention {
        input: "llm.usage.prompt_tokens",
        output: "llm.usage.completion_tokens",
        total: "llm.usage.total_tokens",
        cache_read: &["llm.usage.cache_read_input_tokens"],
        cache_write: &["llm.usage.cache_creation_input_tokens"],
        reasoning: &["llm.usage.reasoning_tokens"],
    },
];

/// Instrumentations whose input leaves cache reads and writes out, and whose total does not show it: Bedrock's own `inputTokens` do.
const INPUT_WITHOUT_CACHE: [&str; 1] = ["opentelemetry.instrumentation.bedrock"];

/// A request's tokens as the ledger counts them: input without cache, output with reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    pub input: Option<u64>,
    pub output: Option<u64>,
    pub cache_read: Option<u64>,
    pub cache_write: Option<u64>,
    pub reasoning: Option<u64>,
}

/// Why a span's tokens are not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    NoCount(&'static str),
    /// A count that is a part of another is larger than it.
    LargerThan(&'static str, &'static str),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCount(name) => write!(f, "{name}: no count of tokens"),
            Self::LargerThan(part, whole) => write!(f, "{part}: larger than {whole}, which it is a part of"),
        }
    }
}

impl Tokens {
    /// `None` where neither input nor output is told.
    pub fn read(record: &Record<'_>, scope: &str) -> Result<Option<Self>, Refused> {
        for convention in &CONVENTIONS {
            let (input, output) = (count(record, convention.input)?, count(record, convention.output)?);
            if input.is_some() || output.is_some() {
                return convention.tokens(record, scope, input, output).map(Some);
            }
        }
        Ok(None)
    }
}

impl Convention {
    fn tokens(&self, record: &Record<'_>, scope: &str, input: Option<u64>, output: Option<u64>) -> Result<Tokens, Refused> {
        let (cache_read, read_as) = first(record, self.cache_read)?;
        let (cache_write, written_as) = first(record, self.cache_write)?;
        let (reasoning, reasoning_as) = first(record, self.reasoning)?;
        let cache = cache_read.unwrap_or(0) + cache_write.unwrap_or(0);
        let thought = reasoning.unwrap_or(0);
        // A total says which parts stand beside their wholes. Where several readings fit, the convention's own.
        let sum = input.unwrap_or(0) + output.unwrap_or(0);
        let total = count(record, self.total)?.filter(|total| *total != sum);
        let beside = |parts: u64| parts > 0 && total == Some(sum + parts);
        let (cache_beside, reasoning_beside) = match (beside(cache), beside(thought)) {
            (true, false) => (true, false),
            (false, true) => (false, true),
            (false, false) if cache > 0 && thought > 0 && beside(cache + thought) => (true, true),
            _ => (INPUT_WITHOUT_CACHE.iter().any(|name| scope.starts_with(name)), false),
        };
        let cache_as = if cache_read >= cache_write { read_as } else { written_as };
        Ok(Tokens {
            input: match input {
                Some(input) if !cache_beside => Some(input.checked_sub(cache).ok_or(Refused::LargerThan(cache_as, self.input))?),
                input => input,
            },
            output: match output {
                Some(output) if reasoning_beside => Some(output + thought),
                Some(output) if thought > output => return Err(Refused::LargerThan(reasoning_as, self.output)),
                output => output,
            },
            cache_read,
            cache_write,
            reasoning,
        })
    }
}

/// The first of these that is told, and its name.
fn first(record: &Record<'_>, names: &[&'static str]) -> Result<(Option<u64>, &'static str), Refused> {
    let name = names.iter().find(|name| record.has(name)).copied();
    name.map_or(Ok(None), |name| count(record, name)).map(|count| (count, name.unwrap_or_default()))
}

/// Fails where what is told is no count that a request can have.
fn count(record: &Record<'_>, name: &'static str) -> Result<Option<u64>, Refused> {
    /// More than anybody's tokens; sums of it cannot overflow.
    const MOST: u64 = 1_000_000_000_000;
    if !record.has(name) {
        return Ok(None);
    }
    record.count(name).filter(|count| *count <= MOST).map(Some).ok_or(Refused::NoCount(name))
}
