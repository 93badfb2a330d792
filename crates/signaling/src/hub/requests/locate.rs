//! The calls, rooms and members that requests are about.

use callbox_base::ids::{CallId, ParticipantId, RoomId, SessionId};

use super::payload::Recipient;
use crate::{
    ErrorCode, Hub, RequestError,
    call::{Involvement, Role},
    member::{Lane, Member},
    rooms::Room,
    sender::Sender,
};

/// Returns the participant that a session is in a room. A sender that is not in it does not learn
/// whether the room exists.
pub(super) fn participant(
    hub: &Hub,
    session: SessionId,
    name: &RoomId,
    call: Option<CallId>,
) -> Result<(CallId, ParticipantId), RequestError> {
    let room = hub.rooms.by_name(name);
    let located = room.and_then(|room| Some((room.id(), room.participant_of(session)?)));
    let (id, participant) = located
        .ok_or_else(|| RequestError::not_a_participant("This device is not in the room."))?;
    if call.is_some_and(|call| call != id) {
        let message = "That call is over: the room has begun another one since.";
        return Err(RequestError::new(ErrorCode::CallEnded, message));
    }
    Ok((id, participant))
}

/// Returns the lane from one participant to another.
pub(super) fn lane_to(
    hub: &Hub,
    call: CallId,
    from: ParticipantId,
    to: ParticipantId,
) -> Result<Lane, RequestError> {
    let is_there = |room: &Room| to != from && room.party(to).is_some();
    if hub.rooms.get(call).is_some_and(is_there) {
        return Ok(Lane::Between(call, from, to));
    }
    let message = "Nobody else in the room has this participantId, or not any more.";
    Err(RequestError::new(ErrorCode::ParticipantNotFound, message))
}

/// Returns the call that a request is about, and the sender's relation to it. Without an id it is
/// the one call that the sender's session is in.
pub(super) fn call(
    hub: &Hub,
    sender: &Sender,
    id: Option<CallId>,
) -> Result<(CallId, Involvement), RequestError> {
    let Some(id) = id else {
        let calls = hub.users.calls(&sender.user);
        let mut located = calls
            .iter()
            .filter_map(|&id| Some((id, hub.calls.get(id)?.involvement_of(sender.session)?)));
        return match (located.next(), located.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(call_id_required("This device is in no call.")),
            (Some(_), Some(_)) => Err(call_id_required("This device is in several calls.")),
        };
    };
    if let Some(call) = hub.calls.get(id) {
        let involvement = call.involvement_of(sender.session);
        return involvement.map(|involvement| (id, involvement)).ok_or_else(|| {
            match call.role_of(&sender.user) {
                Some(Role::Callee) if call.state().is_accepted() => RequestError::new(
                    ErrorCode::InvalidState,
                    "Another of your devices has answered the call.",
                ),
                Some(_) => RequestError::not_a_participant("This device is not in the call."),
                None => RequestError::not_a_participant("You are not in the call."),
            }
        });
    }
    if let Some(room) = hub.rooms.get(id) {
        return Err(match room.participant_of(sender.session) {
            Some(_) => RequestError::new(
                ErrorCode::InvalidState,
                "That is a room: name it in roomId, where there is such a thing in a room.",
            ),
            None => RequestError::not_a_participant("You are not in the call."),
        });
    }
    Err(match hub.ended.get(id) {
        Some(call) if call.was_in_it(&sender.user) => {
            RequestError::new(ErrorCode::CallEnded, "The call is over.")
        }
        Some(_) => RequestError::not_a_participant("You were not in the call."),
        None => RequestError::call_not_found(),
    })
}

/// Returns the call and the side that the sender is, for requests that only a side may make.
fn side(hub: &Hub, sender: &Sender, id: Option<CallId>) -> Result<(CallId, Role), RequestError> {
    match call(hub, sender, id)? {
        (id, Involvement::Side(role)) => Ok((id, role)),
        (_, Involvement::Ringing | Involvement::Offered(_)) => {
            Err(RequestError::new(ErrorCode::InvalidState, "Accept the call first."))
        }
    }
}

/// Returns the call and the side that the sender is, for requests that need an accepted call.
pub(super) fn accepted_side(
    hub: &Hub,
    sender: &Sender,
    id: Option<CallId>,
) -> Result<(CallId, Role), RequestError> {
    let (id, role) = side(hub, sender, id)?;
    if hub.calls.get(id).is_some_and(|call| call.state().is_accepted()) {
        return Ok((id, role));
    }
    Err(RequestError::new(ErrorCode::InvalidState, "Nobody has accepted the call."))
}

/// Returns the member that the sender is, in a call of two or in the room that is named.
pub(super) fn member(
    hub: &Hub,
    sender: &Sender,
    call: Option<CallId>,
    room: Option<&RoomId>,
) -> Result<Member, RequestError> {
    if let Some(room) = room {
        let (call, participant) = participant(hub, sender.session, room, call)?;
        return Ok(Member::Participant(call, participant));
    }
    let (call, role) = side(hub, sender, call)?;
    Ok(Member::Side(call, role))
}

/// Returns the member that the sender is, for requests that need an accepted call. A room needs no
/// accept.
pub(super) fn accepted_member(
    hub: &Hub,
    sender: &Sender,
    call: Option<CallId>,
    room: Option<&RoomId>,
) -> Result<Member, RequestError> {
    if room.is_some() {
        return member(hub, sender, call, room);
    }
    let (call, role) = accepted_side(hub, sender, call)?;
    Ok(Member::Side(call, role))
}

/// Returns the lane to the other side of a call of two, or to a participant of a room.
pub(super) fn lane(
    hub: &Hub,
    sender: &Sender,
    recipient: &Recipient,
) -> Result<Lane, RequestError> {
    match (member(hub, sender, recipient.call_id, recipient.room_id.as_ref())?, recipient.to) {
        (Member::Side(call, role), _) => Ok(Lane::From(call, role)),
        (Member::Participant(..), None) => Err(RequestError::invalid_payload(
            "Say in `to` which participant of the room it is for.",
        )),
        (Member::Participant(call, from), Some(to)) => lane_to(hub, call, from, to),
    }
}

/// Checks that the sender's device rings. The refusals of a caller and of a device that has
/// accepted are given.
pub(super) fn check_ringing(
    involvement: &Involvement,
    caller: &str,
    accepted: &str,
) -> Result<(), RequestError> {
    match involvement {
        Involvement::Ringing | Involvement::Offered(_) => Ok(()),
        Involvement::Side(Role::Caller) => Err(RequestError::new(ErrorCode::NotAllowed, caller)),
        Involvement::Side(Role::Callee) => {
            Err(RequestError::new(ErrorCode::InvalidState, accepted))
        }
    }
}

fn call_id_required(why: &str) -> RequestError {
    let message = format!("{why} Say in callId which one you mean.");
    RequestError::new(ErrorCode::CallIdRequired, message)
}
