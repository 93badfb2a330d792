//! One room: its participants, and what waits to be relayed between them.

use std::collections::{BTreeMap, VecDeque};

use callbox_base::{
    clock::{Now, TimerQueue},
    ids::{CallId, DeviceId, ParticipantId, RoomId, SessionId, UserId},
};

use super::Occupant;
use crate::{
    CallRecord, CallState, CallType, EndReason, Participant,
    call::{HasLifecycle, Journal, Lifecycle, Party},
    events::RoomParticipant,
    member::{Lane, Member},
    timer::Timer,
};

/// The largest number of past participants in a room's record: participants may come and go all
/// year.
const MAX_PAST: usize = 32;

/// One life of a room: a call, from the first participant to the last.
#[derive(Debug)]
pub(crate) struct Room {
    lifecycle: Lifecycle,
    name: RoomId,
    participants: BTreeMap<ParticipantId, Occupant>,
    /// The latest participants who left, as they were then.
    past: VecDeque<Participant>,
    /// The journals by sender and receiver.
    journals: BTreeMap<(ParticipantId, ParticipantId), Journal>,
}

impl HasLifecycle for Room {
    fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    fn lifecycle_mut(&mut self) -> &mut Lifecycle {
        &mut self.lifecycle
    }
}

impl Room {
    /// Makes a room without participants.
    pub(crate) fn new(now: Now, id: CallId, name: RoomId, kind: CallType) -> Self {
        Self {
            lifecycle: Lifecycle::begin(now, id, kind, CallState::Initiating),
            name,
            participants: BTreeMap::new(),
            past: VecDeque::new(),
            journals: BTreeMap::new(),
        }
    }

    pub(crate) fn id(&self) -> CallId {
        self.lifecycle.id()
    }

    pub(crate) fn state(&self) -> CallState {
        self.lifecycle.state()
    }

    pub(crate) fn name(&self) -> &RoomId {
        &self.name
    }

    /// Returns the number of participants.
    pub(crate) fn len(&self) -> usize {
        self.participants.len()
    }

    /// Returns the ids of all participants.
    pub(crate) fn ids(&self) -> Vec<ParticipantId> {
        self.participants.keys().copied().collect()
    }

    /// Returns all participants.
    pub(crate) fn parties(&self) -> impl Iterator<Item = (ParticipantId, &Party)> {
        self.participants.iter().map(|(id, occupant)| (*id, occupant.party()))
    }

    pub(crate) fn parties_mut(&mut self) -> impl Iterator<Item = &mut Party> {
        self.participants.values_mut().map(|occupant| occupant.party_mut())
    }

    pub(crate) fn party(&self, id: ParticipantId) -> Option<&Party> {
        self.participants.get(&id).map(|occupant| occupant.party())
    }

    pub(crate) fn party_mut(&mut self, id: ParticipantId) -> Option<&mut Party> {
        self.participants.get_mut(&id).map(|occupant| occupant.party_mut())
    }

    /// Adds a participant.
    pub(crate) fn join(&mut self, id: ParticipantId, occupant: Occupant) {
        self.participants.insert(id, occupant);
    }

    /// Removes a participant with its timers and journals, and remembers it for the record. Returns
    /// the participant, and the number of dropped candidates.
    pub(crate) fn remove(
        &mut self,
        now: Now,
        id: ParticipantId,
        timers: &mut TimerQueue<Timer>,
    ) -> Option<(Party, usize)> {
        let mut occupant = self.participants.remove(&id)?;
        occupant.party_mut().stop_grace(timers, Timer::Grace(Member::Participant(self.id(), id)));
        self.remember(now, id, &occupant);
        let (call, mut dropped) = (self.id(), 0);
        let is_own = |(from, to): &(ParticipantId, ParticipantId)| [*from, *to].contains(&id);
        for ((from, to), mut journal) in self.journals.extract_if(.., |lane, _| is_own(lane)) {
            journal.stop_hold(timers, Timer::Hold(Lane::Between(call, from, to)));
            dropped += journal.len();
        }
        Some((occupant.into_party(), dropped))
    }

    /// Returns the journal from one participant to another, if there is one.
    pub(crate) fn journal(&self, from: ParticipantId, to: ParticipantId) -> Option<&Journal> {
        self.journals.get(&(from, to))
    }

