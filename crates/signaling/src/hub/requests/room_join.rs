//! `room:join { roomId, callType?, metadata? }`: come into a room with this device. The first one
//! to come makes the room. Who comes later makes offers to everyone who is there.

use callbox_base::{clock::Now, ids::RoomId};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::payload::parse;
use crate::{
    CallType, EndReason, ErrorCode, Hub, RequestError,
    call::{HasLifecycle, Party},
    events::RoomView,
    hub::{
        limits, replaceable_calls, room_join,
        room_leave::{self, Leaving},
    },
    payload::Fields,
    rooms::{MAX_DEVICES, MAX_PARTICIPANTS, Occupant},
    sender::Sender,
};

/// Come into a room.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomJoinRequest<'a> {
    /// The room's name: a text that the application chooses.
    room_id: RoomId,
    /// The media of the room, set by its first participant; `video` if omitted.
    call_type: Option<CallType>,
    /// Any JSON, shown to the others; up to 4 KiB.
    #[serde(borrow)]
    #[schema(value_type = Option<Value>)]
    metadata: Option<&'a RawValue>,
}

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<RoomView, RequestError> {
    let payload: RoomJoinRequest<'_> = parse(data)?;
    let room = hub.rooms.by_name(&payload.room_id);
    if let Some(room) = room
        && let Some(participant) = room.device_of(&sender.user, &sender.device)
    {
        return room_join::view(hub, now, room.id(), participant, sender.session);
    }
    let session = hub.sessions.get(sender.session).ok_or_else(RequestError::call_not_found)?;
    if !session.token().grants().may_join(&payload.room_id) {
        let message = "Your token does not let you join this room.";
        return Err(RequestError::new(ErrorCode::NotAllowed, message));
    }
    let name = session.token().name().map(Into::into);
    let metadata = limits::checked_metadata(hub, payload.metadata)?;
    let own: Vec<_> = room.iter().flat_map(|room| room.devices_of(&sender.user)).collect();
    // A device in its reconnect grace, such as one whose page was reloaded, is replaced by another.
    let replaced = match own.len() >= MAX_DEVICES {
        true => own.iter().find(|(_, party)| party.is_in_grace()).map(|(id, _)| *id),
        false => None,
    };
    if own.len() >= MAX_DEVICES && replaced.is_none() {
        let message =
            format!("You are in the room with {MAX_DEVICES} devices, which is the maximum.");
        return Err(RequestError::new(ErrorCode::RoomFull, message));
    }
    let slots = MAX_PARTICIPANTS + usize::from(replaced.is_some());
    if room.is_some_and(|room| room.len() >= slots) {
        let message = format!("The room is full: it has {MAX_PARTICIPANTS} participants.");
        return Err(RequestError::new(ErrorCode::RoomFull, message));
    }
    // Two devices of a user in one room are one call.
    if !room.is_some_and(|room| room.has(&sender.user)) {
        replaceable_calls::check_own_calls(hub, sender)?;
    }
    let id = room.map(|room| room.id());
    if id.is_none() {
        limits::check_all_calls(hub)?;
    }
    limits::count_call(hub, now, &sender.user)?;
    if id.is_none_or(|id| !hub.rooms.get(id).is_some_and(|room| room.has(&sender.user))) {
        replaceable_calls::end_for_call(hub, now, sender);
    }

    if let (Some(id), Some(device)) = (id, replaced) {
        // Another device of the user stays, so the room goes on.
        room_leave::leave(hub, now, id, device, &Leaving::for_reason(EndReason::Left));
    }
    let kind = payload.call_type.unwrap_or(CallType::Video);
    let id = id.unwrap_or_else(|| room_join::begin(hub, now, payload.room_id, kind));
    let party = Party::new(sender.user.clone(), name);
    let party = party.with_device(sender.device.clone(), sender.session);
    let joined =
        hub.rooms.get(id).ok_or_else(RequestError::call_not_found)?.lifecycle().times().at(now);
    room_join::join(hub, now, id, Occupant::new(party, joined, metadata));
    let room = hub.rooms.get(id).ok_or_else(RequestError::call_not_found)?;
    let participant =
        room.participant_of(sender.session).ok_or_else(RequestError::call_not_found)?;
    room_join::view(hub, now, id, participant, sender.session)
}
