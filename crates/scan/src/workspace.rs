//! From a working directory to the project it belongs to.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use ducat_capture::{Workspace, Workspaces};

/// A file of this name excludes its folder and all below.
const IGNORE_FILE: &str = ".ducatignore";

/// Gemini CLI notes the project's root in a file of this name beside its chats.
const ROOT_NOTE: &str = ".project_root";
/// A larger file beside a transcript is not read, in bytes.
const LARGEST_BESIDE: u64 = 64 << 20;
/// No path is longer, in bytes.
const LONGEST_PATH: usize = 4096;

/// Resolves working directories on this machine's disk: project = root of the repository (of a worktree, its main one), else the
/// directory itself. Remembers what it found, so make a new one for every scan.
#[derive(Debug, Default)]
pub struct WorkspaceResolver {
    excluded: Vec<PathBuf>,
    known: HashMap<String, Workspace>,
    noted: HashMap<PathBuf, Option<String>>,
    /// The last file read beside a transcript: a list of all tasks is asked for by each of them.
    beside: Option<(PathBuf, Arc<[u8]>)>,
}

impl WorkspaceResolver {
    /// `excluded`: folders of which nothing is stored.
    pub fn new(excluded: Vec<PathBuf>) -> Self {
        Self { excluded, ..Self::default() }
    }

    fn find(&self, cwd: &str) -> Workspace {
        let path = Path::new(cwd);
        // A path that climbs or does not start at the root (of another machine, or made up) is a name and nothing to look up.
        if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
            return Workspace { project: Some(cwd.into()), excluded: false };
        }
        let excluded =
            path.ancestors().any(|folder| self.excluded.iter().any(|out| out == folder) || folder.join(IGNORE_FILE).exists());
        let root = path.ancestors().find_map(repository_root);
        let project = root.as_deref().and_then(Path::to_str).unwrap_or(cwd);
        Workspace { project: Some(Arc::from(project)), excluded }
    }
}

impl Workspaces for WorkspaceResolver {
    fn resolve(&mut self, cwd: &str) -> Workspace {
        if let Some(known) = self.known.get(cwd) {
            return known.clone();
        }
        let found = self.find(cwd);
        self.known.insert(cwd.to_owned(), found.clone());
        found
    }

    fn noted_in(&mut self, folder: &Path) -> Option<String> {
        if let Some(noted) = self.noted.get(folder) {
            return noted.clone();
        }
        let noted = fs::read_to_string(folder.join(ROOT_NOTE)).ok().map(|cwd| cwd.trim().to_owned());
        let noted = noted.filter(|cwd| cwd.len() <= LONGEST_PATH && Path::new(cwd).is_absolute());
        self.noted.insert(folder.to_owned(), noted.clone());
        noted
    }

    fn beside(&mut self, file: &Path) -> Option<Arc<[u8]>> {
        if let Some((path, content)) = &self.beside
            && path == file
        {
            return Some(content.clone());
        }
        let meta = fs::metadata(file).ok().filter(|meta| meta.is_file() && meta.len() <= LARGEST_BESIDE)?;
        let mut content = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default());
        File::open(file).ok()?.take(LARGEST_BESIDE).read_to_end(&mut content).ok()?;
        let content: Arc<[u8]> = content.into();
        self.beside = Some((file.to_owned(), content.clone()));
        Some(content)
    }
}

/// The repository whose working tree starts at this folder: itself, or for a linked worktree the main one.
fn repository_root(folder: &Path) -> Option<PathBuf> {
    let git = folder.join(".git");
    let meta = fs::metadata(&git).ok()?;
    if meta.is_dir() {
        return Some(folder.to_owned());
    }
    let pointer = fs::read_to_string(&git).ok()?;
    let git_dir = folder.join(pointer.strip_prefix("gitdir:")?.trim());
    let common = fs::read_to_string(git_dir.join("commondir")).ok().map(|common| git_dir.join(common.trim()));
    // Without a common dir it is a submodule: a repository of its own.
    let main = common.and_then(|common| common.canonicalize().ok()).filter(|common| common.ends_with(".git"));
    Some(main.and_then(|common| common.parent().map(Path::to_owned)).unwrap_or_else(|| folder.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(resolver: &mut WorkspaceResolver, path: &Path) -> String {
        resolver.resolve(path.to_str().unwrap()).project.unwrap().to_string()
    }

    #[test]
    fn worktrees_fold_into_their_repository() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let (main, linked) = (dir.join("main"), dir.join("linked"));
        fs::create_dir_all(main.join(".git/worktrees/linked")).unwrap();
        fs::create_dir_all(main.join("deep/er")).unwrap();
        fs::create_dir_all(&linked).unwrap();
        fs::write(main.join(".git/worktrees/linked/commondir"), "../..\n").unwrap();
        fs::write(linked.join(".git"), format!("gitdir: {}\n", main.join(".git/worktrees/linked").display())).unwrap();
        let mut resolver = WorkspaceResolver::default();
        assert_eq!(project(&mut resolver, &main.join("deep/er")), main.to_str().unwrap());
        assert_eq!(project(&mut resolver, &linked), main.to_str().unwrap());
        // A folder that is gone belongs to the repository it was in.
        assert_eq!(project(&mut resolver, &main.join("gone/long/ago")), main.to_str().unwrap());
        assert_eq!(project(&mut resolver, &dir), dir.to_str().unwrap());
    }

    #[test]
    fn what_lies_beside_is_read_when_it_is_a_file_of_moderate_size() {
        let dir = tempfile::tempdir().unwrap();
        let (file, large) = (dir.path().join("state.json"), dir.path().join("large.json"));
        fs::write(&file, "{}").unwrap();
        File::create(&large).unwrap().set_len(LARGEST_BESIDE + 1).unwrap();
        let mut resolver = WorkspaceResolver::default();
        for _ in 0..2 {
            assert_eq!(resolver.beside(&file).as_deref(), Some(&b"{}"[..]));
            for none in [dir.path().to_owned(), dir.path().join("gone.json"), large.clone()] {
                assert_eq!(resolver.beside(&none), None, "{}", none.display());
            }
        }
    }

    #[test]
    fn ignored_and_excluded_folders() {
        let dir = tempfile::tempdir().unwrap();
        let ignored = dir.path().join("ignored/deep");
        fs::create_dir_all(&ignored).unwrap();
        fs::write(dir.path().join("ignored/.ducatignore"), "").unwrap();
        let mut resolver = WorkspaceResolver::new(vec![dir.path().join("secret")]);
        let mut excluded = |path: PathBuf| resolver.resolve(path.to_str().unwrap()).excluded;
        assert!(excluded(ignored));
        assert!(excluded(dir.path().join("secret/x")));
        assert!(!excluded(dir.path().join("secretary")));
    }
}
