//! `call:cancel { callId? }`: take back a call that nobody has accepted.

use callbox_base::clock::Now;

use super::{
    locate,
    payload::{CallRequest, parse},
};
use crate::{
    EndReason, ErrorCode, Hub, RequestError,
    answers::CallEndAnswer,
    call::{Involvement, Role},
    hub::call_end,
    payload::Fields,
    sender::Sender,
};

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<CallEndAnswer, RequestError> {
    let payload: CallRequest = parse(data)?;
    let (id, involvement) = locate::call(hub, sender, payload.call_id)?;
    if involvement != Involvement::Side(Role::Caller) {
        return Err(RequestError::new(ErrorCode::NotAllowed, "Only the caller can cancel."));
    }
    if hub.calls.find(id)?.state().is_accepted() {
        let message = "The call was accepted: use call:end.";
        return Err(RequestError::new(ErrorCode::InvalidState, message));
    }
    call_end::end_for(hub, now, id, EndReason::Cancelled, sender)
}
