//! The forwarding of clients' messages to the workers that they are for: those of requests that
//! name their target, and those of clients that have moved (RFC 8016).

use std::ops::Range;

use callbox_stun::Request;
use callbox_sys::TrafficClass;
use callbox_turn::{DropReason, FiveTuple};

use super::Worker;
use crate::commands::Command;

/// The types of the requests that name their target: ConnectionBind (RFC 6062 §6.1), and Refresh
/// with a ticket (RFC 8016 §3.2).
const NAMING: [[u8; 2]; 2] = [[0x00, 0x0b], [0x00, 0x04]];

/// Returns the index of the worker that the request in `range` is for, if it is another one.
pub(super) fn target(worker: &Worker, tuple: FiveTuple, range: Range<usize>) -> Option<u16> {
    let bytes = worker.batches.bytes(range);
    // A client with an allocation here stays here: the answer is an error on any worker.
    if !NAMING.iter().any(|typ| bytes.starts_with(typ)) || worker.engine.has_allocation(tuple) {
        return None;
    }
    let target = worker.engine.worker_for(&Request::parse(bytes).ok()?)?;
    worker.all_workers.is_other(target).then_some(target)
}

/// Forwards a datagram of a client if it is for another worker. Returns false if it is not.
#[inline]
pub(super) fn forward_to_owner(
    worker: &mut Worker,
    tuple: FiveTuple,
    class: TrafficClass,
    range: &Range<usize>,
) -> bool {
    if !worker.forwarding.is_enabled() {
        return false;
    }
    let owner = worker.forwarding.owner(tuple);
    let Some(to) = owner.or_else(|| target(worker, tuple, range.clone())) else { return false };
    let bytes = worker.batches.bytes(range.clone());
    if !worker.rings.send_client(to, tuple, class, bytes) {
        worker.metrics.dropped(DropReason::SendBufferFull);
    }
    true
}

/// Has another worker forward all datagrams of a client of which it has forwarded one, if the
/// client has an allocation here now.
pub(super) fn keep_forwarding(worker: &mut Worker, from: u16, tuple: FiveTuple) {
    if worker.engine.has_allocation(tuple) && worker.forwarding.add_guest(tuple, from) {
        let to = worker.all_workers.own_index();
        worker.all_workers.send(from, Command::Forward { tuple, to });
    }
}

/// Tells the forwarding worker, if there is one, that a client is no longer at this address.
pub(super) fn stop(worker: &mut Worker, tuple: FiveTuple) {
    if let Some(from) = worker.forwarding.remove_guest(tuple) {
        worker.all_workers.send(from, Command::Forget(tuple));
    }
}
