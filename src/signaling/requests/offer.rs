//! `signal:offer { callId?, sdp }`: an SDP offer for the other side. The caller's may come before
//! the accept; it is kept for the device that accepts. In a room, `{ roomId, to, sdp }`.

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Sender, parse};
use crate::{
    clock::Now,
    ids::{CallId, ParticipantId, RoomId},
    signaling::{Hub, RequestError, answers::CallAnswer, call::DescriptionKind, events},
};

/// An SDP offer or answer for the other side.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct SignalRequest<'a> {
    /// Which call; may be left out by a session that is in one call only.
    pub(super) call_id: Option<CallId>,
    /// Which room, where it is one.
    pub(super) room_id: Option<RoomId>,
    /// For which participant of the room.
    pub(super) to: Option<ParticipantId>,
    /// The description.
    #[serde(borrow, rename = "sdp")]
    #[schema(value_type = events::Sdp)]
    _sdp: Sdp<'a>,
}

/// Only checked: what is relayed is what the sender wrote.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text, or an object with the text `sdp`")]
enum Sdp<'a> {
    Text(#[allow(dead_code)] &'a str),
    Description {
        #[serde(rename = "sdp")]
        _sdp: &'a str,
    },
}

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: Value,
) -> Result<CallAnswer, RequestError> {
    let payload: SignalRequest<'_> = parse(&data)?;
    let room_id = payload.room_id;
    let lane = hub.locate_lane(sender, payload.call_id, room_id.as_ref(), payload.to)?;
    let data = hub.signed(data, lane.from(), sender);
    hub.relay_description(now, lane, DescriptionKind::Offer, data)?;
    Ok(CallAnswer { call_id: lane.from().call(), room_id })
}
