//! What `--fix` may do: only what loses nothing and can be done again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use ducat_spool::{Limits, Spool};

use super::ask::{self, Listener};
use super::finding::shown;
use crate::setup;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fix {
    /// Takes these bits away from a file's or folder's mode.
    Forbid(PathBuf, u32),
    /// Adds these bits to the mode of a folder of our own.
    Allow(PathBuf, u32),
    /// Removes files that mean nothing any more.
    Remove(Vec<PathBuf>),
    /// Removes a socket that nobody listens at.
    RemoveSocket(PathBuf),
    /// Gives the spool what dead hooks left half-way.
    FinishSpooled(PathBuf),
    /// Writes the hooks of the last setup back into a settings file.
    WriteBack { settings: PathBuf, data: PathBuf },
}

impl Fix {
    /// Does it; says what was done.
    pub fn apply(&self) -> anyhow::Result<String> {
        match self {
            Self::Forbid(path, bits) => set_mode(path, |mode| mode & !bits),
            Self::Allow(path, bits) => set_mode(path, |mode| mode | bits),
            Self::Remove(paths) => {
                for path in paths {
                    match fs::remove_file(path) {
                        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                            return Err(error).with_context(|| shown(path));
                        }
                        _ => {}
                    }
                }
                Ok(format!("removed {}", paths.iter().map(|path| shown(path)).collect::<Vec<_>>().join(", ")))
            }
            Self::RemoveSocket(path) => {
                // A server may have begun to listen meanwhile.
                if ask::listener(path) == Listener::Stale {
                    fs::remove_file(path).with_context(|| shown(path))?;
                }
                Ok(format!("removed {}", shown(path)))
            }
            Self::FinishSpooled(folder) => {
                let (kept, dropped) = Spool::new(folder, Limits::default()).finish_abandoned().with_context(|| shown(folder))?;
                Ok(format!("gave {kept} whole events to the spool {}, removed {dropped} that were cut off", shown(folder)))
            }
            Self::WriteBack { settings, data } => {
                setup::write_back(settings, data)?;
                Ok(format!("wrote Ducat's hooks back into {}", shown(settings)))
            }
        }
    }
}

fn set_mode(path: &Path, change: impl FnOnce(u32) -> u32) -> anyhow::Result<String> {
    let mode = change(fs::metadata(path).with_context(|| shown(path))?.permissions().mode() & 0o7777);
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).with_context(|| shown(path))?;
    Ok(format!("set the mode of {} to {mode:o}", shown(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_change_by_the_bits_that_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let mode = || fs::metadata(dir.path()).unwrap().permissions().mode() & 0o7777;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o577)).unwrap();
        Fix::Forbid(dir.path().to_owned(), 0o022).apply().unwrap();
        assert_eq!(mode(), 0o555);
        assert!(Fix::Allow(dir.path().to_owned(), 0o700).apply().unwrap().ends_with("to 755"));
        assert_eq!(mode(), 0o755);
        assert!(Fix::Allow(dir.path().join("gone"), 0o700).apply().is_err());
    }
}
