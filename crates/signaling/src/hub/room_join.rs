//! Devices join a room.

use callbox_base::{
    clock::Now,
    ids::{CallId, ParticipantId, RoomId, SessionId},
};

use super::{Hub, credentials, members, reporting};
use crate::{
    CallEvent, CallType, Output, RequestError,
    call::{HasLifecycle, Step},
    events::{RoomJoinedEvent, RoomView},
    member::Member,
    rooms::{Occupant, Room},
};

/// Makes a room without participants.
pub(super) fn begin(hub: &mut Hub, now: Now, name: RoomId, kind: CallType) -> CallId {
    let id = CallId::generate(now.unix_ms(), &mut hub.rng);
    hub.rooms.insert(Room::new(now, id, name, kind));
    hub.counters.calls_started += 1;
    credentials::schedule_refresh(hub, now, id);
    id
}

/// Adds a device to a room that has a free slot for it.
pub(super) fn join(hub: &mut Hub, now: Now, id: CallId, occupant: Occupant) {
    let participant = ParticipantId::generate(now.unix_ms(), &mut hub.rng);
    let Some(room) = hub.rooms.get_mut(id) else { return };
    let (user, is_first) = (occupant.user().clone(), room.len() == 0);
    let view = occupant.view(participant);
    if !room.has(&user) {
        hub.users.add_call(&user, id);
        hub.outbox.push(Output::ReadmitUser { call: id, user });
    }
    room.join(participant, occupant);
    let joined = RoomJoinedEvent { call_id: id, room_id: room.name().clone(), participant: view };
    members::send_to_others(hub, Member::Participant(id, participant), &joined);
    if is_first {
        reporting::report_step(hub, now, id, CallEvent::Initiated);
    } else if hub.rooms.step(id, Step::Join).is_ok() {
        if let Some(room) = hub.rooms.get_mut(id) {
            room.lifecycle_mut().start(now);
        }
        reporting::report_step(hub, now, id, CallEvent::Accepted);
    }
}

/// Returns a room as one participant sees it, with relay credentials for it.
pub(super) fn view(
    hub: &Hub,
    now: Now,
    id: CallId,
    participant: ParticipantId,
    session: SessionId,
) -> Result<RoomView, RequestError> {
    let room = hub.rooms.get(id).ok_or_else(RequestError::call_not_found)?;
    let ice = credentials::mint_for_session(hub, now, session, Some(id));
    Ok(RoomView {
        call_id: id,
        room_id: room.name().clone(),
        call_type: room.lifecycle().kind(),
        participant_id: participant,
        participants: room.seen_by(participant),
        ice_servers: ice.ice_servers,
        ice_transport_policy: ice.ice_transport_policy,
        turn_credentials: ice.turn_credentials,
        expires_at: ice.expires_at,
    })
}
