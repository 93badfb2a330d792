//! The refusal of an event or of a connection.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::{Answer, ErrorCode, Event, EventError, EventErrorCode, JsonText, events::ErrorEvent};

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

    /// Refuses a payload.
    pub(crate) fn invalid_payload(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidPayload, message)
    }

    /// Refuses a call id that names nothing.
    pub(crate) fn call_not_found() -> Self {
        Self::new(ErrorCode::CallNotFound, "There is no such call.")
    }

    /// Refuses a sender who, or whose device, is not in the call.
    pub(crate) fn not_a_participant(message: &str) -> Self {
        Self::new(ErrorCode::NotAParticipant, message)
    }

    /// Refuses what comes too often, and says when it may come again.
    pub(crate) fn rate_limited(message: &str, retry_after: Duration) -> Self {
        let ms = retry_after.as_micros().div_ceil(1000) as u64;
        Self::new(ErrorCode::RateLimited, message).retry_after_ms(ms)
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

impl From<RequestError> for EventError {
    fn from(error: RequestError) -> Self {
        let RequestError { code, message, retry_after_ms } = error;
        Self { code: EventErrorCode::Refused(code), message, retry_after_ms }
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
    fn error_messages_are_truncated() {
        let error = RequestError::new(ErrorCode::InvalidPayload, "ü".repeat(70_000));
        assert_eq!(error.message.chars().count(), MAX_MESSAGE + 1);
    }
}
