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

/// One of something for each side.
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
    /// That device's session, while it has one.
    #[serde(skip)]
    pub session: Option<SessionId>,
    /// The end of the reconnect grace, while the device has no connection.
    #[serde(skip)]
    pub grace: Deadline,
    /// True if its device came back with a new session, which has said nothing about the call yet.
    #[serde(skip)]
    pub unclaimed: bool,
    /// Whether it said that its media stopped.
    pub media_lost: bool,
    /// What it says that it sends.
    pub media: Media,
    /// How it says that the call goes.
    pub stats: Option<CallStats>,
}

impl Party {
    /// A user who has no device in the call yet.
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

    /// Whether its device has a connection to the server.
    pub fn is_connected(&self) -> bool {
        self.session.is_some() && !self.grace.is_set()
    }

    /// What it says that it sends, if it is anything out of the ordinary.
    pub fn told_media(&self) -> Option<Media> {
        (self.media != Media::default()).then_some(self.media)
    }

    /// The party as it is shown, with nothing of its place in the call.
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

    /// Whether the call waits for this side, for one reason or the other.
    pub fn is_lost(&self) -> bool {
        self.grace.is_set() || self.media_lost
    }
}

/// A device that got the call and may accept it.
#[derive(Debug)]
pub(super) struct RingingDevice {
    pub session: SessionId,
    /// Whether it said that it alerts its user.
    pub alerting: bool,
}

impl RingingDevice {
    pub fn new(session: SessionId) -> Self {
        Self { session, alerting: false }
    }
}

/// A side hands the call to another device of its user, which rings.
#[derive(Debug)]
pub(super) struct Transfer {
    /// Whose side.
    pub role: Role,
    /// To which device.
    pub device: DeviceId,
    pub ringing: RingingDevice,
    /// Until when it rings.
    pub until: Now,
    /// True if the device that hands the call on has left: without the new one the call is over.
    pub alone: bool,
}

/// What a session is to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A side of it.
    Party(Role),
    /// A device of the callee that rings.
    Ringing,
    /// A device that rings because this side hands the call to it.
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
    /// Until when it rings.
    pub ring_until: Now,
    /// The time until which it waits for the decision whether to hold it for a device.
    pub hold_decision: Deadline,
    pub parties: PerRole<Party>,
    /// The callee's devices that have it, before the accept; empty after it.
    pub ringing: BTreeMap<DeviceId, RingingDevice>,
    /// What each side sent and the other could not get yet.
    pub journals: PerRole<Journal>,
    pub relay: RelayMeter,
    /// A side is about to change its device.
    pub transfer: Option<Transfer>,
    /// A side has changed its device, and media does not flow yet.
    pub moved: bool,
    /// Which side wants the call to be of which type.
    pub upgrade: Option<(Role, CallType)>,
    /// The next refresh of the relay credentials of both sides, once it is accepted.
    pub credential_refresh: Deadline,
    /// True if its server crashed, and neither side has come back since.
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
    /// A call that has not begun.
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

    /// The call as one that was in this state when it was saved.
    pub fn in_state(self, state: CallState) -> Self {
        Self { state, ..self }
    }

    /// Where it stands.
    pub fn state(&self) -> CallState {
        self.state
    }

    /// Whether media waits: for a side that was in the call, or for the new device of one.
    pub fn is_interrupted(&self) -> bool {
        self.moved || self.parties.caller.is_lost() || self.parties.callee.is_lost()
    }

    /// What the session is to this call.
    pub fn place_of(&self, session: SessionId) -> Option<Place> {
        let is = |party: &Party| party.session == Some(session);
        if is(&self.parties.caller) {
            Some(Place::Party(Role::Caller))
        } else if is(&self.parties.callee) {
            Some(Place::Party(Role::Callee))
        } else if self.ringing.values().any(|device| device.session == session) {
            Some(Place::Ringing)
        } else {
            let transfer = self.transfer.as_ref();
            let offered = transfer.filter(|transfer| transfer.ringing.session == session);
            offered.map(|transfer| Place::Offered(transfer.role))
        }
    }

    /// Which side the user is. Nobody is both: no one can call themselves.
    pub fn role_of(&self, user: &UserId) -> Option<Role> {
        if self.parties.caller.user == *user {
            Some(Role::Caller)
        } else if self.parties.callee.user == *user {
            Some(Role::Callee)
        } else {
            None
        }
    }

    /// Returns true if it is for this user, and nobody has taken it.
    pub fn rings_at(&self, user: &UserId) -> bool {
        !self.state.is_accepted() && self.parties.callee.user == *user
    }

    /// Every session that hears of this call.
    pub fn members(&self) -> impl Iterator<Item = SessionId> {
        [self.parties.caller.session, self.parties.callee.session]
            .into_iter()
            .flatten()
            .chain(self.ringing.values().map(|device| device.session))
            .chain(self.transfer.as_ref().map(|transfer| transfer.ringing.session))
    }

    /// Until when it rings, as payloads have it: before the accept, or at the device that a side
    /// hands it to.
    pub fn expires_at(&self) -> Timestamp {
        let until = self.transfer.as_ref().map_or(self.ring_until, |transfer| transfer.until);
        Timestamp(until.unix)
    }

    /// For how long it has gone on since it was accepted.
    pub fn duration(&self, now: Now) -> Duration {
        self.times.duration(now)
    }

    /// The call as it is shown.
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

    /// The call as it is shown once it is over.
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
