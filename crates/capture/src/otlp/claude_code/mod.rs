//! Claude Code's telemetry.

pub mod event;
pub mod span;

use super::record::Record;

/// What tells two requests of one record time apart, where the provider gives no id.
const REQUEST_IDENTITY: [&str; 6] =
    ["prompt.id", "model", "input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens"];

/// Telemetry's `normal` is what transcripts and prices call `standard`.
fn speed<'a>(record: &Record<'a>) -> Option<&'a str> {
    record.text("speed").map(|speed| if speed == "normal" { "standard" } else { speed })
}
