//! Sending of a datagram that must not be fragmented.

use std::{io, net::SocketAddr, os::fd::AsRawFd};

use super::{
    options,
    send::{may_be_earlier, send_one},
};
use crate::TrafficClass;

/// True if [`send_dont_fragment`] can be used.
pub const CAN_FORBID_FRAGMENTS: bool = true;

/// Sends a datagram with DF set; one that is too long for the known path MTU is not sent at all.
/// There is no flag for one datagram, only for the socket: so this takes four calls.
///
/// # Errors
/// The system's error; `EMSGSIZE` if it is too long.
pub fn send_dont_fragment(
    socket: &impl AsRawFd,
    to: SocketAddr,
    class: TrafficClass,
    bytes: &[u8],
) -> io::Result<()> {
    let (level, option, forbid) = match to {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DO),
    };
    let before = options::get(socket, level, option)?;
    options::set(socket, level, option, forbid)?;
    let mut sent = send_one(socket.as_raw_fd(), Some(to), class, bytes);
    if sent.as_ref().is_err_and(may_be_earlier) {
        sent = send_one(socket.as_raw_fd(), Some(to), class, bytes);
    }
    options::set(socket, level, option, before)?;
    sent
}
