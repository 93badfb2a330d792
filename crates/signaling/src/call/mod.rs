//! One call: its sides, its state and what waits to be relayed.

mod journal;
mod live;
mod media;
mod record;
mod state;
mod times;

use std::{
    collections::BTreeMap,
    ops::{Index, IndexMut},
    time::Duration,
};

use callbox_base::{
    clock::Now,
    ids::{CallId, DeviceId, SessionId, UserId},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{CallType, EndReason, Timestamp, deadline::Deadline, wire_enums::wire_enum};
pub(super) use journal::{DescriptionKind, Journal, JournalFull, JournalOf};
pub(super) use live::{Calls, HasState, Live};
pub use media::{CallStats, Media, Path};
pub use record::{CallRecord, Participant};
pub(super) use record::{RelayMeter, seconds};
pub use state::CallState;
pub(super) use state::Step;
pub(super) use times::Times;

wire_enum! {
    /// A side of a call.
    pub enum Role {
        /// The one who called.
        Caller = "caller",
        /// The one who is called.
        Callee = "callee",
    }
}

impl Role {
    /// Returns the other side.
    pub fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

/// A pair with a value for each side.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct PerRole<T> {
    pub caller: T,
    pub callee: T,
}

impl<T> Index<Role> for PerRole<T> {
    type Output = T;
    fn index(&self, role: Role) -> &T {
        match role {
            Role::Caller => &self.caller,
            Role::Callee => &self.callee,
        }
    }
}

impl<T> IndexMut<Role> for PerRole<T> {
    fn index_mut(&mut self, role: Role) -> &mut T {
        match role {
            Role::Caller => &mut self.caller,
            Role::Callee => &mut self.callee,
        }
    }
}

/// One side of a call, or one participant of a room.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Party {
    pub user: UserId,
    pub name: Option<String>,
    /// The device in the call: of the callee, the one that accepted.
    pub device: Option<DeviceId>,
    /// The session of that device, while it has one.
    #[serde(skip)]
    pub session: Option<SessionId>,
    /// The end of the reconnect grace, while the device has no connection.
    #[serde(skip)]
    pub grace: Deadline,
    /// True if its device came back with a new session, which has said nothing about the call yet.
    #[serde(skip)]
    pub unclaimed: bool,
    /// True if it said that its media stopped.
    pub media_lost: bool,
    /// The media that it says it sends.
    pub media: Media,
    /// The quality that it measured last.
    pub stats: Option<CallStats>,
}

impl Party {
    /// Makes a party without a device in the call.
    pub fn new(user: UserId, name: Option<String>) -> Self {
        Self {
            user,
            name,
            device: None,
            session: None,
            grace: Deadline::default(),
            unclaimed: false,
            media_lost: false,
            media: Media::default(),
            stats: None,
        }
    }

    /// Returns true if its device has a connection to the server.
    pub fn is_connected(&self) -> bool {
        self.session.is_some() && !self.grace.is_set()
    }

    /// Returns the media that it says it sends, unless that is the default.
    pub fn told_media(&self) -> Option<Media> {
        (self.media != Media::default()).then_some(self.media)
    }

    /// Returns the record of the party, without its role in the call.
    pub fn record(&self) -> Participant {
        Participant {
            user_id: self.user.clone(),
            participant_id: None,
            name: self.name.clone(),
            role: None,
            device_id: self.device.clone(),
            joined_at: None,
            left_at: None,
            connected: None,
            media: self.told_media(),
            stats: self.stats,
        }
    }

    /// Returns true if the call waits for this side: for its connection or for its media.
    pub fn is_lost(&self) -> bool {
        self.grace.is_set() || self.media_lost
    }
}

/// A device that received the call and may accept it.
#[derive(Debug)]
pub(super) struct RingingDevice {
    pub session: SessionId,
    /// True if it said that it alerts its user.
    pub alerting: bool,
}

impl RingingDevice {
    pub fn new(session: SessionId) -> Self {
        Self { session, alerting: false }
    }
}

/// The hand-over of a side of a call to another device of its user, which rings.
#[derive(Debug)]
pub(super) struct Transfer {
    /// The side that is handed over.
    pub role: Role,
    /// The device that is to be the side.
    pub device: DeviceId,
    pub ringing: RingingDevice,
    /// The time until which it rings.
    pub until: Now,
    /// True if the device before has left, so that the call ends if the new one does not take it.
    pub alone: bool,
}

/// The involvement of a session in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Involvement {
    /// It is a side of the call.
    Side(Role),
    /// It is a device of the callee that rings.
    Ringing,
    /// It is a device that rings, since this side is transferred to it.
    Offered(Role),
}

