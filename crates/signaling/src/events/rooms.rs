//! The events of rooms.

use callbox_base::{
    auth::TurnCredentials,
    ids::{CallId, DeviceId, ParticipantId, RoomId, UserId},
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{IceCandidateEvent, IceServer, relayed::RelayedDescription};
use crate::IceTransportPolicy;
use crate::{CallType, EndReason, Media, Timestamp};

/// A participant of a room, as the others see it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomParticipant {
    /// The participant's id, used in `to` for payloads to it alone.
    pub participant_id: ParticipantId,
    /// The user. Two devices of a user are two participants.
    pub user_id: UserId,
    /// The display name, if the token has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// The participant's device.
    #[schema(required, nullable = false)]
    pub device_id: Option<DeviceId>,
    /// False between `call:reconnecting` and `call:reconnected`.
    pub connected: bool,
    /// The reported media state; omitted if it is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub media: Option<Media>,
    /// The metadata of its `room:join`: any JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub metadata: Option<Box<RawValue>>,
}

/// A room as one participant sees it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomView {
    /// The call id of the room's current session, from its first participant to its last.
    pub call_id: CallId,
    /// The room.
    pub room_id: RoomId,
    /// The media of the room.
    pub call_type: CallType,
    /// This device's own participant id.
    pub participant_id: ParticipantId,
    /// The others.
    pub participants: Vec<RoomParticipant>,
    /// For each `new RTCPeerConnection({ iceServers })`.
    pub ice_servers: Vec<IceServer>,
    /// `relay` with `--force-relay`: for `new RTCPeerConnection({ iceTransportPolicy })`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ice_transport_policy: Option<IceTransportPolicy>,
    /// For this room only; null without a relay, or with a token that does not allow it.
    #[schema(required)]
    pub turn_credentials: Option<TurnCredentials>,
    /// The time until which the credentials open allocations.
    pub expires_at: Timestamp,
}

/// A participant joined the room.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomJoinedEvent {
    /// The call id of the room's current session.
    pub call_id: CallId,
    /// The room.
    pub room_id: RoomId,
    /// The new participant, who sends an offer next.
    pub participant: RoomParticipant,
}

/// A participant left the room.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomLeftEvent {
    /// The call id of the room's current session.
    pub call_id: CallId,
    /// The room.
    pub room_id: RoomId,
    /// The participant.
    pub participant_id: ParticipantId,
    /// The participant's user.
    pub user_id: UserId,
    /// The reason of the departure.
    pub reason: EndReason,
}

/// The state of a room, for a device that came back to it with a new session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomSyncEvent {
    #[serde(flatten)]
    pub room: RoomView,
    /// The latest relayed description and candidates of each other participant that sent any.
    pub relayed: Vec<Relayed>,
}

/// The description and candidates of a participant's last ICE generation, as relayed to another.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Relayed {
    /// The sender.
    pub from_participant: ParticipantId,
    /// The last description.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<RelayedDescription>)]
    pub description: Option<Box<RawValue>>,
    /// The candidates that came since.
    #[schema(value_type = Vec<IceCandidateEvent>)]
    pub candidates: Vec<Box<RawValue>>,
}
