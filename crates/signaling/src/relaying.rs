//! From one member of a call to another, through the journal where that one cannot get it yet.
//!
//! The other side of a call has a session only once a device accepted, and only while that device is
//! connected; so "is there a session" is the whole question of who may get what. A participant of a
//! room has one likewise.

use std::net::IpAddr;

use callbox_base::clock::Now;

use super::{
    ErrorCode, EventName, Hub, JsonText, Output, RequestError,
    call::{DescriptionKind, JournalFull},
    members::{Lane, Member},
    payload::Fields,
    sender::Sender,
    sent::{Candidate, Description, Signed},
    timer::Timer,
};

impl Hub {
    /// Relays the payload of an `ice:candidate`.
    pub(super) fn relay_candidate(
        &mut self,
        now: Now,
        lane: Lane,
        candidate: &Candidate<'_>,
        data: JsonText,
    ) -> Result<(), RequestError> {
        self.announce(lane, || candidate.addresses());
        let to = self.member(lane.to()).and_then(|party| party.session);
        let journal = lane.journal_mut(&mut self.calls, &mut self.rooms);
        let journal = journal.ok_or_else(RequestError::call_not_found)?;
        let Some(to) = to else {
            if journal.keep_candidate(&data, candidate, &self.config) == Err(JournalFull) {
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
            if journal.keep_candidate(&data, candidate, &self.config).is_ok() {
                self.counters.candidates_kept += 1;
                if journal.hold_until.is_none() {
                    let until = now.instant + hold;
                    journal.hold_until = Some(until);
                    self.timers.set(until, Timer::Hold(lane));
                }
                return Ok(());
            }
            // So many have come that their description is not just a moment behind them.
            self.flush(lane);
        }
        if let Some(journal) = lane.journal_mut(&mut self.calls, &mut self.rooms) {
            journal.remember_candidate(&data, &self.config);
        }
        self.outbox.relay(to, EventName::IceCandidate, data);
        self.counters.candidates_relayed += 1;
        Ok(())
    }

    /// Relays the payload of a `signal:offer` or `signal:answer`.
    pub(super) fn relay_description(
        &mut self,
        now: Now,
        lane: Lane,
        kind: DescriptionKind,
        description: &Description<'_>,
        data: JsonText,
    ) -> Result<(), RequestError> {
        self.announce(lane, || description.addresses());
        let to = self.member(lane.to()).and_then(|party| party.session);
        let journal = lane.journal_mut(&mut self.calls, &mut self.rooms);
        let journal = journal.ok_or_else(RequestError::call_not_found)?;
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
        self.counters.candidates_dropped += journal.note_description(description) as u64;
        if let Some(to) = to {
            journal.described = true;
            journal.remember_description(kind, &data, &self.config);
            self.outbox.relay(to, event_name(kind), data);
            self.counters.descriptions_relayed += 1;
            self.flush(lane);
            if kind == DescriptionKind::Answer {
                self.connect(now, lane.from().call());
            }
        }
        Ok(())
    }

    /// Tells the relay which addresses a payload names, if it wants to know. Before the payload is
    /// kept, refused or sent on: once the other side has it, it asks the relay for permissions, and
    /// browsers give a path up that they are refused.
    fn announce(&mut self, lane: Lane, addresses: impl Fn() -> Vec<IpAddr>) {
        if !self.config.announce_peers {
            return;
        }
        let user = |member| self.member(member).map(|party| party.user.clone());
        let (Some(by), Some(to)) = (user(lane.from()), user(lane.to())) else { return };
        let addresses = addresses();
        if !addresses.is_empty() {
            let call = lane.from().call();
            self.outbox.push(Output::PeersAnnounced { call, by, to, addresses });
        }
    }

    /// A payload as others get it.
    pub(super) fn signed(&self, fields: &Fields<'_>, from: Member, sender: &Sender) -> JsonText {
        let room = match from {
            Member::Side(..) => None,
            Member::Participant(call, id) => self.rooms.get(call).map(|room| (&room.name, id)),
        };
        JsonText::of(&Signed { call: from.call(), sender, room, fields })
    }

    /// Whom a lane leads to has come, or come back: it gets what was kept for it.
    pub(super) fn hand_over(&mut self, now: Now, lane: Lane) {
        let Some(journal) = lane.journal_mut(&mut self.calls, &mut self.rooms) else { return };
        let hold = self.config.candidate_hold;
        if journal.may_hand_over() || hold.is_zero() {
            if self.flush(lane) {
                self.connect(now, lane.from().call());
            }
        } else if journal.len() > 0 && journal.hold_until.is_none() {
            let until = now.instant + hold;
            journal.hold_until = Some(until);
            self.timers.set(until, Timer::Hold(lane));
        }
    }

    /// Candidates have been held long enough: they go on without a description.
    pub(super) fn release(&mut self, now: Now, lane: Lane) {
        let Some(journal) = lane.journal_mut(&mut self.calls, &mut self.rooms) else { return };
        journal.hold_until = None;
        if self.flush(lane) {
            self.connect(now, lane.from().call());
        }
    }

    /// Sends everything that was kept, if there is somebody to send it to. Says whether an answer
    /// was in it.
    fn flush(&mut self, lane: Lane) -> bool {
        let Some(to) = self.member(lane.to()).and_then(|party| party.session) else { return false };
        let Some(journal) = lane.journal_mut(&mut self.calls, &mut self.rooms) else {
            return false;
        };
        if let Some(at) = journal.hold_until.take() {
            self.timers.clear(at, Timer::Hold(lane));
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

fn event_name(kind: DescriptionKind) -> EventName {
    match kind {
        DescriptionKind::Offer => EventName::SignalOffer,
        DescriptionKind::Answer => EventName::SignalAnswer,
    }
}
