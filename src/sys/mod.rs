//! Many datagrams in one system call. The one module with `unsafe` in it.
//!
//! On Linux these are `recvmmsg` and `sendmmsg`, with runs of datagrams glued together by the
//! kernel (`UDP_GRO`, `UDP_SEGMENT`). Elsewhere the same types make a plain call for each datagram.

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod batch;
#[cfg(not(target_os = "linux"))]
#[path = "portable.rs"]
mod batch;

pub use batch::{ReceiveBatch, SendBatch, enable_gro};

use std::net::SocketAddr;

/// One read of a batch: a datagram, or several of one length from one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Where it came from.
    pub source: SocketAddr,
    /// Its length in bytes, all segments together.
    pub len: usize,
    /// The length of each datagram in it, but for the last, which may be shorter.
    pub segment: usize,
}

/// One datagram of a batch to be sent, or several of one length to one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// Where to; `None` on a connected socket.
    to: Option<SocketAddr>,
    /// Where it stands in the buffer.
    start: usize,
    len: usize,
    /// The length of each datagram in it; `len` for a single one.
    segment: usize,
}

impl Transmit {
    /// One datagram of `len` bytes that stands at `start` in the buffer.
    pub fn one(to: Option<SocketAddr>, start: usize, len: usize) -> Self {
        Self { to, start, len, segment: len }
    }

    /// Datagrams of `segment` bytes each, but for the last, which may be shorter: `len` bytes in
    /// all. The kernel takes up to 64 of them, and up to 65,507 bytes.
    pub fn run(to: Option<SocketAddr>, start: usize, len: usize, segment: usize) -> Self {
        Self { to, start, len, segment }
    }
}
