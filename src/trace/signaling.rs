//! The steps that the hub's task sees: requests with their answers, events, connections, ends.

use std::{collections::VecDeque, sync::Arc};

use callbox_base::{
    clock::Now,
    ids::{CallId, SessionId, UserId},
};
use callbox_signaling::{
    Answer, CallEvent, CallReport, Event, Hub, Input, RequestId, RequestName, WireEnum,
};
use serde_json::{Map, Value};

use super::{
    details::{EventFate, Facts, SessionChange, TracedCandidate},
    document::What,
    facts,
    store::Traces,
};

/// The largest number of requests that wait for their answers.
const MAX_PENDING: usize = 1024;

/// A request of a client.
#[derive(Debug)]
struct Asked {
    at: Now,
    user: UserId,
    event: String,
    /// The call that it names.
    call: Option<CallId>,
    facts: Facts,
}

/// The part of traces that the hub's task writes.
#[derive(Debug)]
pub struct SignalingTrace {
    traces: Arc<Traces>,
    /// The oldest first.
    pending: VecDeque<(SessionId, RequestId, Asked)>,
}

impl SignalingTrace {
    /// Makes the part that writes to these traces.
    pub fn new(traces: Arc<Traces>) -> Self {
        Self { traces, pending: VecDeque::new() }
    }

    /// Notes an input before the hub has it.
    pub fn input(&mut self, hub: &Hub, now: Now, input: &Input) {
        match input {
            Input::Request { session, id, event, data } => {
                // Other names are texts of strangers.
                let is_known = RequestName::ALL.iter().any(|name| name.as_str() == event);
                let Some(user) = hub.user_of(*session).filter(|_| is_known) else { return };
                let payload = data.read::<Map<String, Value>>().unwrap_or_default();
                let facts::Read { call, facts } = facts::read(event, &payload, false);
                let (user, event) = (user.clone(), event.clone());
                let asked = Asked { at: now, user, event, call, facts };
                let Some(id) = *id else { return self.request(asked, None, false) };
                if self.pending.len() == MAX_PENDING {
                    self.pending.pop_front();
                }
                self.pending.push_back((*session, id, asked));
            }
            Input::Lost { session } => self.session(hub, now, *session, SessionChange::Lost),
            Input::Closed { session } => self.session(hub, now, *session, SessionChange::Closed),
            Input::Left { session } => self.session(hub, now, *session, SessionChange::Left),
            _ => {}
        }
    }

    /// Adds a change of the connection of a session.
    pub fn session(&self, hub: &Hub, now: Now, session: SessionId, change: SessionChange) {
        if let Some(user) = hub.user_of(session) {
            self.traces.session_changed(now, user, change);
        }
    }

    /// Adds the request that an answer is for.
    pub fn answer(&mut self, session: SessionId, id: RequestId, answer: &Answer) {
        let is_it = |(from, of, _): &(SessionId, RequestId, Asked)| *from == session && *of == id;
        let Some(index) = self.pending.iter().position(is_it) else { return };
        let Some((_, _, mut asked)) = self.pending.remove(index) else { return };
        let answer: Map<String, Value> =
            serde_json::from_str(answer.0.as_str()).unwrap_or_default();
        let error = answer.get("error").and_then(|error| error.get("code")).and_then(Value::as_str);
        let call = answer.get("callId").and_then(Value::as_str).and_then(|id| id.parse().ok());
        asked.call = call.or(asked.call);
        self.request(asked, error, call.is_some());
    }

    /// Adds a request. With `begin`, its call exists.
    fn request(&self, asked: Asked, error: Option<&str>, begin: bool) {
        let Asked { at, user, event, call, facts } = asked;
        let Some(call) = call.or_else(|| self.traces.only_call_of(&user)) else { return };
        let client = facts.candidate.as_ref().and_then(TracedCandidate::seen_by_stun);
        let error = error.map(str::to_owned);
        self.traces.add(at, call, What::Request { user: user.clone(), event, error, facts }, begin);
        if let Some(client) = client {
            self.traces.client_seen(call, &user, client);
        }
    }

    /// Adds an event that is sent, or meets with a fault.
    pub fn event(
        &self,
        hub: &Hub,
        now: Now,
        session: SessionId,
        event: &Event,
        fault: Option<EventFate>,
    ) {
        let Some(user) = hub.user_of(session) else { return };
        let payload: Map<String, Value> =
            serde_json::from_str(event.data.as_str()).unwrap_or_default();
        let facts::Read { call, facts } = facts::read(event.name, &payload, true);
        let Some(call) = call else { return };
        let (user, event) = (user.clone(), event.name.to_owned());
        self.traces.add(now, call, What::Event { user, event, fault, facts }, true);
    }

    /// Adds the end of a call.
    pub fn report(&self, now: Now, report: &CallReport) {
        if report.event == CallEvent::Ended {
            let reason = report.call.reason.map_or_else(String::new, |reason| reason.to_string());
            let what = What::Over { reason, user: report.call.ended_by.clone() };
            self.traces.add(now, report.call.id, what, false);
        }
    }
}
