//! What a client is told when its event is refused.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Answer, Event, JsonText, events::ErrorEvent, wire_enums::wire_enum};

wire_enum! {
    /// The reason for which an event or a connection was refused.
    pub enum ErrorCode {
        /// There is no token, or it is not valid here.
        Unauthorized = "unauthorized",
        /// The token's time is over.
        TokenExpired = "token_expired",
        /// The keys of the token's issuer cannot be had at the moment, so that nobody knows if it
        /// is valid. `retryAfterMs` says when they are tried again.
        IssuerUnavailable = "issuer_unavailable",
        /// The token is another user's than the session.
        WrongUser = "wrong_user",
        /// A frame has not the form that the protocol asks for.
        InvalidFrame = "invalid_frame",
        /// No such event.
        UnknownEvent = "unknown_event",
        /// A field is missing or has the wrong type.
        InvalidPayload = "invalid_payload",
        /// The message, or a part of it, is larger than the limit.
        PayloadTooLarge = "payload_too_large",
        /// Too many events; `retryAfterMs` says when to go on.
        RateLimited = "rate_limited",
        /// Too many connections of this user or address, or in all.
        TooManyConnections = "too_many_connections",
        /// The user already has as many calls as a user may have.
        TooManyCalls = "too_many_calls",
        /// The session blocks as many users as it may.
        TooManyBlocked = "too_many_blocked",
        /// The journal for a side that is not there to hear is full.
        TooManyCandidates = "too_many_candidates",
        /// The server carries as many calls as it may.
        ServerFull = "server_full",
        /// The server is about to stop.
        ServerShutdown = "server_shutdown",
        /// This user cannot be called by the sender.
        InvalidTarget = "invalid_target",
        /// `callId` is missing, and the sender has not exactly one call that could be meant.
        CallIdRequired = "call_id_required",
        /// No such call.
        CallNotFound = "call_not_found",
        /// The call is over.
        CallEnded = "call_ended",
        /// The sender, or this device of it, is not in the call.
        NotAParticipant = "not_a_participant",
        /// Nobody in the room has this participant id, or not any more.
        ParticipantNotFound = "participant_not_found",
        /// The room has as many participants as it may have.
        RoomFull = "room_full",
        /// The other side may do that, the sender may not; or the token does not say so.
        NotAllowed = "not_allowed",
        /// The call is in a state in which that makes no sense.
        InvalidState = "invalid_state",
    }
}

/// A refusal: the code for the program, the message for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Refusal)]
#[error("{code}: {message}")]
pub struct RequestError {
    /// The code of the refusal, one of the documented ones.
    pub code: ErrorCode,
    /// The fault, in words that may be shown to the person who sent it.
    pub message: String,
    /// The milliseconds after which the same may be tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub retry_after_ms: Option<u64>,
}

/// The answer to a request that was refused.
#[derive(Serialize)]
struct Refused<'a> {
    ok: bool,
    error: &'a RequestError,
}

/// Longest message, in characters: serde quotes what it could not read, and that may be anything.
const MAX_MESSAGE: usize = 200;

impl RequestError {
    /// Makes a refusal with this code and message, of which the first 200 characters count.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
            message.truncate(end);
            message.push('…');
        }
        Self { code, message, retry_after_ms: None }
    }

    /// Adds the milliseconds after which to try again.
    pub fn retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// Returns the answer to a request that was refused.
    pub fn answer(&self) -> Answer {
        Answer(JsonText::of(&Refused { ok: false, error: self }))
    }

    /// Returns the `error` event for an event that wanted no answer; `about` is that event's name.
    pub fn event(&self, about: Option<&str>) -> Event {
        // Enough to know it by; the sender chose how long it is.
        let event = about.map(|name| name.chars().take(64).collect());
        Event::of(&ErrorEvent { event, error: self.clone().into() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_wire_form_is_the_documented_one() {
        let error = RequestError::new(ErrorCode::RateLimited, "Slow down.").retry_after_ms(20);
        assert_eq!(
            error.answer().0.value(),
            json!({ "ok": false, "error": {
                "code": "rate_limited", "message": "Slow down.", "retryAfterMs": 20 } })
        );
        let event = error.event(Some(&"x".repeat(1000)));
        assert_eq!(event.name, "error");
        assert_eq!(event.data.value()["event"].as_str().map(str::len), Some(64));
        assert_eq!(event.data.value()["error"]["code"], "rate_limited");
    }

    #[test]
    fn what_a_client_sent_does_not_come_back_at_length() {
        let error = RequestError::new(ErrorCode::InvalidPayload, "ü".repeat(70_000));
        assert_eq!(error.message.chars().count(), MAX_MESSAGE + 1);
    }
}
