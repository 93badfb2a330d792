//! Sessions of devices that come back to their calls and rooms.

use callbox_base::{
    clock::Now,
    ids::{CallId, DeviceId, ParticipantId, SessionId, UserId},
};

use super::{Hub, reconnect_grace, relaying, ringing, room_join, transfer};
use crate::{
    call::{Involvement, Role},
    events::{CallSyncEvent, OpenUpgrade, Relayed, RoomSyncEvent},
    member::{Lane, Member},
};

/// Brings the new session of a user into one of the user's calls: it continues for its device, or
/// rings.
pub(super) fn enter(
    hub: &mut Hub,
    now: Now,
    id: CallId,
    session: SessionId,
    user: &UserId,
    device: &DeviceId,
) {
    let Some(call) = hub.calls.get_mut(id) else {
        return enter_room(hub, now, id, session, user, device);
    };
    let Some(role) = call.role_of(user) else { return };
    if call.party(role).device() == Some(device) {
        let member = Member::Side(id, role);
        if !reconnect_grace::reattach(hub, now, member, session)
            && let Some(call) = hub.calls.get(id)
        {
            hub.outbox.show(now, call, session);
        }
        sync(hub, now, id, role, session);
        relaying::deliver_journal(hub, now, Lane::From(id, role.other()));
    } else if let Some(transfer) = call.transfer_mut()
        && transfer.role() == role
        && transfer.device() == device
    {
        transfer.ring_again(session);
        transfer::offer(hub, now, id);
    } else if role == Role::Callee && !call.state().is_accepted() {
        let before = call.state();
        ringing::ring(hub, now, id, session, device);
        match hub.calls.get(id) {
            Some(call) if call.state() != before => hub.outbox.show_to_all(now, call),
            Some(call) => hub.outbox.show(now, call, session),
            None => {}
        }
    }
}

/// Sends a device that may have lost all its state the state of the call, and what was relayed to
/// it.
fn sync(hub: &mut Hub, now: Now, id: CallId, role: Role, session: SessionId) {
    let Some(call) = hub.calls.get(id) else { return };
    let (description, candidates) = call.journal(role.other()).relayed();
    let upgrade = call
        .upgrade()
        .map(|(by, call_type)| OpenUpgrade { from: call.party(by).user().clone(), call_type });
    let transfer = call.transfer().filter(|transfer| transfer.role() == role);
    let event = CallSyncEvent {
        call_id: id,
        call: call.record(now),
        upgrade,
        transfer_to: transfer.map(|transfer| transfer.device().clone()),
        description,
        candidates,
    };
    hub.outbox.send(session, &event);
}

/// Continues a call with a session that was resumed.
pub(super) fn resume(hub: &mut Hub, now: Now, id: CallId, session: SessionId) {
    let Some(call) = hub.calls.get(id) else {
        return resume_in_room(hub, now, id, session);
    };
    match call.involvement_of(session) {
        Some(Involvement::Side(role)) => reconnect_grace::resume(hub, now, Member::Side(id, role)),
        Some(Involvement::Ringing) => {
            if ringing::deliver(hub, now, id)
                && let Some(call) = hub.calls.get(id)
            {
                hub.outbox.show_to_all(now, call);
            }
        }
        // The device was sent the transfer already.
        Some(Involvement::Offered(_)) | None => {}
    }
}

/// Brings the new session of a user into one of the user's rooms if its device is in it.
pub(super) fn enter_room(
    hub: &mut Hub,
    now: Now,
    id: CallId,
    session: SessionId,
    user: &UserId,
    device: &DeviceId,
) {
    let room = hub.rooms.get(id);
    let Some(participant) = room.and_then(|room| room.device_of(user, device)) else { return };
    reconnect_grace::reattach(hub, now, Member::Participant(id, participant), session);
    sync_room(hub, now, id, participant, session);
    let Some(room) = hub.rooms.get(id) else { return };
    let lanes = room.journals().filter(|((_, to), _)| *to == participant);
    let lanes: Vec<_> = lanes.map(|((from, to), _)| Lane::Between(id, from, to)).collect();
    lanes.into_iter().for_each(|lane| relaying::deliver_journal(hub, now, lane));
}

/// Sends a device that may have lost all its state the state of the room, and what was relayed to
/// it.
fn sync_room(hub: &mut Hub, now: Now, id: CallId, to: ParticipantId, session: SessionId) {
    let Ok(view) = room_join::view(hub, now, id, to, session) else { return };
    let Some(room) = hub.rooms.get(id) else { return };
    let relayed = view.participants.iter().filter_map(|other| {
        let from = other.participant_id;
        let (description, candidates) = room.journal(from, to)?.relayed();
        let is_any = description.is_some() || !candidates.is_empty();
        is_any.then_some(Relayed { from_participant: from, description, candidates })
    });
    let relayed = relayed.collect();
    hub.outbox.send(session, &RoomSyncEvent { room: view, relayed });
}

/// Continues a room with a session that was resumed.
pub(super) fn resume_in_room(hub: &mut Hub, now: Now, id: CallId, session: SessionId) {
    let room = hub.rooms.get(id);
    if let Some(participant) = room.and_then(|room| room.participant_of(session)) {
        reconnect_grace::resume(hub, now, Member::Participant(id, participant));
    }
}
