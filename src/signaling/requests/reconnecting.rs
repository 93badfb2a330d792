//! `call:reconnecting { callId? }`: media stopped, and this side works on it. It says
//! `call:connected` when media flows again, or gives up with `call:end { reason: "ice_failed" }`.

use serde_json::{Value, json};

use super::{Answered, CallRef, Sender, about, parse};
use crate::{
    clock::Now,
    signaling::{CallState, ErrorCode, Hub, RequestError},
};

pub(super) fn apply(hub: &mut Hub, now: Now, sender: &Sender, data: &Value) -> Answered {
    let payload: CallRef = parse(data)?;
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
    let mut answer = about(id);
    answer.insert("state".into(), json!(hub.calls.find(id)?.state()));
    Ok(answer)
}
