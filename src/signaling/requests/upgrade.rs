//! `call:upgrade { callId?, callType, accept? }`: this side wants to carry something else, a call of
//! sound to become one of pictures. The other side hears the same, and says yes by asking the same
//! itself, or no with `accept: false`. Then both hear `call:upgraded`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answered, Sender, about, parse};
use crate::{
    clock::Now,
    ids::CallId,
    signaling::{CallType, ErrorCode, EventName, Hub, RequestError},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    call_id: Option<CallId>,
    call_type: CallType,
    #[serde(default = "yes")]
    accept: bool,
}

fn yes() -> bool {
    true
}

pub(super) fn apply(hub: &mut Hub, now: Now, sender: &Sender, data: &Value) -> Answered {
    let payload: Payload = parse(data)?;
    let (id, role) = hub.locate_accepted(sender, payload.call_id)?;
    let call = hub.calls.find(id)?;
    let asked = call.upgrade == Some((role.other(), payload.call_type));
    let mut answer = about(id);
    match (asked, payload.accept) {
        (false, false) => {
            let message = "The other side has not asked for that.";
            return Err(RequestError::new(ErrorCode::InvalidState, message));
        }
        (false, true) if call.kind == payload.call_type => {
            let message = format!("The call is of type {} already.", call.kind);
            return Err(RequestError::new(ErrorCode::InvalidState, message));
        }
        (false, true) => {
            call.upgrade = Some((role, payload.call_type));
            let data = json!({
                "callId": id,
                "from": sender.user,
                "fromDevice": sender.device,
                "callType": payload.call_type,
            });
            hub.outbox.send_to(call, role.other(), EventName::CallUpgrade, data);
        }
        (true, accepted) => {
            call.upgrade = None;
            if accepted {
                call.kind = payload.call_type;
            }
            let data = json!({ "callId": id, "callType": call.kind, "accepted": accepted });
            for side in [role, role.other()] {
                hub.outbox.send_to(call, side, EventName::CallUpgraded, data.clone());
            }
            if accepted {
                hub.outbox.show_to_all(now, call);
            }
        }
    }
    answer.insert("callType".into(), json!(hub.calls.find(id)?.kind));
    Ok(answer)
}
