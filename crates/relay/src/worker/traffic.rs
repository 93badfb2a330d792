//! The path of a packet through a worker: it is read, routed by the engine, and put into a batch.
//! This code does not allocate, lock or log for a packet.

use std::{io, net::SocketAddr, ops::Range};

use callbox_base::{clock::Now, ids::ClientAddr};
use callbox_sys::{Received, TrafficClass};
use callbox_turn::{AllocationId, DropReason, FiveTuple, FromClient, FromPeer, HandOver, Via};

use super::{Worker, dont_fragment, faults, forwarding, icmp_errors, outputs, relay_sockets};
use crate::{packet_faults::Way, source::Source, worker_ring::RingPacket};

/// The number of reads of a listener before other sources have their turn.
const LISTENER_READS: usize = 64;

/// The number of reads of a relay socket; it is lower, since there are many of them.
const RELAY_READS: usize = 16;

/// The number of packets of another worker's ring that are processed before other sources have
/// their turn.
const RING_PACKETS: usize = 64;

/// Reads a listener for a while. Returns true if there may be more.
pub(super) fn read_listener(worker: &mut Worker, now: Now, listener: u16) -> bool {
    worker.make_room(LISTENER_READS);
    let slots = match worker.batches.receive(worker.listeners.socket(listener), LISTENER_READS) {
        Ok(slots) => slots,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
        Err(error) => {
            worker.log.read_error(now, &error);
            return true;
        }
    };
    let more = slots.len() == LISTENER_READS;
    for slot in slots {
        let Some(received) = worker.batches.received(slot) else { continue };
        worker.listeners.count_lost(listener, &worker.metrics, received.lost);
        let via = Via::Listener(listener);
        let tuple = FiveTuple { via, client: ClientAddr(received.source) };
        let (class, many) = (received.class, received.count() > 1);
        for range in received.datagrams() {
            if !forwarding::forward_to_owner(worker, tuple, class, &range) {
                route_client(worker, now, tuple, class, range, many);
            }
        }
    }
    more
}

/// Reads the socket of an allocation for a while. Returns true if there may be more.
pub(super) fn read_relay(worker: &mut Worker, now: Now, id: AllocationId) -> bool {
    worker.make_room(RELAY_READS);
    let Some(relay) = worker.relays.get(id) else { return false };
    let slots = worker.batches.receive(relay.udp(), RELAY_READS);
    route_slots(worker, now, id, Source::Relay(id), slots)
}

/// Reads the connected socket of an allocation for a while. Returns true if there may be more.
pub(super) fn read_connected(worker: &mut Worker, now: Now, id: AllocationId) -> bool {
    worker.make_room(RELAY_READS);
    let Some(udp) = worker.relays.get(id).and_then(|relay| relay.connected_udp()) else {
        return false;
    };
    let slots = worker.batches.receive(udp, RELAY_READS);
    route_slots(worker, now, id, Source::Connected(id), slots)
}

/// Routes the datagrams that a socket of an allocation has received. Returns true if there may be
/// more.
fn route_slots(
    worker: &mut Worker,
    now: Now,
    id: AllocationId,
    source: Source,
    slots: io::Result<Range<usize>>,
) -> bool {
    let slots = match slots {
        Ok(slots) => slots,
        Err(error) => return handle_read_error(worker, now, source, &error),
    };
    let more = slots.len() == RELAY_READS;
    for slot in slots {
        if let Some(received) = worker.batches.received(slot) {
            if received.lost > 0 {
                worker.relays.count_lost(source, &worker.metrics, received.lost);
            }
            route_peer(worker, now, id, &received);
        }
    }
    more
}

/// Handles a failed read of an allocation's socket, which may report an ICMP error of an earlier
/// datagram. Returns true if there may be more.
fn handle_read_error(worker: &mut Worker, now: Now, source: Source, error: &io::Error) -> bool {
    if error.kind() == io::ErrorKind::WouldBlock {
        return false;
    }
    // A connected socket reports such errors in any case, so they are not logged.
    if icmp_errors::read(worker, now, source, None) == 0 && !matches!(source, Source::Connected(_))
    {
        worker.log.read_error(now, error);
    }
    outputs::execute(worker, now);
    true
}

/// Processes packets that another worker has sent through a ring. Returns true if there may be
/// more.
pub(super) fn read_ring(worker: &mut Worker, now: Now, ring: usize) -> bool {
    for _ in 0..RING_PACKETS {
        let Some((packet, class, len)) = worker.rings.next(ring) else { return false };
        let range = worker.spare(len);
        worker.rings.take(ring, worker.batches.bytes_mut(range.clone()));
        match packet {
            RingPacket::Relayed(hand_over) => {
                deliver_relayed(worker, now, hand_over, class, range);
            }
            RingPacket::Client { tuple, from } => {
                route_client(worker, now, tuple, class, range, false);
                forwarding::keep_forwarding(worker, from, tuple);
            }
        }
    }
    true
}

