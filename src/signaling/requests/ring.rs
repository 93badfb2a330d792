//! `call:ring { callId? }`: this device alerts its user. The caller hears `call:ringing`.

use serde_json::{Value, json};

use super::{Answered, CallRef, Sender, about, must_ring, parse};
use crate::signaling::{EventName, Hub, call::Role};

pub(super) fn apply(hub: &mut Hub, sender: &Sender, data: &Value) -> Answered {
    let payload: CallRef = parse(data)?;
    let (id, place) = hub.locate(sender, payload.call_id)?;
    must_ring(&place, "You are the caller.", "You have accepted the call.")?;
    let call = hub.calls.find(id)?;
    if let Some(device) = call.ringing.get_mut(&sender.device)
        && !std::mem::replace(&mut device.alerting, true)
    {
        let data = json!({ "callId": id, "calleeId": sender.user, "deviceId": sender.device });
        hub.outbox.send_to(call, Role::Caller, EventName::CallRinging, data);
    }
    Ok(about(id))
}
