//! The hub's tables: who is connected, which calls are live and which are over.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::{Duration, Instant},
};

use callbox_base::ids::{CallId, DeviceId, SessionId, UserId};
use foldhash::fast::RandomState;

use super::{
    CallRecord, CallState, ClientMark, EnumCounts, ErrorCode, RequestError,
    call::{Call, RelayMeter, Step},
    idempotency::AnsweredRequests,
    kept::KeptEnd,
    kicks::TokenMark,
    presence::Watches,
    rate::{Bucket, EventLimit},
    returning::LostDevices,
};
use crate::jwt::Grants;

/// A table in which every request looks something up. Its order is random, so what is shown in an order is
/// sorted first.
pub(super) type Lookup<K, V> = HashMap<K, V, RandomState>;

/// One connection of one device.
#[derive(Debug)]
pub(super) struct Session {
    pub user: UserId,
    pub name: Option<String>,
    /// What its token lets it do.
    pub grants: Grants,
    pub token: TokenMark,
    pub device: DeviceId,
    /// The digest by which its client is recognized if it comes back and does not name its device.
    pub mark: Option<ClientMark>,
    /// When its token expires, in seconds since 1970.
    pub expires: u64,
    /// When it is told that this is near, counted from 1970; none once it has been.
    pub warn_at: Option<Duration>,
    /// When its token is to be looked at.
    pub token_check: Instant,
    pub events: EventLimit,
    /// The users who may not call this one for as long as the session lasts.
    pub blocked: BTreeSet<UserId>,
    /// Until when it can be resumed: it has no connection.
    pub away_until: Option<Instant>,
}

/// A user who is connected or in a call.
#[derive(Debug, Default)]
pub(super) struct User {
    pub devices: BTreeMap<DeviceId, SessionId>,
    /// Live calls the user is a side of, on whichever device.
    pub calls: Vec<CallId>,
    /// How many calls the user may begin, over all sessions. It goes with the entry, so whoever
    /// leaves and comes back has a full one: an entry kept for it would be one more thing that
    /// strangers can pile up, and each full bucket costs them a connection and its token.
    pub call_bucket: Bucket,
    /// What its devices have asked of late.
    pub answered: AnsweredRequests,
    /// Devices that do not say which they are, and have just lost their connections.
    pub lost: LostDevices,
}

/// The users; an entry lasts as long as it says anything.
#[derive(Debug, Default)]
pub(super) struct Users {
    entries: Lookup<UserId, User>,
    /// Who hears of changes.
    pub watches: Watches,
}

impl Users {
    pub fn get(&self, user: &UserId) -> Option<&User> {
        self.entries.get(user)
    }

    /// All of them, ordered by user id.
    pub fn sorted(&self) -> Vec<(&UserId, &User)> {
        let mut users: Vec<_> = self.entries.iter().collect();
        users.sort_unstable_by_key(|(id, _)| *id);
        users
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Live calls of the user. A copy, since they change as they are gone through; a user has few.
    pub fn calls(&self, user: &UserId) -> Vec<CallId> {
        self.get(user).map(|user| user.calls.clone()).unwrap_or_default()
    }

    /// Changes a user's entry; it is made if there is none, and removed if it says nothing.
    pub fn update(&mut self, user: &UserId, change: impl FnOnce(&mut User)) {
        self.watches.touch(user);
        let entry = self.entries.entry(user.clone()).or_default();
        change(entry);
        if entry.devices.is_empty() && entry.calls.is_empty() {
            self.entries.remove(user);
        }
    }
}

/// What is kept in [`Live`].
pub(super) trait HasState {
    fn id(&self) -> CallId;
    /// Only its table changes it, which counts.
    fn state_mut(&mut self) -> &mut CallState;
}

/// The calls, or the rooms, that are not over, and how many are in which state.
#[derive(Debug)]
pub(super) struct Live<T> {
    live: BTreeMap<CallId, T>,
    by_state: EnumCounts<CallState>,
    /// Those that may have changed, if somebody wants to know; some of them twice.
    touched: Option<Vec<CallId>>,
}

/// The calls of two that are not over.
pub(super) type Calls = Live<Call>;

impl<T> Default for Live<T> {
    fn default() -> Self {
        Self { live: BTreeMap::new(), by_state: EnumCounts::default(), touched: None }
    }
}

impl<T: HasState> Live<T> {
    /// Takes note of changes from now on.
    pub fn watch(&mut self) {
        self.touched = Some(Vec::new());
    }

