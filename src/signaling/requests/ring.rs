//! `call:ring { callId? }`: this device alerts its user. The caller hears `call:ringing`.

use serde_json::{Value, json};

use super::{Answered, CallRef, Sender, about, parse};
use crate::signaling::{
    ErrorCode, EventName, Hub, RequestError,
    call::{Place, Role},
};

pub(super) fn apply(hub: &mut Hub, sender: &Sender, data: &Value) -> Answered {
    let payload: CallRef = parse(data)?;
    let (id, place) = hub.locate(sender, payload.call_id)?;
    let refusal = match place {
        Place::Ringing => None,
        Place::Party(Role::Caller) => Some((ErrorCode::NotAllowed, "You are the caller.")),
        Place::Party(Role::Callee) => {
            Some((ErrorCode::InvalidState, "You have accepted the call."))
        }
    };
    if let Some((code, message)) = refusal {
        return Err(RequestError::new(code, message));
    }
    let call = hub.calls.find(id)?;
    if let Some(device) = call.ringing.get_mut(&sender.device)
        && !std::mem::replace(&mut device.alerting, true)
    {
        let data = json!({ "callId": id, "calleeId": sender.user, "deviceId": sender.device });
        hub.outbox.send_to(call, Role::Caller, EventName::CallRinging, data);
    }
    Ok(about(id))
}
