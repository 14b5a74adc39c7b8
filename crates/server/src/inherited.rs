//! Listeners that a service manager opened for us, and what it is told (systemd's socket activation and readiness protocols).

use std::env;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::{UnixDatagram, UnixListener};

use listenfd::ListenFd;

/// Listeners that outlive this process: the manager keeps them, so that who connects while it is starting again waits instead of failing.
#[derive(Debug, Default)]
pub struct Inherited {
    /// The page and the API.
    pub tcp: Option<TcpListener>,
    /// For `ducat-hook`.
    pub unix: Vec<UnixListener>,
}

impl Inherited {
    /// What `LISTEN_FDS` hands over, told apart by its kind. To be asked once, before other descriptors are made.
    ///
    /// # Errors
    /// A descriptor that is no listener of a kind we serve, or a second address: the unit asks for what would not be served.
    pub fn from_environment() -> io::Result<Self> {
        // Without a process it is meant for, the list may be meant for a parent.
        if env::var_os("LISTEN_PID").is_none_or(|process| process.is_empty()) {
            return Ok(Self::default());
        }
        let mut handed = ListenFd::from_env();
        let mut inherited = Self::default();
        for place in 0..handed.len() {
            if let Ok(Some(listener)) = handed.take_unix_listener(place) {
                inherited.unix.push(listener);
                continue;
            }
            let listener = handed.take_tcp_listener(place).ok().flatten().ok_or_else(|| {
                io::Error::other(format!(
                    "descriptor {} of LISTEN_FDS listens neither on TCP nor on a Unix stream socket",
                    place + 3
                ))
            })?;
            if inherited.tcp.replace(listener).is_some() {
                return Err(io::Error::other("LISTEN_FDS hands over more than one TCP address; one is served"));
            }
        }
        Ok(inherited)
    }
}

/// Tells the service manager, where `NOTIFY_SOCKET` names one, such as `READY=1`. Who does not listen misses nothing.
pub fn notify_manager(state: &str) {
    let Some(place) = env::var_os("NOTIFY_SOCKET").filter(|place| !place.is_empty()) else { return };
    let Ok(socket) = UnixDatagram::unbound() else { return };
    let _ = match place.to_str().and_then(|place| place.strip_prefix('@')) {
        Some(name) => send_to_abstract(&socket, name, state),
        None => socket.send_to(state.as_bytes(), &place),
    };
}

#[cfg(target_os = "linux")]
fn send_to_abstract(socket: &UnixDatagram, name: &str, state: &str) -> io::Result<usize> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;
    socket.send_to_addr(state.as_bytes(), &SocketAddr::from_abstract_name(name)?)
}

#[cfg(not(target_os = "linux"))]
fn send_to_abstract(_: &UnixDatagram, _: &str, _: &str) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}
