//! The events of an accepted call that the server makes from requests of a side.

use callbox_base::ids::{CallId, DeviceId, ParticipantId, RoomId, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::CallType;

/// The media that the other side sends now, complete.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MediaUpdatedEvent {
    /// The call.
    pub call_id: CallId,
    /// The room, if the call is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub room_id: Option<RoomId>,
    /// The participant of the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub participant_id: Option<ParticipantId>,
    /// The user of that side.
    pub user_id: UserId,
    /// True if no sound is sent.
    pub muted: bool,
    /// True if video is sent; omitted if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub video: Option<bool>,
    /// True if the call is on hold.
    pub held: bool,
}

/// The other side wants the call to carry something else.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallUpgradeEvent {
    /// The call.
    pub call_id: CallId,
    /// The user who asks.
    pub from: UserId,
    /// That user's device.
    pub from_device: DeviceId,
    /// The media that the call would have.
    pub call_type: CallType,
}

/// The other side said yes or no to `call:upgrade`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallUpgradedEvent {
    /// The call.
    pub call_id: CallId,
    /// The media of the call from now on.
    pub call_type: CallType,
    /// True if the upgrade was accepted.
    pub accepted: bool,
}
