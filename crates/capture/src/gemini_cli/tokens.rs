//! Token counts as Gemini CLI tells them.

use ducat_ledger::{FieldClass, Request, Told, Witness};

/// `input` includes what was read from the cache, but not the prompts of tools that the provider ran; `output` is without thoughts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    pub input: u64,
    pub output: u64,
    pub cached: u64,
    pub thoughts: u64,
    pub tool: u64,
}

impl Tokens {
    pub fn tell(&self, witness: Witness, request: &mut Request) {
        let rank = witness.rank(FieldClass::Usage);
        request.input_tokens = Told::by(rank, self.input.saturating_sub(self.cached).saturating_add(self.tool));
        request.cache_read_tokens = Told::by(rank, self.cached);
        request.output_tokens = Told::by(rank, self.output.saturating_add(self.thoughts));
        request.reasoning_tokens = Told::by(rank, self.thoughts);
    }
}
