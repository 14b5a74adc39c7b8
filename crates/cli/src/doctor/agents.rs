//! The agents' wiring: hooks of Codex and Gemini CLI, and where everybody's telemetry goes.

use std::path::Path;

use super::ask::{self, Served};
use super::finding::{Exam, Severity, shown};
use super::hooks;
use super::machine::Machine;
use crate::setup::client::on_path;
use crate::setup::wiring::{Hooks, Telemetry, Wiring};
use crate::setup::{CLAUDE_CODE, wirings};

/// OpenTelemetry's own ports.
const USUAL_PORTS: [u16; 2] = [4317, 4318];

pub fn look(machine: &Machine, exam: &mut Exam) {
    let Some(data) = &machine.data else { return };
    for (title, wiring) in wirings(data, &|name| machine.hook_variable(name)) {
        match wiring {
            Ok(wiring) => {
                let hooks_are_gone = wiring.hooks.was_set_up && wiring.hooks.programs.is_empty();
                if wiring.setup != CLAUDE_CODE {
                    hooks_of(&wiring, exam);
                }
                // Where both are gone, one command writes both.
                if !hooks_are_gone {
                    telemetry(machine, &wiring, exam);
                }
            }
            // Claude Code's are told with the client.
            Err(_) if title == "Claude Code" => {}
            Err(why) => {
                exam.error(
                    "agent-settings-unreadable",
                    format!("{title}'s settings: {why:#}."),
                    format!("Correct that file; {title} itself may not read it either."),
                );
            }
        }
    }
}

fn hooks_of(wiring: &Wiring, exam: &mut Exam) {
    let Wiring { setup, title, hooks: Hooks { file, programs, lacking, was_set_up, off }, .. } = wiring;
    if programs.is_empty() {
        if *was_set_up {
            exam.warning(
                "agent-hooks-removed",
                format!("Setup wrote hooks of {title} into {}, and they are gone.", shown(file)),
                format!("Run `ducat setup {setup}`, or `ducat setup {setup} --remove` if they are to stay away."),
            );
        } else if wiring.telemetry == Telemetry::Unset && !wiring.telemetry_was_set_up && on_path(wiring.program).is_some() {
            exam.note(
                "agent-not-wired",
                format!("{title} is installed and not wired: Ducat hears of it a second later, from its transcripts alone."),
                format!("Run `ducat setup {setup}`."),
            );
        }
        return;
    }
    programs.iter().for_each(|program| hooks::runs(program, setup, exam));
    if !lacking.is_empty() {
        exam.warning(
            "agent-hooks-partial",
            format!("{} lacks hooks for {}: what these events tell is heard late or never.", shown(file), lacking.join(", ")),
            format!("Run `ducat setup {setup}`, which writes them."),
        );
    }
    match off {
        Some(setting) => {
            exam.warning(
                "agent-hooks-off",
                format!("{title} runs no hooks: {}.", in_home(setting)),
                format!("Take that setting out, or the hooks with `ducat setup {setup} --remove`."),
            );
        }
        None => exam.sound("agent-hooks", format!("{title}: {}", shown(file))),
    }
}

fn telemetry(machine: &Machine, wiring: &Wiring, exam: &mut Exam) {
    let Wiring { setup, title, telemetry, telemetry_was_set_up, .. } = wiring;
    let again = format!(
        "Run `ducat setup {setup}` while `ducat serve` runs, or `ducat setup {setup} --no-telemetry` if it is to stay as it is."
    );
    match telemetry {
        Telemetry::Unset if *telemetry_was_set_up => {
            exam.warning(
                "telemetry-removed",
                format!("Setup had {title} send its telemetry here, and that is gone from its settings."),
                again,
            );
        }
        Telemetry::Off(setting) if *telemetry_was_set_up => {
            exam.warning(
                "telemetry-off",
                format!("{title} sends no telemetry, though setup wrote it: {} is off.", in_home(setting)),
                format!("Set it right or take it out; or run `ducat setup {setup} --no-telemetry`."),
            );
        }
        Telemetry::Unset | Telemetry::Off(_) => exam.sound("telemetry", format!("{title} is not asked for any")),
        Telemetry::To { endpoint, setting } => match taker(machine, endpoint, *telemetry_was_set_up) {
            Taker::Ducat => exam.sound("telemetry", format!("{title} sends it to {endpoint}, a Ducat")),
            Taker::Unasked => exam.sound("telemetry", format!("{title} sends it to {endpoint}, which was not asked")),
            Taker::Nobody => {
                exam.warning(
                    "telemetry-unanswered",
                    format!(
                        "{title} sends its telemetry to {endpoint} ({}), where nobody answers: it is lost.",
                        in_home(setting)
                    ),
                    format!("Start `ducat serve` (`ducat service install` has one always). {again}"),
                );
            }
            Taker::Other => {
                let severity = if *telemetry_was_set_up { Severity::Warning } else { Severity::Note };
                exam.find(
                    severity,
                    "telemetry-elsewhere",
                    format!("{title} sends its telemetry to {endpoint} ({}), which is no Ducat.", in_home(setting)),
                    format!(
                        "To have it in both, send it to Ducat's port and name that place in Ducat's otlp.forward_url (docs/otlp.md). Else: \
                         `ducat setup {setup}` writes it where nothing is set."
                    ),
                );
            }
        },
    }
}

/// Who takes telemetry.
enum Taker {
    Ducat,
    /// Nobody, where there should be somebody.
    Nobody,
    Other,
    /// It speaks TLS, or is started when it is needed.
    Unasked,
}

fn taker(machine: &Machine, endpoint: &str, was_set_up: bool) -> Taker {
    if endpoint.starts_with("https://") {
        return Taker::Unasked;
    }
    let rest = endpoint.strip_prefix("http://").unwrap_or(endpoint);
    let authority = rest.split('/').next().unwrap_or_default();
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let with_port = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let Some(address) = ask::resolve(&with_port) else { return Taker::Other };
    let is_here = address.ip().is_loopback();
    if let Served::Ducat(told) = machine.served()
        && is_here
        && told.open.iter().chain([&machine.address]).any(|own| own.port() == address.port())
    {
        return Taker::Ducat;
    }
    let is_own_place = is_here && (USUAL_PORTS.contains(&address.port()) || machine.address.port() == address.port());
    match ask::health(authority, address) {
        Served::Ducat(_) => Taker::Ducat,
        Served::Nobody | Served::Hangs if machine.starts_on_demand() && is_own_place => Taker::Unasked,
        Served::Nobody | Served::Hangs if is_own_place || was_set_up => Taker::Nobody,
        Served::Nobody | Served::Hangs | Served::Other => Taker::Other,
    }
}

/// A setting's name, with the home folder as `~`.
fn in_home(setting: &str) -> String {
    setting
        .split_once(" in /")
        .map_or_else(|| setting.to_owned(), |(name, path)| format!("{name} in {}", shown(Path::new(&format!("/{path}")))))
}
