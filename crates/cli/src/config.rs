//! The configuration file, and where things are kept.

pub mod command;
mod edit;
mod fault;
mod keys;

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, anyhow, bail};
use ducat_capture::otlp::Dimensions;
use ducat_prices::{PriceOverrides, PriceTable};
use ducat_report::{Currency, CurrencyError, Group, Groups, Settings};
use ducat_server::{ForwardConfig, OtlpConfig, PublicUrl};
use ducat_spool::data_folder;
use ducat_status_line::Template;
use serde::Deserialize;

const DEFAULT_HOST: &str = "localhost";
const DEFAULT_PORT: u16 = 9090;

/// `config.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub durability: Durability,
    pub capture: Capture,
    pub prices: PriceOverrides,
    pub first_version: FirstVersion,
    pub status_line: StatusLine,
    pub server: ServerAddress,
    pub otlp: Otlp,
    pub report: Reports,
    #[serde(rename = "group")]
    pub groups: Vec<Group>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatusLine {
    /// As `ducat statusline --template`.
    pub template: Option<String>,
}

/// What an acknowledgement promises: it survives the end of the process, or the loss of power too.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    #[default]
    Process,
    Power,
}

/// Where OpenTelemetry is taken, and where it is passed on to.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    /// Whether its own ports are listened on.
    pub ports: bool,
    pub http_port: u16,
    pub grpc_port: u16,
    /// Base URL of another OTLP endpoint over HTTP; `/v1/logs` and so on are appended.
    pub forward_url: Option<String>,
    /// Headers for it, each `name: value`.
    pub forward_headers: Vec<String>,
    /// Attributes that tell the user; the first that is there.
    pub user: Vec<String>,
    /// And the team.
    pub team: Vec<String>,
    /// Attributes that become labels of requests: `NAME`, or `NAME=ATTRIBUTE`.
    pub labels: Vec<String>,
}

impl Default for Otlp {
    fn default() -> Self {
        let [user, team, labels] = Dimensions::default_names();
        Self { ports: true, http_port: 4318, grpc_port: 4317, forward_url: None, forward_headers: Vec::new(), user, team, labels }
    }
}

impl Otlp {
    /// Of the ports, flags and variables come before the file.
    pub fn listening(&self, http_port: Option<u16>, grpc_port: Option<u16>) -> OtlpConfig {
        let port = |told: Option<u16>, in_file| told.or_else(|| self.ports.then_some(in_file));
        OtlpConfig {
            http_port: port(http_port, self.http_port),
            grpc_port: port(grpc_port, self.grpc_port),
            ..self.without_ports()
        }
    }

    pub fn without_ports(&self) -> OtlpConfig {
        let headers = self.forward_headers.iter().filter_map(|header| header.split_once(':'));
        let headers = headers.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect();
        let forward = self.forward_url.clone().map(|url| ForwardConfig { url, headers });
        // Checked when the file was read.
        let dimensions = self.dimensions().unwrap_or_default();
        OtlpConfig { forward, dimensions, ..OtlpConfig::default() }
    }

    fn dimensions(&self) -> anyhow::Result<Dimensions> {
        Dimensions::new(&self.user, &self.team, &self.labels).map_err(|wrong| anyhow!("otlp.{wrong}"))
    }

    fn validate(&self) -> anyhow::Result<()> {
        if let Some(url) = &self.forward_url {
            let authority = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            if authority.is_none_or(|authority| authority.contains('@')) {
                // It may hold a password.
                bail!("otlp.forward_url: must begin with http:// or https://; a user and password go into otlp.forward_headers");
            }
        } else if !self.forward_headers.is_empty() {
            bail!("otlp.forward_headers: nothing is passed on without otlp.forward_url");
        }
        for header in &self.forward_headers {
            let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            let is_fine = |(name, value): (&str, &str)| is_name(name.trim()) && !value.contains(char::is_control);
            if !header.split_once(':').is_some_and(is_fine) {
                // A value may be a secret.
                bail!("otlp.forward_headers: each must be \"name: value\"");
            }
        }
        self.dimensions().map(drop)
    }
}

