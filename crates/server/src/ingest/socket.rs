//! The Unix socket of `ducat-hook`: one event and its answer a connection, from processes of our own user.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ducat_spool::{Answer, Frame};
use ducat_store::TenantId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Way, hooks};
use crate::{App, failpoint};

/// A hook gives up long before.
const LONGEST_TALK: Duration = Duration::from_secs(10);
const CONNECTIONS: usize = 256;

/// A listening socket, removed when dropped unless a service manager keeps it.
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    is_own: bool,
    /// Our own user, who owns the socket.
    user: u32,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.is_own {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Socket {
    pub fn bind(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            if fs::metadata(folder)?.mode() & 0o022 != 0 {
                return Err(io::Error::other("others can write to its folder"));
            }
        }
        if path.exists() {
            if StdStream::connect(path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another Ducat listens there"));
            }
            // Left over from a process that was killed.
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        let user = fs::metadata(path)?.uid();
        Ok(Self { listener, path: path.to_owned(), is_own: true, user })
    }

    /// One that a service manager listens on.
    pub fn inherit(listener: StdListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let path = address.as_pathname().ok_or_else(|| io::Error::other("it has no path"))?.to_owned();
        listener.set_nonblocking(true)?;
        let user = fs::metadata(&path)?.uid();
        Ok(Self { listener: UnixListener::from_std(listener)?, path, is_own: false, user })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Answers until the task is dropped.
    pub async fn run(self, app: App) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of file descriptors: others must end first.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            if !stream.peer_cred().is_ok_and(|peer| peer.uid() == self.user || peer.uid() == 0) {
                continue;
            }
            let app = app.clone();
            tokio::spawn(async move {
                // A hook that went away has spooled its event.
                let _ = timeout(LONGEST_TALK, answer(stream, &app)).await;
                drop(place);
            });
        }
    }
}

async fn answer(mut stream: UnixStream, app: &App) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(4096);
    let frame = loop {
        match Frame::missing(&bytes) {
            Err(_) => return Ok(()),
            Ok(0) => match Frame::decode(&bytes) {
                Ok(frame) => break frame,
                Err(_) => return Ok(()),
            },
            // No more is taken than comes, whatever length is claimed.
            Ok(missing) => {
                bytes.reserve(missing.min(64 << 10));
                if (&mut stream).take(missing as u64).read_buf(&mut bytes).await? == 0 {
                    return Ok(());
                }
            }
        }
    };
    let taken = hooks::take(app, TenantId::LOCAL, &frame, Way::Socket).await;
    failpoint::reached("after_commit_before_answer");
    stream.write_all(&Answer { id: frame.id, status: taken.status, body: taken.body }.encode()).await?;
    failpoint::reached("after_answer");
    Ok(())
}
