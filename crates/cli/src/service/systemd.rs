//! Linux with systemd: a user unit, and a socket unit that listens in its place while it starts.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::plan::{MARK, Step, refuse_foreign};
use super::process::told_by;
use super::server::{ServerPlan, text};

const SERVICE: &str = "ducat.service";
const SOCKET: &str = "ducat.socket";

/// A user's instance of systemd answers.
pub fn is_there() -> bool {
    cfg!(target_os = "linux") && told_by(&["systemctl", "--user", "show", "--property=Version"]).is_some()
}

/// Whether the user's services go on after the last session; `None` where nobody tells.
pub fn lingers() -> Option<bool> {
    let user = rustix::process::getuid().as_raw().to_string();
    match told_by(&["loginctl", "show-user", &user, "--property=Linger", "--value"])?.as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// Where a user's units are.
pub fn folder() -> anyhow::Result<PathBuf> {
    let told = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let config = match told {
        Some(folder) => folder,
        None => {
            let home = env::var_os("HOME").filter(|home| !home.is_empty()).context("there is no HOME to install units in")?;
            PathBuf::from(home).join(".config")
        }
    };
    Ok(config.join("systemd/user"))
}

/// The file that holds the key.
pub fn environment_file(data: &Path) -> PathBuf {
    data.join("service.env")
}

/// Files of an installation, whether or not all are there.
pub fn files(data: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let folder = folder()?;
    Ok(vec![folder.join(SERVICE), folder.join(SOCKET), environment_file(data)])
}

/// Folders that enabling may make.
pub fn folders() -> anyhow::Result<Vec<PathBuf>> {
    let folder = folder()?;
    Ok(vec![folder.join("default.target.wants"), folder.join("sockets.target.wants")])
}

pub fn install(plan: &ServerPlan, with_socket: bool, force: bool) -> anyhow::Result<Vec<Step>> {
    let (service, socket) = (folder()?.join(SERVICE), folder()?.join(SOCKET));
    refuse_foreign(&service, force)?;
    refuse_foreign(&socket, force)?;
    let mut steps = vec![Step::attempt(&["systemctl", "--user", "stop", SOCKET, SERVICE])];
    match environment(plan)? {
        Some(secrets) => steps.push(Step::write_private(environment_file(&plan.data), secrets, true)),
        None => steps.push(Step::Delete(environment_file(&plan.data))),
    }
    steps.push(Step::write(service, service_unit(plan, with_socket)?));
    if with_socket {
        steps.push(Step::write(socket, socket_unit(plan)?));
        steps.push(Step::run(&["systemctl", "--user", "daemon-reload"]));
        steps.push(Step::run(&["systemctl", "--user", "enable", SOCKET, SERVICE]));
        steps.push(Step::run(&["systemctl", "--user", "start", SOCKET]));
    } else {
        steps.push(Step::attempt(&["systemctl", "--user", "disable", SOCKET]));
        steps.push(Step::Delete(socket));
        steps.push(Step::run(&["systemctl", "--user", "daemon-reload"]));
        steps.push(Step::run(&["systemctl", "--user", "enable", SERVICE]));
    }
    // Whether it came up is asked of the server itself.
    steps.push(Step::attempt(&["systemctl", "--user", "start", SERVICE]));
    Ok(steps)
}

pub fn remove(data: &Path, force: bool) -> anyhow::Result<Vec<Step>> {
    if !is_there() && !force {
        bail!(
            "systemd does not answer, so the service cannot be stopped; run this in a session of the user's own, or say --force to delete the files only"
        );
    }
    let files = files(data)?;
    files
        .iter()
        .filter(|file| file.extension().is_some_and(|kind| kind != "env"))
        .try_for_each(|file| refuse_foreign(file, force))?;
    let mut steps = vec![
        // Both at once, or the socket starts the service again.
        Step::attempt(&["systemctl", "--user", "stop", SOCKET, SERVICE]),
        Step::attempt(&["systemctl", "--user", "disable", SOCKET, SERVICE]),
    ];
    // Links too, should nobody have disabled them.
    let links = folders()?.into_iter().zip([SERVICE, SOCKET]).map(|(folder, unit)| folder.join(unit));
    steps.extend(files.into_iter().chain(links).map(Step::Delete));
    steps.push(Step::attempt(&["systemctl", "--user", "daemon-reload"]));
    steps.push(Step::attempt(&["systemctl", "--user", "reset-failed", SOCKET, SERVICE]));
    Ok(steps)
}

/// State, restarts so far and how the last run ended, as systemd names them.
pub fn state() -> Option<(String, u64, String)> {
    let told = told_by(&["systemctl", "--user", "show", SERVICE, "--property=ActiveState,NRestarts,Result"])?;
    let value = |name: &str| told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default();
    Some((value("ActiveState").to_owned(), value("NRestarts").parse().unwrap_or(0), value("Result").to_owned()))
}

/// What hardens the unit needs no name space of its own: many machines let no user make one, and the unit would not start there.
fn service_unit(plan: &ServerPlan, with_socket: bool) -> anyhow::Result<String> {
    let command: Vec<String> =
        [text(&plan.program)?].into_iter().chain(plan.arguments()).map(|word| quoted(&word).replace('$', "$$")).collect();
    let mut variables = String::new();
    for (name, value) in &plan.variables {
        variables.push_str(&format!("Environment={}\n", quoted(&format!("{name}={value}"))));
    }
    if plan.key.is_some() {
        variables.push_str(&format!("EnvironmentFile={}\n", text(&environment_file(&plan.data))?.replace('%', "%%")));
    }
    let needs = if with_socket { format!("Requires={SOCKET}\nAfter={SOCKET}\n") } else { String::new() };
    Ok(format!(
        "# {MARK}, which overwrites it; changes belong in `systemctl --user edit {SERVICE}`
[Unit]
Description=Ducat, the meter for AI agents
{needs}StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={}
{variables}Restart=always
RestartSec=1
TimeoutStartSec=5min
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native

[Install]
WantedBy=default.target
",
        command.join(" ")
    ))
}

fn socket_unit(plan: &ServerPlan) -> anyhow::Result<String> {
    let mut listens = format!("ListenStream={}\n", std::net::SocketAddr::new(plan.host, plan.port));
    for socket in &plan.sockets {
        listens.push_str(&format!("ListenStream={}\n", text(socket)?.replace('%', "%%")));
    }
    Ok(format!(
        "# {MARK}, which overwrites it; changes belong in `systemctl --user edit {SOCKET}`
[Unit]
Description=Ducat's page and the sockets of its hooks

[Socket]
{listens}SocketMode=0600
DirectoryMode=0700
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"
    ))
}

/// The key, in a file of its own: units can be read by everybody.
fn environment(plan: &ServerPlan) -> anyhow::Result<Option<String>> {
    let Some(key) = &plan.key else { return Ok(None) };
    let key = text(Path::new(key)).context("METRICS_API_KEY")?;
    let mut escaped = String::new();
    for letter in key.chars() {
        if matches!(letter, '"' | '\\' | '`' | '$') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    Ok(Some(format!("# {MARK}\nMETRICS_API_KEY=\"{escaped}\"\n")))
}

/// A word as systemd reads it back: in quotes, `%` being no specifier.
fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%"))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn plan() -> ServerPlan {
        ServerPlan {
            program: "/opt/my tools/100%/ducat".into(),
            host: [127, 0, 0, 1].into(),
            port: 9090,
            more: vec!["--public-url".into(), "https://meter.example.org".into()],
            data: "/home/ana/.local/share/ducat".into(),
            variables: vec![
                ("DUCAT_DATA_DIR".into(), "/home/ana/.local/share/ducat".into()),
                ("CLAUDE_CONFIG_DIR".into(), "/a \"b\",/c\\d$e".into()),
            ],
            sockets: vec!["/run/user/1000/ducat/hook.sock".into(), "/home/ana/100%/run/hook.sock".into()],
            key: Some("hush$ \"hush\"".into()),
        }
    }

    #[test]
    fn the_unit_quotes_its_words_and_tells_no_secret() {
        let unit = service_unit(&plan(), true).unwrap();
        assert!(unit.contains(
            "\nExecStart=\"/opt/my tools/100%%/ducat\" \"serve\" \"--host\" \"127.0.0.1\" \"--port\" \"9090\" \"--public-url\" \"https://meter.example.org\"\n"
        ), "{unit}");
        assert!(unit.contains("\nEnvironment=\"CLAUDE_CONFIG_DIR=/a \\\"b\\\",/c\\\\d$e\"\n"), "{unit}");
        assert!(unit.contains("\nEnvironmentFile=/home/ana/.local/share/ducat/service.env\n"), "{unit}");
        assert!(unit.contains("\nRequires=ducat.socket\n") && unit.contains("\nRestart=always\n"), "{unit}");
        assert!(!unit.contains("hush"), "{unit}");
        assert!(!service_unit(&plan(), false).unwrap().contains("ducat.socket"));
        assert!(environment(&plan()).unwrap().unwrap().ends_with("METRICS_API_KEY=\"hush\\$ \\\"hush\\\"\"\n"));
    }

    #[test]
    fn the_socket_unit_listens_for_the_page_and_for_hooks() {
        let unit = socket_unit(&plan()).unwrap();
        let listens = "[Socket]\nListenStream=127.0.0.1:9090\nListenStream=/run/user/1000/ducat/hook.sock\nListenStream=/home/ana/100%%/run/hook.sock\nSocketMode=0600\nDirectoryMode=0700\n";
        assert!(unit.contains(listens), "{unit}");
    }
}
