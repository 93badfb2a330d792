//! `media:update { callId?, muted?, video?, held? }`: what this side sends now. The other side hears
//! `media:updated`, and the call shows it.

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Sender, parse};
use crate::{
    ids::CallId,
    signaling::{Hub, RequestError, answers::CallAnswer, events::MediaUpdatedEvent},
};

/// What this side sends now; what is left out stays as it was.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::signaling) struct MediaUpdateRequest {
    /// Which call; may be left out by a session that is in one call only.
    call_id: Option<CallId>,
    /// No sound.
    muted: Option<bool>,
    /// Whether there are pictures.
    video: Option<bool>,
    /// The call is on hold.
    held: Option<bool>,
}

pub(super) fn apply(
    hub: &mut Hub,
    sender: &Sender,
    data: &Value,
) -> Result<CallAnswer, RequestError> {
    let payload: MediaUpdateRequest = parse(data)?;
    let (id, role) = hub.locate_accepted(sender, payload.call_id)?;
    let call = hub.calls.find(id)?;
    let media = &mut call.parties[role].media;
    media.muted = payload.muted.unwrap_or(media.muted);
    media.video = payload.video.or(media.video);
    media.held = payload.held.unwrap_or(media.held);
    let updated = MediaUpdatedEvent {
        call_id: id,
        user_id: sender.user.clone(),
        muted: media.muted,
        video: media.video,
        held: media.held,
    };
    hub.outbox.send_to(call, role.other(), &updated);
    Ok(CallAnswer { call_id: id })
}