    /// Returns the journal from one participant to another. It is made at its first use.
    pub(crate) fn journal_mut(&mut self, from: ParticipantId, to: ParticipantId) -> &mut Journal {
        self.journals.entry((from, to)).or_default()
    }

    /// Returns the journals by sender and receiver.
    pub(crate) fn journals(
        &self,
    ) -> impl Iterator<Item = ((ParticipantId, ParticipantId), &Journal)> {
        self.journals.iter().map(|(lane, journal)| (*lane, journal))
    }

    /// Returns the participant that a session is.
    pub(crate) fn participant_of(&self, session: SessionId) -> Option<ParticipantId> {
        self.find(|party| party.session() == Some(session))
    }

    /// Returns the participant that a device is, connected or not.
    pub(crate) fn device_of(&self, user: &UserId, device: &DeviceId) -> Option<ParticipantId> {
        self.find(|party| party.user() == user && party.device() == Some(device))
    }

    /// Returns true if a device of the user is in it.
    pub(crate) fn has(&self, user: &UserId) -> bool {
        self.find(|party| party.user() == user).is_some()
    }

    /// Returns the participants that are devices of the user.
    pub(crate) fn devices_of(
        &self,
        user: &UserId,
    ) -> impl Iterator<Item = (ParticipantId, &Party)> {
        let all = self.participants.iter().map(|(id, occupant)| (*id, occupant.party()));
        all.filter(move |(_, party)| party.user() == user)
    }

    fn find(&self, fits: impl Fn(&Party) -> bool) -> Option<ParticipantId> {
        let mut all = self.participants.iter();
        all.find(|(_, occupant)| fits(occupant.party())).map(|(id, _)| *id)
    }

    /// Returns the sessions of all participants.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.participants.values().filter_map(|occupant| occupant.party().session())
    }

    /// Returns the sessions of all participants but one.
    pub(crate) fn sessions_but(&self, id: ParticipantId) -> impl Iterator<Item = SessionId> {
        let others = self.participants.iter().filter(move |(other, _)| **other != id);
        others.filter_map(|(_, occupant)| occupant.party().session())
    }

    /// Returns the others as one participant sees them.
    pub(crate) fn seen_by(&self, id: ParticipantId) -> Vec<RoomParticipant> {
        let others = self.participants.iter().filter(|(other, _)| **other != id);
        others.map(|(id, occupant)| occupant.view(*id)).collect()
    }

    /// Remembers a participant that left, for the record.
    fn remember(&mut self, now: Now, id: ParticipantId, occupant: &Occupant) {
        if self.past.len() == MAX_PAST {
            self.past.pop_front();
        }
        let left_at = Some(self.lifecycle.times().at(now));
        self.past.push_back(Participant { left_at, ..occupant.record(id) });
    }

    /// Returns the record of the room now.
    pub(crate) fn record(&self, now: Now) -> CallRecord {
        let participant = |(id, occupant): (&ParticipantId, &Occupant)| {
            let connected = Some(occupant.party().is_connected());
            Participant { connected, ..occupant.record(*id) }
        };
        CallRecord {
            room_id: Some(self.name.clone()),
            participants: self.participants.iter().map(participant).collect(),
            duration: self.lifecycle.recorded_duration(now),
            ..self.lifecycle.record()
        }
    }

    /// Returns the record that the room has if the server crashes, without the time and the reason
    /// of its end: with everyone who is in it.
    pub(crate) fn record_if_over(&self) -> CallRecord {
        let present = self.participants.iter().map(|(id, occupant)| occupant.record(*id));
        CallRecord {
            room_id: Some(self.name.clone()),
            participants: self.past.iter().cloned().chain(present).collect(),
            ..self.lifecycle.record()
        }
    }

    /// Returns the record of a room that is over: with the latest participants.
    pub(crate) fn final_record(
        &self,
        now: Now,
        reason: EndReason,
        ended_by: Option<UserId>,
    ) -> CallRecord {
        let mut record = self.record(now);
        record.participants = self.past.iter().cloned().collect();
        self.lifecycle.end_record(now, &mut record, reason, ended_by);
        record
    }
}
