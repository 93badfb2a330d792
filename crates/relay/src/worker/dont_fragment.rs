//! Datagrams that must not be fragmented on their way (DONT-FRAGMENT, RFC 8656 §14).

use std::{io, net::SocketAddr, ops::Range};

use callbox_base::clock::Now;
use callbox_sys::{self as sys, TrafficClass};
use callbox_turn::{AllocationId, DropReason};

use super::{Worker, icmp_errors, outputs};
use crate::source::Source;

/// Sends the payload in `range` to a peer at once, bypassing the batches: the system segments their
/// runs into datagrams that may be fragmented.
pub(super) fn send(
    worker: &mut Worker,
    now: Now,
    from: AllocationId,
    to: SocketAddr,
    class: TrafficClass,
    range: Range<usize>,
) {
    let Some(relay) = worker.relays.get(from) else { return };
    match sys::send_dont_fragment(relay.udp(), to, class, worker.batches.bytes(range)) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            worker.metrics.dropped(DropReason::SendBufferFull);
        }
        Err(_) => {
            worker.metrics.dropped(DropReason::SendError);
            // If it is too long, the client is told the size that fits.
            icmp_errors::read(worker, now, Source::Relay(from), Some(to));
            outputs::execute(worker, now);
        }
    }
}
