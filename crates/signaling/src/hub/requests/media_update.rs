//! `media:update { callId?, roomId?, muted?, video?, held? }`: what this side sends now. The other
//! side hears `media:updated`, and the call shows it.

use callbox_base::ids::{CallId, RoomId};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{locate, payload::parse};
use crate::{
    Hub, RequestError, answers::CallAnswer, events::MediaUpdatedEvent, hub::members,
    payload::Fields, sender::Sender,
};

/// The media that this side sends now; an omitted field keeps its value.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MediaUpdateRequest {
    /// The call; optional in a session with exactly one call.
    call_id: Option<CallId>,
    /// The room, if the call is one.
    room_id: Option<RoomId>,
    /// True if no sound is sent.
    muted: Option<bool>,
    /// True if video is sent.
    video: Option<bool>,
    /// True if the call is on hold.
    held: Option<bool>,
}

pub(super) fn apply(
    hub: &mut Hub,
    sender: &Sender,
    data: &Fields<'_>,
) -> Result<CallAnswer, RequestError> {
    let payload: MediaUpdateRequest = parse(data)?;
    let room_id = payload.room_id;
    let member = locate::accepted_member(hub, sender, payload.call_id, room_id.as_ref())?;
    let media = members::find_mut(hub, member)?.media_mut();
    media.muted = payload.muted.unwrap_or(media.muted);
    media.video = payload.video.or(media.video);
    media.held = payload.held.unwrap_or(media.held);
    let updated = MediaUpdatedEvent {
        call_id: member.call(),
        room_id: room_id.clone(),
        participant_id: member.participant(),
        user_id: sender.user.clone(),
        muted: media.muted,
        video: media.video,
        held: media.held,
    };
    members::send_to_others(hub, member, &updated);
    Ok(CallAnswer { call_id: member.call(), room_id })
}
