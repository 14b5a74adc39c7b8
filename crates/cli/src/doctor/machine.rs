//! The machine as it is looked at: where things are, and what several checks ask of it, asked once.

use std::env;
use std::fs;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ducat_scan::{Home, Problem, TranscriptFile, claude_homes, find_transcripts, managed_settings};
use ducat_ship::sent_cursors;
use ducat_spool::{Limits, Spool, data_folder, socket_paths, spool_folder};
use ducat_store::{DataFolder, FileCursor, Reader, TenantId};
use jiff::Timestamp;
use serde_json::Value;

use super::ask::{self, Listener, Served};
use crate::config::Config;
use crate::service::record::{Record as Service, Way};
use crate::setup::client::{self, Version};
use crate::setup::{hooks, settings};

/// A client that is started for the first time takes its time.
const LONGEST_START: Duration = Duration::from_secs(4);

pub enum Client {
    Missing,
    /// It does not say its version.
    Unreadable {
        program: PathBuf,
        why: String,
    },
    Known {
        program: PathBuf,
        version: Version,
    },
}

/// A settings file of the client's: the user's, the project's or the project's local one.
pub struct SettingsFile {
    pub path: PathBuf,
    /// An empty object where there is no file, the reason where it cannot be read.
    pub value: Result<Value, String>,
    pub exists: bool,
}

pub struct Machine {
    /// `/`; system files are looked at below it.
    pub root: PathBuf,
    pub home: Option<PathBuf>,
    pub data: Option<PathBuf>,
    /// Claude Code's folder.
    pub claude: Option<PathBuf>,
    pub homes: Vec<Home>,
    /// How the server is kept, if `ducat service install` was run.
    pub service: Option<Service>,
    /// Where the server is to be.
    pub address: SocketAddr,
    pub now: Timestamp,
    pub managed: Vec<(PathBuf, Value)>,
    pub settings: Vec<SettingsFile>,
    client: OnceLock<Client>,
    served: OnceLock<Served>,
    listeners: OnceLock<Vec<(PathBuf, Listener)>>,
    transcripts: OnceLock<(Vec<TranscriptFile>, Vec<Problem>)>,
}

/// Where the server is to be: as told, else where a service keeps it, else where the configuration has it.
pub fn server_address(service: Option<&Service>, host: Option<IpAddr>, port: Option<u16>) -> SocketAddr {
    // A configuration that cannot be read is told elsewhere.
    let configured = || Config::load().unwrap_or_default().server.address(None, None).ok();
    let kept = service.map(|service| service.address).or_else(configured);
    let kept = kept.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)));
    let host = host.unwrap_or(kept.ip());
    // Whoever listens everywhere is asked here.
    let host = if host.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { host };
    SocketAddr::new(host, port.unwrap_or(kept.port()))
}

impl Machine {
    pub fn new(root: PathBuf, host: Option<IpAddr>, port: Option<u16>) -> Self {
        let home = env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        let claude = client::config_folder().ok();
        let data = data_folder();
        // One that cannot be read is told with the service.
        let service = data.as_deref().and_then(|data| Service::find(data).ok().flatten());
        let project = env::current_dir().ok().map(|folder| folder.join(".claude"));
        let project = project.filter(|project| Some(project) != claude.as_ref());
        let mut settings: Vec<SettingsFile> =
            claude.iter().map(|folder| SettingsFile::read(&folder.join("settings.json"))).collect();
        for name in ["settings.json", "settings.local.json"] {
            let file = project.iter().map(|folder| SettingsFile::read(&folder.join(name)));
            settings.extend(file.filter(|file| file.exists));
        }
        Self {
            managed: managed_settings(&root),
            root,
            home,
            data,
            address: server_address(service.as_ref(), host, port),
            service,
            claude,
            homes: claude_homes(),
            now: Timestamp::now(),
            settings,
            client: OnceLock::new(),
            served: OnceLock::new(),
            listeners: OnceLock::new(),
            transcripts: OnceLock::new(),
        }
    }

    pub fn client(&self) -> &Client {
        self.client.get_or_init(|| {
            let Some(program) = client::find() else { return Client::Missing };
            let said = says_version(&program);
            match said.and_then(|said| said.parse::<Version>().map_err(|_| anyhow::anyhow!("it said {said:?}"))) {
                Ok(version) => Client::Known { program, version },
                Err(why) => Client::Unreadable { program, why: format!("{why:#}") },
            }
        })
    }

    pub fn client_version(&self) -> Option<Version> {
        match self.client() {
            Client::Known { version, .. } => Some(*version),
            _ => None,
        }
    }

    /// Who answers on the server's port.
    pub fn served(&self) -> &Served {
        self.served.get_or_init(|| ask::health(&self.address.to_string(), self.address))
    }

    /// The sockets that hooks try, and who listens there.
    pub fn listeners(&self) -> &[(PathBuf, Listener)] {
        self.listeners.get_or_init(|| {
            let paths = match (self.hook_variable("DUCAT_SOCKET"), &self.data) {
                (Some(path), _) => vec![PathBuf::from(path)],
                (None, Some(data)) => socket_paths(data),
                (None, None) => Vec::new(),
            };
            // At once: each may hang.
            thread::scope(|scope| {
                let asked: Vec<_> =
                    paths.into_iter().map(|path| scope.spawn(move || (path.clone(), ask::listener(&path)))).collect();
                asked.into_iter().filter_map(|asked| asked.join().ok()).collect()
            })
        })
    }

