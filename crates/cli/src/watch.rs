//! Waits for agents to write.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use ducat_scan::Home;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

/// Files that no notice came for are found this often.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// A session writes many lines at once; they are read together.
const SETTLE: Duration = Duration::from_millis(200);

/// Notices of changes below some folders.
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    told: Receiver<()>,
    watched: Vec<PathBuf>,
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

impl Watch {
    pub fn new() -> Self {
        let (tell, told) = mpsc::channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Our own reading is told too.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = tell.send(());
            }
        });
        Self { watcher: watcher.ok(), told, watched: Vec::new() }
    }

    /// Watches a folder that may not be there yet; call it again before each wait.
    pub fn add(&mut self, folder: &Path) {
        self.watch(folder, RecursiveMode::Recursive);
    }

    /// Watches a home that may not be there yet, as far as its transcripts lie.
    pub fn add_home(&mut self, home: &Home) {
        self.watch(&home.folder, if home.is_flat { RecursiveMode::NonRecursive } else { RecursiveMode::Recursive });
    }

    fn watch(&mut self, folder: &Path, how: RecursiveMode) {
        if let Some(watcher) = self.watcher.as_mut().filter(|_| !self.watched.iter().any(|watched| watched == folder))
            && watcher.watch(folder, how).is_ok()
        {
            self.watched.push(folder.to_owned());
        }
    }

    /// Returns when something changed and has settled, or after a minute.
    pub fn wait(&self) {
        match self.told.recv_timeout(LOOK_EVERY) {
            Ok(()) => thread::sleep(SETTLE),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => thread::sleep(LOOK_EVERY),
        }
        while self.told.try_recv().is_ok() {}
    }
}
