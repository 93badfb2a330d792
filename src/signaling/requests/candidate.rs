//! `ice:candidate { callId?, candidate }`: an ICE candidate for the other side. `candidate` is what
//! the browser's `RTCIceCandidate` prints as, its line alone, or null at the end of candidates.
//! In a room, `{ roomId, to, candidate }`.

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Sender, parse};
use crate::{
    clock::Now,
    ids::{CallId, ParticipantId, RoomId},
    signaling::{Hub, RequestError, answers::CallAnswer, events::IceCandidate},
};

/// An ICE candidate for the other side.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct IceCandidateRequest<'a> {
    /// Which call; may be left out by a session that is in one call only.
    call_id: Option<CallId>,
    /// Which room, where it is one.
    room_id: Option<RoomId>,
    /// For which participant of the room.
    to: Option<ParticipantId>,
    /// The candidate; null at the end of candidates.
    #[serde(borrow, rename = "candidate")]
    #[schema(required, value_type = Option<IceCandidate>)]
    _candidate: Candidate<'a>,
}

/// Only checked: what is relayed is what the sender wrote.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected null, a text, or an object with the text `candidate`")]
enum Candidate<'a> {
    End(()),
    Line(#[allow(dead_code)] &'a str),
    Init {
        #[serde(rename = "candidate")]
        _candidate: &'a str,
    },
}

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: Value,
) -> Result<CallAnswer, RequestError> {
    let payload: IceCandidateRequest<'_> = parse(&data)?;
    let room_id = payload.room_id;
    let lane = hub.locate_lane(sender, payload.call_id, room_id.as_ref(), payload.to)?;
    let data = hub.signed(data, lane.from(), sender);
    hub.relay_candidate(now, lane, data)?;
    Ok(CallAnswer { call_id: lane.from().call(), room_id })
}
