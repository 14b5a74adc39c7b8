//! `ducat meter`: runs a command as if nobody were there, and says at its end what it cost.

mod bill;
mod child;
mod heard;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process;

use ducat_capture::{claude_code, codex};
use ducat_prices::PriceTable;
use ducat_spool::now_ms;

use crate::config::Config;
use bill::Bill;
use heard::Heard;

/// Run a headless agent and say what it cost
///
/// Everything passes through unchanged: standard input, output and error, signals and the exit code (128 and the signal's number when one killed it). At
/// the end one line on standard error says what the run cost, and the ledger hears what the client said. It understands `claude -p` with --output-format
/// json or stream-json, and `codex exec --json`; of other output nothing is said. The run never fails because of Ducat.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Say nothing; only tell the ledger
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
    /// Say it as one line of JSON, on standard error
    #[arg(long)]
    json: bool,
    /// The command and its arguments, after --
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND", value_hint = clap::ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
}

const EXAMPLES: &str = "Examples:
  ducat meter -- claude -p 'fix it' --output-format json | jq -r .result
  ducat meter -- claude -p 'fix it' --output-format stream-json --verbose
  ducat meter --json -- codex exec --json 'fix it' 2> cost.json
  ducat meter --quiet -- ./nightly.sh";

/// Ends the process with the command's exit code.
pub fn run(args: &Args) -> ! {
    let begun = now_ms();
    let mut heard = Heard::default();
    let code = child::run(&args.command, &mut |bytes| heard.bytes(bytes, unix_ms()));
    // Nothing of ours is allowed to change how the command ends.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| settle(args, heard, begun)));
    process::exit(code)
}

fn settle(args: &Args, heard: Heard, begun: u64) {
    let (claude, codex) = heard.finish();
    let cwd = env::current_dir().ok().map(|cwd| cwd.to_string_lossy().into_owned());
    let price = |bill: &dyn Fn(&Config, &PriceTable) -> Bill| {
        let config = Config::load().unwrap_or_default();
        let prices = config.price_table().unwrap_or_else(|_| PriceTable::embedded());
        let bill = bill(&config, &prices);
        let text = if args.json { bill.to_json().to_string() } else { bill.to_string() };
        let _ = writeln!(io::stderr(), "{text}");
    };
    if let Some(mut run) = claude {
        run.cwd = run.cwd.or(cwd);
        child::tell(claude_code::RESULT, &serde_json::to_vec(&run).unwrap_or_default());
        if !args.quiet {
            price(&|config, prices| {
                let written = bill::transcript_requests(&run.session_id, begun, config);
                Bill::of_claude(&run, &written, prices)
            });
        }
    } else if let Some(mut run) = codex {
        run.cwd = cwd;
        child::tell(codex::RESULT, &serde_json::to_vec(&run).unwrap_or_default());
        if !args.quiet {
            let model = asked_model(&args.command);
            price(&|_, prices| Bill::of_codex(&run, model.as_deref(), is_resumed(&args.command), prices));
        }
    }
}

fn unix_ms() -> i64 {
    i64::try_from(now_ms()).unwrap_or_default()
}

/// The model that Codex was asked to use, which it does not print.
fn asked_model(command: &[OsString]) -> Option<String> {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    words.iter().enumerate().find_map(|(place, word)| {
        let next = words.get(place + 1).map(|next| next.as_ref());
        let told = match word.as_ref() {
            "-m" | "--model" => next?,
            "-c" | "--config" => next?.strip_prefix("model=")?,
            word => word.strip_prefix("--model=")?,
        };
        Some(told.trim_matches('"').to_owned())
    })
}

/// Codex goes on counting where the thread was.
fn is_resumed(command: &[OsString]) -> bool {
    command.iter().any(|word| word == "resume")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_found_where_codex_is_told_it() {
        for (line, model) in [
            ("codex exec -m gpt-5.2-codex --json x", Some("gpt-5.2-codex")),
            ("codex exec --model=o4-mini x", Some("o4-mini")),
            ("codex -c model=\"gpt-5\" exec x", Some("gpt-5")),
            ("codex exec x -m", None),
            ("codex exec x", None),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(asked_model(&words).as_deref(), model, "{line}");
        }
    }
}
