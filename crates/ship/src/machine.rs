//! Which machine this is.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::process::Command;

use ducat_ledger::Key;

/// The random id of the machine that this data folder is of; made once. Host names are not enough: containers and laptops share them.
pub fn machine_id(data: &Path) -> io::Result<[u8; 16]> {
    DirBuilder::new().recursive(true).mode(0o700).create(data)?;
    let path = data.join("machine-id");
    let read = || fs::read_to_string(&path).ok().and_then(|text| Key::parse(text.trim())).map(|id| id.0);
    if let Some(id) = read() {
        return Ok(id);
    }
    let mut id = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut id)?;
    // Linked into place whole, so that of two processes that make it at once both take the first one's.
    let unfinished = data.join(format!("machine-id.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    writeln!(file, "{}", Key(id))?;
    let linked = fs::hard_link(&unfinished, &path);
    if linked.is_err() && read().is_none() {
        // A damaged file, or a file system without links.
        return fs::rename(&unfinished, &path).map(|()| id);
    }
    let _ = fs::remove_file(&unfinished);
    Ok(read().unwrap_or(id))
}

/// The one id of all machines of a pool, such as containers that come and go.
pub fn pool_id(name: &str) -> [u8; 16] {
    blake3::hash(format!("pool {name}").as_bytes()).as_bytes()[..16].try_into().unwrap_or_default()
}

/// What this machine calls itself; `unknown` when it does not.
pub fn host_name() -> String {
    let said = || Command::new("hostname").output().ok().and_then(|output| String::from_utf8(output.stdout).ok());
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(said).unwrap_or_default();
    let name = name.trim();
    if name.is_empty() || name.contains(char::is_control) { "unknown".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_stays() {
        let dir = tempfile::tempdir().unwrap();
        let id = machine_id(&dir.path().join("a")).unwrap();
        assert_eq!(machine_id(&dir.path().join("a")).unwrap(), id);
        assert_ne!(machine_id(&dir.path().join("b")).unwrap(), id);
        fs::write(dir.path().join("a/machine-id"), "torn").unwrap();
        let again = machine_id(&dir.path().join("a")).unwrap();
        assert_eq!(machine_id(&dir.path().join("a")).unwrap(), again);
        assert_eq!(fs::read_dir(dir.path().join("a")).unwrap().count(), 1);
    }
}
