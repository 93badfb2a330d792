//! The ICE servers and relay credentials that a client gives to its `RTCPeerConnection`.

use callbox_base::{
    auth::TurnCredentials,
    ids::{CallId, RoomId},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{IceTransportPolicy, Timestamp};

/// The `RTCIceServer` of browsers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IceServer {
    /// The URIs at which it is: `stun:`, `turn:` and `turns:`.
    pub urls: Vec<String>,
    /// For a relay.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub username: Option<String>,
    /// For a relay.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub credential: Option<String>,
}

/// Relay credentials that are not for one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RelayAccess {
    /// For `new RTCPeerConnection({ iceServers })`.
    pub ice_servers: Vec<IceServer>,
    /// `relay` with `--force-relay`: for `new RTCPeerConnection({ iceTransportPolicy })`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ice_transport_policy: Option<IceTransportPolicy>,
    /// The same for other clients; null without a relay, or with a token that does not allow it.
    #[schema(required)]
    pub turn_credentials: Option<TurnCredentials>,
    /// The time until which the credentials open allocations.
    pub expires_at: Timestamp,
}

/// Fresh relay credentials for a call: for new `RTCPeerConnection`s, and for an ICE restart.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IceServersEvent {
    /// The call.
    pub call_id: CallId,
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
    /// For this call only; null with a token that does not allow it.
    #[schema(required)]
    pub turn_credentials: Option<TurnCredentials>,
    /// The time until which the credentials open allocations.
    pub expires_at: Timestamp,
}
