//! Token counts as Qwen Code tells them.

use ducat_ledger::{FieldClass, Request, Told, Witness};

use crate::telling::without;

/// `input` includes what was read from the cache. `output` includes thoughts, but not where Google's interface answered: `total` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    pub input: Option<u64>,
    pub output: Option<u64>,
    pub cached: Option<u64>,
    pub thoughts: Option<u64>,
    pub total: Option<u64>,
}

impl Tokens {
    pub fn is_zero(&self) -> bool {
        self.input.unwrap_or_default() == 0 && self.output.unwrap_or_default() == 0
    }

    pub fn tell(&self, witness: Witness, request: &mut Request) {
        let rank = witness.rank(FieldClass::Usage);
        let (input, cached) = without(self.input, self.cached);
        let thoughts = self.thoughts.unwrap_or_default();
        let with_thoughts = self.output.map(|output| output.saturating_add(thoughts));
        let is_beside = match (self.total, self.input, with_thoughts) {
            (Some(total), Some(input), Some(output)) if total > 0 => total == input.saturating_add(output),
            _ => false,
        };
        let output = if is_beside { with_thoughts } else { self.output };
        request.input_tokens = Told::maybe(rank, input);
        request.cache_read_tokens = Told::maybe(rank, cached);
        request.output_tokens = Told::maybe(rank, output);
        request.reasoning_tokens = Told::maybe(rank, self.thoughts.filter(|thoughts| output.is_some_and(|all| *thoughts <= all)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_ledger::{Key, KeySpace};

    #[test]
    fn thoughts_are_within_output_unless_the_total_says_beside() {
        let told = |input, output, cached, thoughts, total| {
            let mut request = Request::new(Key::of(KeySpace::Request, "qwen-code", "r"), "qwen-code", "r");
            let [input, output, cached, thoughts, total] = [input, output, cached, thoughts, total].map(Some);
            Tokens { input, output, cached, thoughts, total }.tell(Witness::Transcript, &mut request);
            let usage = request.usage();
            [usage.input, usage.cache_read, usage.output, usage.reasoning]
        };
        assert_eq!(told(9000, 80, 4000, 30, 9080), [5000, 4000, 80, 30]);
        assert_eq!(told(9000, 80, 4000, 30, 9110), [5000, 4000, 110, 30]);
        assert_eq!(told(9000, 80, 4000, 30, 0), [5000, 4000, 80, 30], "no total was told");
        assert_eq!(told(10, 80, 20, 90, 90), [10, 0, 80, 0], "parts larger than their whole");
    }
}
