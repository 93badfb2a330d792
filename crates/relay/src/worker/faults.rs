//! The execution of faults: packets that are lost, held back or sent twice, and outages.

use std::{io, ops::Range, sync::Arc};

use callbox_base::clock::Now;
use callbox_sys::TrafficClass;
use callbox_turn::AllocationId;
use mio::net::UdpSocket;

use super::{Worker, traffic};
use crate::{
    commands::FaultTask,
    outage::LOOK_AGAIN,
    packet_faults::{Fate, FaultPlan, PacketFaults, Routed, Way},
    source::Source,
};

/// The number of packets that are read at a time to be discarded.
const READS: usize = 16;

/// Executes a task. Returns the number of allocations that it concerns.
pub(super) fn execute(worker: &mut Worker, now: Now, task: &FaultTask) -> usize {
    match task {
        FaultTask::Replace(plan) => replace(worker, now, plan.clone()),
        FaultTask::DropAllocations(selector) => return worker.engine.drop_allocations(selector),
        FaultTask::CountAllocations(selector) => return worker.engine.count_allocations(selector),
        FaultTask::Outage(duration) => worker.outage.begin(now.instant + *duration),
    }
    0
}

/// Replaces the faults. Packets that are held back are sent now.
fn replace(worker: &mut Worker, now: Now, plan: Option<Arc<FaultPlan>>) {
    worker.outage.end();
    worker.engine.set_request_faults(plan.as_ref().map(|plan| plan.requests.clone()));
    let before = std::mem::replace(&mut worker.packet_faults, plan.and_then(PacketFaults::new));
    if let Some(mut before) = before {
        while let Some((packet, bytes)) = before.pop_any() {
            send(worker, now, packet, &bytes);
        }
    }
}

/// Sends the packet in `range` on, as the rules for the allocation's packets want it.
pub(super) fn pass(
    worker: &mut Worker,
    now: Now,
    allocation: AllocationId,
    way: Way,
    class: TrafficClass,
    range: Range<usize>,
) {
    let Some(owner) = worker.engine.owner(allocation) else { return };
    let Some(faults) = &mut worker.packet_faults else { return };
    let (direction, len) = (way.direction(), range.len());
    let (due, count) = match faults.judge(now.instant, allocation, owner, direction, len) {
        Fate::Lost => return,
        Fate::Once(due) => (due, 1),
        Fate::Twice(due) => (due, 2),
    };
    let packet = Routed { allocation, way, class };
    // The room that it is in may be used for something else before the second one is sent.
    let bytes: Box<[u8]> = worker.batches.bytes(range).into();
    for _ in 0..count {
        match &mut worker.packet_faults {
            Some(faults) if due > now.instant => faults.hold(due, packet, &bytes),
            _ => send(worker, now, packet, &bytes),
        }
    }
}

/// Sends the packets that have been held back long enough.
pub(super) fn send_due(worker: &mut Worker, now: Now) {
    while let Some(faults) = &mut worker.packet_faults
        && let Some((packet, bytes)) = faults.pop(now.instant)
    {
        if !worker.outage.is_on(now.instant) {
            send(worker, now, packet, &bytes);
        }
    }
}

/// Sends a packet, unless its allocation or its client's address is another one by now.
fn send(worker: &mut Worker, now: Now, packet: Routed, bytes: &[u8]) {
    let Routed { allocation, way, class } = packet;
    let Some(client) = worker.engine.client_of(allocation) else { return };
    let range = worker.spare(bytes.len());
    worker.batches.bytes_mut(range.clone()).copy_from_slice(bytes);
    match way {
        Way::ToPeer { to, dont_fragment } => {
            traffic::send_to_peer(worker, now, allocation, to, dont_fragment, class, range);
        }
        Way::HandOver(way) => traffic::send_to_owner(worker, now, way, class, range),
        Way::ToClient(to) if to == client => {
            traffic::transmit(worker, allocation, to, class, range);
        }
        Way::ToClient(_) => {}
    }
}

/// Discards what a source has to be read, during an outage. Streams wait. Returns true if there may
/// be more.
pub(super) fn discard(worker: &mut Worker, now: Now, source: Source) -> bool {
    match source {
        Source::Listener(listener) => {
            worker.make_room(READS);
            let socket = worker.listeners.socket(listener);
            is_full(worker.batches.receive(socket, READS))
        }
        Source::Relay(id) | Source::Connected(id) => {
            worker.make_room(READS);
            let Some(relay) = worker.relays.get(id) else { return false };
            let connected = matches!(source, Source::Connected(_));
            let socket: Option<&UdpSocket> =
                if connected { relay.connected_udp() } else { Some(relay.udp()) };
            socket.is_some_and(|socket| is_full(worker.batches.receive(socket, READS)))
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
        Ok(slots) => slots.len() == READS,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}
