//! `call:connected { callId?, roomId? }`: media flows, for the first time or again.

use callbox_base::clock::Now;

use super::{CallRequest, Fields, Sender, parse};
use crate::{Hub, RequestError, answers::CallStateAnswer};

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<CallStateAnswer, RequestError> {
    let payload: CallRequest = parse(data)?;
    let room_id = payload.room_id;
    let member = hub.locate_talking(sender, payload.call_id, room_id.as_ref())?;
    let party = hub.member_mut(member)?;
    let was_lost = party.is_lost();
    party.media_lost = false;
    let call_id = member.call();
    hub.connect(now, call_id);
    hub.tell_if_lost(now, member, was_lost);
    Ok(CallStateAnswer { call_id, room_id, state: hub.state_of(call_id)? })
}
