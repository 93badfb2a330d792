//! The error queue of a socket, with the ICMP errors that its datagrams caused (`IP_RECVERR`).

use std::{io, mem, os::fd::AsRawFd, ptr};

use super::{address, options};
use crate::{IcmpError, SocketError};

/// The longest control message with an error: a `cmsghdr`, the error, and the address of its
/// reporter, which is not used here.
const ROOM: usize = 128;

/// Makes the system keep the ICMP errors that datagrams of this socket cause, for [`next_error`].
/// The next read or write fails once with such an error; no datagram is lost by that.
///
/// # Errors
/// The system's error.
pub fn keep_errors(socket: &impl AsRawFd, v4: bool) -> io::Result<()> {
    match v4 {
        true => options::set(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1),
        false => options::set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1),
    }
}

/// Takes the next error that the system has kept, without waiting.
///
/// # Errors
/// The system's error; `WouldBlock` if there is none.
pub fn next_error(socket: &impl AsRawFd) -> io::Result<SocketError> {
    #[repr(C, align(8))]
    struct Room([u8; ROOM]);
    let mut room = Room([0; ROOM]);
    // SAFETY: all zeros is a valid address storage, and a valid header.
    let (mut name, mut header): (libc::sockaddr_storage, libc::msghdr) =
        unsafe { (mem::zeroed(), mem::zeroed()) };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = mem::size_of_val(&name) as libc::socklen_t;
    header.msg_control = (&raw mut room).cast();
    header.msg_controllen = ROOM as _;
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: the header points to the name and the control buffer, which live through the call and
    // are as long as it says; there is no room for data, which is cut off.
    if unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let Some(error) = extended_error(&header) else { return Ok(SocketError::Other) };
    let to = address::read(&name).filter(|_| header.msg_namelen > 0);
    Ok(to
        .and_then(|to| {
            let (kind, code) = match (error.ee_origin, error.ee_errno as i32, to.is_ipv4()) {
                (libc::SO_EE_ORIGIN_ICMP, _, true) | (libc::SO_EE_ORIGIN_ICMP6, _, false) => {
                    (error.ee_type, error.ee_code)
                }
                // It was too long for the first link or for the known path MTU: a router would have
                // answered with "fragmentation needed", or "packet too big".
                (libc::SO_EE_ORIGIN_LOCAL, libc::EMSGSIZE, true) => (3, 4),
                (libc::SO_EE_ORIGIN_LOCAL, libc::EMSGSIZE, false) => (2, 0),
                _ => return None,
            };
            Some(SocketError::Icmp(IcmpError { to, kind, code, mtu: error.ee_info }))
        })
        .unwrap_or(SocketError::Other))
}

fn extended_error(header: &libc::msghdr) -> Option<libc::sock_extended_err> {
    // SAFETY: the kernel has filled the control buffer and set its length, and the macros stay
    // within it; a message of these kinds begins with a `sock_extended_err`.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            let kind = ((*message).cmsg_level, (*message).cmsg_type);
            let v4 = (libc::IPPROTO_IP, libc::IP_RECVERR);
            let v6 = (libc::IPPROTO_IPV6, libc::IPV6_RECVERR);
            if kind == v4 || kind == v6 {
                return Some(ptr::read_unaligned(libc::CMSG_DATA(message).cast()));
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    None
}
