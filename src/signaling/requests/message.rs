//! `call:message { callId?, data }`: anything that the sides have to say to each other. In a room,
//! `{ roomId, to?, data }`.

use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Sender, parse};
use crate::{
    ids::{CallId, ParticipantId, RoomId},
    signaling::{
        ErrorCode, Event, EventName, Hub, RequestError, answers::CallAnswer, members::Member,
    },
};

/// Anything that the sides have to say to each other.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct CallMessageRequest {
    /// Which call; may be left out by a session that is in one call only.
    call_id: Option<CallId>,
    /// Which room, where it is one.
    room_id: Option<RoomId>,
    /// For which participant of the room, if it is not for all of them.
    to: Option<ParticipantId>,
    /// Any JSON.
    // Only checked: what is relayed is what the sender wrote.
    #[serde(rename = "data")]
    #[schema(value_type = Value)]
    _data: IgnoredAny,
}

pub(super) fn apply(
    hub: &mut Hub,
    sender: &Sender,
    data: Value,
) -> Result<CallAnswer, RequestError> {
    let payload: CallMessageRequest = parse(&data)?;
    let room_id = payload.room_id;
    let member = hub.locate_talking(sender, payload.call_id, room_id.as_ref())?;
    let data = hub.signed(data, member, sender);
    if matches!(member, Member::Participant(..)) && payload.to.is_none() {
        let event = Event::new(EventName::CallMessage.as_str(), data);
        for session in hub.others(member) {
            hub.outbox.send_event(session, event.clone());
        }
        return Ok(CallAnswer { call_id: member.call(), room_id });
    }
    let lane = hub.locate_lane(sender, payload.call_id, room_id.as_ref(), payload.to)?;
    let Some(to) = hub.member(lane.to()).and_then(|party| party.session) else {
        let message = "The other side cannot hear it now.";
        return Err(RequestError::new(ErrorCode::InvalidState, message));
    };
    hub.outbox.relay(to, EventName::CallMessage, data);
    Ok(CallAnswer { call_id: member.call(), room_id })
}
