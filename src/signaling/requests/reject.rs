//! `call:reject { callId?, reason? }`: refuse the call, on all devices of the callee. `reason` may
//! be `busy`; anything else is `rejected`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::{Answered, Sender, parse};
use crate::{
    clock::Now,
    ids::CallId,
    signaling::{
        EndReason, ErrorCode, Hub, RequestError,
        call::{Place, Role},
    },
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    call_id: Option<CallId>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
}

pub(super) fn apply(hub: &mut Hub, now: Now, sender: &Sender, data: &Value) -> Answered {
    let payload: Payload<'_> = parse(data)?;
    let (id, place) = hub.locate(sender, payload.call_id)?;
    let refusal = match place {
        Place::Ringing => None,
        Place::Party(Role::Caller) => {
            Some((ErrorCode::NotAllowed, "You are the caller: use call:cancel."))
        }
        Place::Party(Role::Callee) => {
            Some((ErrorCode::InvalidState, "You have accepted the call: use call:end."))
        }
    };
    if let Some((code, message)) = refusal {
        return Err(RequestError::new(code, message));
    }
    let reason = match payload.reason.as_deref() {
        Some("busy") => EndReason::Busy,
        _ => EndReason::Rejected,
    };
    Ok(hub.end_for(now, id, reason, sender))
}
