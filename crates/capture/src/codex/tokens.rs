//! Token counts as Codex tells them, and what a running total says of calls.

use ducat_ledger::{FieldClass, Request, Told, Witness};
use serde::{Deserialize, Serialize};
use sonic_rs::LazyValue;

use crate::json;

/// `input` includes what was read from and written to the cache, `output` the reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    pub input: u64,
    pub cached: u64,
    pub cache_write: u64,
    pub output: u64,
    pub reasoning: u64,
}

impl Tokens {
    /// `None` for what tells neither input nor output.
    pub fn parse(value: &LazyValue<'_>) -> Option<Self> {
        let (mut tokens, mut told) = (Self::default(), false);
        json::for_fields(value, |name, value| {
            let field = match name {
                "input_tokens" => &mut tokens.input,
                "cached_input_tokens" => &mut tokens.cached,
                "cache_write_input_tokens" => &mut tokens.cache_write,
                "output_tokens" => &mut tokens.output,
                "reasoning_output_tokens" => &mut tokens.reasoning,
                _ => return,
            };
            if let Some(count) = json::count(&value) {
                *field = count;
                told |= matches!(name, "input_tokens" | "output_tokens");
            }
        });
        told.then_some(tokens)
    }

    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    fn each(&self, other: &Self, of: impl Fn(u64, u64) -> Option<u64>) -> Option<Self> {
        Some(Self {
            input: of(self.input, other.input)?,
            cached: of(self.cached, other.cached)?,
            cache_write: of(self.cache_write, other.cache_write)?,
            output: of(self.output, other.output)?,
            reasoning: of(self.reasoning, other.reasoning)?,
        })
    }

    pub fn plus(&self, other: &Self) -> Self {
        self.each(other, |one, other| Some(one.saturating_add(other))).unwrap_or_default()
    }

    /// `None` where one of the counts is below the other's.
    fn minus(&self, other: &Self) -> Option<Self> {
        self.each(other, u64::checked_sub)
    }

    pub fn tell(&self, witness: Witness, request: &mut Request) {
        let rank = witness.rank(FieldClass::Usage);
        request.input_tokens = Told::by(rank, self.input.saturating_sub(self.cached.saturating_add(self.cache_write)));
        request.cache_read_tokens = Told::by(rank, self.cached);
        request.cache_write_tokens = Told::by(rank, self.cache_write);
        request.output_tokens = Told::by(rank, self.output);
        request.reasoning_tokens = Told::by(rank, self.reasoning);
    }
}

/// What a running total tells that the one before did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// The last call.
    pub call: Option<Tokens>,
    /// Calls before it that nobody logged.
    pub unlogged: Option<Tokens>,
}

impl Growth {
    /// `last` is what the client says of the last call. A fork's first total holds its parent's, which is counted there.
    pub fn of(before: Option<Tokens>, total: Tokens, last: Option<Tokens>, is_fork: bool) -> Self {
        let grew = match before {
            Some(before) => total.minus(&before),
            None if is_fork && last.is_some() => None,
            None => Some(total),
        };
        let Some(grew) = grew else {
            // It began anew: of what came before this call nothing is known.
            let call = last.unwrap_or(total);
            return Self { call: (!call.is_nothing()).then_some(call), unlogged: None };
        };
        match last.and_then(|last| Some((last, grew.minus(&last)?))) {
            _ if grew.is_nothing() => Self::default(),
            Some((last, more)) if !more.is_nothing() && !last.is_nothing() => Self { call: Some(last), unlogged: Some(more) },
            _ => Self { call: Some(grew), unlogged: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(input: u64, output: u64) -> Tokens {
        Tokens { input, output, ..Tokens::default() }
    }

    #[test]
    fn a_total_tells_each_call_once() {
        let (first, second) = (tokens(10, 1), tokens(30, 3));
        let of = |before, total, last| Growth::of(before, total, last, false);
        assert_eq!(of(None, first, Some(first)), Growth { call: Some(first), unlogged: None });
        assert_eq!(of(Some(first), first, Some(first)), Growth::default());
        assert_eq!(of(Some(first), second, Some(tokens(20, 2))), Growth { call: Some(tokens(20, 2)), unlogged: None });
        // 20 grew, 15 logged.
        let unlogged = Growth { call: Some(tokens(15, 2)), unlogged: Some(tokens(5, 0)) };
        assert_eq!(of(Some(first), second, Some(tokens(15, 2))), unlogged);
        // It fell.
        assert_eq!(of(Some(second), first, Some(tokens(4, 1))), Growth { call: Some(tokens(4, 1)), unlogged: None });
        assert_eq!(of(Some(first), second, None), Growth { call: Some(tokens(20, 2)), unlogged: None });
        // A fork that copied no lines goes on from its parent's total.
        assert_eq!(Growth::of(None, second, Some(first), true), Growth { call: Some(first), unlogged: None });
    }
}
