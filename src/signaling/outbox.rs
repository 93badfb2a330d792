//! What the hub wants done, in order.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::{
    Event, EventName, Output,
    call::{Call, Role},
};
use crate::{clock::Now, ids::SessionId};

/// The queue of outputs. What one input sets off is bounded by the sizes of the tables, and the
/// shell empties the queue after each input.
#[derive(Debug, Default)]
pub(super) struct Outbox(VecDeque<Output>);

impl Outbox {
    pub fn push(&mut self, output: Output) {
        self.0.push_back(output);
    }

    pub fn pop(&mut self) -> Option<Output> {
        self.0.pop_front()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Puts an output before what was put in since the queue was `at` long.
    pub fn insert(&mut self, at: usize, output: Output) {
        self.0.insert(at, output);
    }

    /// Sends an event to a session.
    pub fn send(&mut self, session: SessionId, name: EventName, data: Value) {
        self.push(Output::Send { session, event: Event { name: name.as_str(), data } });
    }

    /// Sends an event to a side of a call, if it is there.
    pub fn send_to(&mut self, call: &Call, role: Role, name: EventName, data: Value) {
        if let Some(session) = call.parties[role].session {
            self.send(session, name, data);
        }
    }

    /// Shows a call to one session.
    pub fn show(&mut self, now: Now, call: &Call, session: SessionId) {
        let data = json!({ "callId": call.id, "call": call.record(now) });
        self.send(session, EventName::CallState, data);
    }

    /// Shows a call to everyone who hears of it.
    pub fn show_to_all(&mut self, now: Now, call: &Call) {
        let data = json!({ "callId": call.id, "call": call.record(now) });
        for session in call.members() {
            self.send(session, EventName::CallState, data.clone());
        }
    }
}