/// Copies one of several datagrams that were received together to a range with free bytes around
/// it.
fn copy_to_spare(worker: &mut Worker, range: Range<usize>) -> Range<usize> {
    let copy = worker.spare(range.len());
    worker.batches.copy(range, copy.start);
    copy
}

/// Routes a message of a client. Its payload leaves in the class that it came in (RFC 8656 §14). If
/// it is one of many, others are next to it in the buffer.
pub(super) fn route_client(
    worker: &mut Worker,
    now: Now,
    tuple: FiveTuple,
    class: TrafficClass,
    range: Range<usize>,
    one_of_many: bool,
) {
    let mut packet = worker.batches.packet(range);
    match worker.engine.handle_client(now, tuple, &mut packet) {
        FromClient::Forward { allocation, to, dont_fragment } => {
            let range = packet.range();
            worker.coalescing.add_packet();
            if worker.packet_faults.is_some() {
                let way = Way::ToPeer { to, dont_fragment };
                return faults::pass(worker, now, allocation, way, class, range);
            }
            send_to_peer(worker, now, allocation, to, dont_fragment, class, range);
        }
        FromClient::HandOver(way) => {
            let range = packet.range();
            if worker.packet_faults.is_some() {
                let Some(allocation) = worker.engine.allocation_of(tuple) else { return };
                return faults::pass(worker, now, allocation, Way::HandOver(way), class, range);
            }
            let is_local = way.owner.worker == worker.all_workers.own_index();
            // The header would overwrite what is next to it.
            let range = if is_local && one_of_many { copy_to_spare(worker, range) } else { range };
            send_to_owner(worker, now, way, class, range);
        }
        FromClient::Handled => outputs::execute(worker, now),
        FromClient::Dropped(_) => {}
    }
}

/// Sends a payload from the socket of an allocation to a peer.
#[inline]
pub(super) fn send_to_peer(
    worker: &mut Worker,
    now: Now,
    allocation: AllocationId,
    to: SocketAddr,
    dont_fragment: bool,
    class: TrafficClass,
    range: Range<usize>,
) {
    if dont_fragment {
        return dont_fragment::send(worker, now, allocation, to, class, range);
    }
    let Some(relay) = worker.relays.get_mut(allocation) else { return };
    let is_hot = relay.record_peer(to);
    worker.batches.send_to_peer(allocation, relay, to, class, range);
    if is_hot {
        relay_sockets::open_connected(worker, allocation, to);
    }
}

/// Passes a packet to another allocation of this server without a trip through the kernel. There
/// are free bytes around it if that is on this worker.
pub(super) fn send_to_owner(
    worker: &mut Worker,
    now: Now,
    way: HandOver,
    class: TrafficClass,
    range: Range<usize>,
) {
    if way.owner.worker == worker.all_workers.own_index() {
        deliver_relayed(worker, now, way, class, range);
    } else if !worker.rings.send(way, class, worker.batches.bytes(range)) {
        worker.metrics.dropped(DropReason::SendBufferFull);
    }
}

/// Processes a packet from another relayed address at the worker that owns its destination.
fn deliver_relayed(
    worker: &mut Worker,
    now: Now,
    way: HandOver,
    class: TrafficClass,
    range: Range<usize>,
) {
    let mut packet = worker.batches.packet(range);
    if let FromPeer::Forward { to } = worker.engine.handle_relayed(now, way, &mut packet) {
        let range = packet.range();
        send_to_client(worker, now, way.owner.allocation, to, class, range);
    }
}

fn route_peer(worker: &mut Worker, now: Now, id: AllocationId, received: &Received) {
    for range in received.datagrams() {
        // The header of one datagram would overwrite the end of the one before.
        let range = if received.count() > 1 { copy_to_spare(worker, range) } else { range };
        let mut packet = worker.batches.packet(range);
        let verdict = worker.engine.handle_peer(now, id, received.source, &mut packet);
        if let FromPeer::Forward { to } = verdict {
            let range = packet.range();
            send_to_client(worker, now, id, to, received.class, range);
        }
    }
}

fn send_to_client(
    worker: &mut Worker,
    now: Now,
    id: AllocationId,
    to: FiveTuple,
    class: TrafficClass,
    range: Range<usize>,
) {
    worker.coalescing.add_packet();
    if worker.packet_faults.is_some() {
        return faults::pass(worker, now, id, Way::ToClient(to), class, range);
    }
    transmit(worker, id, to, class, range);
}

/// Queues a message for the client of an allocation.
#[inline]
pub(super) fn transmit(
    worker: &mut Worker,
    id: AllocationId,
    to: FiveTuple,
    class: TrafficClass,
    range: Range<usize>,
) {
    match to.via {
        Via::Listener(listener) => {
            if let Some(relay) = worker.relays.get_mut(id) {
                worker.batches.send_to_client(relay, listener, to.client, class, range);
            }
        }
        Via::Stream(_) => {
            worker.streams.queue_to(to, worker.batches.bytes(range), false, &worker.metrics);
        }
    }
}
