//! `call:connected { callId? }`: media flows, for the first time or again.

use serde_json::Value;

use super::{CallRequest, Sender, parse};
use crate::{
    clock::Now,
    signaling::{Hub, RequestError, answers::CallStateAnswer},
};

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: &Value,
) -> Result<CallStateAnswer, RequestError> {
    let payload: CallRequest = parse(data)?;
    let (id, role) = hub.locate_accepted(sender, payload.call_id)?;
    let call = hub.calls.find(id)?;
    let party = &mut call.parties[role];
    let was_lost = party.is_lost();
    party.media_lost = false;
    hub.connect(now, id);
    hub.tell_if_lost(now, id, role, was_lost);
    Ok(CallStateAnswer { call_id: id, state: hub.calls.find(id)?.state() })
}
