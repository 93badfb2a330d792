//! The events of the course of a call.

use callbox_base::{
    auth::TurnCredentials,
    ids::{CallId, DeviceId, ParticipantId, RoomId, UserId},
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{IceCandidateEvent, IceServer, relayed::RelayedDescription};
use crate::IceTransportPolicy;
use crate::{CallRecord, CallType, EndReason, Timestamp};

/// Somebody calls.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallIncomingEvent {
    /// The call.
    pub call_id: CallId,
    /// The caller.
    pub caller_id: UserId,
    /// The caller's display name, if the caller's token has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub caller_name: Option<String>,
    /// The media of the call.
    pub call_type: CallType,
    /// The caller's metadata: any JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub metadata: Option<Box<RawValue>>,
    /// The device that transfers the call; `callerId` is then the other side.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub transfer_from: Option<DeviceId>,
    /// The time until which it rings.
    pub expires_at: Timestamp,
    /// For `new RTCPeerConnection({ iceServers })`.
    pub ice_servers: Vec<IceServer>,
    /// `relay` with `--force-relay`: for `new RTCPeerConnection({ iceTransportPolicy })`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ice_transport_policy: Option<IceTransportPolicy>,
    /// For this call only; null without a relay, or with a token that does not allow it.
    #[schema(required)]
    pub turn_credentials: Option<TurnCredentials>,
}

/// A device of the callee alerts its user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallRingingEvent {
    /// The call.
    pub call_id: CallId,
    /// The callee.
    pub callee_id: UserId,
    /// The callee's device.
    pub device_id: DeviceId,
}

/// A device of the callee took the call.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallAcceptedEvent {
    /// The call.
    pub call_id: CallId,
    /// The callee.
    pub callee_id: UserId,
    /// The callee's device.
    pub device_id: DeviceId,
}

/// The call is over for this session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallEndedEvent {
    /// The call.
    pub call_id: CallId,
    /// The room, if the call is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub room_id: Option<RoomId>,
    /// The reason of the end.
    pub reason: EndReason,
    /// The user who ended it; null if the server did.
    #[schema(required)]
    pub ended_by: Option<UserId>,
    /// Seconds since the accept, 0 without one.
    pub duration: f64,
}

/// The call changed its state, or the session came back to it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallStateEvent {
    /// The call.
    pub call_id: CallId,
    /// The whole record of the call.
    pub call: CallRecord,
}

/// A side lost its connection, or said that its media stopped.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallReconnectingEvent {
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
}

/// That side is back.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallReconnectedEvent {
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
}

/// A side goes on with the call on another device, or does not.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallTransferredEvent {
    /// The call.
    pub call_id: CallId,
    /// The user of that side.
    pub user_id: UserId,
    /// The device that was asked to take it.
    pub device_id: DeviceId,
    /// True to the other side, which now needs a new `RTCPeerConnection`; false to the device that
    /// wanted to hand the call over, and still has it.
    pub accepted: bool,
}

/// An upgrade that one side asked for and the other has not answered.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OpenUpgrade {
    /// The user who asked.
    pub from: UserId,
    /// The media that the call would have.
    pub call_type: CallType,
}

/// The state of a call, for a device that came back to it with a new session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallSyncEvent {
    /// The call.
    pub call_id: CallId,
    /// The whole record of the call.
    pub call: CallRecord,
    /// The upgrade that a side asked for, if the other has not answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub upgrade: Option<OpenUpgrade>,
    /// The device that this one is handing the call to, while it rings there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub transfer_to: Option<DeviceId>,
    /// The last description that was relayed to this device.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<RelayedDescription>)]
    pub description: Option<Box<RawValue>>,
    /// The candidates that came to it since.
    #[schema(value_type = Vec<IceCandidateEvent>)]
    pub candidates: Vec<Box<RawValue>>,
}
