//! `ice:refresh { callId? }`: fresh relay credentials, for a call if this device is in one, or if it
//! names one. Allocations that there are go on with the old ones.

use serde_json::Value;

use super::{Answered, CallRef, Sender, about, parse};
use crate::{clock::Now, signaling::Hub};

pub(super) fn apply(hub: &Hub, now: Now, sender: &Sender, data: &Value) -> Answered {
    let payload: CallRef = parse(data)?;
    let call = match hub.locate(sender, payload.call_id) {
        Ok((id, _)) => Some(id),
        Err(_) if payload.call_id.is_none() => None,
        Err(error) => return Err(error),
    };
    let mut answer = call.map(about).unwrap_or_default();
    if let Some(ice) = hub.ice_for(now, sender.session, call) {
        ice.write_with_expiry_to(&mut answer);
    }
    Ok(answer)
}
