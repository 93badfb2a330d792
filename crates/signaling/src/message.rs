//! The events and answers that clients are sent.

use serde::Serialize;

use super::{EventName, JsonText};

/// The payload of an event, which says by its type which event it is.
pub(super) trait EventPayload: Serialize {
    /// The event's name.
    const NAME: EventName;
}

/// An event for a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its name, such as `call:incoming`.
    pub name: &'static str,
    /// Its payload. It may go to several sessions, and again to one that comes back.
    pub data: JsonText,
}

impl Event {
    /// Makes an event with this payload.
    pub fn new(name: &'static str, data: JsonText) -> Self {
        Self { name, data }
    }

    /// Makes the event that this payload is for.
    pub(super) fn of<P: EventPayload>(payload: &P) -> Self {
        Self::new(P::NAME.as_str(), JsonText::of(payload))
    }
}

/// The answer to a request: a JSON object with `ok`, and `error` where `ok` is false.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer(pub JsonText);
