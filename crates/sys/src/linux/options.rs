//! Settings that are made once: socket options, the process's limits, the precision of a thread's
//! timers.

use std::{io, mem, os::fd::AsRawFd, time::Duration};

/// Enables the delivery of several datagrams of one source and one length as one (GRO).
///
/// # Errors
/// An error if the kernel does not support it (before 5.0).
pub fn enable_gro(socket: &impl AsRawFd) -> io::Result<()> {
    set(socket, libc::SOL_UDP, libc::UDP_GRO, 1)
}

/// Makes the kernel report, with each datagram, the number of datagrams that the socket has lost
/// because its buffer was full: see [`Received::lost`](crate::Received::lost).
///
/// # Errors
/// The system's error.
pub fn count_lost(socket: &impl AsRawFd) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)
}

/// Makes the kernel report each datagram's class: see [`Received::class`](crate::Received::class).
///
/// # Errors
/// The system's error.
pub fn tell_class(socket: &impl AsRawFd, v4: bool) -> io::Result<()> {
    match v4 {
        true => set(socket, libc::IPPROTO_IP, libc::IP_RECVTOS, 1),
        false => set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1),
    }
}

/// Sets an option whose value is a number.
pub(super) fn set(
    socket: &impl AsRawFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the option's value is an int that lives through the call, and its size is passed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            mem::size_of_val(&value) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads an option whose value is a number.
pub(super) fn get(
    socket: &impl AsRawFd,
    level: libc::c_int,
    option: libc::c_int,
) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut len = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: the value and its size live through the call, and it writes no more than that size.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, option, (&raw mut value).cast(), &raw mut len)
    };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// Raises this process's limit of open files as far as permitted, and returns the new limit.
///
/// # Errors
/// The system's error.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct lives through the call, which fills it.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: the struct lives through the call, which only reads it.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

/// Sleeps for `time`, without the 50 µs that the kernel may add to coalesce timers.
pub fn sleep_precisely(time: Duration) {
    thread_local! {
        static SLACK: () = {
            // SAFETY: this sets a number of the calling thread and touches no memory.
            unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
        };
    }
    SLACK.with(|()| std::thread::sleep(time));
}

/// Returns the CPU time that the calling thread has used.
pub fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct lives through the call, which fills it.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
