//! The server: on its port, on its sockets, of this version, on this ledger.

use ducat_server::port_holder;

use super::ask::{self, Closed, Listener, Served, Told};
use super::finding::{Exam, shown, word};
use super::fix::Fix;
use super::machine::Machine;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Clocks further apart put events into wrong quarter-hours.
const CLOCKS_APART_S: i64 = 60;

const START: &str = "Run `ducat serve`, or `ducat service install` to have one always.";

pub fn look(machine: &Machine, exam: &mut Exam) {
    match machine.hook_url() {
        Some(url) => remote(machine, "DUCAT_URL", &url, exam),
        None => {
            sockets(machine, exam);
            port(machine, exam);
        }
    }
    let looked_at = [machine.hook_url(), Some(format!("http://{}", machine.address))];
    if let Some(url) = machine.post_url().filter(|url| !looked_at.iter().flatten().any(|looked_at| looked_at == url)) {
        remote(machine, "the hooks' URL", &url, exam);
    }
}

fn port(machine: &Machine, exam: &mut Exam) {
    let port = machine.address.port();
    match machine.served() {
        Served::Ducat(told) => {
            own(machine, told, exam);
            told.closed.iter().for_each(|closed| otlp(closed, port, exam));
        }
        Served::Nobody if machine.listens() => exam.sound(
            "server",
            format!(
                "a server takes hooks; nothing is \
            on port {port}"
            ),
        ),
        Served::Nobody if machine.starts_on_demand() => exam.sound("server", "none runs; the next hook starts it"),
        // In a container there is more to say of it.
        Served::Nobody if !hangs(machine) && !machine.is_container() => {
            exam.note(
                "server-away",
                format!("No server runs (nothing listens on port {port}): hooks wait in the spool, and there is no page."),
                START,
            );
        }
        Served::Nobody => {}
        Served::Hangs => {
            exam.error(
                "server-hangs",
                format!("{} on port {port} takes connections and does not answer.", holder(port)),
                "End it and start `ducat serve` again; events wait in the spool meanwhile.",
            );
        }
        // A Ducat on another port is well without this one.
        Served::Other if machine.listens() => exam.sound("server", "a server takes hooks, on another port"),
        Served::Other => {
            exam.warning(
                "port-taken",
                format!("Port {port} is held by another program: {}.", holder(port)),
                format!(
                    "Run `ducat serve --port {}` (or set METRICS_PORT), or end that program.",
                    port.checked_add(10).unwrap_or(9100)
                ),
            );
        }
    }
}

/// A port for OpenTelemetry that the server runs without.
fn otlp(closed: &Closed, main_port: u16, exam: &mut Exam) {
    let Closed { transport, address, problem } = closed;
    let port = address.port();
    exam.warning(
        "otlp-port-taken",
        format!("OpenTelemetry over {transport} is not taken at {address} ({problem}); {} holds port {port}.", holder(port)),
        format!(
            "Run `ducat config set otlp.{transport}_port {}` and start the server again, or have exporters send over HTTP to \
            http://localhost:{main_port}.",
            port.checked_add(10).unwrap_or(4328)
        ),
    );
}

/// `NAME (process ID)`, where the system tells.
fn holder(port: u16) -> String {
    port_holder(port).map_or_else(|| "a program".to_owned(), |holder| format!("{} (process {})", holder.name, holder.process))
}

fn hangs(machine: &Machine) -> bool {
    machine.listeners().iter().any(|(_, listener)| *listener == Listener::Hangs)
}

/// A Ducat on the port: is it this one, on this ledger?
fn own(machine: &Machine, told: &Told, exam: &mut Exam) {
    let port = machine.address.port();
    let is_version = version(told, &format!("port {port}"), exam);
    if told.ledger.is_some() && told.ledger != machine.ledger_mark() {
        exam.warning(
            "server-other-ledger",
            format!(
                "The server on port {port} uses another data folder than {}: what is imported here does not show there.",
                machine.data.as_deref().map_or_else(String::new, shown)
            ),
            "Start both with the same DUCAT_DATA_DIR (or HOME), or the second with `ducat serve --port`.",
        );
    } else if !machine.listens() && !hangs(machine) {
        exam.warning(
            "server-without-socket",
            format!(
                "The server on port {port} listens at no socket that hooks try ({}): events wait in the spool for a second.",
                machine.listeners().iter().map(|(path, _)| shown(path)).collect::<Vec<_>>().join(", ")
            ),
            "Start `ducat serve` again; DUCAT_SOCKET and XDG_RUNTIME_DIR must be the same for both.",
        );
    } else if is_version {
        exam.sound("server", format!("ducat {VERSION} on port {port}"));
    }
}

