//! What the hub wants done, in order, and what each session was sent.

use std::collections::VecDeque;

use callbox_base::{clock::Now, ids::SessionId};

use super::{
    Event, EventName, JsonText, Output,
    call::{Call, Role},
    events::CallStateEvent,
    lookup::Lookup,
    message::EventPayload,
    replay::Replay,
};

/// The queue of outputs. What one input sets off is bounded by the sizes of the tables, and the
/// shell empties the queue after each input.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Output>,
    /// The way to each session.
    ways: Lookup<SessionId, Way>,
}

/// The way to a session.
#[derive(Debug)]
struct Way {
    /// What was sent and is not acknowledged; `None` if the session cannot be resumed.
    replay: Option<Replay>,
    /// There is no connection at its end.
    away: bool,
}

impl Outbox {
    pub fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    pub fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Puts an output before what was put in since the queue was `at` long.
    pub fn insert(&mut self, at: usize, output: Output) {
        self.queue.insert(at, output);
    }

    /// There is a session, which can be resumed or not.
    pub fn open(&mut self, session: SessionId, resumable: bool) {
        let replay = resumable.then(Replay::default);
        self.ways.insert(session, Way { replay, away: false });
    }

    /// There is none any more.
    pub fn close(&mut self, session: SessionId) {
        self.ways.remove(&session);
    }

    /// Whether a session can be resumed.
    pub fn is_resumable(&self, session: SessionId) -> bool {
        self.ways.get(&session).is_some_and(|way| way.replay.is_some())
    }

    /// Whether it can be by a client that has its events up to this number.
    pub fn can_resume(&self, session: SessionId, seq: u64) -> bool {
        let replay = self.ways.get(&session).and_then(|way| way.replay.as_ref());
        replay.is_some_and(|replay| replay.after(seq).is_some())
    }

    /// A session has lost its connection: what it is sent waits for it to come back.
    pub fn wait(&mut self, session: SessionId) {
        if let Some(way) = self.ways.get_mut(&session) {
            way.away = true;
        }
    }

    /// It has come back, and gets what it has not seen: what comes after this number.
    pub fn resume(&mut self, session: SessionId, seq: u64) {
        let Some(way) = self.ways.get_mut(&session) else { return };
        way.away = false;
        let Some(replay) = &mut way.replay else { return };
        replay.acknowledge(seq);
        for (seq, event) in replay.after(seq).into_iter().flatten() {
            let event = event.clone();
            self.queue.push_back(Output::Send { session, seq: Some(seq), event });
        }
    }

    /// It has all events up to this number.
    pub fn acknowledge(&mut self, session: SessionId, seq: u64) {
        if let Some(replay) = self.ways.get_mut(&session).and_then(|way| way.replay.as_mut()) {
            replay.acknowledge(seq);
        }
    }

    /// How much is kept that is not acknowledged, in bytes.
    pub fn unacknowledged(&self) -> usize {
        self.ways.values().filter_map(|way| way.replay.as_ref()).map(Replay::weight).sum()
    }

    /// The number of the last event that a session was sent.
    #[cfg(test)]
    pub fn last_seq(&self, session: SessionId) -> u64 {
        self.ways[&session].replay.as_ref().map_or(0, Replay::last)
    }

    /// Sends an event to a session.
    pub fn send<P: EventPayload>(&mut self, session: SessionId, payload: &P) {
        self.send_event(session, Event::of(payload));
    }

    /// The same to several.
    pub fn send_to_all<P: EventPayload>(
        &mut self,
        sessions: impl IntoIterator<Item = SessionId>,
        payload: &P,
    ) {
        let event = Event::of(payload);
        sessions.into_iter().for_each(|session| self.send_event(session, event.clone()));
    }

    /// Sends what the other side of a call wrote.
    pub fn relay(&mut self, session: SessionId, name: EventName, data: JsonText) {
        self.send_event(session, Event::new(name.as_str(), data));
    }

    /// The same with an event that goes to others as well.
    pub fn send_event(&mut self, session: SessionId, event: Event) {
        let Some(way) = self.ways.get_mut(&session) else { return };
        let seq = way.replay.as_mut().map(|replay| replay.push(event.clone()));
        if !way.away {
            self.push(Output::Send { session, seq, event });
        }
    }

    /// Sends an event to a side of a call, if it is there.
    pub fn send_to<P: EventPayload>(&mut self, call: &Call, role: Role, payload: &P) {
        if let Some(session) = call.parties[role].session {
            self.send(session, payload);
        }
    }

    /// Shows a call to one session.
    pub fn show(&mut self, now: Now, call: &Call, session: SessionId) {
        self.send(session, &CallStateEvent { call_id: call.id, call: call.record(now) });
    }

    /// Shows a call to everyone who hears of it.
    pub fn show_to_all(&mut self, now: Now, call: &Call) {
        let event = Event::of(&CallStateEvent { call_id: call.id, call: call.record(now) });
        for session in call.members() {
            self.send_event(session, event.clone());
        }
    }
}
