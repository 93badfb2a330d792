//! From one side of a call to the other, through the journal where that side cannot get it yet.
//!
//! The other side has a session only once a device accepted, and only while that device is
//! connected; so "is there a session" is the whole question of who may get what.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{
    ErrorCode, EventName, Hub, Output, RequestError,
    call::{DescriptionKind, JournalFull, Role},
    hub::Timer,
    named,
    requests::Sender,
};
use crate::{clock::Now, ids::CallId};

impl Hub {
    /// Relays the payload of an `ice:candidate`.
    pub(super) fn relay_candidate(
        &mut self,
        now: Now,
        id: CallId,
        from: Role,
        data: Value,
    ) -> Result<(), RequestError> {
        self.announce(id, from, named::in_candidate, &data);
        let call = self.calls.find(id)?;
        let journal = &mut call.journals[from];
        let Some(to) = call.parties[from.other()].session else {
            if journal.keep_candidate(&data, &self.config) == Err(JournalFull) {
                self.counters.candidates_refused += 1;
                return Err(RequestError::new(
                    ErrorCode::TooManyCandidates,
                    "The other side cannot get candidates yet, and no more of them are kept.",
                ));
            }
            self.counters.candidates_kept += 1;
            return Ok(());
        };
        let hold = self.config.candidate_hold;
        if !journal.described && !hold.is_zero() {
            if journal.keep_candidate(&data, &self.config).is_ok() {
                self.counters.candidates_kept += 1;
                if journal.hold_until.is_none() {
                    let until = now.instant + hold;
                    journal.hold_until = Some(until);
                    self.timers.set(until, Timer::Hold(id, from));
                }
                return Ok(());
            }
            // So many have come that their description is not just a moment behind them.
            self.flush(id, from);
        }
        if let Some(call) = self.calls.get_mut(id) {
            call.journals[from].remember_candidate(&data, &self.config);
        }
        self.outbox.relay(to, EventName::IceCandidate, data);
        self.counters.candidates_relayed += 1;
        Ok(())
    }

    /// Relays the payload of a `signal:offer` or `signal:answer`.
    pub(super) fn relay_description(
        &mut self,
        now: Now,
        id: CallId,
        from: Role,
        kind: DescriptionKind,
        data: Value,
    ) -> Result<(), RequestError> {
        self.announce(id, from, named::in_description, &data);
        let call = self.calls.find(id)?;
        let journal = &mut call.journals[from];
        let to = call.parties[from.other()].session;
        if to.is_none() && journal.keep_description(kind, &data, &self.config) == Err(JournalFull) {
            return Err(RequestError::new(
                ErrorCode::PayloadTooLarge,
                format!(
                    "The description has more than {} bytes, and the other side cannot get it yet.",
                    self.config.journal_bytes
                ),
            ));
        }
        journal.offered |= kind == DescriptionKind::Offer;
        self.counters.candidates_dropped += journal.note_description(&data) as u64;
        if let Some(to) = to {
            journal.described = true;
            journal.remember_description(kind, &data, &self.config);
            self.outbox.relay(to, event_name(kind), data);
            self.counters.descriptions_relayed += 1;
            self.flush(id, from);
            if kind == DescriptionKind::Answer {
                self.connect(now, id);
            }
        }
        Ok(())
    }

    /// Tells the relay which addresses a payload names, if it wants to know. Before the payload is
    /// kept, refused or sent on: once the other side has it, it asks the relay for permissions, and
    /// browsers give a path up that they are refused.
    fn announce(
        &mut self,
        call: CallId,
        from: Role,
        named_in: impl Fn(&Value) -> Vec<IpAddr>,
        data: &Value,
    ) {
        if !self.config.announce_peers {
            return;
        }
        let Some(by) = self.calls.get(call).map(|call| call.parties[from].user.clone()) else {
            return;
        };
        let addresses = named_in(data);
        if !addresses.is_empty() {
            self.outbox.push(Output::PeersAnnounced { call, by, addresses });
        }
    }

    /// The other side of `from` has come, or come back: it gets what was kept for it.
    pub(super) fn hand_over(&mut self, now: Now, id: CallId, from: Role) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let journal = &mut call.journals[from];
        let hold = self.config.candidate_hold;
        if journal.may_hand_over() || hold.is_zero() {
            if self.flush(id, from) {
                self.connect(now, id);
            }
        } else if journal.len() > 0 && journal.hold_until.is_none() {
            let until = now.instant + hold;
            journal.hold_until = Some(until);
            self.timers.set(until, Timer::Hold(id, from));
        }
    }

    /// Candidates have been held long enough: they go on without a description.
    pub(super) fn release(&mut self, now: Now, id: CallId, from: Role) {
        let Some(call) = self.calls.get_mut(id) else { return };
        call.journals[from].hold_until = None;
        if self.flush(id, from) {
            self.connect(now, id);
        }
    }

    /// Sends everything that was kept, if there is somebody to send it to. Says whether an answer
    /// was in it.
    fn flush(&mut self, id: CallId, from: Role) -> bool {
        let Some(call) = self.calls.get_mut(id) else { return false };
        let Some(to) = call.parties[from.other()].session else { return false };
        let journal = &mut call.journals[from];
        if let Some(at) = journal.hold_until.take() {
            self.timers.clear(at, Timer::Hold(id, from));
        }
        let kept = journal.hand_over();
        for (kind, data) in &kept.descriptions {
            journal.remember_description(*kind, data, &self.config);
        }
        for data in &kept.candidates {
            journal.remember_candidate(data, &self.config);
        }
        journal.described |= !kept.descriptions.is_empty();
        self.counters.descriptions_relayed += kept.descriptions.len() as u64;
        self.counters.candidates_relayed += kept.candidates.len() as u64;
        let answered = kept.descriptions.iter().any(|(kind, _)| *kind == DescriptionKind::Answer);
        for (kind, data) in kept.descriptions {
            self.outbox.relay(to, event_name(kind), data);
        }
        for data in kept.candidates {
            self.outbox.relay(to, EventName::IceCandidate, data);
        }
        answered
    }
}

/// A payload, which is an object, as the other side gets it: what the sender wrote, and who that
/// is. What the sender wrote in these fields does not count.
pub(super) fn signed(mut data: Value, id: CallId, sender: &Sender) -> Value {
    data["callId"] = json!(id);
    data["from"] = json!(sender.user);
    data["fromDevice"] = json!(sender.device);
    data
}

fn event_name(kind: DescriptionKind) -> EventName {
    match kind {
        DescriptionKind::Offer => EventName::SignalOffer,
        DescriptionKind::Answer => EventName::SignalAnswer,
    }
}
