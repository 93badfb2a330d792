//! Namespaces: a process, or a thread, with a network of its own.

use std::{
    ffi::CStr,
    io, mem,
    os::{
        fd::{AsRawFd, BorrowedFd},
        unix::process::CommandExt,
    },
    process::Command,
};

/// Lets `command` start in new mount and network namespaces, and its children in a new PID
/// namespace, so that the first of them is the PID 1 of it.
///
/// Where this process may not do that, the command gets a new user namespace besides, in which it
/// is root. The command fails to start with `EPERM` if the system does not allow that either.
pub fn isolate(command: &mut Command) {
    // SAFETY: the two calls cannot fail and touch no memory.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    let users = format!("0 {user} 1");
    let groups = format!("0 {group} 1");
    let enter = move || {
        let own = libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWNET;
        match unshare(own) {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {}
            result => return result,
        }
        unshare(own | libc::CLONE_NEWUSER)?;
        // Without this an unprivileged process may not map its group (user_namespaces(7)).
        write(c"/proc/self/setgroups", b"deny")?;
        write(c"/proc/self/uid_map", users.as_bytes())?;
        write(c"/proc/self/gid_map", groups.as_bytes())
    };
    // SAFETY: the closure runs between fork and exec. It makes system calls with memory that was
    // allocated before, and neither allocates nor takes a lock.
    unsafe { command.pre_exec(enter) };
}

/// Moves the calling thread into a new network namespace. Other threads stay where they are;
/// threads and processes that this one starts later are in the new one.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`.
pub fn enter_new_network() -> io::Result<()> {
    unshare(libc::CLONE_NEWNET)
}

/// Moves the calling thread into a new mount namespace, with the same mounts. Threads and processes
/// that it starts later are in the new one.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`.
pub fn enter_new_mounts() -> io::Result<()> {
    unshare(libc::CLONE_NEWNS)
}

/// Returns the user of the process at the other end of a Unix socket, as this user namespace names
/// it. The process may be in another PID namespace, where its number is unknown here.
///
/// # Errors
/// It is no connected Unix socket.
pub fn peer_user(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = mem::size_of_val(&peer) as libc::socklen_t;
    // SAFETY: the pointer is to a structure of the length that is said, and any bytes are a value
    // of it.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &mut length,
        )
    };
    match result {
        0 => Ok(peer.uid),
        _ => Err(io::Error::last_os_error()),
    }
}

fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: none of the flags in this file makes memory or file descriptors of other threads
    // invalid; the call takes no pointer.
    match unsafe { libc::unshare(flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Writes a whole file in one call, without allocating.
fn write(path: &CStr, text: &[u8]) -> io::Result<()> {
    // SAFETY: `path` ends with a zero byte, and `text` is as long as is said. The descriptor is
    // closed by the one who opened it.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file < 0 {
            return Err(io::Error::last_os_error());
        }
        let written = libc::write(file, text.as_ptr().cast(), text.len());
        let error = io::Error::last_os_error();
        libc::close(file);
        match usize::try_from(written) {
            Ok(length) if length == text.len() => Ok(()),
            _ => Err(error),
        }
    }
}
