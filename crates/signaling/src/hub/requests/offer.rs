//! `signal:offer { callId?, sdp }`: an SDP offer for the other side. The caller's may come before
//! the accept; it is kept for the device that accepts. In a room, `{ roomId, to, sdp }`.

use callbox_base::{
    clock::Now,
    ids::{CallId, ParticipantId, RoomId},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{locate, payload::Recipient};
use crate::{
    Hub, RequestError, answers::CallAnswer, call::DescriptionKind, events::Sdp, hub::relaying,
    payload::Fields, relayed_content::Description, sender::Sender,
};

/// An SDP offer or answer for the other side.
// Only its schema is used: what is relayed is what the sender wrote.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignalRequest {
    /// The call; optional in a session with exactly one call.
    call_id: Option<CallId>,
    /// The room, if the call is one.
    room_id: Option<RoomId>,
    /// The participant of the room that it is for.
    to: Option<ParticipantId>,
    /// The description.
    sdp: Sdp,
}

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<CallAnswer, RequestError> {
    let recipient = Recipient::read(data)?;
    let description = Description::read(data)?;
    let lane = locate::lane(hub, sender, &recipient)?;
    let text = relaying::signed(hub, data, lane.from(), sender);
    relaying::relay_description(hub, now, lane, DescriptionKind::Offer, &description, text)?;
    Ok(CallAnswer { call_id: lane.from().call(), room_id: recipient.room_id })
}
