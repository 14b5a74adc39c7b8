//! The configuration file, and where things are kept.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use ducat_prices::{PriceOverrides, PriceTable};
use ducat_spool::data_folder;
use serde::Deserialize;

use ducat_status_line::Template;

/// `config.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub capture: Capture,
    pub prices: PriceOverrides,
    pub first_version: FirstVersion,
    pub status_line: StatusLine,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatusLine {
    /// As `ducat statusline --template`.
    pub template: Option<String>,
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
        let (path, told) = match env::var_os("DUCAT_CONFIG").filter(|path| !path.is_empty()) {
            Some(path) => (PathBuf::from(path), true),
            None => match user_folder("XDG_CONFIG_HOME", ".config") {
                Some(folder) => (folder.join("config.toml"), false),
                None => return Ok(Self::default()),
            },
        };
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).with_context(|| format!("configuration {}", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !told => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("configuration {}", path.display())),
        }
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let config: Self = toml::from_str(text)?;
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
        Ok(config)
    }

    pub fn excluded_folders(&self) -> Vec<PathBuf> {
        let home = env::var_os("HOME").map(PathBuf::from);
        let place = |folder: &String| match (folder.strip_prefix("~/"), &home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ if folder == "~" => home.clone().unwrap_or_default(),
            _ => PathBuf::from(folder),
        };
        self.capture.exclude.iter().map(place).collect()
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
    fn faults_name_their_key() {
        assert!(Config::parse("[prices.discount]\nanthropic = 0.1\n[capture]\nexclude = [\"~/x\"]").is_ok());
        for (text, part) in [
            ("[prices.discount]\nanthropic = 2", "prices.discount"),
            ("[capture]\nexclude = [\"x\"]", "capture.exclude"),
            ("[captur]", "captur"),
            ("[", "line 1"),
        ] {
            assert!(format!("{:#}", Config::parse(text).unwrap_err()).contains(part), "{text}");
        }
    }
}