/// Where the server listens, unless a flag or an environment variable says it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerAddress {
    /// An address of this machine, or `localhost`.
    pub host: Option<String>,
    pub port: Option<u16>,
    /// URLs under which the server may be asked, beside localhost.
    pub public_urls: Vec<String>,
}

impl ServerAddress {
    /// Where to listen: a flag or an environment variable, over the file, over the default.
    pub fn address(&self, host: Option<IpAddr>, port: Option<u16>) -> anyhow::Result<SocketAddr> {
        let in_file = || listening_address(self.host.as_deref().unwrap_or(DEFAULT_HOST));
        let host = host.map_or_else(in_file, Ok).map_err(|wrong| anyhow!("server.host: {wrong}"))?;
        Ok(SocketAddr::new(host, port.or(self.port).unwrap_or(DEFAULT_PORT)))
    }

    /// The port without a flag.
    pub fn port_in_effect(&self) -> u16 {
        let told = env::var("METRICS_PORT").ok().and_then(|port| port.parse().ok());
        told.or(self.port).unwrap_or(DEFAULT_PORT)
    }

    pub fn public_urls(&self) -> anyhow::Result<Vec<PublicUrl>> {
        let parse = |url: &String| url.parse().map_err(|wrong| anyhow!("server.public_urls: {url:?} {wrong}"));
        self.public_urls.iter().map(parse).collect()
    }
}

/// The currency that reports are in beside USD, at the user's own rate.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reports {
    /// Three letters, such as `EUR`.
    pub currency: Option<String>,
    /// What a US dollar is in it.
    pub rate: Option<Rate>,
    /// The rate's day, `2026-11-24`.
    pub rate_date: Option<String>,
}

/// A rate as a number or a text; a text keeps every digit.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Rate {
    Whole(u32),
    Number(f64),
    Text(String),
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(rate) => write!(f, "{rate}"),
            Self::Number(rate) => write!(f, "{rate}"),
            Self::Text(rate) => write!(f, "{rate}"),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FirstVersion {
    /// Seconds after which a started call without an end is given up.
    pub tool_call_lasts_s: u64,
}

