//! `media:update { callId?, muted?, video?, held? }`: what this side sends now. The other side hears
//! `media:updated`, and the call shows it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answered, Sender, about, parse};
use crate::{
    ids::CallId,
    signaling::{EventName, Hub},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    call_id: Option<CallId>,
    muted: Option<bool>,
    video: Option<bool>,
    held: Option<bool>,
}

pub(super) fn apply(hub: &mut Hub, sender: &Sender, data: &Value) -> Answered {
    let payload: Payload = parse(data)?;
    let (id, role) = hub.locate_accepted(sender, payload.call_id)?;
    let call = hub.calls.find(id)?;
    let media = &mut call.parties[role].media;
    media.muted = payload.muted.unwrap_or(media.muted);
    media.video = payload.video.or(media.video);
    media.held = payload.held.unwrap_or(media.held);
    let mut data = json!(media);
    data["callId"] = json!(id);
    data["userId"] = json!(sender.user);
    hub.outbox.send_to(call, role.other(), EventName::MediaUpdated, data);
    Ok(about(id))
}
