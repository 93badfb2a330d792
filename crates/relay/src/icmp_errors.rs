//! ICMP errors that datagrams of allocations caused (RFC 8656 §11.5).
//!
//! The system reports pending errors of a socket together with its readiness, or as the failure of
//! a read; the error queue is read only then.

use std::net::SocketAddr;

use callbox_base::clock::Now;
use callbox_stun::{Family, Icmp};
use callbox_sys::{self as sys, SocketError};
use callbox_turn::AllocationId;
use mio::net::UdpSocket;

use super::worker::{Source, Worker};

/// The largest number of errors of a socket that are read in a row.
const ERRORS: usize = 256;

impl Worker {
    /// Reads the pending errors of a socket, passes them to the core, and returns their number.
    pub(super) fn read_errors(&mut self, now: Now, source: Source) -> usize {
        self.read_errors_after(now, source, None)
    }

    /// Does the same as [`Worker::read_errors`] right after a datagram to `to` was refused: for a
    /// datagram over IPv4 that is not sent at all, Linux reports the address without the port.
    pub(super) fn read_errors_after(
        &mut self,
        now: Now,
        source: Source,
        to: Option<SocketAddr>,
    ) -> usize {
        let Some(allocation) = allocation_of(source) else { return 0 };
        for count in 0..ERRORS {
            let Some(error) = self.socket(source).and_then(|udp| sys::next_error(udp).ok()) else {
                return count;
            };
            if let SocketError::Icmp(mut error) = error {
                if error.to.port() == 0
                    && let Some(to) = to.filter(|to| to.ip() == error.to.ip())
                {
                    error.to = to;
                }
                let family = Family::of(error.to);
                let (kind, code, mtu) = (error.kind, error.code, error.mtu);
                let icmp = Icmp { family, kind, code, mtu };
                self.engine.handle_icmp(now, allocation, error.to, icmp);
            }
        }
        ERRORS
    }

    fn socket(&self, source: Source) -> Option<&UdpSocket> {
        let relay = self.relays.get(allocation_of(source)?.0 as usize)?.as_ref()?;
        match source {
            Source::Connected(_) => relay.connected.as_ref().map(|connected| &connected.udp),
            _ => Some(&relay.udp),
        }
    }
}

fn allocation_of(source: Source) -> Option<AllocationId> {
    match source {
        Source::Relay(allocation) | Source::Connected(allocation) => Some(allocation),
        _ => None,
    }
}
