//! The reading of sources that are ready. This code does not allocate, lock or log for a packet.

use std::{io, ops::Range};

use callbox_base::{clock::Now, ids::ClientAddr};
use callbox_turn::{AllocationId, FiveTuple, Via};
use mio::net::UdpSocket;

use super::{Worker, forwarding, icmp_errors, outputs, traffic};
use crate::{outage::LOOK_AGAIN, source::Source, worker_ring::RingPacket};

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
                traffic::route_client(worker, now, tuple, class, range, many);
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
            traffic::route_peer(worker, now, id, &received);
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
                traffic::deliver_relayed(worker, now, hand_over, class, range);
            }
            RingPacket::Client { tuple, from } => {
                traffic::route_client(worker, now, tuple, class, range, false);
                forwarding::keep_forwarding(worker, from, tuple);
            }
        }
    }
    true
}

/// Discards what a source has to be read, during an outage. Streams wait. Returns true if there may
/// be more.
pub(super) fn discard(worker: &mut Worker, now: Now, source: Source) -> bool {
    match source {
        Source::Listener(listener) => {
            worker.make_room(RELAY_READS);
            let socket = worker.listeners.socket(listener);
            is_full(worker.batches.receive(socket, RELAY_READS))
        }
        Source::Relay(id) | Source::Connected(id) => {
            worker.make_room(RELAY_READS);
            let Some(relay) = worker.relays.get(id) else { return false };
            let connected = matches!(source, Source::Connected(_));
            let socket: Option<&UdpSocket> =
                if connected { relay.connected_udp() } else { Some(relay.udp()) };
            socket.is_some_and(|socket| is_full(worker.batches.receive(socket, RELAY_READS)))
        }
        Source::Ring(ring) => {
            while let Some((_, _, len)) = worker.rings.next(ring) {
                let range = worker.spare(len);
                worker.rings.take(ring, worker.batches.bytes_mut(range));
            }
            false
        }
        Source::Stream(_) | Source::TcpRelay(_) | Source::Connection(_) => {
            worker.ready.sleep(now.instant, source, now.instant + LOOK_AGAIN);
            false
        }
    }
}

/// Returns true if a read may not have reached the end.
fn is_full(slots: io::Result<Range<usize>>) -> bool {
    match slots {
        Ok(slots) => slots.len() == RELAY_READS,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}