    pub fn listens(&self) -> bool {
        self.listeners().iter().any(|(_, listener)| *listener == Listener::Answers)
    }

    /// A server on our ledger runs.
    pub fn is_served(&self) -> bool {
        self.listens()
            || matches!(self.served(), Served::Ducat(told) if told.ledger.is_some() && told.ledger == self.ledger_mark())
    }

    pub fn ledger_mark(&self) -> Option<String> {
        ducat_store::ledger_mark(&self.database()?)
    }

    pub fn database(&self) -> Option<PathBuf> {
        self.data.as_deref().map(DataFolder::database_in)
    }

    /// The ledger, when there is one that can be read.
    pub fn ledger(&self) -> Option<Reader> {
        let path = self.database().filter(|path| path.exists())?;
        Reader::open(&path).ok().filter(|reader| reader.check_schema().is_ok())
    }

    /// How far files were imported here, or shipped elsewhere.
    pub fn kept(&self) -> Vec<FileCursor> {
        kept(self.data.as_deref(), self.ledger())
    }

    pub fn spool(&self) -> Option<Spool> {
        self.data.as_deref().map(|data| Spool::new(spool_folder(data), Limits::default()))
    }

    /// All transcripts, and what could not be looked at.
    pub fn transcripts(&self) -> &(Vec<TranscriptFile>, Vec<Problem>) {
        self.transcripts.get_or_init(|| {
            let mut problems = Vec::new();
            (find_transcripts(&self.homes, &mut problems), problems)
        })
    }

    /// A variable as hooks have it: the client's settings go before our own environment.
    pub fn hook_variable(&self, name: &str) -> Option<String> {
        let set = |file: &SettingsFile| Some(file.value.as_ref().ok()?.pointer(&format!("/env/{name}"))?.as_str()?.to_owned());
        self.settings.iter().rev().find_map(set).or_else(|| env::var(name).ok()).filter(|value| !value.is_empty())
    }

    /// Where hooks deliver over HTTP, if they do.
    pub fn hook_url(&self) -> Option<String> {
        self.hook_variable("DUCAT_URL")
    }

    /// Where the client itself posts events, by hooks that a setup with `--http` wrote.
    pub fn post_url(&self) -> Option<String> {
        let values = self.settings.iter().filter_map(|file| file.value.as_ref().ok());
        let mut urls = values.flat_map(hooks::ours).filter_map(|(_, handler)| handler.get("url")?.as_str());
        urls.find_map(|url| Some(url.strip_suffix("/api/v1/hooks/claude-code")?.to_owned()))
    }

    /// A hook that finds no server starts one.
    pub fn starts_on_demand(&self) -> bool {
        self.service.as_ref().is_some_and(|service| service.way == Way::OnDemand)
    }

    pub fn is_wsl(&self) -> bool {
        fs::read_to_string(self.root.join("proc/version")).is_ok_and(|version| version.to_ascii_lowercase().contains("microsoft"))
    }

    pub fn is_container(&self) -> bool {
        [".dockerenv", "run/.containerenv"].iter().any(|mark| self.root.join(mark).exists())
            || ["REMOTE_CONTAINERS", "CODESPACES"].iter().any(|variable| env::var_os(variable).is_some())
    }
}

impl SettingsFile {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path);
        let exists = !text.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        let value = match text {
            Ok(text) if !text.trim().is_empty() => settings::parse(&text).map_err(|error| format!("{error:#}")),
            Err(error) if exists => Err(error.to_string()),
            _ => Ok(Value::Object(serde_json::Map::new())),
        };
        let value = value.and_then(|value| {
            if value.is_object() {
                Ok(value)
            } else {
                Err("it is no JSON \
            object"
                    .to_owned())
            }
        });
        Self { path: path.to_owned(), value, exists }
    }
}

/// The word of `PROGRAM --version` that begins with a digit, within a few seconds.
pub fn says_version(program: &Path) -> anyhow::Result<String> {
    says_version_within(program, LONGEST_START)
}

/// [`says_version`] for one that loads a whole client first.
pub fn says_version_within(program: &Path, patience: Duration) -> anyhow::Result<String> {
    let said = output_within(Command::new(program).arg("--version"), patience)?;
    let version = said.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    version.map(str::to_owned).with_context(|| format!("it said {:?}", said.trim().chars().take(200).collect::<String>()))
}

fn output_within(command: &mut Command, patience: Duration) -> anyhow::Result<String> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut out = child.stdout.take().context("no output")?;
    let reading = thread::spawn(move || {
        let mut text = Vec::new();
        let _ = out.by_ref().take(64 << 10).read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let end = Instant::now() + patience;
    while !reading.is_finished() {
        if Instant::now() >= end {
            let _ = child.kill();
            let _ = child.wait();
            bail!("it did not answer within {} s", patience.as_secs());
        }
        thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let status = child.wait()?;
    let text = reading.join().unwrap_or_default();
    if text.trim().is_empty() && !status.success() {
        bail!("it ended with {status}");
    }
    Ok(text)
}

/// How far files were imported into a ledger, or shipped from a data folder.
pub fn kept(data: Option<&Path>, ledger: Option<Reader>) -> Vec<FileCursor> {
    let mut cursors = ledger.and_then(|ledger| ledger.file_cursors(TenantId::LOCAL).ok()).unwrap_or_default();
    cursors.extend(data.map(sent_cursors).unwrap_or_default());
    cursors
}
