//! What a call's sides hear of its life.

use callbox_base::{
    auth::TurnCredentials,
    ids::{CallId, DeviceId, ParticipantId, RoomId, UserId},
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{IceCandidateEvent, IceServer, relayed::RelayedDescription};
use crate::{CallRecord, CallType, EndReason, Timestamp};

/// Somebody calls.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallIncomingEvent {
    /// The call.
    pub call_id: CallId,
    /// Who calls.
    pub caller_id: UserId,
    /// What to show for the caller, if the caller's token has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub caller_name: Option<String>,
    /// What the call is to carry.
    pub call_type: CallType,
    /// What the caller sent along: any JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub metadata: Option<Box<RawValue>>,
    /// Which device of this user hands the call over: then the caller is the other side of a call
    /// that goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub transfer_from: Option<DeviceId>,
    /// Until when it rings.
    pub expires_at: Timestamp,
    /// For `new RTCPeerConnection({ iceServers })`.
    pub ice_servers: Vec<IceServer>,
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
    /// Who is called.
    pub callee_id: UserId,
    /// On which device.
    pub device_id: DeviceId,
}

/// A device of the callee took the call.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallAcceptedEvent {
    /// The call.
    pub call_id: CallId,
    /// Who took it.
    pub callee_id: UserId,
    /// On which device.
    pub device_id: DeviceId,
}

/// The call is over for this session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallEndedEvent {
    /// The call.
    pub call_id: CallId,
    /// The room, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub room_id: Option<RoomId>,
    /// Why.
    pub reason: EndReason,
    /// Who ended it; null where the server did.
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
    /// All of it.
    pub call: CallRecord,
}

/// A side lost its connection, or said that its media stopped.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallReconnectingEvent {
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
}

/// That side is back.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallReconnectedEvent {
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
}

/// A side goes on with the call on another device, or does not.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallTransferredEvent {
    /// The call.
    pub call_id: CallId,
    /// Which side.
    pub user_id: UserId,
    /// The device that was asked to take it.
    pub device_id: DeviceId,
    /// True to the other side, which now needs a new `RTCPeerConnection`; false to the device that
    /// wanted to hand the call over, and still has it.
    pub accepted: bool,
}

/// What a side wants to carry instead.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OpenUpgrade {
    /// Who asks.
    pub from: UserId,
    /// What for.
    pub call_type: CallType,
}

/// Where a call stands, for a device that came back to it with a new session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallSyncEvent {
    /// The call.
    pub call_id: CallId,
    /// All of it.
    pub call: CallRecord,
    /// What a side asked to carry instead, if the other has not said yes or no.
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
