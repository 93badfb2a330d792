//! The users who are connected or in a call.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use callbox_base::ids::{CallId, DeviceId, SessionId, UserId};

use super::{
    Answer, ClientMark, PresenceStatus,
    events::PresenceChangedEvent,
    hash_table::Lookup,
    idempotency::{AnsweredRequests, MessageId},
    lost_devices::{LostDevice, LostDevices},
    rate::Bucket,
    watches::Watches,
};
use crate::jwt::Grants;

/// A user who is connected or in a call.
#[derive(Debug, Default)]
pub(super) struct User {
    /// The session of each device.
    devices: BTreeMap<DeviceId, SessionId>,
    /// The live calls that the user is a side of, on whichever device.
    calls: Vec<CallId>,
    /// The calls that the user may begin, over all sessions. The bucket goes with the entry, so
    /// that a user who leaves and comes back has a full one: an entry kept for it would be one more
    /// thing that strangers can pile up, and each full bucket costs them a connection and its
    /// token.
    call_bucket: Bucket,
    /// The latest requests of the user's devices, with their answers.
    answered: AnsweredRequests,
    /// The devices that do not name themselves and have just lost their connections.
    lost: LostDevices,
}

impl User {
    /// Returns the devices with their sessions.
    pub(crate) fn devices(&self) -> &BTreeMap<DeviceId, SessionId> {
        &self.devices
    }

    /// Returns the live calls.
    pub(crate) fn calls(&self) -> &[CallId] {
        &self.calls
    }

    /// Returns the answer to a request if it was made before.
    pub(crate) fn answer_to(&self, request: &MessageId) -> Option<&Answer> {
        self.answered.find(request)
    }
}

/// The users, and the watchers of their presence. An entry lasts as long as the user has a device
/// or a call.
#[derive(Debug, Default)]
pub(super) struct Users {
    entries: Lookup<UserId, User>,
    watches: Watches,
}

impl Users {
    pub(crate) fn get(&self, user: &UserId) -> Option<&User> {
        self.entries.get(user)
    }

    /// Returns all users in the order of their ids.
    pub(crate) fn sorted(&self) -> Vec<(&UserId, &User)> {
        let mut users: Vec<_> = self.entries.iter().collect();
        users.sort_unstable_by_key(|(id, _)| *id);
        users
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the live calls of a user.
    pub(crate) fn calls(&self, user: &UserId) -> &[CallId] {
        self.get(user).map_or(&[], User::calls)
    }

    /// Returns the sessions of a user.
    pub(crate) fn sessions(&self, user: &UserId) -> impl Iterator<Item = SessionId> {
        self.get(user).into_iter().flat_map(|user| user.devices.values().copied())
    }

    /// Returns the session of a device.
    pub(crate) fn session_on(&self, user: &UserId, device: &DeviceId) -> Option<SessionId> {
        self.get(user)?.devices.get(device).copied()
    }

    /// Makes a session that of a device, which replaces the one before.
    pub(crate) fn attach(&mut self, user: &UserId, device: &DeviceId, session: SessionId) {
        self.update(user, |entry| {
            entry.devices.insert(device.clone(), session);
            entry.lost.remove(device);
        });
    }

    /// Removes a session of a device, unless the device has another one by now.
    pub(crate) fn detach(&mut self, user: &UserId, device: &DeviceId, session: SessionId) {
        self.watches.forget(session);
        self.update(user, |entry| {
            if entry.devices.get(device) == Some(&session) {
                entry.devices.remove(device);
            }
        });
    }

    /// Adds a live call of a user.
    pub(crate) fn add_call(&mut self, user: &UserId, call: CallId) {
        self.update(user, |entry| entry.calls.push(call));
    }

    /// Removes a call of a user.
    pub(crate) fn remove_call(&mut self, user: &UserId, call: CallId) {
        self.update(user, |entry| entry.calls.retain(|known| *known != call));
    }

    /// Counts a call that a user begins. `interval` is the time between two calls in the long run.
    ///
    /// # Errors
    /// The time until the next call, if the user calls too often.
    pub(crate) fn count_call(
        &mut self,
        user: &UserId,
        now: Instant,
        interval: Duration,
        burst: u32,
    ) -> Result<(), Duration> {
        let mut taken = Ok(());
        self.update(user, |entry| taken = entry.call_bucket.take(now, interval, burst));
        taken
    }

    /// Remembers the answer to a request of a user.
    pub(crate) fn remember_answer(&mut self, user: &UserId, request: MessageId, answer: Answer) {
        self.update(user, |entry| entry.answered.remember(request, answer));
    }

    /// Remembers a device that lost its connection and may come back without a name.
    pub(crate) fn add_lost(&mut self, user: &UserId, lost: LostDevice, now: Instant, max: usize) {
        self.update(user, |entry| entry.lost.add(lost, now, max));
    }

    /// Returns the device of a client that names none, if it is recognized by its mark.
    pub(crate) fn recognize(
        &self,
        user: &UserId,
        mark: ClientMark,
        now: Instant,
    ) -> Option<&DeviceId> {
        self.get(user)?.lost.only_with(mark, now)
    }

    /// Marks a user whose presence may have changed.
    pub(crate) fn touch(&mut self, user: &UserId) {
        self.watches.touch(user);
    }

    /// Takes out the next user whose presence may have changed.
    pub(crate) fn pop_touched(&mut self) -> Option<UserId> {
        self.watches.pop_touched()
    }

    /// Records the presence of a user. Returns the watchers if it differs from what was published.
    pub(crate) fn update_presence(
        &mut self,
        user: &UserId,
        status: PresenceStatus,
    ) -> Option<&BTreeSet<SessionId>> {
        self.watches.update(user, status)
    }

    /// Replaces the users that a session watches.
    pub(crate) fn watch(&mut self, session: SessionId, users: &[PresenceChangedEvent]) {
        self.watches.set(session, users);
    }

    /// Removes the users from a session's list whom its token does not let it see.
    pub(crate) fn restrict_watches(&mut self, session: SessionId, grants: &Grants) {
        self.watches.restrict(session, grants);
    }

    /// Returns the number of pairs of a watcher and a user.
    pub(crate) fn watches_len(&self) -> usize {
        self.watches.len()
    }

    #[cfg(test)]
    pub(crate) fn watches(&self) -> &Watches {
        &self.watches
    }

    /// Changes a user's entry. Makes it if there is none, and removes it if it holds neither a
    /// device nor a call.
    fn update(&mut self, user: &UserId, change: impl FnOnce(&mut User)) {
        self.watches.touch(user);
        let entry = self.entries.entry(user.clone()).or_default();
        change(entry);
        if entry.devices.is_empty() && entry.calls.is_empty() {
            self.entries.remove(user);
        }
    }
}
