//! The events of a session itself and of the server.

use callbox_base::{
    auth::TurnCredentials,
    ids::{DeviceId, SessionId, UserId},
};
use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{Ref, RefOr, Schema, schema::AnyOfBuilder},
};

use super::IceServer;
use crate::IceTransportPolicy;
use crate::{CloseReason, ErrorCode, Timestamp};

/// The session is open: the first event.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionWelcome {
    /// The session: a client that loses its connection goes on with it.
    pub session_id: SessionId,
    /// The user that it belongs to.
    pub user_id: UserId,
    /// The device that it is on: as the client says, or made for a client that does not.
    pub device_id: DeviceId,
    /// True if the client goes on with the session that it asked for.
    pub resumed: bool,
    /// For `new RTCPeerConnection({ iceServers })`, outside a call.
    pub ice_servers: Vec<IceServer>,
    /// `relay` with `--force-relay`: for `new RTCPeerConnection({ iceTransportPolicy })`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ice_transport_policy: Option<IceTransportPolicy>,
    /// Not for one call; null without a relay, or with a token that does not allow it.
    #[schema(required)]
    pub turn_credentials: Option<TurnCredentials>,
}

/// The session's token is about to expire.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuthExpiringEvent {
    /// The time at which the token expires.
    pub expires_at: Timestamp,
}

/// The server stops, and closes the connection next.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServerDrainingEvent {
    /// The milliseconds after which to connect again.
    pub reconnect_after_ms: u64,
}

/// An event that wanted no answer was refused, or, over Socket.IO, the connection is closed next.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorEvent {
    /// The event's name, its first 64 characters at most; missing of what was no event.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub event: Option<String>,
    /// The reason.
    pub error: EventError,
}

/// The reason for which an event was refused, or a connection is closed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventError {
    /// For the program.
    pub code: EventErrorCode,
    /// For a person.
    pub message: String,
    /// The milliseconds after which the same may be tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub retry_after_ms: Option<u64>,
}

/// An error code of a request or of a closed session.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum EventErrorCode {
    /// An event was refused.
    Refused(ErrorCode),
    /// The connection is closed next.
    Closed(CloseReason),
}

impl PartialSchema for EventErrorCode {
    fn schema() -> RefOr<Schema> {
        // The derived one would be "one of", which a word that is in both is not.
        AnyOfBuilder::new()
            .item(Ref::from_schema_name(ErrorCode::name()))
            .item(Ref::from_schema_name(CloseReason::name()))
            .into()
    }
}

impl ToSchema for EventErrorCode {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((ErrorCode::name().into(), ErrorCode::schema()));
        schemas.push((CloseReason::name().into(), CloseReason::schema()));
    }
}