fn version(told: &Told, place: &str, exam: &mut Exam) -> bool {
    if told.version.as_deref() == Some(VERSION) {
        return true;
    }
    exam.warning(
        "server-other-version",
        format!(
            "The server on {place} is of {}; this is ducat {VERSION}.",
            told.version.as_deref().map_or_else(|| "an older version".to_owned(), |version| format!("version {version}"))
        ),
        "End it and start this version's `ducat serve`.",
    );
    false
}

fn sockets(machine: &Machine, exam: &mut Exam) {
    for (path, listener) in machine.listeners() {
        let at = shown(path);
        match listener {
            Listener::Answers => exam.sound("socket", at),
            Listener::Absent => {}
            Listener::Stale => exam
                .warning(
                    "socket-stale",
                    format!("{at} was left by a server that was killed: nobody listens there."),
                    "Run `ducat doctor --fix`, which removes it, or `ducat serve`, which takes its place.",
                )
                .fixed_by(Fix::RemoveSocket(path.clone())),
            Listener::Hangs => {
                exam.error(
                    "server-hangs",
                    format!(
                        "Who listens at {at} takes connections and does not answer: hooks wait for their \
                            deadline, then spool."
                    ),
                    "End that server and start `ducat serve` again; nothing is lost, events wait in the spool.",
                );
            }
            Listener::Forbidden => {
                exam.error(
                    "socket-forbidden",
                    format!(
                        "{at} may not be opened by this user: its server runs as another, and takes only its \
                            own user's events."
                    ),
                    format!("Run `ls -l {}`, and start `ducat serve` as the user who runs Claude Code.", word(path)),
                );
            }
        }
    }
}

/// The server at a URL, and what names it.
fn remote(machine: &Machine, named: &str, url: &str, exam: &mut Exam) {
    let Some(rest) = url.strip_prefix("http://") else {
        exam.error(
            "url-unsupported",
            format!("{url} ({named}): hooks speak http:// only: all events stay in the spool."),
            "Set it to http://HOST:PORT with `ducat setup claude-code --url URL`, or take it away to use the socket.",
        );
        return;
    };
    let (host, prefix) = rest
        .trim_end_matches('/')
        .split_once('/')
        .map_or((rest.trim_end_matches('/'), String::new()), |(host, path)| (host, format!("/{path}")));
    let with_port = if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let address = ask::resolve(&with_port);
    let served = address.map_or(Served::Nobody, |address| ask::health(host, address));
    match &served {
        Served::Ducat(told) => {
            if told.ahead_s.abs() > CLOCKS_APART_S {
                exam.warning(
                    "clocks-apart",
                    format!(
                        "The clock of {host} is {} s {} this one: events land at wrong times.",
                        told.ahead_s.unsigned_abs(),
                        if told.ahead_s > 0 { "ahead of" } else { "behind" }
                    ),
                    "Set both by the network: `timedatectl set-ntp true`.",
                );
            }
            let key = machine.hook_variable("DUCAT_API_KEY");
            let refused = address.is_some_and(|address| {
                let asked = ask::get(host, address, &format!("{prefix}/api/v1/openapi.json"), key.as_deref());
                asked.is_ok_and(|answer| answer.status == 401)
            });
            if refused {
                exam.error(
                    "key-refused",
                    format!(
                        "{url} refuses {}: all events stay in the spool.",
                        if key.is_some() { "the key in DUCAT_API_KEY" } else { "whoever has no key" }
                    ),
                    "Set DUCAT_API_KEY to the server's METRICS_API_KEY in the environment of Claude Code.",
                );
            } else if version(told, url, exam) {
                exam.sound("server", format!("ducat {VERSION} at {url}"));
            }
        }
        Served::Hangs => {
            exam.error(
                "server-hangs",
                format!("{url} takes connections and does not answer: hooks wait for their deadline, then spool."),
                "Start the server there again; events wait in the spool meanwhile.",
            );
        }
        Served::Other => {
            exam.error(
                "url-not-ducat",
                format!("{url} ({named}): what answers there is no Ducat: all events stay in the spool."),
                "Set it right with `ducat setup claude-code --url URL`, and start that server with `--public-url` \
                if it is asked under another name.",
            );
        }
        Served::Nobody => {
            exam.warning(
                "server-unreachable",
                format!("Nothing answers at {url} ({named}): events wait in the spool or are lost."),
                "Start `ducat serve` there (beyond loopback with --host and METRICS_API_KEY), or set it right with \
                `ducat setup claude-code --url URL`.",
            );
        }
    }
}
