//! One room: its participants, and what waits to be relayed between them.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use callbox_base::{
    clock::Now,
    ids::{CallId, DeviceId, ParticipantId, RoomId, SessionId, UserId},
};
use serde_json::value::RawValue;

use crate::{
    CallRecord, CallState, CallType, EndReason, Participant, Timestamp,
    call::HasState,
    call::{Journal, Party, RelayMeter, Times, seconds},
    deadline::Deadline,
    events::RoomParticipant,
};

/// The largest number of past participants in a room's record: participants may come and go all year.
const MAX_PAST: usize = 32;

/// One device in a room.
#[derive(Debug)]
pub(crate) struct Occupant {
    pub party: Party,
    pub joined: Timestamp,
    /// The metadata that it shows to the others.
    pub metadata: Option<Box<RawValue>>,
}

/// One life of a room: a call, from the first participant to the last.
#[derive(Debug)]
pub(crate) struct Room {
    pub id: CallId,
    pub name: RoomId,
    pub kind: CallType,
    state: CallState,
    pub times: Times,
    pub participants: BTreeMap<ParticipantId, Occupant>,
    /// The latest participants who left, as they were then.
    past: VecDeque<Participant>,
    /// The journals by sender and receiver.
    pub journals: BTreeMap<(ParticipantId, ParticipantId), Journal>,
    pub relay: RelayMeter,
    /// The next refresh of everyone's relay credentials.
    pub credential_refresh: Deadline,
}

impl HasState for Room {
    fn id(&self) -> CallId {
        self.id
    }

    fn state_mut(&mut self) -> &mut CallState {
        &mut self.state
    }
}

impl Room {
    /// Makes a room without participants.
    pub fn new(now: Now, id: CallId, name: RoomId, kind: CallType) -> Self {
        Self {
            id,
            name,
            kind,
            state: CallState::Initiating,
            times: Times::begin(now),
            participants: BTreeMap::new(),
            past: VecDeque::new(),
            journals: BTreeMap::new(),
            relay: RelayMeter::default(),
            credential_refresh: Deadline::default(),
        }
    }

    /// Returns its state.
    pub fn state(&self) -> CallState {
        self.state
    }

    /// Returns the participant that a session is.
    pub fn participant_of(&self, session: SessionId) -> Option<ParticipantId> {
        self.find(|party| party.session == Some(session))
    }

    /// Returns the participant that a device is, connected or not.
    pub fn device_of(&self, user: &UserId, device: &DeviceId) -> Option<ParticipantId> {
        self.find(|party| party.user == *user && party.device.as_ref() == Some(device))
    }

    /// Returns true if a device of the user is in it.
    pub fn has(&self, user: &UserId) -> bool {
        self.find(|party| party.user == *user).is_some()
    }

    /// Returns the participants that are devices of the user.
    pub fn devices_of(&self, user: &UserId) -> impl Iterator<Item = (ParticipantId, &Party)> {
        let all = self.participants.iter().map(|(id, occupant)| (*id, &occupant.party));
        all.filter(move |(_, party)| party.user == *user)
    }

    fn find(&self, fits: impl Fn(&Party) -> bool) -> Option<ParticipantId> {
        let mut all = self.participants.iter();
        all.find(|(_, occupant)| fits(&occupant.party)).map(|(id, _)| *id)
    }

    /// Returns the sessions of all participants.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.participants.values().filter_map(|occupant| occupant.party.session)
    }

    /// Returns the sessions of all participants but one.
    pub fn sessions_but(&self, id: ParticipantId) -> impl Iterator<Item = SessionId> {
        let others = self.participants.iter().filter(move |(other, _)| **other != id);
        others.filter_map(|(_, occupant)| occupant.party.session)
    }

    /// Returns the others as one participant sees them.
    pub fn seen_by(&self, id: ParticipantId) -> Vec<RoomParticipant> {
        let others = self.participants.iter().filter(|(other, _)| **other != id);
        others.map(|(id, occupant)| occupant.shown(*id)).collect()
    }

    /// Remembers a participant that left, for the record.
    pub fn remember(&mut self, now: Now, id: ParticipantId, occupant: &Occupant) {
        if self.past.len() == MAX_PAST {
            self.past.pop_front();
        }
        let left_at = Some(self.times.at(now));
        self.past.push_back(Participant { left_at, ..occupant.record(id) });
    }

    /// Returns the time since a second participant came.
    pub fn duration(&self, now: Now) -> Duration {
        self.times.duration(now)
    }

    /// Returns the record of the room now.
    pub fn record(&self, now: Now) -> CallRecord {
        let participant = |(id, occupant): (&ParticipantId, &Occupant)| {
            let connected = Some(occupant.party.is_connected());
            Participant { connected, ..occupant.record(*id) }
        };
        CallRecord {
            id: self.id,
            room_id: Some(self.name.clone()),
            state: self.state,
            kind: self.kind,
            participants: self.participants.iter().map(participant).collect(),
            created_at: Timestamp(self.times.created()),
            started_at: self.times.started().map(Timestamp),
            ended_at: None,
            duration: self.times.started().map(|_| seconds(self.duration(now))),
            reason: None,
            ended_by: None,
            relay: self.relay.usage(),
        }
    }

    /// Returns the record that the room has if it ends now, without the time and the reason: with everyone
    /// who is in it.
    pub fn record_if_over(&self) -> CallRecord {
        let present = self.participants.iter().map(|(id, occupant)| occupant.record(*id));
        let participants = self.past.iter().cloned().chain(present).collect();
        CallRecord {
            id: self.id,
            room_id: Some(self.name.clone()),
            state: self.state,
            kind: self.kind,
            participants,
            created_at: Timestamp(self.times.created()),
            started_at: self.times.started().map(Timestamp),
            ended_at: None,
            duration: None,
            reason: None,
            ended_by: None,
            relay: self.relay.usage(),
        }
    }

    /// Returns the record of a room that is over: with the latest participants.
    pub fn final_record(
        &self,
        now: Now,
        reason: EndReason,
        ended_by: Option<UserId>,
    ) -> CallRecord {
        let mut record = self.record(now);
        record.participants = self.past.iter().cloned().collect();
        record.duration = Some(seconds(self.duration(now)));
        record.end(self.times.at(now), reason, ended_by);
        record
    }
}

impl Occupant {
    /// Returns the participant as the others see it.
    pub fn shown(&self, id: ParticipantId) -> RoomParticipant {
        RoomParticipant {
            participant_id: id,
            user_id: self.party.user.clone(),
            name: self.party.name.clone(),
            device_id: self.party.device.clone(),
            connected: !self.party.is_lost(),
            media: self.party.told_media(),
            metadata: self.metadata.clone(),
        }
    }

    fn record(&self, id: ParticipantId) -> Participant {
        Participant {
            participant_id: Some(id),
            joined_at: Some(self.joined),
            ..self.party.record()
        }
    }
}
