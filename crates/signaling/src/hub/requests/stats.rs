//! `call:stats { callId?, roomId?, rttMs?, jitterMs?, lossPercent?, path? }`: how the call goes, as
//! this side measures it. The latest is shown with the call, and kept on its record.

use callbox_base::ids::{CallId, RoomId};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{locate, payload::parse};
use crate::{
    CallStats, Hub, RequestError, answers::CallAnswer, hub::members, payload::Fields,
    sender::Sender,
};

/// The quality of the call, as this side measures it.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallStatsRequest {
    /// The call; optional in a session with exactly one call.
    call_id: Option<CallId>,
    /// The room, if the call is one.
    room_id: Option<RoomId>,
    #[serde(flatten)]
    stats: CallStats,
}

pub(super) fn apply(
    hub: &mut Hub,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<CallAnswer, RequestError> {
    let payload: CallStatsRequest = parse(data)?;
    let stats = payload.stats;
    for (name, value, most) in [
        ("rttMs", stats.rtt_ms, 1e6),
        ("jitterMs", stats.jitter_ms, 1e6),
        ("lossPercent", stats.loss_percent, 100.0),
    ] {
        if value.is_some_and(|value| !(0.0..=most).contains(&value)) {
            return Err(RequestError::invalid_payload(format!(
                "{name} must be between 0 and {most}."
            )));
        }
    }
    let room_id = payload.room_id;
    let member = locate::accepted_member(hub, sender, payload.call_id, room_id.as_ref())?;
    members::find_mut(hub, member)?.set_stats(stats);
    Ok(CallAnswer { call_id: member.call(), room_id })
}
