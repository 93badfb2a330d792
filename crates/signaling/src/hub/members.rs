//! The members of live calls and rooms, by their ids.

use callbox_base::ids::{CallId, RoomId, SessionId};

use super::Hub;
use crate::{CallState, RequestError, call::Party, member::Member, message::EventPayload};

/// Returns a member of a live call or room.
pub(super) fn find(hub: &Hub, member: Member) -> Option<&Party> {
    member.find(&hub.calls, &hub.rooms)
}

/// Returns a member for a request that has found it before.
pub(super) fn find_mut(hub: &mut Hub, member: Member) -> Result<&mut Party, RequestError> {
    member.find_mut(&mut hub.calls, &mut hub.rooms).ok_or_else(RequestError::call_not_found)
}

/// Returns the state of a live call or room.
pub(super) fn call_state(hub: &Hub, call: CallId) -> Result<CallState, RequestError> {
    let state = hub.calls.get(call).map(|call| call.state());
    state.or_else(|| Some(hub.rooms.get(call)?.state())).ok_or_else(RequestError::call_not_found)
}

/// Returns the room's id if the call is a room.
pub(super) fn room_id(hub: &Hub, call: CallId) -> Option<RoomId> {
    hub.rooms.get(call).map(|room| room.name.clone())
}

/// Returns the sessions of everyone else in the call.
pub(super) fn other_sessions(hub: &Hub, member: Member) -> Vec<SessionId> {
    match member {
        Member::Side(call, role) => {
            let call = hub.calls.get(call);
            call.and_then(|call| call.parties[role.other()].session).into_iter().collect()
        }
        Member::Participant(call, id) => {
            let room = hub.rooms.get(call);
            room.map(|room| room.sessions_but(id).collect()).unwrap_or_default()
        }
    }
}

/// Sends an event to everyone else in the call.
pub(super) fn send_to_others<P: EventPayload>(hub: &mut Hub, member: Member, payload: &P) {
    let others = other_sessions(hub, member);
    hub.outbox.send_to_all(others, payload);
}
