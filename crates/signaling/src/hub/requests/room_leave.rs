//! `room:leave { roomId, reason? }`: go out of a room with this device. `reason` may be
//! `ice_failed` or `connection_lost`, as in `call:end`; anything else is `hangup`.

use std::borrow::Cow;

use callbox_base::{
    clock::Now,
    ids::{CallId, RoomId},
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{locate, payload::parse};
use crate::{
    EndReason, Hub, RequestError,
    answers::RoomLeaveAnswer,
    hub::room_leave::{self, Leaving},
    payload::Fields,
    sender::Sender,
};

/// Go out of a room.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomLeaveRequest<'a> {
    /// The room.
    room_id: RoomId,
    /// The call id of the room's current session; optional.
    call_id: Option<CallId>,
    /// The reason: one of the known values; any other text counts as `hangup`.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    reason: Option<Cow<'a, str>>,
}

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<RoomLeaveAnswer, RequestError> {
    let payload: RoomLeaveRequest<'_> = parse(data)?;
    let room_id = payload.room_id;
    let (call_id, participant_id) =
        locate::participant(hub, sender.session, &room_id, payload.call_id)?;
    let reason = match payload.reason.as_deref() {
        Some("ice_failed") => EndReason::IceFailed,
        Some("connection_lost") => EndReason::ConnectionLost,
        _ => EndReason::Hangup,
    };
    let by = Some(sender.user.clone());
    let leaving = Leaving { reason, by, requested_by: Some(sender.session) };
    room_leave::leave(hub, now, call_id, participant_id, &leaving);
    Ok(RoomLeaveAnswer { call_id, room_id, participant_id, reason })
}
