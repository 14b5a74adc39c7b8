//! Who holds a port of this machine.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A program that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub name: String,
    pub process: u32,
}

/// The program that listens on a port of this machine, where the system tells (Linux, and processes that we may look at).
pub fn port_holder(port: u16) -> Option<Holder> {
    let port = format!(":{port:04X}");
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    // The local address comes second, state 0A listens, the socket's inode is the tenth field.
    let inode = tables.iter().flat_map(|table| table.lines()).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(1)?.ends_with(&port) && fields.get(3) == Some(&"0A")).then(|| fields.get(9).copied())?
    })?;
    let socket = PathBuf::from(format!("socket:[{inode}]"));
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let holds = |fd: fs::DirEntry| fs::read_link(fd.path()).is_ok_and(|target| target == socket);
        fs::read_dir(entry.path().join("fd")).ok()?.flatten().any(holds).then_some(())?;
        let name = fs::read_to_string(entry.path().join("comm")).ok()?.trim().to_owned();
        Some(Holder { name, process: entry.file_name().to_string_lossy().parse().ok()? })
    })
}

/// `: NAME (process ID)` for a message, empty where it is not known.
pub(crate) fn named(address: SocketAddr) -> String {
    port_holder(address.port()).map(|holder| format!(": {} (process {})", holder.name, holder.process)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_ours_is_held_by_us() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(port_holder(address.port()).unwrap().process, std::process::id());
        assert!(named(address).ends_with(&format!("(process {})", std::process::id())));
        drop(listener);
        assert_eq!(port_holder(address.port()), None);
    }
}
