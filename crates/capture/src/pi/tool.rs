//! How a tool's call ended; the words are the client's own.

use ducat_ledger::Outcome;

pub fn judge(is_error: bool, result: &str) -> (Outcome, Option<&'static str>) {
    // A command's exit code is the last line of its output.
    let last = result.trim_end().rsplit('\n').next().unwrap_or_default();
    if !is_error {
        (Outcome::Ok, None)
    } else if last.starts_with("Command exited with code") {
        (Outcome::Error, Some("exit_code"))
    } else if last.starts_with("Command timed out") {
        (Outcome::Error, Some("timeout"))
    } else if last.starts_with("Command aborted") || last.starts_with("Operation aborted") {
        (Outcome::Interrupted, Some("user"))
    } else if result.starts_with("Validation failed for tool") {
        (Outcome::Refused, Some("validation"))
    } else if result.starts_with("Tool ") && last.ends_with("not found") {
        (Outcome::Refused, Some("unknown_tool"))
    } else if result.starts_with("ENOENT") || result.starts_with("File not found") {
        (Outcome::Error, Some("not_found"))
    } else {
        (Outcome::Error, Some("other"))
    }
}
