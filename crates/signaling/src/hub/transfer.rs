//! The hand-over of a side of a call to another device of the same user.
//!
//! The other device rings; until it accepts, nothing changes. Then it is the side, and whatever was
//! on its way for a peer connection of the old device is dropped.

use callbox_base::{clock::Now, ids::CallId};

use super::{Hub, call_end, reconnect_grace, ringing};
use crate::{
    CallState, EndReason, RequestError,
    answers::CallEndAnswer,
    call::{HasLifecycle, Role, Transfer, seconds},
    events::{CallEndedEvent, CallReconnectingEvent, CallTransferredEvent},
    member::Member,
    sender::Sender,
};

/// Rings the device that a call is transferred to.
pub(super) fn offer(hub: &mut Hub, now: Now, id: CallId) {
    let Some(call) = hub.calls.get(id) else { return };
    let Some(transfer) = call.transfer() else { return };
    let (role, session) = (transfer.role(), transfer.session());
    ringing::announce(hub, now, id, role, session);
    if let Some(call) = hub.calls.get(id) {
        hub.outbox.show(now, call, session);
    }
}

/// Ends a transfer that the device does not take: the call goes on at the device before, or ends if
/// that has left.
pub(super) fn refuse(hub: &mut Hub, now: Now, id: CallId) {
    let Some(transfer) = stop(hub, id) else { return };
    if transfer.is_alone() {
        return call_end::end(hub, now, id, EndReason::Left);
    }
    let Some(call) = hub.calls.get(id) else { return };
    let refused = CallTransferredEvent {
        call_id: id,
        user_id: call.party(transfer.role()).user().clone(),
        device_id: transfer.device().clone(),
        accepted: false,
    };
    hub.outbox.send_to(call, transfer.role(), &refused);
}

/// Refuses a transfer at the request of the device that rings, and returns the answer.
pub(super) fn decline(hub: &mut Hub, now: Now, id: CallId) -> Result<CallEndAnswer, RequestError> {
    let duration = seconds(hub.calls.find(id)?.lifecycle().duration(now));
    refuse(hub, now, id);
    let state = hub.calls.get(id).map_or(CallState::Ended, |call| call.state());
    let reason = EndReason::Rejected;
    Ok(CallEndAnswer { call_id: id, state, reason, duration })
}

/// Ends a transfer whose time to ring is over.
pub(super) fn give_up(hub: &mut Hub, now: Now, id: CallId) {
    let Some(call) = hub.calls.get(id) else { return };
    let Some(transfer) = call.transfer() else { return };
    let ended = CallEndedEvent {
        call_id: id,
        room_id: None,
        reason: EndReason::Timeout,
        ended_by: None,
        duration: seconds(call.lifecycle().duration(now)),
    };
    hub.outbox.send(transfer.session(), &ended);
    refuse(hub, now, id);
}

/// Makes the device that accepts a transfer the side of the call.
pub(super) fn take_over(hub: &mut Hub, now: Now, id: CallId, role: Role, by: &Sender) {
    stop(hub, id);
    let Some(call) = hub.calls.get_mut(id) else { return };
    let ended = CallEndedEvent {
        call_id: id,
        room_id: None,
        reason: EndReason::AnsweredElsewhere,
        ended_by: Some(by.user.clone()),
        duration: seconds(call.lifecycle().duration(now)),
    };
    let was_lost = call.party(role).is_lost();
    let (before, dropped) =
        call.change_device(role, by.device.clone(), by.session, &mut hub.timers);
    hub.counters.candidates_dropped += dropped as u64;
    if let Some(before) = before {
        hub.outbox.send(before, &ended);
    }

    let Some(call) = hub.calls.get(id) else { return };
    let transferred = CallTransferredEvent {
        call_id: id,
        user_id: by.user.clone(),
        device_id: by.device.clone(),
        accepted: true,
    };
    hub.outbox.send_to(call, role.other(), &transferred);
    let other = call.party(role.other());
    if other.is_lost() {
        let user_id = other.user().clone();
        let lost =
            CallReconnectingEvent { call_id: id, room_id: None, participant_id: None, user_id };
        hub.outbox.send(by.session, &lost);
    }
    if !reconnect_grace::publish_change(hub, now, Member::Side(id, role), was_lost)
        && let Some(call) = hub.calls.get(id)
    {
        hub.outbox.show_to_all(now, call);
    }
}

/// Stops ringing the device that a call is transferred to.
fn stop(hub: &mut Hub, id: CallId) -> Option<Transfer> {
    hub.calls.get_mut(id)?.take_transfer(&mut hub.timers)
}
