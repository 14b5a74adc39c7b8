//! What a hook may start when it finds no server: a file in the data folder that `ducat service install --on-demand` writes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The server to start, as the file says it: a line for the program, one for each argument and each variable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// All it gets: what the agent has in its environment is no affair of the server's.
    pub variables: Vec<(String, String)>,
}

const HEAD: &str = "# written by ducat service install; ducat service remove takes it away\n";
/// Nobody writes this much.
const LONGEST: u64 = 64 << 10;

impl Start {
    /// Where the file is.
    pub fn place(data: &Path) -> PathBuf {
        data.join("start-on-hook")
    }

    /// Its time is that of the last start whose server has not yet run for a while.
    pub fn tried(data: &Path) -> PathBuf {
        data.join("start-on-hook.tried")
    }

    /// What the last server that a hook started printed, most often why it could not start.
    pub fn words(data: &Path) -> PathBuf {
        data.join("logs/start.log")
    }

    /// The text of the file.
    ///
    /// # Errors
    /// What has a line break in it, or a program without a whole path.
    pub fn render(&self) -> Result<String, String> {
        let program = self.program.to_str().filter(|_| self.program.is_absolute());
        let program = program.ok_or_else(|| format!("{}: must be a whole path of UTF-8 letters", self.program.display()))?;
        let arguments = self.arguments.iter().map(|argument| format!("argument {argument}"));
        let variables = self.variables.iter().map(|(name, value)| format!("variable {name}={value}"));
        let mut text = HEAD.to_owned();
        for line in [format!("program {program}")].into_iter().chain(arguments).chain(variables) {
            if line.contains(['\n', '\r', '\0']) {
                return Err(format!("{line:?} has a line break"));
            }
            text.push_str(&line);
            text.push('\n');
        }
        Ok(text)
    }

    pub fn parse(text: &str) -> Option<Self> {
        let mut start = Self::default();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.split_once(' ')? {
                ("program", path) => start.program = path.into(),
                ("argument", argument) => start.arguments.push(argument.to_owned()),
                ("variable", pair) => {
                    let (name, value) = pair.split_once('=')?;
                    start.variables.push((name.to_owned(), value.to_owned()));
                }
                _ => return None,
            }
        }
        start.program.is_absolute().then_some(start)
    }

    /// Reads an open file, if it is `user`'s and nobody else can have written it or read it. (What a repository brings along, should somebody's
    /// `DUCAT_DATA_DIR` lead there, most often is not of such a mode; after a clone under umask 077 it is.)
    pub fn read(file: &mut File, user: u32) -> io::Result<Self> {
        let meta = file.metadata()?;
        if !meta.is_file() || meta.uid() != user || meta.mode() & 0o077 != 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut text = String::new();
        file.take(LONGEST).read_to_string(&mut text)?;
        Self::parse(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The server ran for a while: the next hook that finds none may start one at once.
    pub fn succeeded(data: &Path) {
        let _ = fs::remove_file(Self::tried(data));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_written_is_read() {
        let start = Start {
            program: "/opt/my tools/ducat".into(),
            arguments: vec!["serve".into(), "--log-file".into(), "/a b/c".into(), String::new()],
            variables: vec![("HOME".into(), "/home/a=b".into())],
        };
        assert_eq!(Start::parse(&start.render().unwrap()), Some(start.clone()));
        assert!(Start { arguments: vec!["a\nprogram /bin/sh".into()], ..start.clone() }.render().is_err());
        assert!(Start { program: "ducat".into(), ..start }.render().is_err());
        for bad in ["", "program ducat", "argument x", "program /a\nnonsense", "program /a\nvariable X"] {
            assert_eq!(Start::parse(bad), None, "{bad}");
        }
    }

    /// Root's process could read what another user wrote.
    #[test]
    fn a_file_of_another_user_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let place = Start::place(dir.path());
        fs::write(&place, "program /bin/true\n").unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o600)).unwrap();
        let owner = fs::metadata(&place).unwrap().uid();
        assert!(Start::read(&mut File::open(&place).unwrap(), owner).is_ok());
        let error = Start::read(&mut File::open(&place).unwrap(), owner + 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_file_that_others_can_touch_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let place = Start::place(dir.path());
        fs::write(&place, "program /bin/true\n").unwrap();
        for (mode, is_believed) in [(0o644, false), (0o620, false), (0o600, true)] {
            fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
            let owner = fs::metadata(&place).unwrap().uid();
            assert_eq!(Start::read(&mut File::open(&place).unwrap(), owner).is_ok(), is_believed, "{mode:o}");
        }
    }
}
