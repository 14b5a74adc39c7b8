//! `ducat statusline`, on the command line of `ducat`; the client is set up with the small program that does the same.

use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use ducat_status_line::{Colors, Options, Template};

/// Draw Claude Code's status line: model, cost, context, and the plan's quota and whether it will last
///
/// Claude Code runs it with the session's JSON on standard input (`ducat setup claude-code --status-line` has it do so). It hands the figures to the
/// server as a hook does, and shows today's cost without one too, from the ledger (then marked with ~).
///
/// A template names fields in braces; what stands in brackets is left out when a field in it is not known, and from the right when the terminal
/// is too narrow: {model}, {session_cost}, {today_cost}, {context}, {context_tokens}, {five_hour}, {seven_day}, {lines}, {project}, {version}.
/// On a plan, costs are values at list price and are marked so.
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The line's template; in the configuration, status_line.template
    #[arg(long, value_name = "TEMPLATE")]
    template: Option<Template>,
    /// Show what this shell command prints for the same JSON instead: a status line that you had before
    #[arg(long, value_name = "COMMAND")]
    wrap: Option<String>,
    /// Colours: auto (unless NO_COLOR is set or TERM is dumb), always or never
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = colors())]
    color: Colors,
}

const EXAMPLES: &str = "Examples:
  ducat setup claude-code --status-line
  ducat statusline --template '{model}[ | 5h {five_hour}][ | today {today_cost}]' < session.json
  ducat statusline --wrap '~/.claude/my-statusline.sh' < session.json
  NO_COLOR=1 COLUMNS=60 ducat statusline < session.json";

/// The words, which shells complete.
fn colors() -> impl TypedValueParser<Value = Colors> {
    PossibleValuesParser::new(["auto", "always", "never"]).try_map(|when| when.parse::<Colors>())
}

pub fn run(args: Args) -> anyhow::Result<()> {
    ducat_status_line::run(&Options { template: args.template, wrap: args.wrap, colors: args.color })
}
