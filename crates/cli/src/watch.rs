//! Waits for agents to write.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, SystemTime};

use ducat_scan::Home;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

/// Files that no notice came for are found this often.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// A session writes many lines at once; they are read together.
const SETTLE: Duration = Duration::from_millis(200);

/// Device, inode and birth: a folder made anew may get the inode of the one that went.
type Identity = (u64, u64, Option<SystemTime>);

/// Notices of changes below some folders, and of their coming into being.
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    tell: Sender<()>,
    told: Receiver<()>,
    /// With what a folder is known by, as one that was made anew is watched anew, and whether with all below it.
    watched: HashMap<PathBuf, (Identity, bool)>,
    wanted: Arc<RwLock<Vec<PathBuf>>>,
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

impl Watch {
    pub fn new() -> Self {
        let (tell, told) = mpsc::channel();
        let wanted = Arc::new(RwLock::new(Vec::<PathBuf>::new()));
        let watcher = notify::recommended_watcher({
            let (tell, wanted) = (tell.clone(), wanted.clone());
            move |event: notify::Result<notify::Event>| {
                let Ok(event) = event else { return };
                // Our own reading is told too; and of a folder's parents all that is in them.
                let wanted = wanted.read().unwrap_or_else(PoisonError::into_inner);
                let matters = |path: &PathBuf| wanted.iter().any(|folder| path.starts_with(folder) || folder.starts_with(path));
                if !event.kind.is_access() && (event.paths.is_empty() || event.paths.iter().any(matters)) {
                    let _ = tell.send(());
                }
            }
        });
        Self { watcher: watcher.ok(), tell, told, watched: HashMap::new(), wanted }
    }

    /// Watches a folder and all below it. While it is not there, the nearest of its parents that is: only for what is in it. Call it again before
    /// each wait.
    pub fn add(&mut self, folder: &Path) {
        self.want(folder, true);
    }

    /// Watches a home as far as its transcripts lie; see [`Watch::add`].
    pub fn add_home(&mut self, home: &Home) {
        self.want(&home.folder, !home.is_flat);
    }

    fn want(&mut self, folder: &Path, with_all: bool) {
        {
            let mut wanted = self.wanted.write().unwrap_or_else(PoisonError::into_inner);
            if !wanted.iter().any(|known| known == folder) {
                wanted.push(folder.to_owned());
            }
        }
        let was_there = folder.is_dir();
        // A part of the way may be made while we look.
        let mut last = None;
        while let Some(there) = folder.ancestors().find(|folder| folder.is_dir()) {
            if last == Some(there) {
                break;
            }
            self.watch(there, with_all && there == folder);
            last = Some(there);
        }
        if !was_there && last == Some(folder) {
            let _ = self.tell.send(());
        }
    }

    fn watch(&mut self, folder: &Path, with_all: bool) {
        let Ok(meta) = fs::metadata(folder) else { return };
        let identity = (meta.dev(), meta.ino(), meta.created().ok());
        let is_watched = |(known, all): &(Identity, bool)| *known == identity && (*all || !with_all);
        if self.watched.get(folder).is_some_and(is_watched) {
            return;
        }
        let mode = if with_all { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        if self.watcher.as_mut().is_some_and(|watcher| watcher.watch(folder, mode).is_ok()) {
            self.watched.insert(folder.to_owned(), (identity, with_all));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether something is told; what is expected is waited for.
    fn is_told(watch: &Watch, expected: bool) -> bool {
        let told = watch.told.recv_timeout(Duration::from_secs(if expected { 20 } else { 1 })).is_ok();
        thread::sleep(SETTLE);
        while watch.told.try_recv().is_ok() {}
        told
    }

    #[test]
    fn folders_are_noticed_as_they_come_go_and_come_again() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join(".agent/a/sessions");
        let mut watch = Watch::new();
        let mut step = |what: &dyn Fn(), told: bool, name: &str| {
            watch.add(&place);
            what();
            assert_eq!(is_told(&watch, told), told, "{name}");
        };
        step(&|| fs::write(home.path().join(".history"), "x").unwrap(), false, "another file");
        step(&|| fs::create_dir(home.path().join(".other")).unwrap(), false, "another folder");
        step(&|| fs::create_dir(home.path().join(".agent")).unwrap(), true, "a parent");
        step(&|| fs::write(home.path().join(".agent/config"), "x").unwrap(), false, "a file beside it");
        step(&|| fs::create_dir_all(&place).unwrap(), true, "the folder");
        step(&|| fs::create_dir(place.join("2026")).unwrap(), true, "a folder in it");
        step(&|| fs::write(place.join("2026/s.jsonl"), "x").unwrap(), true, "a file in that");
        step(&|| fs::remove_dir_all(home.path().join(".agent")).unwrap(), true, "gone");
        step(&|| fs::create_dir_all(&place).unwrap(), true, "there again");
        step(&|| fs::write(place.join("s.jsonl"), "x").unwrap(), true, "a file in it again");
    }
}
