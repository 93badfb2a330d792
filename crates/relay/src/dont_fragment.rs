//! Datagrams that must not be fragmented on their way (DONT-FRAGMENT, RFC 8656 §14).

use std::{io, net::SocketAddr, ops::Range};

use callbox_base::clock::Now;
use callbox_sys::{self as sys, TrafficClass};
use callbox_turn::{AllocationId, DropReason};

use super::worker::{Source, Worker};

impl Worker {
    /// Sends the payload in `range` to a peer at once, bypassing the batches: the system segments
    /// their runs into datagrams that may be fragmented.
    pub(super) fn send_dont_fragment(
        &mut self,
        now: Now,
        from: AllocationId,
        to: SocketAddr,
        class: TrafficClass,
        range: Range<usize>,
    ) {
        let Some(Some(relay)) = self.relays.get(from.0 as usize) else { return };
        match sys::send_dont_fragment(&relay.udp, to, class, self.batches.bytes(range)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.metrics.dropped(DropReason::SendBufferFull);
            }
            Err(_) => {
                self.metrics.dropped(DropReason::SendError);
                // If it is too long, the client is told the size that fits.
                self.read_errors_after(now, Source::Relay(from), Some(to));
                self.execute_outputs(now);
            }
        }
    }
}
