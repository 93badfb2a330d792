//! The path of a packet through a worker, once it is read: it is routed by the engine and put into a
//! batch.
//! This code does not allocate, lock or log for a packet.

use std::{net::SocketAddr, ops::Range};

use callbox_base::clock::Now;
use callbox_sys::{Received, TrafficClass};
use callbox_turn::{AllocationId, DropReason, FiveTuple, FromClient, FromPeer, HandOver, Via};

use super::{Worker, dont_fragment, faults, outputs, relay_sockets};
use crate::packet_faults::{Routed, Way};

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
                return send_with_faults(worker, now, Routed { allocation, way, class }, range);
            }
            send_to_peer(worker, now, allocation, to, dont_fragment, class, range);
        }
        FromClient::HandOver(way) => {
            let range = packet.range();
            if worker.packet_faults.is_some() {
                let Some(allocation) = worker.engine.allocation_of(tuple) else { return };
                let way = Way::HandOver(way);
                return send_with_faults(worker, now, Routed { allocation, way, class }, range);
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
pub(super) fn deliver_relayed(
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

/// Routes the datagrams that a peer has sent to an allocation.
pub(super) fn route_peer(worker: &mut Worker, now: Now, id: AllocationId, received: &Received) {
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
        let packet = Routed { allocation: id, way: Way::ToClient(to), class };
        return send_with_faults(worker, now, packet, range);
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

/// Sends a packet as the rules for its allocation want it.
fn send_with_faults(worker: &mut Worker, now: Now, packet: Routed, range: Range<usize>) {
    let Some(copies) = faults::judge(worker, now, packet, &range) else { return };
    // The room that it is in may be used for something else before the second one is sent.
    let bytes: Box<[u8]> = worker.batches.bytes(range).into();
    for _ in 0..copies {
        send_routed(worker, now, packet, &bytes);
    }
}

/// Sends a packet that was held back, unless its allocation is closed or its client has another
/// address by now.
pub(super) fn send_routed(worker: &mut Worker, now: Now, packet: Routed, bytes: &[u8]) {
    let Routed { allocation, way, class } = packet;
    let Some(client) = worker.engine.client_of(allocation) else { return };
    let range = worker.spare(bytes.len());
    worker.batches.bytes_mut(range.clone()).copy_from_slice(bytes);
    match way {
        Way::ToPeer { to, dont_fragment } => {
            send_to_peer(worker, now, allocation, to, dont_fragment, class, range);
        }
        Way::HandOver(way) => send_to_owner(worker, now, way, class, range),
        Way::ToClient(to) if to == client => transmit(worker, allocation, to, class, range),
        Way::ToClient(_) => {}
    }
}
