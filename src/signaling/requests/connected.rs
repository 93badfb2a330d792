//! `call:connected { callId? }`: media flows, for the first time or again.

use serde_json::{Value, json};

use super::{Answered, CallRef, Sender, about, parse};
use crate::{clock::Now, signaling::Hub};

pub(super) fn apply(hub: &mut Hub, now: Now, sender: &Sender, data: &Value) -> Answered {
    let payload: CallRef = parse(data)?;
    let (id, role) = hub.locate_accepted(sender, payload.call_id)?;
    let call = hub.calls.find(id)?;
    let party = &mut call.parties[role];
    let was_lost = party.is_lost();
    party.media_lost = false;
    hub.connect(now, id);
    hub.tell_if_lost(now, id, role, was_lost);
    let mut answer = about(id);
    answer.insert("state".into(), json!(hub.calls.find(id)?.state()));
    Ok(answer)
}
