//! The path of a packet through a worker: it is read, routed by the core, and put into a batch.
//! This code does not allocate, lock or log for a packet.

use std::{io, ops::Range};

use callbox_base::{clock::Now, ids::ClientAddr};
use callbox_sys::{Received, TrafficClass};
use callbox_turn::{
    AllocationId, DropReason, FiveTuple, FromClient, FromPeer, HandOver, Metrics, Via,
};

use super::{
    worker::{RelaySocket, Source, Worker},
    worker_ring::RingPacket,
};

/// The number of reads of a listener before other sources have their turn.
const LISTENER_READS: usize = 64;

/// The number of reads of a relay socket; it is lower, since there are many of them.
const RELAY_READS: usize = 16;

/// The number of packets of another worker's ring that are processed before other sources have
/// their turn.
const RING_PACKETS: usize = 64;

impl Worker {
    /// Reads a listener for a while. Returns true if there may be more.
    pub(super) fn read_listener(&mut self, now: Now, listener: u16) -> bool {
        self.make_room(LISTENER_READS);
        let socket = &self.listeners[usize::from(listener)].udp;
        match self.batches.receive(socket, LISTENER_READS) {
            Ok(slots) => {
                let more = slots.len() == LISTENER_READS;
                for received in slots {
                    let Some(received) = self.batches.received(received) else { continue };
                    let lost = &mut self.listeners[usize::from(listener)].lost;
                    count_lost(&self.metrics, lost, received.lost);
                    let via = Via::Listener(listener);
                    let tuple = FiveTuple { via, client: ClientAddr(received.source) };
                    let (class, many) = (received.class, received.count() > 1);
                    for range in received.datagrams() {
                        if !self.forward_to_owner(tuple, class, &range) {
                            self.route_client(now, tuple, class, range, many);
                        }
                    }
                }
                more
            }
            Err(error) => self.handle_read_error(now, &error),
        }
    }

    /// Reads the socket of an allocation for a while. Returns true if there may be more.
    pub(super) fn read_relay(&mut self, now: Now, allocation: AllocationId) -> bool {
        self.make_room(RELAY_READS);
        let Some(Some(relay)) = self.relays.get(allocation.0 as usize) else { return false };
        match self.batches.receive(&relay.udp, RELAY_READS) {
            Ok(slots) => self.route_slots(now, allocation, slots, |relay| Some(&mut relay.lost)),
            Err(error) => self.handle_relay_read_error(now, Source::Relay(allocation), &error),
        }
    }

    /// Routes the datagrams in these slots; `lost` finds the loss counter of the socket that
    /// received them.
    fn route_slots(
        &mut self,
        now: Now,
        allocation: AllocationId,
        slots: Range<usize>,
        lost: impl Fn(&mut RelaySocket) -> Option<&mut u32>,
    ) -> bool {
        let more = slots.len() == RELAY_READS;
        for received in slots {
            if let Some(received) = self.batches.received(received) {
                if received.lost > 0
                    && let Some(Some(relay)) = self.relays.get_mut(allocation.0 as usize)
                    && let Some(lost) = lost(relay)
                {
                    count_lost(&self.metrics, lost, received.lost);
                }
                self.route_peer(now, allocation, &received);
            }
        }
        more
    }

    /// Reads the connected socket of an allocation for a while. Returns true if there may be more.
    pub(super) fn read_connected(&mut self, now: Now, allocation: AllocationId) -> bool {
        self.make_room(RELAY_READS);
        let Some(Some(RelaySocket { connected: Some(connected), .. })) =
            self.relays.get(allocation.0 as usize)
        else {
            return false;
        };
        match self.batches.receive(&connected.udp, RELAY_READS) {
            Ok(slots) => self.route_slots(now, allocation, slots, |relay| {
                relay.connected.as_mut().map(|connected| &mut connected.lost)
            }),
            Err(error) => self.handle_relay_read_error(now, Source::Connected(allocation), &error),
        }
    }

    /// Processes packets that another worker has sent through a ring. Returns true if there may be
    /// more.
    pub(super) fn read_ring(&mut self, now: Now, ring: usize) -> bool {
        for _ in 0..RING_PACKETS {
            let Some((to, class, len)) = self.rings.next(ring) else { return false };
            let range = self.spare(len);
            self.rings.take(ring, self.batches.bytes_mut(range.clone()));
            match to {
                RingPacket::Relayed(hand_over) => {
                    self.deliver_relayed(now, hand_over, class, range)
                }
                RingPacket::Client { tuple, from } => {
                    self.process_forwarded(now, from, tuple, class, range)
                }
            }
        }
        true
    }

    /// Handles a failed read of an allocation's socket, which may report an ICMP error of an
    /// earlier datagram.
    fn handle_relay_read_error(&mut self, now: Now, source: Source, error: &io::Error) -> bool {
        if error.kind() == io::ErrorKind::WouldBlock {
            return false;
        }
        // A connected socket reports such errors in any case, so they are not logged.
        if self.read_errors(now, source) == 0 && !matches!(source, Source::Connected(_)) {
            self.log_read_error(now, error);
        }
        self.execute_outputs(now);
        true
    }

