//! The hand-over of a side of a call to another device of the same user.
//!
//! The other device rings; until it accepts, nothing changes. Then it is the side, and whatever was
//! on its way for a peer connection of the old device is dropped.

use callbox_base::{clock::Now, ids::CallId};

use super::{Hub, call_end, reconnect_grace, ringing};
use crate::{
    CallState, EndReason, Media, RequestError,
    answers::CallEndAnswer,
    call::{Role, Transfer, seconds},
    events::{CallEndedEvent, CallReconnectingEvent, CallTransferredEvent},
    member::{Lane, Member},
    sender::Sender,
    timer::Timer,
};

/// Rings the device that a call is transferred to.
pub(super) fn offer(hub: &mut Hub, now: Now, id: CallId) {
    let Some(call) = hub.calls.get(id) else { return };
    let Some(Transfer { role, ringing, .. }) = &call.transfer else { return };
    let (role, session) = (*role, ringing.session);
    ringing::announce(hub, now, id, role, session);
    if let Some(call) = hub.calls.get(id) {
        hub.outbox.show(now, call, session);
    }
}

/// Ends a transfer that the device does not take: the call goes on at the device before, or ends if
/// that has left.
pub(super) fn refuse(hub: &mut Hub, now: Now, id: CallId) {
    let Some(transfer) = stop(hub, id) else { return };
    if transfer.alone {
        return call_end::end(hub, now, id, EndReason::Left);
    }
    let Some(call) = hub.calls.get(id) else { return };
    let refused = CallTransferredEvent {
        call_id: id,
        user_id: call.parties[transfer.role].user.clone(),
        device_id: transfer.device,
        accepted: false,
    };
    hub.outbox.send_to(call, transfer.role, &refused);
}

/// Refuses a transfer at the request of the device that rings, and returns the answer.
pub(super) fn decline(hub: &mut Hub, now: Now, id: CallId) -> Result<CallEndAnswer, RequestError> {
    let duration = seconds(hub.calls.find(id)?.duration(now));
    refuse(hub, now, id);
    let state = hub.calls.get(id).map_or(CallState::Ended, |call| call.state());
    let reason = EndReason::Rejected;
    Ok(CallEndAnswer { call_id: id, state, reason, duration })
}

/// Ends a transfer whose time to ring is over.
pub(super) fn give_up(hub: &mut Hub, now: Now, id: CallId) {
    let Some(call) = hub.calls.get(id) else { return };
    let Some(transfer) = &call.transfer else { return };
    let ended = CallEndedEvent {
        call_id: id,
        room_id: None,
        reason: EndReason::Timeout,
        ended_by: None,
        duration: seconds(call.duration(now)),
    };
    hub.outbox.send(transfer.ringing.session, &ended);
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
        duration: seconds(call.duration(now)),
    };
    let party = &mut call.parties[role];
    let was_lost = party.is_lost();
    party.grace.clear(&mut hub.timers, Timer::Grace(Member::Side(id, role)));
    party.media_lost = false;
    // The media was that of the device before; its quality statistics stay with the call.
    party.media = Media::default();
    party.device = Some(by.device.clone());
    if let Some(before) = party.session.replace(by.session) {
        hub.outbox.send(before, &ended);
    }
    // The device that asked, or that was asked, is not in the call any more.
    call.upgrade = None;
    call.moved = call.state() != CallState::Connecting;
    reset_journals(hub, id);

    let Some(call) = hub.calls.get(id) else { return };
    let transferred = CallTransferredEvent {
        call_id: id,
        user_id: by.user.clone(),
        device_id: by.device.clone(),
        accepted: true,
    };
    hub.outbox.send_to(call, role.other(), &transferred);
    let other = &call.parties[role.other()];
    if other.is_lost() {
        let user_id = other.user.clone();
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

/// Drops what the sides sent for the peer connections before, since both sides begin with new ones.
fn reset_journals(hub: &mut Hub, id: CallId) {
    let Some(call) = hub.calls.get_mut(id) else { return };
    for from in [Role::Caller, Role::Callee] {
        let mut journal = std::mem::take(&mut call.journals[from]);
        journal.hold.clear(&mut hub.timers, Timer::Hold(Lane::From(id, from)));
        hub.counters.candidates_dropped += journal.len() as u64;
    }
}

/// Stops ringing the device that a call is transferred to.
fn stop(hub: &mut Hub, id: CallId) -> Option<Transfer> {
    let transfer = hub.calls.get_mut(id)?.transfer.take()?;
    hub.timers.clear(transfer.until.instant, Timer::Transfer(id));
    Some(transfer)
}