/// A call of two that is not over.
#[derive(Debug)]
pub(super) struct Call {
    pub id: CallId,
    pub kind: CallType,
    /// The metadata that the caller sent along.
    pub metadata: Option<Box<RawValue>>,
    state: CallState,
    pub times: Times,
    /// The time until which it rings.
    pub ring_until: Now,
    /// The time until which it waits for the decision whether to hold it for a device.
    pub hold_decision: Deadline,
    pub parties: PerRole<Party>,
    /// The callee's devices that ring, before the accept; empty after it.
    pub ringing: BTreeMap<DeviceId, RingingDevice>,
    /// The journal of each side's payloads.
    pub journals: PerRole<Journal>,
    pub relay: RelayMeter,
    /// The transfer of a side to another device, while that rings.
    pub transfer: Option<Transfer>,
    /// True if a side has changed its device, and media does not flow yet.
    pub moved: bool,
    /// The upgrade that a side asks for, while the other has not answered.
    pub upgrade: Option<(Role, CallType)>,
    /// The next refresh of the relay credentials of both sides, once it is accepted.
    pub credential_refresh: Deadline,
    /// True if the server of the call crashed, and neither side has come back since.
    pub orphaned: bool,
}

impl HasState for Call {
    fn id(&self) -> CallId {
        self.id
    }

    fn state_mut(&mut self) -> &mut CallState {
        &mut self.state
    }
}

impl Call {
    /// Makes a call that has not begun.
    pub fn new(
        now: Now,
        id: CallId,
        kind: CallType,
        metadata: Option<Box<RawValue>>,
        parties: PerRole<Party>,
        ring_for: Duration,
    ) -> Self {
        Self {
            id,
            kind,
            metadata,
            state: CallState::Idle,
            times: Times::begin(now),
            ring_until: now + ring_for,
            hold_decision: Deadline::default(),
            parties,
            ringing: BTreeMap::new(),
            journals: PerRole::default(),
            relay: RelayMeter::default(),
            transfer: None,
            moved: false,
            upgrade: None,
            credential_refresh: Deadline::default(),
            orphaned: false,
        }
    }

    /// Returns the call in the state that it had when it was kept.
    pub fn in_state(self, state: CallState) -> Self {
        Self { state, ..self }
    }

    /// Returns its state.
    pub fn state(&self) -> CallState {
        self.state
    }

    /// Returns true if media is interrupted: a side is lost, or its new device has no media yet.
    pub fn is_interrupted(&self) -> bool {
        self.moved || self.parties.caller.is_lost() || self.parties.callee.is_lost()
    }

    /// Returns the involvement of a session in this call.
    pub fn involvement_of(&self, session: SessionId) -> Option<Involvement> {
        let is = |party: &Party| party.session == Some(session);
        if is(&self.parties.caller) {
            Some(Involvement::Side(Role::Caller))
        } else if is(&self.parties.callee) {
            Some(Involvement::Side(Role::Callee))
        } else if self.ringing.values().any(|device| device.session == session) {
            Some(Involvement::Ringing)
        } else {
            let transfer = self.transfer.as_ref();
            let offered = transfer.filter(|transfer| transfer.ringing.session == session);
            offered.map(|transfer| Involvement::Offered(transfer.role))
        }
    }

    /// Returns the side that the user is. Nobody is both, since users cannot call themselves.
    pub fn role_of(&self, user: &UserId) -> Option<Role> {
        if self.parties.caller.user == *user {
            Some(Role::Caller)
        } else if self.parties.callee.user == *user {
            Some(Role::Callee)
        } else {
            None
        }
    }

    /// Returns true if it is for this user, and nobody has accepted it.
    pub fn rings_at(&self, user: &UserId) -> bool {
        !self.state.is_accepted() && self.parties.callee.user == *user
    }

    /// Returns every session that is involved in this call.
    pub fn members(&self) -> impl Iterator<Item = SessionId> {
        [self.parties.caller.session, self.parties.callee.session]
            .into_iter()
            .flatten()
            .chain(self.ringing.values().map(|device| device.session))
            .chain(self.transfer.as_ref().map(|transfer| transfer.ringing.session))
    }

    /// Returns the time until which it rings, before the accept or at the device that it is transferred to.
    pub fn expires_at(&self) -> Timestamp {
        let until = self.transfer.as_ref().map_or(self.ring_until, |transfer| transfer.until);
        Timestamp(until.unix)
    }

    /// Returns the time since it was accepted.
    pub fn duration(&self, now: Now) -> Duration {
        self.times.duration(now)
    }

    /// Returns the record of the call now.
    pub fn record(&self, now: Now) -> CallRecord {
        let participant = |role: Role| {
            let party = &self.parties[role];
            let rings = role == Role::Callee && !self.ringing.is_empty();
            let connected = Some(party.is_connected() || rings);
            Participant { role: Some(role), connected, ..party.record() }
        };
        CallRecord {
            id: self.id,
            room_id: None,
            state: self.state,
            kind: self.kind,
            participants: vec![participant(Role::Caller), participant(Role::Callee)],
            created_at: Timestamp(self.times.created()),
            started_at: self.times.started().map(Timestamp),
            ended_at: None,
            duration: self.times.started().map(|_| seconds(self.duration(now))),
            reason: None,
            ended_by: None,
            relay: self.relay.usage(),
        }
    }

    /// Returns the record of the call that ends now.
    pub fn final_record(
        &self,
        now: Now,
        reason: EndReason,
        ended_by: Option<UserId>,
    ) -> CallRecord {
        let mut record = self.record(now);
        record.end(self.times.at(now), reason, ended_by);
        record.duration = Some(seconds(self.duration(now)));
        record
    }
}
