//! System calls that move many datagrams at once, and other features that only the system has. This
//! is the only crate with `unsafe` in it.
//!
//! On Linux these are `recvmmsg` and `sendmmsg`, with runs of datagrams that the kernel joins
//! (`UDP_GRO`) and segments (`UDP_SEGMENT`). Elsewhere the same types make a plain call for each
//! datagram. Only Linux has namespaces ([`isolate`], [`enter_new_network`]) and [`PacketSocket`].

mod runs;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(test, not(target_os = "linux")))]
#[cfg_attr(target_os = "linux", allow(dead_code, reason = "here for its tests alone"))]
mod portable;

#[cfg(target_os = "linux")]
pub use linux::{
    AddressChanges, CAN_FORBID_FRAGMENTS, ReceiveBatch, SendBatch, count_lost, enable_gro,
    keep_errors, next_error, own_networks, raise_open_files, send_dont_fragment, sleep_precisely,
    tell_class, thread_time,
};
#[cfg(target_os = "linux")]
pub use linux::{PacketSocket, enter_new_mounts, enter_new_network, isolate, peer_user};
#[cfg(not(target_os = "linux"))]
pub use portable::{
    AddressChanges, CAN_FORBID_FRAGMENTS, ReceiveBatch, SendBatch, count_lost, enable_gro,
    keep_errors, next_error, own_networks, raise_open_files, send_dont_fragment, sleep_precisely,
    tell_class, thread_time,
};
pub use runs::RunId;

use std::{io, net::SocketAddr, ops::Range};

/// The byte of an IP header that selects the treatment of a datagram: DSCP, and in the last two
/// bits ECN. It is the traffic class of IPv6 and the type of service of IPv4.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrafficClass(pub u8);

impl TrafficClass {
    /// Best effort, from a sender that does not support ECN.
    pub const DEFAULT: Self = Self(0);
}

/// One read of a batch: a datagram, or several of one length and class from one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The address of the sender.
    pub source: SocketAddr,
    /// The range of its bytes in the batch's buffer, all datagrams together.
    pub bytes: Range<usize>,
    /// The length of each datagram in it, except the last, which may be shorter.
    pub segment: usize,
    /// The number of datagrams that the socket had lost before this one since it was opened,
    /// because its buffer was full. It wraps, and stays 0 unless [`count_lost`] was called.
    pub lost: u32,
    /// The class of the datagrams; the default one unless [`tell_class`] was called.
    pub class: TrafficClass,
}

impl Received {
    /// Returns the number of datagrams: 1 for an empty one.
    pub fn count(&self) -> usize {
        self.bytes.len().div_ceil(self.segment.max(1)).max(1)
    }

    /// Returns the range of each datagram in the batch's buffer.
    #[inline]
    pub fn datagrams(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (bytes, segment) = (self.bytes.clone(), self.segment);
        (0..self.count()).map(move |n| {
            let start = bytes.start + n * segment;
            start..(start + segment).min(bytes.end)
        })
    }
}

/// An entry of a socket's error queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketError {
    /// A datagram did not arrive.
    Icmp(IcmpError),
    /// Another error.
    Other,
}

/// A datagram that did not arrive, and the ICMP error with the reason: one that was received, or
/// the one that a router would have sent if the system had sent a datagram that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpError {
    /// The destination of the datagram.
    pub to: SocketAddr,
    /// The type, by RFC 792 or RFC 4443.
    pub kind: u8,
    /// The code.
    pub code: u8,
    /// The MTU of the next link in bytes, if the datagram was too long for it.
    pub mtu: u32,
}

/// The result of sending the datagrams of a batch.
#[derive(Debug, Default)]
pub struct Sent {
    /// The number of datagrams that the system took.
    pub datagrams: usize,
    /// The number of datagrams that were dropped because the socket's buffer was full.
    pub full: usize,
    /// The number of datagrams that the system refused.
    pub refused: usize,
    /// The error with which it refused the last of those.
    pub error: Option<io::Error>,
}

impl Sent {
    /// Returns the number of datagrams that the system took.
    ///
    /// # Errors
    /// The error with which it refused one, if it did. A full buffer is no error.
    pub fn taken(self) -> io::Result<usize> {
        match self.error {
            None => Ok(self.datagrams),
            Some(error) => Err(error),
        }
    }
}
