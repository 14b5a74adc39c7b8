//! Where things are: the same for the hook, the server and the command line.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// `DUCAT_DATA_DIR`, else `ducat` in `$XDG_DATA_HOME` or `~/.local/share`.
pub fn data_folder() -> Option<PathBuf> {
    if let Some(told) = told("DUCAT_DATA_DIR") {
        return Some(told.into());
    }
    let xdg = told("XDG_DATA_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    xdg.or_else(|| Some(PathBuf::from(told("HOME")?).join(".local/share"))).map(|folder| folder.join("ducat"))
}

/// `DUCAT_CONFIG`, else `ducat/config.toml` in `$XDG_CONFIG_HOME` or `~/.config`.
pub fn config_file() -> Option<PathBuf> {
    if let Some(told) = told("DUCAT_CONFIG") {
        return Some(told.into());
    }
    let xdg = told("XDG_CONFIG_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    xdg.or_else(|| Some(PathBuf::from(told("HOME")?).join(".config"))).map(|folder| folder.join("ducat/config.toml"))
}

/// The folder of the spool in the data folder.
pub fn spool_folder(data: &Path) -> PathBuf {
    data.join("spool")
}

/// Sockets of the server, the best first: `DUCAT_SOCKET` alone, else `$XDG_RUNTIME_DIR/ducat/hook.sock` and `run/hook.sock` in the data
/// folder. The server listens on each, because an agent may be started with other variables than the server.
pub fn socket_paths(data: &Path) -> Vec<PathBuf> {
    if let Some(told) = told("DUCAT_SOCKET") {
        return vec![told.into()];
    }
    let runtime = told("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let in_runtime = runtime.map(|folder| folder.join("ducat/hook.sock"));
    in_runtime.into_iter().chain([data.join("run/hook.sock")]).collect()
}

fn told(variable: &str) -> Option<OsString> {
    env::var_os(variable).filter(|value| !value.is_empty())
}
