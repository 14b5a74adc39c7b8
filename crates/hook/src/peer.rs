//! Who is at the other end of a socket. std knows it only in nightly versions, and a library for it would be the hook's only one.
#![allow(unsafe_code)]

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

unsafe extern "C" {
    fn geteuid() -> u32;
}

/// The other end is a process of our own user, or of root.
pub fn is_trusted(stream: &UnixStream) -> bool {
    // SAFETY: takes nothing and cannot fail.
    let own = unsafe { geteuid() };
    user(stream).is_some_and(|user| user == own || user == 0)
}

#[cfg(target_os = "linux")]
fn user(stream: &UnixStream) -> Option<u32> {
    const SOL_SOCKET: i32 = 1;
    const SO_PEERCRED: i32 = 17;
    unsafe extern "C" {
        fn getsockopt(socket: i32, level: i32, name: i32, value: *mut [u32; 3], length: *mut u32) -> i32;
    }
    // struct ucred: process, user, group.
    let mut credentials = [u32::MAX; 3];
    let mut length = size_of_val(&credentials) as u32;
    // SAFETY: both pointers are to live values of the type and length that the option writes.
    let failed = unsafe { getsockopt(stream.as_raw_fd(), SOL_SOCKET, SO_PEERCRED, &mut credentials, &mut length) };
    (failed == 0).then_some(credentials[1])
}

#[cfg(not(target_os = "linux"))]
fn user(stream: &UnixStream) -> Option<u32> {
    unsafe extern "C" {
        fn getpeereid(socket: i32, user: *mut u32, group: *mut u32) -> i32;
    }
    let (mut user, mut group) = (u32::MAX, u32::MAX);
    // SAFETY: both pointers are to live values.
    let failed = unsafe { getpeereid(stream.as_raw_fd(), &mut user, &mut group) };
    (failed == 0).then_some(user)
}
