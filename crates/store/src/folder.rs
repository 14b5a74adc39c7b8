//! The data folder: one process at a time, on a disk of this machine.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A data folder that is ours until this is dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("data folder {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("data folder {path} is in use by {holder}; one Ducat at a time can write to it")]
    InUse { path: PathBuf, holder: String },
    #[error(
        "data folder {path} is on a network file system ({kind}), where a database can be damaged; name another with DUCAT_DATA_DIR, or set DUCAT_ALLOW_NETWORK_FS=1"
    )]
    Network { path: PathBuf, kind: String },
}

/// File systems whose locks and shared memory do not hold between machines.
const NETWORK: [&str; 8] = ["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "fuse.sshfs"];

impl DataFolder {
    /// Makes the folder if need be (mode 0700) and locks it.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let failed = |source| FolderError::Io { path: path.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        if let Some(kind) = network_file_system(&mounts, &path)
            && std::env::var_os("DUCAT_ALLOW_NETWORK_FS").is_none()
        {
            return Err(FolderError::Network { path, kind: kind.to_owned() });
        }
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = lock.read_to_string(&mut holder);
                let holder = if holder.trim().is_empty() { "another process".to_owned() } else { holder.trim().to_owned() };
                return Err(FolderError::InUse { path, holder });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        lock.set_len(0).and_then(|()| lock.rewind()).map_err(failed)?;
        lock.write_all(format!("process {}\n", std::process::id()).as_bytes()).map_err(failed)?;
        Ok(Self { path, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn database(&self) -> PathBuf {
        Self::database_in(&self.path)
    }

    /// Where the database is in a data folder, also in one that another process holds.
    pub fn database_in(folder: &Path) -> PathBuf {
        folder.join("ledger.db")
    }
}

/// The type of the network file system that a path is on, if it is on one; `mounts` is what `/proc/self/mountinfo` says.
pub fn network_file_system<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    file_system(mounts, path).filter(|kind| NETWORK.contains(kind))
}

/// Tells ledgers of one machine apart, whatever paths lead to them: device and inode of the database file.
pub fn ledger_mark(database: &Path) -> Option<String> {
    let meta = fs::metadata(database).ok()?;
    Some(format!("{:x}-{:x}", meta.dev(), meta.ino()))
}

/// The type of the file system that a path is on, by `/proc/self/mountinfo`.
fn file_system<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let mounted = mounts.lines().filter_map(|line| {
        let (mount, rest) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?.replace("\\040", " ");
        path.starts_with(&point).then(|| (point.len(), rest.split(' ').next().unwrap_or("")))
    });
    mounted.max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataFolder::open(&dir.path().join("a/b")).unwrap();
        let refused = DataFolder::open(first.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(first);
        DataFolder::open(&dir.path().join("a/b")).unwrap();
    }

    #[test]
    fn the_longest_mount_point_decides() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:5 / /home rw shared:1 - nfs4 host:/home rw\n3 2 8:2 / /home/me/my\\040disk rw - xfs /dev/sdb rw\n";
        assert_eq!(file_system(mounts, Path::new("/var/x")), Some("ext4"));
        assert_eq!(file_system(mounts, Path::new("/home/me/x")), Some("nfs4"));
        assert_eq!(file_system(mounts, Path::new("/home/me/my disk/x")), Some("xfs"));
    }
}
