//! Datagrams that must not be taken apart on their way (DONT-FRAGMENT, RFC 8656 §14).

use std::{io, net::SocketAddr, ops::Range};

use callbox_base::clock::Now;
use callbox_sys::{self as sys, TrafficClass};
use callbox_turn::{AllocationId, DropReason};

use super::worker::{Source, Worker};

impl Worker {
    /// Sends the payload at `place` to a peer at once: past the batches, whose runs the system
    /// takes apart into datagrams that may be fragmented.
    pub(super) fn send_dont_fragment(
        &mut self,
        now: Now,
        from: AllocationId,
        to: SocketAddr,
        class: TrafficClass,
        place: Range<usize>,
    ) {
        let Some(Some(relay)) = self.relays.get(from.0 as usize) else { return };
        match sys::send_dont_fragment(&relay.udp, to, class, self.batches.bytes(place)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.metrics.dropped(DropReason::SendBufferFull);
            }
            Err(_) => {
                self.metrics.dropped(DropReason::SendError);
                // If it is too long, the client wants to know what fits.
                self.read_errors_after(now, Source::Relay(from), Some(to));
                self.carry_out(now);
            }
        }
    }
}
