//! Datagrams that must not be taken apart on their way (DONT-FRAGMENT, RFC 8656 §14).

use std::{io, net::SocketAddr, ops::Range};

use super::worker::Worker;
use crate::{
    sys,
    turn::{AllocationId, DropReason},
};

impl Worker {
    /// Sends the payload at `place` to a peer at once: past the batches, whose runs the system
    /// takes apart into datagrams that may be fragmented.
    pub(super) fn send_whole(&mut self, from: AllocationId, to: SocketAddr, place: Range<usize>) {
        let Some(Some(relay)) = self.relays.get(from.0 as usize) else { return };
        match sys::send_whole(&relay.udp, to, self.batches.bytes(place)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.metrics.dropped(DropReason::SendBufferFull);
            }
            Err(_) => self.metrics.dropped(DropReason::SendError),
        }
    }
}
