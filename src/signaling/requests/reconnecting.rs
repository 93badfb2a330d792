//! `call:reconnecting { callId? }`: media stopped, and this side works on it. It says
//! `call:connected` when media flows again, or gives up with `call:end { reason: "ice_failed" }`.

use serde_json::Value;

use super::{CallRequest, Sender, parse};
use crate::{
    clock::Now,
    signaling::{CallState, ErrorCode, Hub, RequestError, answers::CallStateAnswer},
};

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: &Value,
) -> Result<CallStateAnswer, RequestError> {
    let payload: CallRequest = parse(data)?;
    let (id, role) = hub.locate_party(sender, payload.call_id)?;
    let call = hub.calls.find(id)?;
    if !matches!(call.state(), CallState::Connected | CallState::Reconnecting) {
        let message = "The call was not connected.";
        return Err(RequestError::new(ErrorCode::InvalidState, message));
    }
    let party = &mut call.parties[role];
    let was_lost = party.is_lost();
    party.media_lost = true;
    hub.tell_if_lost(now, id, role, was_lost);
    Ok(CallStateAnswer { call_id: id, state: hub.calls.find(id)?.state() })
}
