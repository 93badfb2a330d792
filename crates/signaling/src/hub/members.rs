//! The members of live calls and rooms, by their ids.

use callbox_base::ids::{CallId, RoomId, SessionId};

use super::Hub;
use crate::{
    CallState, RequestError,
    call::{Calls, HasLifecycle, Journal, Lifecycle, Party},
    member::{Lane, Member},
    message::EventPayload,
    rooms::Rooms,
};

/// Returns a member of a live call or room.
pub(super) fn find(hub: &Hub, member: Member) -> Option<&Party> {
    match member {
        Member::Side(call, role) => Some(hub.calls.get(call)?.party(role)),
        Member::Participant(call, id) => hub.rooms.get(call)?.party(id),
    }
}

/// Returns a member to be changed.
pub(super) fn party_mut<'a>(
    calls: &'a mut Calls,
    rooms: &'a mut Rooms,
    member: Member,
) -> Option<&'a mut Party> {
    match member {
        Member::Side(call, role) => Some(calls.get_mut(call)?.party_mut(role)),
        Member::Participant(call, id) => rooms.get_mut(call)?.party_mut(id),
    }
}

/// Returns a member for a request that has found it before.
pub(super) fn find_mut(hub: &mut Hub, member: Member) -> Result<&mut Party, RequestError> {
    let party = party_mut(&mut hub.calls, &mut hub.rooms, member);
    party.ok_or_else(RequestError::call_not_found)
}

/// Returns the session of a member, while it has one.
pub(super) fn session(hub: &Hub, member: Member) -> Option<SessionId> {
    find(hub, member)?.session()
}

/// Returns the journal of a lane, if there is one.
pub(super) fn journal(hub: &Hub, lane: Lane) -> Option<&Journal> {
    match lane {
        Lane::From(call, role) => Some(hub.calls.get(call)?.journal(role)),
        Lane::Between(call, from, to) => hub.rooms.get(call)?.journal(from, to),
    }
}

/// Returns the journal of a lane, to be changed.
pub(super) fn journal_mut<'a>(
    calls: &'a mut Calls,
    rooms: &'a mut Rooms,
    lane: Lane,
) -> Option<&'a mut Journal> {
    match lane {
        Lane::From(call, role) => Some(calls.get_mut(call)?.journal_mut(role)),
        Lane::Between(call, from, to) => Some(rooms.get_mut(call)?.journal_mut(from, to)),
    }
}

/// Returns the life of a live call or room.
pub(super) fn lifecycle(hub: &Hub, id: CallId) -> Option<&Lifecycle> {
    match hub.calls.get(id) {
        Some(call) => Some(call.lifecycle()),
        None => Some(hub.rooms.get(id)?.lifecycle()),
    }
}

/// Returns the life of a live call or room, to be changed.
pub(super) fn lifecycle_mut<'a>(
    calls: &'a mut Calls,
    rooms: &'a mut Rooms,
    id: CallId,
) -> Option<&'a mut Lifecycle> {
    match calls.get_mut(id) {
        Some(call) => Some(call.lifecycle_mut()),
        None => Some(rooms.get_mut(id)?.lifecycle_mut()),
    }
}

/// Returns the state of a live call or room.
pub(super) fn call_state(hub: &Hub, id: CallId) -> Result<CallState, RequestError> {
    lifecycle(hub, id).map(Lifecycle::state).ok_or_else(RequestError::call_not_found)
}

/// Returns the room's id if the call is a room.
pub(super) fn room_id(hub: &Hub, call: CallId) -> Option<RoomId> {
    hub.rooms.get(call).map(|room| room.name().clone())
}

/// Returns the sessions of everyone else in the call.
pub(super) fn other_sessions(hub: &Hub, member: Member) -> Vec<SessionId> {
    match member {
        Member::Side(call, role) => {
            let call = hub.calls.get(call);
            call.and_then(|call| call.party(role.other()).session()).into_iter().collect()
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
