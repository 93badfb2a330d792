//! `call:message { callId?, data }`: anything that the sides have to say to each other. In a room,
//! `{ roomId, to?, data }`.

use callbox_base::ids::{CallId, ParticipantId, RoomId};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{locate, payload::Recipient};
use crate::{
    ErrorCode, Event, EventName, Hub, RequestError,
    answers::CallAnswer,
    hub::{members, relaying},
    member::Member,
    payload::Fields,
    sender::Sender,
};

/// Anything that the sides have to say to each other.
// Only its schema is used: what is relayed is what the sender wrote.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallMessageRequest {
    /// The call; optional in a session with exactly one call.
    call_id: Option<CallId>,
    /// The room, if the call is one.
    room_id: Option<RoomId>,
    /// The participant of the room that it is for; all of them if omitted.
    to: Option<ParticipantId>,
    /// Any JSON.
    data: Value,
}

pub(super) fn apply(
    hub: &mut Hub,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<CallAnswer, RequestError> {
    let recipient = Recipient::read(data)?;
    if data.get("data").is_none() {
        return Err(RequestError::invalid_payload("missing field `data`"));
    }
    let member =
        locate::accepted_member(hub, sender, recipient.call_id, recipient.room_id.as_ref())?;
    if matches!(member, Member::Participant(..)) && recipient.to.is_none() {
        let text = relaying::signed(hub, data, member, sender);
        let event = Event::new(EventName::CallMessage.as_str(), text);
        for session in members::other_sessions(hub, member) {
            hub.outbox.send_event(session, event.clone());
        }
        return Ok(CallAnswer { call_id: member.call(), room_id: recipient.room_id });
    }
    let lane = locate::lane(hub, sender, &recipient)?;
    let Some(to) = members::session(hub, lane.to()) else {
        let message = "The other side cannot hear it now.";
        return Err(RequestError::new(ErrorCode::InvalidState, message));
    };
    let text = relaying::signed(hub, data, member, sender);
    hub.outbox.relay(to, EventName::CallMessage, text);
    Ok(CallAnswer { call_id: member.call(), room_id: recipient.room_id })
}
