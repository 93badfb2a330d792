//! `ice:refresh { callId?, roomId? }`: fresh relay credentials, for a call if this device is in
//! one, or if it names one or a room. Allocations that there are go on with the old ones.

use callbox_base::clock::Now;

use super::{
    locate,
    payload::{CallRequest, parse},
};
use crate::{
    Hub, RequestError, answers::IceRefreshAnswer, hub::credentials, payload::Fields, sender::Sender,
};

pub(super) fn apply(
    hub: &Hub,
    now: Now,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<IceRefreshAnswer, RequestError> {
    let payload: CallRequest = parse(data)?;
    let call = match (&payload.room_id, locate::call(hub, sender, payload.call_id)) {
        (Some(room), _) => Some(locate::participant(hub, sender.session, room, payload.call_id)?.0),
        (None, Ok((id, _))) => Some(id),
        (None, Err(_)) if payload.call_id.is_none() => None,
        (None, Err(error)) => return Err(error),
    };
    let ice = credentials::mint_for_session(hub, now, sender.session, call);
    Ok(IceRefreshAnswer {
        call_id: call,
        room_id: payload.room_id,
        ice_servers: ice.ice_servers,
        ice_transport_policy: ice.ice_transport_policy,
        turn_credentials: ice.turn_credentials,
        expires_at: ice.expires_at,
    })
}
