//! The answers to requests, without `ok: true`. Several requests share an answer.

use callbox_base::{
    auth::TurnCredentials,
    ids::{CallId, ParticipantId, RoomId, UserId},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    CallState, CallType, EndReason, IceServer, IceTransportPolicy, Timestamp,
    events::PresenceChangedEvent,
};

/// The call that the request was about.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallAnswer {
    /// The call.
    pub call_id: CallId,
    /// The room, if the call is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub room_id: Option<RoomId>,
}

/// The call that the request was about, and its state now.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallStateAnswer {
    /// The call.
    pub call_id: CallId,
    /// The room, if the call is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub room_id: Option<RoomId>,
    /// The state of the call.
    pub state: CallState,
}

/// The call has begun, or the other side's was taken.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallInitiateAnswer {
    /// The call.
    pub call_id: CallId,
    /// The state of the call.
    pub state: CallState,
    /// The media of the call: the requested ones, unless it is the other's call.
    pub call_type: CallType,
    /// True where the two have called each other: it is the other's call, which this device took.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub glare: Option<bool>,
    /// The time until which it rings; omitted if it was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub expires_at: Option<Timestamp>,
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

/// The other device rings.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallTransferAnswer {
    /// The call.
    pub call_id: CallId,
    /// The time until which it rings.
    pub expires_at: Timestamp,
}

/// The call is over, for this device at least.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallEndAnswer {
    /// The call.
    pub call_id: CallId,
    /// `ended` or `failed`; the present state of a call that goes on without this device.
    pub state: CallState,
    /// The reason of the end.
    pub reason: EndReason,
    /// Seconds since the accept, 0 without one.
    pub duration: f64,
}

/// The media of the call, until the other side accepts an upgrade.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallUpgradeAnswer {
    /// The call.
    pub call_id: CallId,
    /// The media of the call now.
    pub call_type: CallType,
}

/// Fresh relay credentials.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct IceRefreshAnswer {
    /// The call they are for; missing where they are for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub call_id: Option<CallId>,
    /// The room, if the call is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub room_id: Option<RoomId>,
    /// For `RTCPeerConnection.setConfiguration`.
    pub ice_servers: Vec<IceServer>,
    /// `relay` with `--force-relay`: for `new RTCPeerConnection({ iceTransportPolicy })`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ice_transport_policy: Option<IceTransportPolicy>,
    /// Null without a relay, or with a token that does not allow it.
    #[schema(required)]
    pub turn_credentials: Option<TurnCredentials>,
    /// The time until which the credentials open allocations.
    pub expires_at: Timestamp,
}

/// The present presence of each of the users.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PresenceSubscribeAnswer {
    /// Each user once.
    pub presence: Vec<PresenceChangedEvent>,
}

/// The blocking of a user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserBlockAnswer {
    /// The user.
    pub user_id: UserId,
    /// True if the user may not call, as far as this session is concerned.
    pub blocked: bool,
}

/// The session goes on with the token.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuthRefreshAnswer {
    /// The time at which the token expires.
    pub expires_at: Timestamp,
}

/// This device is in the room no more.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RoomLeaveAnswer {
    /// The call id of the room's current session, which goes on if there are others in it.
    pub call_id: CallId,
    /// The room.
    pub room_id: RoomId,
    /// The participant that this device was.
    pub participant_id: ParticipantId,
    /// The reason, as the others hear it.
    pub reason: EndReason,
}
