//! What the sides of an accepted call tell each other, as the server understands it.

use callbox_base::ids::{CallId, DeviceId, ParticipantId, RoomId, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::CallType;

/// What the other side sends now: all that it has said so far.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MediaUpdatedEvent {
    /// The call.
    pub call_id: CallId,
    /// The room, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub room_id: Option<RoomId>,
    /// Which participant of the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub participant_id: Option<ParticipantId>,
    /// Which side.
    pub user_id: UserId,
    /// No sound.
    pub muted: bool,
    /// Whether there are pictures; missing if it has not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub video: Option<bool>,
    /// The call is on hold.
    pub held: bool,
}

/// The other side wants the call to carry something else.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallUpgradeEvent {
    /// The call.
    pub call_id: CallId,
    /// Who wants it.
    pub from: UserId,
    /// On which device.
    pub from_device: DeviceId,
    /// What it is to carry.
    pub call_type: CallType,
}

/// The other side said yes or no to `call:upgrade`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallUpgradedEvent {
    /// The call.
    pub call_id: CallId,
    /// What it carries from now on.
    pub call_type: CallType,
    /// Whether that is what was asked for.
    pub accepted: bool,
}
