//! `call:reconnecting { callId?, roomId? }`: media stopped, and this side works on it. It says
//! `call:connected` when media flows again, or gives up with `call:end { reason: "ice_failed" }`.

use callbox_base::clock::Now;

use super::{
    locate,
    payload::{CallRequest, parse},
};
use crate::{
    CallState, ErrorCode, Hub, RequestError,
    answers::CallStateAnswer,
    hub::{members, reconnect_grace},
    payload::Fields,
    sender::Sender,
};

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<CallStateAnswer, RequestError> {
    let payload: CallRequest = parse(data)?;
    let room_id = payload.room_id;
    let member = locate::member(hub, sender, payload.call_id, room_id.as_ref())?;
    let call_id = member.call();
    if !matches!(members::call_state(hub, call_id)?, CallState::Connected | CallState::Reconnecting)
    {
        let message = "The call was not connected.";
        return Err(RequestError::new(ErrorCode::InvalidState, message));
    }
    let party = members::find_mut(hub, member)?;
    let was_lost = party.is_lost();
    party.set_media_lost(true);
    reconnect_grace::publish_change(hub, now, member, was_lost);
    Ok(CallStateAnswer { call_id, room_id, state: members::call_state(hub, call_id)? })
}
