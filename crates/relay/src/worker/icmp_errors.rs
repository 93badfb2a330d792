//! ICMP errors that datagrams of allocations caused (RFC 8656 §11.5).
//!
//! The system reports pending errors of a socket together with its readiness, or as the failure of
//! a read; the error queue is read only then.

use std::net::SocketAddr;

use callbox_base::clock::Now;
use callbox_stun::{Family, Icmp};
use callbox_sys::{self as sys, SocketError};

use super::Worker;
use crate::source::Source;

/// The largest number of errors of a socket that are read in a row.
const ERRORS: usize = 256;

/// Reads the pending errors of an allocation's socket, passes them to the engine, and returns their
/// number. `to` is the destination of a datagram that was refused right before, if one was: for a
/// datagram over IPv4 that is not sent at all, Linux reports the address without the port.
pub(super) fn read(worker: &mut Worker, now: Now, source: Source, to: Option<SocketAddr>) -> usize {
    let (Source::Relay(allocation) | Source::Connected(allocation)) = source else { return 0 };
    for count in 0..ERRORS {
        let error = worker.relays.socket(source).and_then(|udp| sys::next_error(udp).ok());
        let Some(error) = error else { return count };
        if let SocketError::Icmp(mut error) = error {
            if error.to.port() == 0
                && let Some(to) = to.filter(|to| to.ip() == error.to.ip())
            {
                error.to = to;
            }
            let family = Family::of(error.to);
            let (kind, code, mtu) = (error.kind, error.code, error.mtu);
            let icmp = Icmp { family, kind, code, mtu };
            worker.engine.handle_icmp(now, allocation, error.to, icmp);
        }
    }
    ERRORS
}
