//! Many datagrams in one system call, and what else only the system can do. The one module with
//! `unsafe` in it.
//!
//! On Linux these are `recvmmsg` and `sendmmsg`, with runs of datagrams glued together by the
//! kernel (`UDP_GRO`, `UDP_SEGMENT`). Elsewhere the same types make a plain call for each datagram.

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
#[cfg(not(target_os = "linux"))]
pub use portable::{
    AddressChanges, CAN_FORBID_FRAGMENTS, ReceiveBatch, SendBatch, count_lost, enable_gro,
    keep_errors, next_error, own_networks, raise_open_files, send_dont_fragment, sleep_precisely,
    tell_class, thread_time,
};
pub use runs::RunId;

use std::{io, net::SocketAddr, ops::Range};

/// The byte of an IP header that says how a datagram is to be treated: DSCP, and in the last two bits
/// ECN. IPv6 has it as the traffic class, IPv4 as the type of service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrafficClass(pub u8);

impl TrafficClass {
    /// Best effort, from a sender that knows nothing of ECN.
    pub const DEFAULT: Self = Self(0);
}

/// One read of a batch: a datagram, or several of one length and class from one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Where it came from.
    pub source: SocketAddr,
    /// Where its bytes stand in the batch's buffer, all datagrams together.
    pub bytes: Range<usize>,
    /// The length of each datagram in it, but for the last, which may be shorter.
    pub segment: usize,
    /// How many datagrams the socket has lost before this one since it was opened, its buffer being
    /// full. Wraps; stays 0 unless [`count_lost`] was called.
    pub lost: u32,
    /// The default one unless [`tell_class`] was called.
    pub class: TrafficClass,
}

impl Received {
    /// How many datagrams it is: 1 for an empty one.
    pub fn count(&self) -> usize {
        self.bytes.len().div_ceil(self.segment.max(1)).max(1)
    }

    /// Where each datagram stands in the batch's buffer.
    #[inline]
    pub fn datagrams(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (bytes, segment) = (self.bytes.clone(), self.segment);
        (0..self.count()).map(move |n| {
            let start = bytes.start + n * segment;
            start..(start + segment).min(bytes.end)
        })
    }
}

/// What a socket's error queue tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketError {
    /// A datagram did not arrive.
    Icmp(IcmpError),
    /// Something else.
    Other,
}

/// A datagram that did not arrive, and the ICMP error that says why: one that came, or the one that
/// a router would have sent if the system had let a datagram go that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpError {
    /// Where it was sent to.
    pub to: SocketAddr,
    /// The type, by RFC 792 or RFC 4443.
    pub kind: u8,
    /// The code.
    pub code: u8,
    /// The MTU of the next link in bytes, if that is what is wrong.
    pub mtu: u32,
}

/// What became of the datagrams of a batch.
#[derive(Debug, Default)]
pub struct Sent {
    /// How many the system took.
    pub datagrams: usize,
    /// How many found the socket's buffer full.
    pub full: usize,
    /// How many it refused.
    pub refused: usize,
    /// Why it refused the last of those.
    pub error: Option<io::Error>,
}

impl Sent {
    /// How many datagrams the system took.
    ///
    /// # Errors
    /// Why it refused one, if it did. A full buffer is no error.
    pub fn taken(self) -> io::Result<usize> {
        match self.error {
            None => Ok(self.datagrams),
            Some(error) => Err(error),
        }
    }
}
