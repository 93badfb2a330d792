//! `call:message { callId?, data }`: anything that the sides have to say to each other.

use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Sender, parse};
use crate::{
    ids::CallId,
    signaling::{ErrorCode, EventName, Hub, RequestError, answers::CallAnswer, relaying::signed},
};

/// Anything that the sides have to say to each other.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct CallMessageRequest {
    /// Which call; may be left out by a session that is in one call only.
    call_id: Option<CallId>,
    /// Any JSON.
    // Only checked: what is relayed is what the sender wrote.
    #[serde(rename = "data")]
    #[schema(value_type = Value)]
    _data: IgnoredAny,
}

pub(super) fn apply(
    hub: &mut Hub,
    sender: &Sender,
    data: Value,
) -> Result<CallAnswer, RequestError> {
    let payload: CallMessageRequest = parse(&data)?;
    let (id, role) = hub.locate_accepted(sender, payload.call_id)?;
    let call = hub.calls.find(id)?;
    let Some(to) = call.parties[role.other()].session else {
        let message = "The other side cannot hear it now.";
        return Err(RequestError::new(ErrorCode::InvalidState, message));
    };
    hub.outbox.relay(to, EventName::CallMessage, signed(data, id, sender));
    Ok(CallAnswer { call_id: id })
}
