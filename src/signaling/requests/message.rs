//! `call:message { callId?, data }`: anything that the sides have to say to each other.

use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use super::{Answered, Sender, about, parse};
use crate::{
    ids::CallId,
    signaling::{ErrorCode, EventName, Hub, RequestError, relaying::signed},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    call_id: Option<CallId>,
    /// Only checked: what is relayed is what the sender wrote.
    #[serde(rename = "data")]
    _data: IgnoredAny,
}

pub(super) fn apply(hub: &mut Hub, sender: &Sender, data: Value) -> Answered {
    let payload: Payload = parse(&data)?;
    let (id, role) = hub.locate_accepted(sender, payload.call_id)?;
    let call = hub.calls.find(id)?;
    let Some(to) = call.parties[role.other()].session else {
        let message = "The other side cannot hear it now.";
        return Err(RequestError::new(ErrorCode::InvalidState, message));
    };
    hub.outbox.send(to, EventName::CallMessage, signed(data, id, sender));
    Ok(about(id))
}
