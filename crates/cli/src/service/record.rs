//! What an installation made, kept in the data folder, so that removing leaves nothing behind.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use ducat_spool::Start;
use serde::{Deserialize, Serialize};

use super::plan::{MARK, write_file};
use super::{launchd, systemd};

/// How the server is kept running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    Systemd,
    Launchd,
    OnDemand,
}

impl Way {
    pub fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd user unit",
            Self::Launchd => "launchd agent",
            Self::OnDemand => "started by the first hook",
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    pub way: Way,
    /// Where the page is.
    pub url: String,
    /// Where to ask it.
    pub address: std::net::SocketAddr,
    /// Files of the installation.
    pub files: Vec<PathBuf>,
    /// Folders that were not there before; those of them that are empty go with it.
    pub folders: Vec<PathBuf>,
}

impl Record {
    pub fn place(data: &Path) -> PathBuf {
        data.join("service.json")
    }

    pub fn load(data: &Path) -> anyhow::Result<Option<Self>> {
        let path = Self::place(data);
        let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
        Ok(Some(serde_json::from_str(&text).with_context(|| format!("{} cannot be read; remove it", path.display()))?))
    }

    /// The one that is kept, or what the files of an installation tell when it is lost.
    pub fn find(data: &Path) -> anyhow::Result<Option<Self>> {
        if let Some(record) = Self::load(data)? {
            return Ok(Some(record));
        }
        let is_ours = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains(MARK));
        let candidates = [
            (Way::Systemd, systemd::files(data).unwrap_or_default()),
            (Way::Launchd, launchd::file().into_iter().collect()),
            (Way::OnDemand, vec![Start::place(data)]),
        ];
        let found = candidates.into_iter().find(|(_, files)| files.iter().any(is_ours));
        let address = (Ipv4Addr::LOCALHOST, 9090).into();
        let url = "http://localhost:9090".to_owned();
        Ok(found.map(|(way, files)| Self { way, url, address, files, folders: Vec::new() }))
    }

    /// Writes it, with the folders that are made for it in it.
    pub fn save(&mut self, data: &Path) -> anyhow::Result<()> {
        let mut made = Vec::new();
        write_file(&Self::place(data), "{}", 0o600, &mut made)?;
        self.folders.extend(made);
        // The deepest first, each once.
        self.folders.sort();
        self.folders.dedup();
        self.folders.reverse();
        write_file(&Self::place(data), &format!("{}\n", serde_json::to_string_pretty(self)?), 0o600, &mut Vec::new())
    }
}
