//! The way of a packet through a worker: read, routed by the core, and put into a batch. Nothing
//! here allocates, locks or logs for a packet.

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

/// How many reads a listener has before the others have their turn.
const LISTENER_READS: usize = 64;

/// The same for a relay socket: there are many of them.
const RELAY_READS: usize = 16;

/// The same for a neighbour, in packets.
const NEIGHBOUR_PACKETS: usize = 64;

impl Worker {
    /// Reads a listener for a while. `true` if there may be more.
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
                    for place in received.datagrams() {
                        if !self.forward_to_owner(tuple, class, &place) {
                            self.route_client(now, tuple, class, place, many);
                        }
                    }
                }
                more
            }
            Err(error) => self.not_read(now, &error),
        }
    }

    /// Reads the socket of an allocation for a while. `true` if there may be more.
    pub(super) fn read_relay(&mut self, now: Now, allocation: AllocationId) -> bool {
        self.make_room(RELAY_READS);
        let Some(Some(relay)) = self.relays.get(allocation.0 as usize) else { return false };
        match self.batches.receive(&relay.udp, RELAY_READS) {
            Ok(slots) => self.route_slots(now, allocation, slots, |relay| Some(&mut relay.lost)),
            Err(error) => self.not_read_from(now, Source::Relay(allocation), &error),
        }
    }

    /// Routes what stands in these slots; `lost` finds the count of the socket that it came by.
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

    /// Reads an allocation's direct way for a while. `true` if there may be more.
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
            Err(error) => self.not_read_from(now, Source::Connected(allocation), &error),
        }
    }

    /// Takes in what another worker has handed over. `true` if there may be more.
    pub(super) fn read_neighbour(&mut self, now: Now, way: usize) -> bool {
        for _ in 0..NEIGHBOUR_PACKETS {
            let Some((to, class, len)) = self.rings.next(way) else { return false };
            let place = self.spare(len);
            self.rings.take(way, self.batches.bytes_mut(place.clone()));
            match to {
                RingPacket::Relayed(hand_over) => self.arrive(now, hand_over, class, place),
                RingPacket::Client { tuple, from } => self.take_in(now, from, tuple, class, place),
            }
        }
        true
    }

    /// A failure of an allocation's socket, which may be one that a datagram met with on its way.
    fn not_read_from(&mut self, now: Now, source: Source, error: &io::Error) -> bool {
        if error.kind() == io::ErrorKind::WouldBlock {
            return false;
        }
        // A connected socket hears of them anyhow, which is no news.
        if self.read_errors(now, source) == 0 && !matches!(source, Source::Connected(_)) {
            self.could_not_read(now, error);
        }
        self.carry_out(now);
        true
    }

    fn not_read(&mut self, now: Now, error: &io::Error) -> bool {
        if error.kind() == io::ErrorKind::WouldBlock {
            return false;
        }
        self.could_not_read(now, error);
        true
    }

    /// Sends what is there if there is no room for so many reads.
    pub(super) fn make_room(&mut self, reads: usize) {
        if !self.batches.has_room(reads) {
            self.send();
        }
    }

    /// Room for a copy of `len` bytes, with free bytes around it.
    fn spare(&mut self, len: usize) -> Range<usize> {
        self.batches.take_spare(len).unwrap_or_else(|| {
            self.batches.send(&self.listeners, &self.relays, &self.metrics);
            self.batches.take_spare(len).expect("there is spare room for the largest datagram")
        })
    }

    /// A place with free bytes around it for one of several datagrams that were received together.
    fn apart(&mut self, place: Range<usize>) -> Range<usize> {
        let copy = self.spare(place.len());
        self.batches.copy(place, copy.start);
        copy
    }

    /// Routes a message of a client. Its payload leaves in the class that it came in (RFC 8656 §14).
    /// If it is one of many, others stand around it.
    pub(super) fn route_client(
        &mut self,
        now: Now,
        tuple: FiveTuple,
        class: TrafficClass,
        place: Range<usize>,
        one_of_many: bool,
    ) {
        let mut packet = self.batches.packet(place);
        match self.engine.handle_client(now, tuple, &mut packet) {
            FromClient::Forward { allocation, to, whole } => {
                let place = packet.place();
                self.relayed += 1;
                if whole {
                    return self.send_dont_fragment(now, allocation, to, class, place);
                }
                let Some(Some(relay)) = self.relays.get_mut(allocation.0 as usize) else { return };
                let hot_peer = relay.hot_peer.record(to);
                self.batches.send_to_peer(allocation, relay, to, class, place);
                if hot_peer {
                    self.open_direct(allocation, to);
                }
            }
            FromClient::HandOver(way) => {
                let place = packet.place();
                self.hand_over(now, way, class, place, one_of_many);
            }
            FromClient::Handled => self.carry_out(now),
            FromClient::Dropped(_) => {}
        }
    }

    /// Brings a packet to another allocation of this server, past the kernel.
    fn hand_over(
        &mut self,
        now: Now,
        way: HandOver,
        class: TrafficClass,
        place: Range<usize>,
        one_of_many: bool,
    ) {
        if way.owner.worker == self.index {
            let place = if one_of_many { self.apart(place) } else { place };
            self.arrive(now, way, class, place);
        } else if !self.rings.send(way, class, self.batches.bytes(place)) {
            self.metrics.dropped(DropReason::SendBufferFull);
        }
    }

    /// A packet from another relayed address is at the worker of the one that it goes to.
    fn arrive(&mut self, now: Now, way: HandOver, class: TrafficClass, place: Range<usize>) {
        let mut packet = self.batches.packet(place);
        if let FromPeer::Forward { to } = self.engine.handle_relayed(now, way, &mut packet) {
            let place = packet.place();
            self.send_to_client(way.owner.allocation, to, class, place);
        }
    }

    fn route_peer(&mut self, now: Now, allocation: AllocationId, received: &Received) {
        for place in received.datagrams() {
            // The header of one would overwrite the one before.
            let place = if received.count() > 1 { self.apart(place) } else { place };
            let mut packet = self.batches.packet(place);
            if let FromPeer::Forward { to } =
                self.engine.handle_peer(now, allocation, received.source, &mut packet)
            {
                let place = packet.place();
                self.send_to_client(allocation, to, received.class, place);
            }
        }
    }

    fn send_to_client(
        &mut self,
        allocation: AllocationId,
        to: FiveTuple,
        class: TrafficClass,
        place: Range<usize>,
    ) {
        self.relayed += 1;
        match to.via {
            Via::Listener(listener) => {
                if let Some(Some(relay)) = self.relays.get_mut(allocation.0 as usize) {
                    self.batches.send_to_client(relay, listener, to.client, class, place);
                }
            }
            Via::Stream(_) => {
                self.streams.queue_to(to, self.batches.bytes(place), false, &self.metrics);
            }
        }
    }
}

/// Counts what a socket has lost since it was last told.
#[inline]
fn count_lost(metrics: &Metrics, known: &mut u32, lost: u32) {
    let more = lost.wrapping_sub(std::mem::replace(known, lost));
    if more > 0 {
        metrics.dropped_many(DropReason::ReceiveBufferFull, more as usize);
    }
}
