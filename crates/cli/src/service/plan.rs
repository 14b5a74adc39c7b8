//! What installing does, step by step: printed by a dry run, done otherwise.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Marks a file as ours.
pub const MARK: &str = "written by ducat service install";

pub enum Step {
    Write {
        path: PathBuf,
        text: String,
        mode: u32,
        /// Holds a secret: a dry run does not print it.
        is_secret: bool,
    },
    Delete(PathBuf),
    Run(Vec<String>),
    /// As `Run`, where failing is no fault: stopping what does not run.
    Try(Vec<String>),
}

impl Step {
    pub fn write(path: PathBuf, text: String) -> Self {
        Self::Write { path, text, mode: 0o644, is_secret: false }
    }

    pub fn write_private(path: PathBuf, text: String, is_secret: bool) -> Self {
        Self::Write { path, text, mode: 0o600, is_secret }
    }

    pub fn run(words: &[&str]) -> Self {
        Self::Run(words.iter().map(|word| (*word).to_owned()).collect())
    }

    pub fn attempt(words: &[&str]) -> Self {
        Self::Try(words.iter().map(|word| (*word).to_owned()).collect())
    }

    /// The step as a person reads it.
    pub fn describe(&self, out: &mut impl Write) -> std::io::Result<()> {
        match self {
            Self::Write { path, mode, is_secret: true, .. } => {
                writeln!(out, "# write {} (mode {mode:o}; it holds METRICS_API_KEY and is not shown)\n", path.display())
            }
            Self::Write { path, text, mode, .. } => {
                writeln!(out, "# write {} (mode {mode:o})\n{}\n", path.display(), text.trim_end())
            }
            Self::Delete(path) => writeln!(out, "# delete {}", path.display()),
            Self::Run(words) | Self::Try(words) => writeln!(out, "{}", words.join(" ")),
        }
    }

    /// Does it, and notes the folders that it made.
    pub fn take(&self, made: &mut Vec<PathBuf>) -> anyhow::Result<()> {
        match self {
            Self::Write { path, text, mode, .. } => write_file(path, text, *mode, made),
            Self::Delete(path) => {
                let _ = fs::remove_file(path);
                Ok(())
            }
            Self::Run(words) => run(words),
            Self::Try(words) => {
                let _ = run(words);
                Ok(())
            }
        }
    }
}

fn run(words: &[String]) -> anyhow::Result<()> {
    let (program, arguments) = words.split_first().context("a command has a program")?;
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running {}", words.join(" ")))?;
    if !output.status.success() {
        bail!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Writes a file whole or not at all.
pub fn write_file(path: &Path, text: &str, mode: u32, made: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let folder = path.parent().context("a file has a folder")?;
    let is_missing: Vec<PathBuf> = folder.ancestors().take_while(|folder| !folder.exists()).map(Path::to_path_buf).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(|| folder.display().to_string())?;
    made.extend(is_missing);
    let unfinished = path.with_extension(format!("unfinished-{}", std::process::id()));
    let written = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        // Whatever the umask is.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    written().map_err(|error| {
        let _ = fs::remove_file(&unfinished);
        anyhow::Error::new(error).context(path.display().to_string())
    })
}

/// Refuses to take the place of a file that somebody else wrote.
pub fn refuse_foreign(path: &Path, force: bool) -> anyhow::Result<()> {
    match fs::read_to_string(path) {
        Ok(text) if !force && !text.contains(MARK) => {
            bail!("{} was not {MARK}; it is left as it is (--force takes its place)", path.display())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ducat.service");
        assert!(refuse_foreign(&path, false).is_ok());
        fs::write(&path, "[Service]\n").unwrap();
        let refused = refuse_foreign(&path, false).unwrap_err().to_string();
        assert!(refused.contains("ducat.service") && refused.contains("--force"), "{refused}");
        assert!(refuse_foreign(&path, true).is_ok());
    }

    #[test]
    fn a_file_is_written_with_its_mode_and_its_new_folders_are_noted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/c.env");
        let mut made = Vec::new();
        write_file(&path, "x", 0o600, &mut made).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(made, [dir.path().join("a/b"), dir.path().join("a")]);
        write_file(&path, "y", 0o600, &mut made).unwrap();
        assert_eq!((made.len(), fs::read_to_string(&path).unwrap().as_str()), (2, "y"));
    }

    #[test]
    fn a_dry_run_shows_no_secret() {
        let mut out = Vec::new();
        Step::write_private("/x".into(), "METRICS_API_KEY=\"hush\"".into(), true).describe(&mut out).unwrap();
        let shown = String::from_utf8(out).unwrap();
        assert!(shown.contains("/x") && !shown.contains("hush"), "{shown}");
    }
}
