//! `call:connected { callId?, roomId? }`: media flows, for the first time or again.

use callbox_base::clock::Now;

use super::{
    locate,
    payload::{CallRequest, parse},
};
use crate::{
    Hub, RequestError,
    answers::CallStateAnswer,
    hub::{media, members, reconnect_grace},
    payload::Fields,
    sender::Sender,
};

pub(super) fn apply(
    hub: &mut Hub,
    now: Now,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<CallStateAnswer, RequestError> {
    let payload: CallRequest = parse(data)?;
    let room_id = payload.room_id;
    let member = locate::accepted_member(hub, sender, payload.call_id, room_id.as_ref())?;
    let party = members::find_mut(hub, member)?;
    let was_lost = party.is_lost();
    party.set_media_lost(false);
    let call_id = member.call();
    media::connect(hub, now, call_id);
    reconnect_grace::publish_change(hub, now, member, was_lost);
    Ok(CallStateAnswer { call_id, room_id, state: members::call_state(hub, call_id)? })
}