impl Default for FirstVersion {
    fn default() -> Self {
        Self { tool_call_lasts_s: 3600 }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capture {
    /// Folders of which nothing is read or stored; `~/` is the home folder.
    pub exclude: Vec<String>,
}

impl Config {
    /// Reads `DUCAT_CONFIG`, else `ducat/config.toml` in the user's configuration folder; without a file, the defaults.
    pub fn load() -> anyhow::Result<Self> {
        let Some((path, told)) = config_path() else { return Ok(Self::default()) };
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).with_context(|| format!("configuration {}", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !told => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("configuration {}", path.display())),
        }
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let config: Self = toml::from_str(text).map_err(|error| fault::explain(text, &error))?;
        config.prices.validate()?;
        if !(1..=604_800).contains(&config.first_version.tool_call_lasts_s) {
            bail!("first_version.tool_call_lasts_s: must be from 1 to 604800 (a week)");
        }
        if let Some(fault) = config.status_line.template.as_ref().and_then(|text| text.parse::<Template>().err()) {
            bail!("status_line.template: {fault}");
        }
        for folder in &config.capture.exclude {
            if !folder.starts_with(['/', '~']) {
                bail!("capture.exclude: {folder:?} must start at / or ~");
            }
        }
        if let Some(host) = &config.server.host {
            listening_address(host).map_err(|wrong| anyhow!("server.host: {wrong}"))?;
        }
        config.server.public_urls()?;
        config.otlp.validate()?;
        config.report_settings()?;
        Ok(config)
    }

    pub fn excluded_folders(&self) -> Vec<PathBuf> {
        self.capture.exclude.iter().map(|folder| in_home(folder)).collect()
    }

    /// Groups and currency, checked.
    pub fn report_settings(&self) -> anyhow::Result<Settings> {
        let in_homes = |group: &Group| {
            let projects = group.projects.iter().map(|pattern| in_home(pattern).to_string_lossy().into_owned()).collect();
            Group { projects, ..group.clone() }
        };
        let groups = Groups::new(self.groups.iter().map(in_homes).collect()).map_err(Error::msg)?;
        let labels = self.otlp.dimensions()?.labels().map(str::to_owned).collect();
        let currency = match (&self.report.currency, &self.report.rate, &self.report.rate_date) {
            (None, None, None) => None,
            (None, ..) => bail!("report.currency: missing; a rate is of a currency, such as EUR"),
            (_, None, _) => bail!("report.rate: missing; say what a US dollar is in the currency, such as 0.92"),
            (.., None) => bail!("report.rate_date: missing; say of which day the rate is, such as 2026-11-24"),
            (Some(code), Some(rate), Some(day)) => {
                let day = day.parse().map_err(|_| anyhow!("report.rate_date: {day:?} is no day such as 2026-11-24"))?;
                Some(Currency::new(code, &rate.to_string(), day).map_err(|wrong| match wrong {
                    CurrencyError::Code => anyhow!("report.currency: {code:?} is no code of three letters such as EUR"),
                    CurrencyError::Rate => anyhow!("report.rate: {rate} is no rate such as 0.92 (at most 12 decimals)"),
                })?)
            }
        };
        Ok(Settings { groups, currency, labels })
    }

    /// The user's updated table if there is one, else the embedded one, with the configuration's prices on top.
    pub fn price_table(&self) -> anyhow::Result<PriceTable> {
        let path = updated_prices();
        let table = match path.as_deref().map(fs::read_to_string) {
            Some(Ok(json)) => PriceTable::from_json(&json)
                .with_context(|| format!("price table {}", path.as_deref().unwrap_or(Path::new("")).display()))?,
            _ => PriceTable::embedded(),
        };
        Ok(table.with_overrides(self.prices.clone()))
    }
}

/// The file, and whether `DUCAT_CONFIG` names it: then it must be there.
pub fn config_path() -> Option<(PathBuf, bool)> {
    match env::var_os("DUCAT_CONFIG").filter(|path| !path.is_empty()) {
        Some(path) => Some((path.into(), true)),
        None => user_folder("XDG_CONFIG_HOME", ".config").map(|folder| (folder.join("config.toml"), false)),
    }
}

/// Where Claude Code's transcripts are found.
fn claude_folders() -> Vec<PathBuf> {
    ducat_scan::claude_homes().into_iter().map(|home| home.folder).collect()
}

/// A path in which `~` is the home folder.
fn in_home(path: &str) -> PathBuf {
    match (path.strip_prefix('~'), env::var_os("HOME")) {
        (Some(""), Some(home)) => PathBuf::from(home),
        (Some(rest), Some(home)) if rest.starts_with('/') => PathBuf::from(home).join(&rest[1..]),
        _ => PathBuf::from(path),
    }
}

/// An address of this machine, or `localhost`.
pub fn listening_address(text: &str) -> Result<IpAddr, String> {
    if text == "localhost" {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    text.parse().map_err(|_| "must be an address of this machine (127.0.0.1, 0.0.0.0, ::) or localhost".to_owned())
}

/// Where `ducat prices update` puts the table.
pub fn updated_prices() -> Option<PathBuf> {
    data_folder().map(|folder| folder.join("model_prices.json"))
}

/// Where reports remember what they read.
pub fn report_cache() -> Option<PathBuf> {
    user_folder("XDG_CACHE_HOME", ".cache").map(|folder| folder.join("report"))
}

fn user_folder(variable: &str, in_home: &str) -> Option<PathBuf> {
    let told = env::var_os(variable).map(PathBuf::from).filter(|folder| folder.is_absolute());
    told.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(in_home))).map(|folder| folder.join("ducat"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_name_every_key_and_its_default() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
        let document = fs::read_to_string(folder).unwrap();
        for key in &keys::KEYS {
            let default =
                if key.default.is_empty() { "none".to_owned() } else { key.default.replace("[]", "none").replace('"', "") };
            let row = document.lines().find(|line| line.starts_with(&format!("| `{}` |", key.name)));
            assert!(row.unwrap_or_else(|| panic!("{}", key.name)).contains(&format!("| {default} |")), "{}", key.name);
            // Writing the default down changes nothing.
            if !key.default.is_empty() {
                let (text, _) = edit::with("", key.name, Some(key.default)).unwrap();
                Config::parse(&text).unwrap();
            }
        }
    }

    /// What the file may hold is what `ducat config show` lists.
    #[test]
    fn every_key_of_the_file_is_known() {
        let names = |text: &str| -> Vec<String> {
            let fault = toml::from_str::<Config>(text).unwrap_err();
            fault.message().split('`').skip(3).step_by(2).map(str::to_owned).collect()
        };
        let of_users = ["prices.models", "prices.discount", "prices.aliases"];
        let is_key = |name: &str| keys::KEYS.iter().any(|key| key.name == name);
        for section in names("zz = 1").iter().filter(|section| *section != "group" && !is_key(section)) {
            for key in names(&format!("[{section}]\nzz = 1")) {
                let name = format!("{section}.{key}");
                assert!(is_key(&name) || of_users.contains(&name.as_str()), "{name}");
            }
        }
    }

    #[test]
    fn faults_name_their_key() {
        assert!(Config::parse("[prices.discount]\nanthropic = 0.1\n[capture]\nexclude = [\"~/x\"]").is_ok());
        for (text, part) in [
            ("[prices.discount]\nanthropic = 2", "prices.discount"),
            ("[capture]\nexclude = [\"x\"]", "capture.exclude"),
            ("[captur]", "line 1: there is no key \"captur\"; did you mean \"capture\"?"),
            ("[server]\nhost = \"example.org\"", "server.host"),
            ("[server]\npublic_urls = [\"ftp://x\"]", "public_urls"),
            ("[server]\nport = 99999", "port"),
            ("[report]\nrate = 0.9", "report.currency"),
            ("[report]\ncurrency = \"EUR\"", "report.rate"),
            ("[report]\ncurrency = \"EUR\"\nrate = 0.9", "report.rate_date"),
            ("[report]\ncurrency = \"EUR\"\nrate = 0\nrate_date = \"2026-11-24\"", "report.rate"),
            ("[report]\ncurrency = \"EUR\"\nrate = 1\nrate_date = \"soon\"", "report.rate_date"),
            ("[[group]]\nname = \"a\"\nprojects = []", "projects"),
            ("[[group]]\nname = \"a\"\nproject = [\"x\"]", "project"),
            ("[", "line 1"),
        ] {
            assert!(format!("{:#}", Config::parse(text).unwrap_err()).contains(part), "{text}");
        }
    }

    #[test]
    fn passing_on_is_checked_and_no_secret_repeated() {
        let wrong = |text: &str| toml::from_str::<Config>(text).unwrap().otlp.validate().unwrap_err().to_string();
        for url in ["https://me:secret@collector.example.org", "me:secret@collector.example.org"] {
            let said = wrong(&format!("[otlp]\nforward_url = {url:?}\n"));
            assert!(said.starts_with("otlp.forward_url: must begin") && !said.contains("secret"), "{said}");
        }
        let said = wrong("[otlp]\nforward_headers = [\"authorization: secret\"]\n");
        assert_eq!(said, "otlp.forward_headers: nothing is passed on without otlp.forward_url");
    }
}
