//! `signal:answer { callId?, sdp }`: an SDP answer for the other side. For clients that do not say
//! `call:connected`, relaying it makes a connecting call connected; so it must answer something.

use serde_json::Value;

use super::{Sender, SignalRequest, parse};
use crate::{
    clock::Now,
    signaling::{
        ErrorCode, Hub, RequestError, answers::CallAnswer, call::DescriptionKind, relaying::signed,
    },
};

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: Value,
) -> Result<CallAnswer, RequestError> {
    let payload: SignalRequest<'_> = parse(&data)?;
    let (id, role) = hub.locate_party(sender, payload.call_id)?;
    let call = hub.calls.find(id)?;
    if !call.state().is_accepted() {
        let message = "Nobody has accepted the call, so there is no offer to answer.";
        return Err(RequestError::new(ErrorCode::InvalidState, message));
    }
    if !call.journals[role.other()].offered {
        let message = "The other side has made no offer to answer.";
        return Err(RequestError::new(ErrorCode::InvalidState, message));
    }
    hub.relay_description(now, id, role, DescriptionKind::Answer, signed(data, id, sender))?;
    Ok(CallAnswer { call_id: id })
}
