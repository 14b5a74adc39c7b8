//! A terminal that a test types into and reads: tmux with a server of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::eventually;

pub struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    /// Runs a command in a terminal of this size; without tmux says that the test skips.
    pub fn start(folder: &Path, (width, height): (u16, u16), command: &Command) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            eprintln!("skipped: tmux is not installed (make test does it)");
            return None;
        }
        let terminal = Self { socket: folder.join("tmux.sock") };
        let mut tmux =
            terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &width.to_string(), "-y", &height.to_string()]);
        if let Some(folder) = command.get_current_dir() {
            tmux.arg("-c").arg(folder);
        }
        // tmux gives what it runs its own variables: these are all it shall have.
        tmux.args(["--", "env", "-i", "TERM=xterm-256color", "LANG=C.UTF-8"]);
        tmux.args(
            command
                .get_envs()
                .filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), value?.to_string_lossy()))),
        );
        tmux.arg(command.get_program()).args(command.get_args());
        let output = tmux.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Some(terminal)
    }

    fn tmux(&self, args: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).args(args);
        command
    }

    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).output().unwrap().stdout).into_owned()
    }

    /// Types the text, then presses the key (`Enter`, `C-c`).
    pub fn types(&self, text: &str, key: &str) {
        assert!(self.tmux(&["send-keys", "-l", text]).status().unwrap().success());
        self.press(key);
    }

    /// Presses a key (`Enter`, `C-c`).
    pub fn press(&self, key: &str) {
        assert!(self.tmux(&["send-keys", key]).status().unwrap().success());
    }

    pub fn resize(&self, width: u16, height: u16) {
        let size = (width.to_string(), height.to_string());
        assert!(self.tmux(&["resize-window", "-x", &size.0, "-y", &size.1]).status().unwrap().success());
    }

    /// Waits until the screen shows this.
    pub fn shows(&self, text: &str) -> String {
        eventually(|| {
            let screen = self.screen();
            if screen.contains(text) { Ok(screen) } else { Err(format!("no {text:?} on\n{screen}")) }
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]).output();
    }
}
