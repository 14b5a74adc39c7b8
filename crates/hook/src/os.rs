//! What std has in nightly versions only, or not at all, and a library for which would be the hook's only one.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_ulong};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

unsafe extern "C" {
    fn geteuid() -> u32;
    fn signal(number: c_int, action: usize) -> usize;
    fn socket(family: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn connect(socket: c_int, address: *const Address, length: u32) -> c_int;
    fn setsid() -> c_int;
    fn poll(fds: *mut Poll, count: c_ulong, timeout_ms: c_int) -> c_int;
}

const SIGPIPE: c_int = 13;
const SIG_IGN: usize = 1;
const AF_UNIX: c_int = 1;
const SOCK_STREAM: c_int = 1;
const POLLIN: i16 = 1;

/// `struct pollfd`.
#[repr(C)]
struct Poll {
    fd: c_int,
    events: i16,
    revents: i16,
}

/// `struct sockaddr_un`: on Linux two bytes of family, elsewhere a byte of length and one of family.
#[repr(C)]
struct Address {
    family: [u8; 2],
    path: [u8; ADDRESS_PATH],
}

const ADDRESS_PATH: usize = if cfg!(target_os = "linux") { 108 } else { 104 };

/// A reader that went away is an error of the write, not the end of the process. std's own start does this, which `main` goes without.
pub fn ignore_broken_pipes() {
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe { signal(SIGPIPE, SIG_IGN) };
}

/// Whether standard input has something to read, or its end, within this time.
pub fn input_comes(within: Duration) -> bool {
    let mut input = Poll { fd: 0, events: POLLIN, revents: 0 };
    let timeout = c_int::try_from(within.as_millis()).unwrap_or(c_int::MAX).max(1);
    // SAFETY: one live entry, and a count of one.
    unsafe { poll(&mut input, 1, timeout) > 0 }
}

/// Connects without waiting; `WouldBlock` when the server's queue is full.
pub fn connect_at_once(path: &Path) -> io::Result<UnixStream> {
    let name = path.as_os_str().as_bytes();
    if name.len() >= ADDRESS_PATH || name.contains(&0) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let family =
        if cfg!(target_os = "linux") { (AF_UNIX as u16).to_ne_bytes() } else { [size_of::<Address>() as u8, AF_UNIX as u8] };
    let mut address = Address { family, path: [0; ADDRESS_PATH] };
    address.path[..name.len()].copy_from_slice(name);
    // SAFETY: takes plain numbers.
    let fd = unsafe { socket(AF_UNIX, SOCK_STREAM, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and is nobody else's.
    let stream = unsafe { UnixStream::from_raw_fd(fd) };
    stream.set_nonblocking(true)?;
    // SAFETY: the address is live and of the length told.
    if unsafe { connect(stream.as_raw_fd(), &address, size_of::<Address>() as u32) } != 0 {
        return Err(io::Error::last_os_error());
    }
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// The process will be in a session of its own, which no end of the agent or its terminal reaches.
pub fn detach(command: &mut Command) -> &mut Command {
    // SAFETY: setsid may be called between fork and exec, and touches no memory.
    unsafe {
        command.pre_exec(|| {
            setsid();
            Ok(())
        })
    }
}

/// Whom this process acts for.
pub fn user() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { geteuid() }
}

/// The other end is a process of our own user, or of root.
pub fn is_trusted(stream: &UnixStream) -> bool {
    user_of(stream).is_some_and(|other| other == user() || other == 0)
}

#[cfg(target_os = "linux")]
fn user_of(stream: &UnixStream) -> Option<u32> {
    const SOL_SOCKET: c_int = 1;
    const SO_PEERCRED: c_int = 17;
    unsafe extern "C" {
        fn getsockopt(socket: c_int, level: c_int, name: c_int, value: *mut [u32; 3], length: *mut u32) -> c_int;
    }
    // struct ucred: process, user, group.
    let mut credentials = [u32::MAX; 3];
    let mut length = size_of_val(&credentials) as u32;
    // SAFETY: both pointers are to live values of the type and length that the option writes.
    let failed = unsafe { getsockopt(stream.as_raw_fd(), SOL_SOCKET, SO_PEERCRED, &mut credentials, &mut length) };
    (failed == 0).then_some(credentials[1])
}

#[cfg(not(target_os = "linux"))]
fn user_of(stream: &UnixStream) -> Option<u32> {
    unsafe extern "C" {
        fn getpeereid(socket: c_int, user: *mut u32, group: *mut u32) -> c_int;
    }
    let (mut user, mut group) = (u32::MAX, u32::MAX);
    // SAFETY: both pointers are to live values.
    let failed = unsafe { getpeereid(stream.as_raw_fd(), &mut user, &mut group) };
    (failed == 0).then_some(user)
}
