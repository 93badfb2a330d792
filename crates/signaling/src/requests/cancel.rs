//! `call:cancel { callId? }`: take back a call that nobody has accepted.

use callbox_base::clock::Now;

use super::{CallRequest, Fields, Sender, parse};
use crate::{
    EndReason, ErrorCode, Hub, RequestError,
    answers::CallEndAnswer,
    call::{Place, Role},
};

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<CallEndAnswer, RequestError> {
    let payload: CallRequest = parse(data)?;
    let (id, place) = hub.locate(sender, payload.call_id)?;
    if place != Place::Party(Role::Caller) {
        return Err(RequestError::new(ErrorCode::NotAllowed, "Only the caller can cancel."));
    }
    if hub.calls.find(id)?.state().is_accepted() {
        let message = "The call was accepted: use call:end.";
        return Err(RequestError::new(ErrorCode::InvalidState, message));
    }
    hub.end_for(now, id, EndReason::Cancelled, sender)
}