    /// Takes out which may have changed.
    pub fn take_touched(&mut self) -> Vec<CallId> {
        self.touched.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn touch(&mut self, id: CallId) {
        if let Some(touched) = &mut self.touched
            && touched.last() != Some(&id)
        {
            touched.push(id);
        }
    }

    pub fn get(&self, id: CallId) -> Option<&T> {
        self.live.get(&id)
    }

    pub fn get_mut(&mut self, id: CallId) -> Option<&mut T> {
        self.touch(id);
        self.live.get_mut(&id)
    }

    /// The call, for a request that has found it before.
    pub fn find(&mut self, id: CallId) -> Result<&mut T, RequestError> {
        self.get_mut(id).ok_or_else(call_not_found)
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.live.values()
    }

    pub fn len(&self) -> usize {
        self.live.len()
    }

    pub fn by_state(&self) -> &EnumCounts<CallState> {
        &self.by_state
    }

    pub fn insert(&mut self, mut call: T) {
        self.by_state.add(*call.state_mut());
        self.touch(call.id());
        self.live.insert(call.id(), call);
    }

    pub fn remove(&mut self, id: CallId) -> Option<T> {
        let mut call = self.live.remove(&id)?;
        self.touch(id);
        self.by_state.sub(*call.state_mut());
        Some(call)
    }

    /// Makes a step of a call's state; an illegal one changes nothing.
    pub fn step(&mut self, id: CallId, step: Step) -> Result<(), RequestError> {
        self.touch(id);
        let state = self.live.get_mut(&id).ok_or_else(call_not_found)?.state_mut();
        let before = std::mem::replace(state, state.after(step)?);
        self.by_state.add(*state);
        self.by_state.sub(before);
        Ok(())
    }
}

/// The refusal for a call id that says nothing to us.
pub(super) fn call_not_found() -> RequestError {
    RequestError::new(ErrorCode::CallNotFound, "There is no such call.")
}

/// A call that is over. Its allocations may take a moment longer to close.
#[derive(Debug, Clone)]
pub(super) struct EndedCall {
    record: CallRecord,
    pub relay: RelayMeter,
    pub was_connected: bool,
}

impl EndedCall {
    pub fn new(record: CallRecord, relay: RelayMeter, was_connected: bool) -> Self {
        Self { record, relay, was_connected }
    }

    pub fn id(&self) -> CallId {
        self.record.id
    }

    pub fn record(&self) -> CallRecord {
        CallRecord { relay: self.relay.usage(), ..self.record.clone() }
    }

    /// As it is kept until its end is reported.
    pub fn kept(&self) -> KeptEnd {
        KeptEnd { record: self.record(), was_connected: self.was_connected }
    }

    /// Whether somebody accepted it.
    fn was_answered(&self) -> bool {
        self.record.started_at.is_some()
    }

    pub fn was_in_it(&self, user: &UserId) -> bool {
        self.record.participants.iter().any(|participant| participant.user_id == *user)
    }
}

/// The calls that are over and still shown, the oldest first.
///
/// Anybody can begin calls that nobody answers, as fast as they may send, so those have a queue of
/// their own: they push out one another, and never a call that took place.
#[derive(Debug, Default)]
pub(super) struct EndedCalls {
    calls: BTreeMap<CallId, EndedCall>,
    answered: VecDeque<(Instant, CallId)>,
    unanswered: VecDeque<(Instant, CallId)>,
}

/// Which part of the calls that are still shown may be ones that nobody answered: one in so many.
const UNANSWERED_SHARE: usize = 4;

impl EndedCalls {
    pub fn get(&self, id: CallId) -> Option<&EndedCall> {
        self.calls.get(&id)
    }

    pub fn get_mut(&mut self, id: CallId) -> Option<&mut EndedCall> {
        self.calls.get_mut(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &EndedCall> {
        let mut answered = self.answered.iter().peekable();
        let mut unanswered = self.unanswered.iter().peekable();
        let in_order = std::iter::from_fn(move || match (answered.peek(), unanswered.peek()) {
            (Some(one), Some(other)) if other < one => unanswered.next(),
            (Some(_), _) => answered.next(),
            (None, _) => unanswered.next(),
        });
        in_order.filter_map(|(_, id)| self.calls.get(id))
    }

    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// When the oldest is to be forgotten.
    pub fn next_due(&self) -> Option<Instant> {
        let fronts = [self.answered.front(), self.unanswered.front()];
        fronts.into_iter().flatten().map(|(due, _)| *due).min()
    }

    /// Adds a call that is forgotten at `due`, and forgets the oldest of its kind past its kind's
    /// share of `max` calls.
    pub fn insert(&mut self, id: CallId, call: EndedCall, due: Instant, max: usize) {
        let share = max / UNANSWERED_SHARE;
        let (queue, max) = if call.was_answered() {
            (&mut self.answered, max - share)
        } else {
            (&mut self.unanswered, share)
        };
        queue.push_back((due, id));
        self.calls.insert(id, call);
        while queue.len() > max {
            if let Some((_, oldest)) = queue.pop_front() {
                self.calls.remove(&oldest);
            }
        }
    }

    /// Forgets every call whose time is over.
    pub fn forget_until(&mut self, now: Instant) {
        for queue in [&mut self.answered, &mut self.unanswered] {
            while let Some((_, id)) = queue.pop_front_if(|(due, _)| *due <= now) {
                self.calls.remove(&id);
            }
        }
    }
}
