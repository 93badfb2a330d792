//! The outputs of the hub in their order, and the events that each session has not acknowledged.

use std::collections::VecDeque;

use callbox_base::{clock::Now, ids::SessionId};

use super::{
    Event, EventName, JsonText, Output,
    call::{Call, Role},
    events::CallStateEvent,
    hash_table::Lookup,
    message::EventPayload,
    replay::Replay,
};

/// The queue of outputs. The number of outputs of one input is bounded by the sizes of the tables,
/// and the driver empties the queue after each input.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Output>,
    /// The link to each session.
    links: Lookup<SessionId, Link>,
}

/// The link to a session.
#[derive(Debug)]
struct Link {
    /// The events that are not acknowledged; `None` if the session cannot be resumed.
    replay: Option<Replay>,
    /// True while the session has no connection.
    away: bool,
}

impl Outbox {
    pub(crate) fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Inserts an output before those that were added since the queue had this length.
    pub(crate) fn insert(&mut self, at: usize, output: Output) {
        self.queue.insert(at, output);
    }

    /// Opens the link to a session, which can be resumed or not.
    pub(crate) fn open(&mut self, session: SessionId, resumable: bool) {
        let replay = resumable.then(Replay::default);
        self.links.insert(session, Link { replay, away: false });
    }

    /// Closes the link to a session.
    pub(crate) fn close(&mut self, session: SessionId) {
        self.links.remove(&session);
    }

    /// Returns true if a session can be resumed.
    pub(crate) fn is_resumable(&self, session: SessionId) -> bool {
        self.links.get(&session).is_some_and(|link| link.replay.is_some())
    }

    /// Returns true if a session can be resumed by a client that has its events up to this number.
    pub(crate) fn can_resume(&self, session: SessionId, seq: u64) -> bool {
        let replay = self.links.get(&session).and_then(|link| link.replay.as_ref());
        replay.is_some_and(|replay| replay.after(seq).is_some())
    }

    /// Keeps the events of a session that lost its connection until it is resumed.
    pub(crate) fn wait(&mut self, session: SessionId) {
        if let Some(link) = self.links.get_mut(&session) {
            link.away = true;
        }
    }

    /// Resumes a session, and sends it the events after this number.
    pub(crate) fn resume(&mut self, session: SessionId, seq: u64) {
        let Some(link) = self.links.get_mut(&session) else { return };
        link.away = false;
        let Some(replay) = &mut link.replay else { return };
        replay.acknowledge(seq);
        for (seq, event) in replay.after(seq).into_iter().flatten() {
            let event = event.clone();
            self.queue.push_back(Output::Send { session, seq: Some(seq), event });
        }
    }

    /// Forgets the events up to this number, which the client has.
    pub(crate) fn acknowledge(&mut self, session: SessionId, seq: u64) {
        if let Some(replay) = self.links.get_mut(&session).and_then(|link| link.replay.as_mut()) {
            replay.acknowledge(seq);
        }
    }

    /// Returns the number of bytes that are not acknowledged.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.links.values().filter_map(|link| link.replay.as_ref()).map(Replay::weight).sum()
    }

    /// Returns the number of the last event that a session was sent.
    #[cfg(test)]
    pub(crate) fn last_seq(&self, session: SessionId) -> u64 {
        self.links[&session].replay.as_ref().map_or(0, Replay::last)
    }

    /// Sends an event to a session.
    pub(crate) fn send<P: EventPayload>(&mut self, session: SessionId, payload: &P) {
        self.send_event(session, Event::of(payload));
    }

    /// Sends an event to several sessions.
    pub(crate) fn send_to_all<P: EventPayload>(
        &mut self,
        sessions: impl IntoIterator<Item = SessionId>,
        payload: &P,
    ) {
        let event = Event::of(payload);
        sessions.into_iter().for_each(|session| self.send_event(session, event.clone()));
    }

    /// Sends a payload that another member of a call wrote.
    pub(crate) fn relay(&mut self, session: SessionId, name: EventName, data: JsonText) {
        self.send_event(session, Event::new(name.as_str(), data));
    }

    /// Sends a session an event, which may go to others as well.
    pub(crate) fn send_event(&mut self, session: SessionId, event: Event) {
        let Some(link) = self.links.get_mut(&session) else { return };
        let seq = link.replay.as_mut().map(|replay| replay.push(event.clone()));
        if !link.away {
            self.push(Output::Send { session, seq, event });
        }
    }

    /// Sends an event to a side of a call, if it has a session.
    pub(crate) fn send_to<P: EventPayload>(&mut self, call: &Call, role: Role, payload: &P) {
        if let Some(session) = call.party(role).session() {
            self.send(session, payload);
        }
    }

    /// Sends one session the state of a call.
    pub(crate) fn show(&mut self, now: Now, call: &Call, session: SessionId) {
        self.send(session, &CallStateEvent { call_id: call.id(), call: call.record(now) });
    }

    /// Sends everyone in a call its state.
    pub(crate) fn show_to_all(&mut self, now: Now, call: &Call) {
        let event = Event::of(&CallStateEvent { call_id: call.id(), call: call.record(now) });
        for session in call.members() {
            self.send_event(session, event.clone());
        }
    }
}
