//! The payloads that several requests share, and how payloads are read.

use std::borrow::Cow;

use callbox_base::ids::{CallId, ParticipantId, RoomId};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{RequestError, payload::Fields};

/// A request that only names a call.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallRequest {
    /// The call; optional in a session with exactly one call.
    pub(super) call_id: Option<CallId>,
    /// The room, if the call is one.
    pub(super) room_id: Option<RoomId>,
}

/// A request that ends a call.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallEndRequest<'a> {
    /// The call; optional in a session with exactly one call.
    pub(super) call_id: Option<CallId>,
    /// The reason: `busy` of a refusal, `ice_failed` or `connection_lost` of an accepted call; any
    /// other text counts as none.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    pub(super) reason: Option<Cow<'a, str>>,
}

/// The recipient of a request: the other side of a call, or others in a room.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Recipient {
    pub call_id: Option<CallId>,
    pub room_id: Option<RoomId>,
    /// The participant of the room; all of them without it.
    pub to: Option<ParticipantId>,
}

impl Recipient {
    /// Reads the recipient from a payload.
    pub(super) fn read(data: &Fields<'_>) -> Result<Self, RequestError> {
        data.read_as(&["callId", "roomId", "to"]).map_err(unfit)
    }
}

/// Reads a payload.
pub(super) fn parse<'a, T: Deserialize<'a>>(data: &Fields<'a>) -> Result<T, RequestError> {
    data.read_all().map_err(unfit)
}

/// Makes the refusal of a payload that does not fit its type.
fn unfit(error: serde_path_to_error::Error<serde_json::Error>) -> RequestError {
    let (path, mut message) = (error.path().to_string(), error.into_inner().to_string());
    // The position counts from the field, which the sender does not know.
    message.truncate(message.rfind(" at line ").unwrap_or(message.len()));
    // The message names a missing field, and the path is that of the whole payload.
    if path == "." {
        RequestError::invalid_payload(message)
    } else {
        RequestError::invalid_payload(format!("{path}: {message}"))
    }
}