    fn handle_read_error(&mut self, now: Now, error: &io::Error) -> bool {
        if error.kind() == io::ErrorKind::WouldBlock {
            return false;
        }
        self.log_read_error(now, error);
        true
    }

    /// Sends the batches if there is no room for this many reads.
    pub(super) fn make_room(&mut self, reads: usize) {
        if !self.batches.has_room(reads) {
            self.send();
        }
    }

    /// Returns room for a copy of `len` bytes, with free bytes around it.
    fn spare(&mut self, len: usize) -> Range<usize> {
        self.batches.take_spare(len).unwrap_or_else(|| {
            self.batches.send(&self.listeners, &self.relays, &self.metrics);
            self.batches.take_spare(len).expect("there is spare room for the largest datagram")
        })
    }

    /// Copies one of several datagrams that were received together to a range with free bytes
    /// around it.
    fn copy_to_spare(&mut self, range: Range<usize>) -> Range<usize> {
        let copy = self.spare(range.len());
        self.batches.copy(range, copy.start);
        copy
    }

    /// Routes a message of a client. Its payload leaves in the class that it came in (RFC 8656
    /// §14). If it is one of many, others are next to it in the buffer.
    pub(super) fn route_client(
        &mut self,
        now: Now,
        tuple: FiveTuple,
        class: TrafficClass,
        range: Range<usize>,
        one_of_many: bool,
    ) {
        let mut packet = self.batches.packet(range);
        match self.engine.handle_client(now, tuple, &mut packet) {
            FromClient::Forward { allocation, to, whole } => {
                let range = packet.place();
                self.relayed += 1;
                if whole {
                    return self.send_dont_fragment(now, allocation, to, class, range);
                }
                let Some(Some(relay)) = self.relays.get_mut(allocation.0 as usize) else { return };
                let hot_peer = relay.hot_peer.record(to);
                self.batches.send_to_peer(allocation, relay, to, class, range);
                if hot_peer {
                    self.open_direct(allocation, to);
                }
            }
            FromClient::HandOver(hand_over) => {
                let range = packet.place();
                self.hand_over(now, hand_over, class, range, one_of_many);
            }
            FromClient::Handled => self.execute_outputs(now),
            FromClient::Dropped(_) => {}
        }
    }

    /// Passes a packet to another allocation of this server without a trip through the kernel.
    fn hand_over(
        &mut self,
        now: Now,
        hand_over: HandOver,
        class: TrafficClass,
        range: Range<usize>,
        one_of_many: bool,
    ) {
        if hand_over.owner.worker == self.index {
            let range = if one_of_many { self.copy_to_spare(range) } else { range };
            self.deliver_relayed(now, hand_over, class, range);
        } else if !self.rings.send(hand_over, class, self.batches.bytes(range)) {
            self.metrics.dropped(DropReason::SendBufferFull);
        }
    }

    /// Processes a packet from another relayed address at the worker that owns its destination.
    fn deliver_relayed(
        &mut self,
        now: Now,
        hand_over: HandOver,
        class: TrafficClass,
        range: Range<usize>,
    ) {
        let mut packet = self.batches.packet(range);
        if let FromPeer::Forward { to } = self.engine.handle_relayed(now, hand_over, &mut packet) {
            let range = packet.place();
            self.send_to_client(hand_over.owner.allocation, to, class, range);
        }
    }

    fn route_peer(&mut self, now: Now, allocation: AllocationId, received: &Received) {
        for range in received.datagrams() {
            // The header of one datagram would overwrite the end of the one before.
            let range = if received.count() > 1 { self.copy_to_spare(range) } else { range };
            let mut packet = self.batches.packet(range);
            if let FromPeer::Forward { to } =
                self.engine.handle_peer(now, allocation, received.source, &mut packet)
            {
                let range = packet.place();
                self.send_to_client(allocation, to, received.class, range);
            }
        }
    }

    fn send_to_client(
        &mut self,
        allocation: AllocationId,
        to: FiveTuple,
        class: TrafficClass,
        range: Range<usize>,
    ) {
        self.relayed += 1;
        match to.via {
            Via::Listener(listener) => {
                if let Some(Some(relay)) = self.relays.get_mut(allocation.0 as usize) {
                    self.batches.send_to_client(relay, listener, to.client, class, range);
                }
            }
            Via::Stream(_) => {
                self.streams.queue_to(to, self.batches.bytes(range), false, &self.metrics);
            }
        }
    }
}

/// Counts the datagrams that a socket has lost since its last report.
#[inline]
fn count_lost(metrics: &Metrics, known: &mut u32, lost: u32) {
    let more = lost.wrapping_sub(std::mem::replace(known, lost));
    if more > 0 {
        metrics.dropped_many(DropReason::ReceiveBufferFull, more as usize);
    }
}
