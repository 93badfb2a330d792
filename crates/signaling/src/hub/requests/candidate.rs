//! `ice:candidate { callId?, candidate }`: an ICE candidate for the other side. `candidate` is what
//! the browser's `RTCIceCandidate` prints as, its line alone, or null at the end of candidates.
//! In a room, `{ roomId, to, candidate }`.

use callbox_base::{
    clock::Now,
    ids::{CallId, ParticipantId, RoomId},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{locate, payload::Recipient};
use crate::{
    Hub, RequestError, answers::CallAnswer, events::IceCandidate, hub::relaying, payload::Fields,
    relayed_content::Candidate, sender::Sender,
};

/// An ICE candidate for the other side.
// Only its schema is used: what is relayed is what the sender wrote.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IceCandidateRequest {
    /// The call; optional in a session with exactly one call.
    call_id: Option<CallId>,
    /// The room, if the call is one.
    room_id: Option<RoomId>,
    /// The participant of the room that it is for.
    to: Option<ParticipantId>,
    /// The candidate; null at the end of candidates.
    #[schema(required)]
    candidate: Option<IceCandidate>,
}

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<CallAnswer, RequestError> {
    let recipient = Recipient::read(data)?;
    let candidate = Candidate::read(data)?;
    let lane = locate::lane(hub, sender, &recipient)?;
    let text = relaying::signed(hub, data, lane.from(), sender);
    relaying::relay_candidate(hub, now, lane, &candidate, text)?;
    Ok(CallAnswer { call_id: lane.from().call(), room_id: recipient.room_id })
}
