//! One device in a room.

use callbox_base::ids::{ParticipantId, UserId};
use serde_json::value::RawValue;

use crate::{Participant, Timestamp, call::Party, events::RoomParticipant};

/// One device in a room.
#[derive(Debug)]
pub(crate) struct Occupant {
    party: Party,
    joined: Timestamp,
    /// The metadata that it shows to the others.
    metadata: Option<Box<RawValue>>,
}

impl Occupant {
    /// Makes the participant that a device is.
    pub(crate) fn new(party: Party, joined: Timestamp, metadata: Option<Box<RawValue>>) -> Self {
        Self { party, joined, metadata }
    }

    pub(crate) fn user(&self) -> &UserId {
        self.party.user()
    }

    pub(crate) fn party(&self) -> &Party {
        &self.party
    }

    pub(crate) fn party_mut(&mut self) -> &mut Party {
        &mut self.party
    }

    pub(crate) fn into_party(self) -> Party {
        self.party
    }

    /// Returns the participant as the others see it.
    pub(crate) fn view(&self, id: ParticipantId) -> RoomParticipant {
        RoomParticipant {
            participant_id: id,
            user_id: self.party.user().clone(),
            name: self.party.name().cloned(),
            device_id: self.party.device().cloned(),
            connected: !self.party.is_lost(),
            media: self.party.announced_media(),
            metadata: self.metadata.clone(),
        }
    }

    /// Returns the record of the participant, without the state of its connection.
    pub(crate) fn record(&self, id: ParticipantId) -> Participant {
        Participant {
            participant_id: Some(id),
            joined_at: Some(self.joined),
            ..self.party.record()
        }
    }
}
