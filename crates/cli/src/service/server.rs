//! The server that a service runs: its program, address and surroundings.

use std::env;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use ducat_spool::socket_paths;

/// What decides where the server reads and writes. A service does not have the user's shell around it.
const CARRIED: [&str; 13] = [
    "DUCAT_CONFIG",
    "DUCAT_SOCKET",
    "DUCAT_ALLOW_NETWORK_FS",
    "DUCAT_OTLP_GRPC_PORT",
    "DUCAT_OTLP_HTTP_PORT",
    "CLAUDE_CONFIG_DIR",
    "CODEX_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
    "NODE_ENV",
    "TZ",
    "LANG",
];
/// Of these, one path.
const PATHS: [&str; 3] = ["DUCAT_CONFIG", "DUCAT_SOCKET", "CODEX_HOME"];

pub struct ServerPlan {
    /// This program.
    pub program: PathBuf,
    pub host: IpAddr,
    pub port: u16,
    /// More of `ducat serve`.
    pub more: Vec<String>,
    pub data: PathBuf,
    pub variables: Vec<(String, String)>,
    /// Where hooks look for it.
    pub sockets: Vec<PathBuf>,
    /// `METRICS_API_KEY`; in no file that others can read.
    pub key: Option<String>,
}

impl ServerPlan {
    pub fn new(host: IpAddr, port: u16, more: &[String], data: &Path) -> anyhow::Result<Self> {
        if port == 0 {
            bail!("--port 0: a service needs a port that stays the same");
        }
        let key = env::var("METRICS_API_KEY").ok().filter(|key| !key.is_empty());
        if !host.is_loopback() && key.is_none() && !more.iter().any(|argument| argument == "--insecure") {
            bail!("{host} can be reached from other machines: set METRICS_API_KEY, or add `-- --insecure`");
        }
        let program = env::current_exe().context("finding this program")?;
        if program.to_string_lossy().ends_with(" (deleted)") {
            bail!("this program was replaced while it ran; start it again");
        }
        let data = std::path::absolute(data)?;
        let mut variables = vec![("DUCAT_DATA_DIR".to_owned(), text(&data)?)];
        for name in CARRIED {
            let Some(value) = env::var_os(name).filter(|value| !value.is_empty()) else { continue };
            let value = if PATHS.contains(&name) { std::path::absolute(value)?.into() } else { value };
            variables.push((name.to_owned(), text(Path::new(&value)).with_context(|| name.to_owned())?));
        }
        let sockets = socket_paths(&data).iter().map(std::path::absolute).collect::<Result<_, _>>()?;
        Ok(Self { program, host, port, more: with_whole_paths(more)?, data, variables, sockets, key })
    }

    pub fn is_tls(&self) -> bool {
        self.more.iter().any(|argument| argument == "--tls-cert" || argument.starts_with("--tls-cert="))
    }

    /// Arguments of the program.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = ["serve", "--host"].map(str::to_owned).into();
        arguments.extend([self.host.to_string(), "--port".to_owned(), self.port.to_string()]);
        arguments.extend(self.more.iter().cloned());
        arguments
    }

    /// The same, with a log file of its own where nobody else keeps what it says.
    pub fn arguments_with_log(&self) -> anyhow::Result<Vec<String>> {
        let mut arguments = self.arguments();
        arguments.extend(["--log-file".to_owned(), text(&log_file(&self.data))?]);
        Ok(arguments)
    }

    /// Where the page is, from this machine.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls() { "https" } else { "http" };
        match self.address() {
            address if address.ip().is_loopback() => format!("{scheme}://localhost:{}", address.port()),
            address => format!("{scheme}://{address}"),
        }
    }

    /// Where to ask it.
    pub fn address(&self) -> SocketAddr {
        let ip = match self.host {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        SocketAddr::new(ip, self.port)
    }
}

/// Arguments of `ducat serve` with their files named from the root: a service works in another folder.
fn with_whole_paths(more: &[String]) -> std::io::Result<Vec<String>> {
    let whole = |path: &str| std::path::absolute(path).map(|path| path.to_string_lossy().into_owned());
    let mut arguments: Vec<String> = Vec::new();
    for argument in more {
        let is_file = |name: &str| ["--tls-cert", "--tls-key"].contains(&name);
        let follows = arguments.last().is_some_and(|last| is_file(last));
        arguments.push(match argument.split_once('=') {
            _ if follows => whole(argument)?,
            Some((name, path)) if is_file(name) => format!("{name}={}", whole(path)?),
            _ => argument.clone(),
        });
    }
    Ok(arguments)
}

/// Where a server writes that no manager keeps the words of.
pub fn log_file(data: &Path) -> PathBuf {
    data.join("logs/ducat.log")
}

/// A path that can stand in a unit.
pub fn text(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().with_context(|| format!("{}: is not UTF-8", path.display()))?;
    if text.contains(|letter: char| letter.is_control()) {
        bail!("{text:?}: has a line break or another control character");
    }
    Ok(text.to_owned())
}
