//! The ends of allocations, and all that ends with them.

use callbox_base::{faults::Selector, ids::CallId};

use super::{Engine, connections, mobility, tracing};
use crate::{AllocationId, EndReason, Event, Output, allocations::Allocation};

/// Closes an open allocation and forgets all that was bound to it; of a dual one, this address. One
/// that is being opened stays until it is.
pub(super) fn close(engine: &mut Engine, id: AllocationId, reason: EndReason) {
    let Some(allocation) = engine.allocations.get(id) else { return };
    for connection in allocation.connections().to_vec() {
        connections::close(engine, connection);
    }
    tracing::closing(engine, id, reason);
    let Some(mut allocation) = engine.allocations.remove(id) else { return };
    if allocation.twin().is_none() && engine.common.is_mobile() {
        // Another worker may be sending on what comes from there.
        engine.outputs.push(Output::Forget { tuple: allocation.tuple() });
    }
    if let Some(number) = allocation.mobility() {
        mobility::end(engine, number, allocation.twin());
    }
    allocation.stop_timers(id, &mut engine.timers);
    engine.common.relayed.close(allocation.ip(), allocation.port());
    engine.common.shared.release(&allocation.owner().user, allocation.ip(), allocation.port());
    engine.metrics.allocation_closed();
    engine.outputs.push(Output::CloseRelay { allocation: id });
    tell_end(engine, *allocation, reason);
    if engine.allocations.shrink() {
        engine.mobility.shrink();
        engine.outputs.push(Output::ReleaseMemory);
    }
}

/// Tells the log of the end of an allocation, and its call if it was the last address.
fn tell_end(engine: &mut Engine, allocation: Allocation, reason: EndReason) {
    let twin = allocation.twin();
    let ended = allocation.into_ended(reason);
    let (call, usage) = (ended.call, ended.usage.clone());
    engine.outputs.push(Output::Ended(Box::new(ended)));
    if let Some(call) = call
        && twin.is_none()
    {
        engine.common.shared.leave_call(call);
        engine.outputs.push(Output::Event(Event::AllocationClosed { call, usage }));
    }
}

/// Closes both addresses of a dual allocation, or the one that there is.
pub(super) fn close_whole(engine: &mut Engine, id: AllocationId, reason: EndReason) {
    let twin = engine.allocations.get(id).and_then(|allocation| allocation.twin());
    close(engine, id, reason);
    if let Some(twin) = twin {
        close(engine, twin, reason);
    }
}

/// Closes every allocation of a call that is over.
pub(super) fn end_call(engine: &mut Engine, call: CallId) {
    for id in engine.allocations.of_call(call).to_vec() {
        close(engine, id, EndReason::CallEnded);
    }
}

/// Closes every allocation that a user has for a call.
pub(super) fn revoke_user(engine: &mut Engine, call: CallId, user: &str) {
    for id in engine.allocations.of_call(call).to_vec() {
        if engine.allocations.get(id).is_some_and(|allocation| &*allocation.owner().user == user) {
            close(engine, id, EndReason::Revoked);
        }
    }
}

/// Closes a user's allocations: all of them, or with `calls` those that are for no call or for one
/// of these. Returns their number.
pub(super) fn kick(engine: &mut Engine, user: &str, calls: Option<&[CallId]>) -> usize {
    let is_meant = |allocation: &Allocation| {
        let is_in = |calls: &[CallId]| allocation.owner().call.is_none_or(|c| calls.contains(&c));
        *allocation.owner().user == *user && calls.is_none_or(is_in)
    };
    let meant = engine.allocations.iter().filter(|(_, allocation)| is_meant(allocation));
    let meant: Vec<_> = meant.map(|(id, _)| id).collect();
    meant.iter().for_each(|id| close(engine, *id, EndReason::Revoked));
    meant.len()
}

/// Closes the allocations of a selector. Returns their number.
pub(super) fn drop_selected(engine: &mut Engine, selector: &Selector) -> usize {
    let meant: Vec<_> = selected(engine, selector).collect();
    meant.iter().for_each(|id| close(engine, *id, EndReason::Fault));
    meant.len()
}

/// Returns the open allocations of a selector.
pub(super) fn selected(engine: &Engine, selector: &Selector) -> impl Iterator<Item = AllocationId> {
    let allocations = engine.allocations.iter();
    let meant = |allocation: &Allocation| {
        let owner = allocation.owner();
        selector.includes(&owner.user, owner.call)
    };
    allocations.filter(move |(_, allocation)| meant(allocation)).map(|(id, _)| id)
}

/// Closes every open allocation, as the server stops.
pub(super) fn close_all(engine: &mut Engine) {
    let open: Vec<_> = engine.allocations.iter().map(|(id, _)| id).collect();
    open.into_iter().for_each(|id| close(engine, id, EndReason::Stopped));
}
