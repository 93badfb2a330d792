//! What the participants of a room hear.

use callbox_base::{
    auth::TurnCredentials,
    ids::{CallId, DeviceId, ParticipantId, RoomId, UserId},
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{IceCandidateEvent, IceServer, relayed::RelayedDescription};
use crate::{CallType, EndReason, Media, Timestamp};

/// A participant of a room, as the others see it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomParticipant {
    /// Which: what is for this one alone names it in `to`.
    pub participant_id: ParticipantId,
    /// Who it is. Two devices of a user are two participants.
    pub user_id: UserId,
    /// What to show to people, if the token has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// On which device.
    #[schema(required, nullable = false)]
    pub device_id: Option<DeviceId>,
    /// False between `call:reconnecting` and `call:reconnected`.
    pub connected: bool,
    /// What it says that it sends, if it is anything out of the ordinary.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub media: Option<Media>,
    /// What it sent along when it joined: any JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub metadata: Option<Box<RawValue>>,
}

/// A room as one participant sees it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomView {
    /// The life of the room: the call that began with its first participant and ends with its last.
    pub call_id: CallId,
    /// The room.
    pub room_id: RoomId,
    /// What it carries.
    pub call_type: CallType,
    /// Which participant this device is.
    pub participant_id: ParticipantId,
    /// The others.
    pub participants: Vec<RoomParticipant>,
    /// For each `new RTCPeerConnection({ iceServers })`.
    pub ice_servers: Vec<IceServer>,
    /// For this room only; null without a relay, or with a token that does not allow it.
    #[schema(required)]
    pub turn_credentials: Option<TurnCredentials>,
    /// Until when the credentials open allocations.
    pub expires_at: Timestamp,
}

/// Somebody came into the room.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomJoinedEvent {
    /// The life of the room.
    pub call_id: CallId,
    /// The room.
    pub room_id: RoomId,
    /// Who: an offer of this one follows.
    pub participant: RoomParticipant,
}

/// Somebody is in the room no more.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomLeftEvent {
    /// The life of the room.
    pub call_id: CallId,
    /// The room.
    pub room_id: RoomId,
    /// Which participant.
    pub participant_id: ParticipantId,
    /// Who that was.
    pub user_id: UserId,
    /// Why.
    pub reason: EndReason,
}

/// Where a room stands, for a device that came back to it with a new session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomSyncEvent {
    #[serde(flatten)]
    pub room: RoomView,
    /// What was relayed to this device, of each of the others of whom there is anything.
    pub relayed: Vec<Relayed>,
}

/// What a participant's last ICE generation has sent to another.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Relayed {
    /// Who sent it.
    pub from_participant: ParticipantId,
    /// The last description.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<RelayedDescription>)]
    pub description: Option<Box<RawValue>>,
    /// The candidates that came since.
    #[schema(value_type = Vec<IceCandidateEvent>)]
    pub candidates: Vec<Box<RawValue>>,
}
